//! Of orders.

use emshop_proto::internal::OrderPlace;
use emshop_proto::v1::{
    CancelOrderRequest, CheckoutCartRequest, CompleteOrderRequest, FieldViolation, ListOrdersRequest, Money, OrderStatus,
    PaymentMethod, Receiver, RequestReturnRequest, ResolveReturnRequest, ResolveSagaRequest, SagaResolution, ShippingMethod,
    SubmitOrderRequest, SubmitWait,
};

use super::fields::Check;
use super::logistics::completes_after;
use super::{ADDRESS_BYTES_MAX, EXPIRES_IN_SECONDS_MAX, PAGE_SIZE_MAX, REASON_BYTES_MAX};

/// Statuses that a list is asked for: no more than there are.
const STATUSES_MAX: usize = 10;

pub fn submit_order(check: &mut Check, request: &SubmitOrderRequest) {
    named(check, &request.order_id, request.user_id);
    check.lines(&request.lines);
    destination(check, &request.address, request.receiver.as_ref());
    payment(check, request.payment_method, request.expires_in_seconds, request.expected_total.as_ref());
    check.require(SubmitWait::try_from(request.wait).is_ok(), "wait", "is not known");
    shipping(check, request.shipping_method);
}

pub fn checkout_cart(check: &mut Check, request: &CheckoutCartRequest) {
    named(check, &request.order_id, request.user_id);
    if request.address_id == 0 {
        destination(check, &request.address, request.receiver.as_ref());
    } else {
        let alone = request.address.is_empty() && request.receiver.is_none();
        check.require(alone, "address_id", "says where to already: address and receiver must not be set");
    }
    payment(check, request.payment_method, request.expires_in_seconds, request.expected_total.as_ref());
    shipping(check, request.shipping_method);
}

/// What a new order is known by.
fn named(check: &mut Check, order_id: &str, user_id: u64) {
    if !order_id.is_empty() {
        check.id("order_id", order_id);
    }
    check.numeric_id("user_id", user_id);
}

/// Where it goes, and to whom.
fn destination(check: &mut Check, address: &str, receiver: Option<&Receiver>) {
    check.words("address", address, 1..=ADDRESS_BYTES_MAX);
    check.receiver(receiver);
}

/// How, until when and how much is to be paid.
fn payment(check: &mut Check, method: i32, expires_in_seconds: u32, expected_total: Option<&Money>) {
    let method = PaymentMethod::try_from(method);
    let is_one = matches!(method, Ok(method) if method != PaymentMethod::Unspecified);
    check.require(is_one, "payment_method", "must be one of the payment methods");
    check.number("expires_in_seconds", expires_in_seconds, 0..=EXPIRES_IN_SECONDS_MAX);
    check.amount("expected_total", expected_total);
}

fn shipping(check: &mut Check, method: i32) {
    check.require(ShippingMethod::try_from(method).is_ok(), "shipping_method", "is not known");
}

pub fn cancel_order(check: &mut Check, request: &CancelOrderRequest) {
    check.id("order_id", &request.order_id);
    check.words("reason", &request.reason, 0..=REASON_BYTES_MAX);
}

pub fn complete_order(check: &mut Check, request: &CompleteOrderRequest) {
    check.id("order_id", &request.order_id);
}

pub fn request_return(check: &mut Check, request: &RequestReturnRequest) {
    check.id("order_id", &request.order_id);
    check.words("reason", &request.reason, 1..=REASON_BYTES_MAX);
}

pub fn resolve_return(check: &mut Check, request: &ResolveReturnRequest) {
    check.id("order_id", &request.order_id);
    check.words("reason", &request.reason, 0..=REASON_BYTES_MAX);
    completes_after(check, request.completes_after_seconds);
}

pub fn resolve_saga(check: &mut Check, request: &ResolveSagaRequest) {
    check.id("order_id", &request.order_id);
    let resolution = SagaResolution::try_from(request.resolution);
    let is_one = matches!(resolution, Ok(resolution) if resolution != SagaResolution::Unspecified);
    check.require(is_one, "resolution", "must be to retry or to write off");
    check.words("reason", &request.reason, 1..=REASON_BYTES_MAX);
    let says_what = resolution != Ok(SagaResolution::WriteOff) || request.version != 0;
    check.require(says_what, "version", "must be that of what is written off, as ListWaiting tells it");
}

pub fn list_orders(request: &ListOrdersRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("user_id", request.user_id);
    check.page::<OrderPlace>(request.page_size, PAGE_SIZE_MAX, &request.page_token);
    check.number("statuses", request.statuses.len(), 0..=STATUSES_MAX);
    for (index, status) in request.statuses.iter().enumerate().take(STATUSES_MAX) {
        let status = OrderStatus::try_from(*status);
        check.require(
            matches!(status, Ok(status) if status != OrderStatus::Unspecified),
            format_args!("statuses[{index}]"),
            "must be one of the statuses of an order",
        );
    }
    check.number("created_from_ms", request.created_from_ms, 0..=i64::MAX);
    check.number("created_before_ms", request.created_before_ms, 0..=i64::MAX);
    check.into_violations()
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::command::Body;

    use super::super::tests::{check, fields, of};
    use super::*;

    #[test]
    fn orders_come_to_their_ends() {
        check::<CancelOrderRequest>(
            || CancelOrderRequest { order_id: "o1".to_owned(), ..CancelOrderRequest::default() },
            |request| of(Body::CancelOrder(request)),
            &[("order_id", |r| r.order_id.clear()), ("", |r| r.user_id = 7), ("reason", |r| r.reason = "x".repeat(257))],
        );
        check::<CompleteOrderRequest>(
            || CompleteOrderRequest { order_id: "o1".to_owned(), user_id: 0 },
            |request| of(Body::CompleteOrder(request)),
            &[("order_id", |r| r.order_id = "o/1".to_owned()), ("", |r| r.user_id = 7)],
        );
        check::<RequestReturnRequest>(
            || RequestReturnRequest { order_id: "o1".to_owned(), user_id: 0, reason: "broken".to_owned() },
            |request| of(Body::RequestReturn(request)),
            &[
                ("order_id", |r| r.order_id.clear()),
                ("reason", |r| r.reason.clear()),
                ("", |r| r.reason = "x".repeat(256)),
                ("reason", |r| r.reason = "x".repeat(257)),
            ],
        );
        check::<ResolveReturnRequest>(
            || ResolveReturnRequest { order_id: "o1".to_owned(), ..ResolveReturnRequest::default() },
            |request| of(Body::ResolveReturn(request)),
            &[
                ("order_id", |r| r.order_id.clear()),
                ("reason", |r| r.reason = "x".repeat(257)),
                ("", |r| r.completes_after_seconds = 31_536_000),
                ("completes_after_seconds", |r| r.completes_after_seconds = 31_536_001),
            ],
        );
        let resolution = SagaResolution::Retry.into();
        check::<ResolveSagaRequest>(
            || ResolveSagaRequest { order_id: "o1".to_owned(), resolution, reason: "the hold is mended".to_owned(), version: 0 },
            |request| of(Body::ResolveSaga(request)),
            &[
                ("order_id", |r| r.order_id.clear()),
                ("", |r| (r.resolution, r.version) = (SagaResolution::WriteOff.into(), 7)),
                ("version", |r| r.resolution = SagaResolution::WriteOff.into()),
                ("resolution", |r| r.resolution = 0),
                ("resolution", |r| r.resolution = 3),
                ("reason", |r| r.reason.clear()),
                ("reason", |r| r.reason = "x".repeat(257)),
            ],
        );
    }

    #[test]
    fn lists() {
        check::<ListOrdersRequest>(
            || ListOrdersRequest { user_id: 1, ..ListOrdersRequest::default() },
            |request| fields(list_orders(&request)),
            &[
                ("user_id", |r| r.user_id = 0),
                ("", |r| r.page_size = 100),
                ("page_size", |r| r.page_size = 101),
                ("", |r| r.page_token = "1700000000000.0.7".to_owned()),
                ("page_token", |r| r.page_token = "o1".to_owned()),
                ("page_token", |r| r.page_token = "9223372036854775808.4294967295.1".to_owned()),
                ("", |r| r.statuses = (1..=10).collect()),
                ("statuses[1]", |r| r.statuses = vec![1, 0]),
                ("statuses[0]", |r| r.statuses = vec![11]),
                ("statuses", |r| r.statuses = vec![1; 11]),
                ("", |r| (r.created_from_ms, r.created_before_ms) = (5, 4)),
                ("created_from_ms", |r| r.created_from_ms = -1),
                ("created_before_ms", |r| r.created_before_ms = -1),
            ],
        );
    }
}
