//! Of payments and balances.

use emshop_proto::v1::{
    AdjustBalanceRequest, ConfirmPaymentRequest, FieldViolation, GetBalanceRequest, GetPaymentRequest, PayWithBalanceRequest,
    RefundPaymentRequest, SimulatePaymentSuccessRequest,
};

use super::REASON_BYTES_MAX;
use super::fields::Check;

const THIRD_PARTY_SN_BYTES_MAX: usize = 128;
/// Most that one adjustment moves, either way.
const DELTA_MINOR_MAX: i64 = 1_000_000_000_000;

pub fn confirm_payment(check: &mut Check, request: &ConfirmPaymentRequest) {
    check.payment(&request.payment_id, &request.order_id);
    check.words("third_party_sn", &request.third_party_sn, 0..=THIRD_PARTY_SN_BYTES_MAX);
    check.amount("amount", request.amount.as_ref());
}

pub fn refund_payment(check: &mut Check, request: &RefundPaymentRequest) {
    check.payment(&request.payment_id, &request.order_id);
    check.amount("amount", request.amount.as_ref());
    check.words("reason", &request.reason, 0..=REASON_BYTES_MAX);
}

pub fn simulate_payment_success(check: &mut Check, request: &SimulatePaymentSuccessRequest) {
    check.payment(&request.payment_id, &request.order_id);
    check.words("third_party_sn", &request.third_party_sn, 0..=THIRD_PARTY_SN_BYTES_MAX);
}

pub fn get_payment(request: &GetPaymentRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.payment(&request.payment_id, &request.order_id);
    check.into_violations()
}

pub fn pay_with_balance(check: &mut Check, request: &PayWithBalanceRequest) {
    check.payment(&request.payment_id, &request.order_id);
}

pub fn adjust_balance(check: &mut Check, request: &AdjustBalanceRequest) {
    check.numeric_id("user_id", request.user_id);
    match &request.delta {
        Some(delta) => {
            check.require(delta.amount_minor != 0, "delta.amount_minor", "must not be 0");
            check.number("delta.amount_minor", delta.amount_minor, -DELTA_MINOR_MAX..=DELTA_MINOR_MAX);
            check.currency("delta", delta);
        }
        None => check.require(false, "delta", "is required"),
    }
}

pub fn get_balance(request: &GetBalanceRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("user_id", request.user_id);
    check.into_violations()
}
