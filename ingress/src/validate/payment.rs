//! Of payments and balances.

use emshop_proto::v1::{AdjustBalanceRequest, FieldViolation, GetBalanceRequest, PayWithBalanceRequest};

use super::fields::Check;

/// Most that one adjustment moves, either way.
const DELTA_MINOR_MAX: i64 = 1_000_000_000_000;

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
    check.idempotency_key(&request.idempotency_key);
}

pub fn get_balance(request: &GetBalanceRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("user_id", request.user_id);
    check.into_violations()
}
