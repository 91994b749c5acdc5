//! Of tries.

use emshop_proto::v1::{CancelTriedPaymentRequest, ConfirmTriedPaymentRequest, TryPaymentRequest};

use super::fields::Check;

/// A day; 0 stands for the default.
const TIMEOUT_SECONDS_MAX: u32 = 86_400;

pub fn try_payment(check: &mut Check, request: &TryPaymentRequest) {
    hold(check, &request.business_id, request.user_id);
    check.price("amount", request.amount.as_ref());
    check.number("timeout_seconds", request.timeout_seconds, 0..=TIMEOUT_SECONDS_MAX);
}

pub fn confirm_tried_payment(check: &mut Check, request: &ConfirmTriedPaymentRequest) {
    hold(check, &request.business_id, request.user_id);
}

pub fn cancel_tried_payment(check: &mut Check, request: &CancelTriedPaymentRequest) {
    hold(check, &request.business_id, request.user_id);
}

fn hold(check: &mut Check, business_id: &str, user_id: u64) {
    check.id("business_id", business_id);
    check.numeric_id("user_id", user_id);
}
