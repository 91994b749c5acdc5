//! Payments: each belongs to an order, is found by its id, and is answered by its state when a command comes again.

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{KeyRow, OrderRow, PaymentRow, Waiter};
use emshop_proto::v1::{
    CancelPaymentRequest, CloseReason, ConfirmPaymentRequest, OrderStatus, PaymentStatus, RefundPaymentRequest, SagaKind,
    SagaStatus, SimulatePaymentFailureRequest, SimulatePaymentSuccessRequest, outcome,
};

use super::effects::{Answer, Effects};
use super::state::State;
use super::{Context, idempotency, order, order_saga, view};

/// Which status may follow which. The one place that says so.
pub fn may_follow(from: PaymentStatus, to: PaymentStatus) -> bool {
    use PaymentStatus::*;
    matches!(
        (from, to),
        (Unspecified, Pending) | (Pending, Paid | Failed | Cancelled) | (Paid, Refunding) | (Refunding, Refunded | Paid)
    )
}

/// Moves a payment on.
///
/// # Panics
/// When the table does not allow it: callers refuse what a client may not do before.
pub fn set_status(order: &mut OrderRow, to: PaymentStatus) {
    let from = order::payment(order).status();
    assert!(may_follow(from, to), "the payment of order {} cannot go from {from:?} to {to:?}", order.order_id);
    row(order).set_status(to);
}

pub fn confirm(
    state: &mut State,
    ctx: &Context,
    request: &ConfirmPaymentRequest,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let number = match find(state, &request.order_id) {
        Ok(number) => number,
        Err(code) => return Some(code.into()),
    };
    let order = order::existing(state, number);
    let payment = order::payment(order);
    let saga = order::saga(order);
    match payment.status() {
        PaymentStatus::Pending => {}
        PaymentStatus::Paid if payment.third_party_sn != request.third_party_sn => {
            return Some(Code::PaymentAlreadyPaid.into());
        }
        PaymentStatus::Paid if saga.kind() == SagaKind::PaymentSuccess && saga.status() == SagaStatus::Running => {
            order::latch(state, number, Waiter { wants_payment: true, repeated: true, ..waiter });
            return None;
        }
        PaymentStatus::Paid => return Some(Answer::new(outcome::Result::Payment(view::payment(order))).repeated()),
        _ => return Some(closed_answer(order, &request.third_party_sn)),
    }
    if order_saga::is_running(saga.status()) {
        return Some(Code::OrderInProgress.into());
    }
    if ctx.time_ms >= payment.expires_at_ms {
        return Some(Code::PaymentExpired.into());
    }
    let paid = request.amount.as_ref().map(|amount| (amount.amount_minor, amount.currency.as_str()));
    if paid.is_some_and(|paid| paid != (order.total_minor, order.currency.as_str())) {
        return Some(Code::PaymentAmountInvalid.into());
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    let payment = row(order);
    payment.third_party_sn.clone_from(&request.third_party_sn);
    payment.paid_at_ms = ctx.time_ms;
    order_saga::start(order, SagaKind::PaymentSuccess, Waiter { wants_payment: true, ..waiter });
    order_saga::run(order, number, &mut state.timers, ctx, fx);
    None
}

/// Why a payment that is no longer pending or paid cannot be confirmed.
fn closed_answer(order: &OrderRow, third_party_sn: &str) -> Answer {
    let payment = order::payment(order);
    match (payment.status(), order.close_reason()) {
        // The money of this very confirmation was given back because of the parcel: that was its outcome.
        (PaymentStatus::Refunded, CloseReason::ParcelFailed) if payment.third_party_sn == third_party_sn => {
            Answer::from(order.refusal.clone().expect("a failed parcel says why")).repeated()
        }
        (PaymentStatus::Cancelled, CloseReason::Expired) => Code::PaymentExpired.into(),
        (PaymentStatus::Cancelled, _) => Code::PaymentAlreadyCancelled.into(),
        _ => Code::PaymentStatusInvalid.into(),
    }
}

pub fn simulate_success(
    state: &mut State,
    ctx: &Context,
    request: &SimulatePaymentSuccessRequest,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let given = &request.third_party_sn;
    let third_party_sn = if given.is_empty() { format!("SIM-{}", request.order_id) } else { given.clone() };
    let confirm_request =
        ConfirmPaymentRequest { order_id: request.order_id.clone(), third_party_sn, ..ConfirmPaymentRequest::default() };
    confirm(state, ctx, &confirm_request, waiter, fx)
}

pub fn cancel(
    state: &mut State,
    ctx: &Context,
    request: &CancelPaymentRequest,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let end =
        UnpaidEnd { reason: CloseReason::PaymentCancelled, status: PaymentStatus::Cancelled, refusal: Code::PaymentCannotCancel };
    end_unpaid(state, ctx, &request.order_id, &end, waiter, fx)
}

/// The provider says that the payment failed.
pub fn fail(
    state: &mut State,
    ctx: &Context,
    request: &SimulatePaymentFailureRequest,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let end =
        UnpaidEnd { reason: CloseReason::PaymentFailed, status: PaymentStatus::Failed, refusal: Code::PaymentStatusInvalid };
    end_unpaid(state, ctx, &request.order_id, &end, waiter, fx)
}

/// How a payment ends that was never paid.
struct UnpaidEnd {
    reason: CloseReason,
    status: PaymentStatus,
    /// When the payment is neither pending nor at this end already.
    refusal: Code,
}

fn end_unpaid(
    state: &mut State,
    ctx: &Context,
    order_id: &String,
    end: &UnpaidEnd,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let number = match find(state, order_id) {
        Ok(number) => number,
        Err(code) => return Some(code.into()),
    };
    let order = order::existing(state, number);
    let status = order::payment(order).status();
    if order_saga::is_running(order::saga(order).status()) {
        return Some(Code::OrderInProgress.into());
    }
    if status == end.status {
        return Some(Answer::new(outcome::Result::Payment(view::payment(order))).repeated());
    }
    if status != PaymentStatus::Pending {
        return Some(end.refusal.into());
    }
    set_status(state.orders.change(&number).expect("an indexed order exists"), end.status);
    order::close(state, ctx, number, end.reason, Waiter { wants_payment: true, ..waiter }, fx);
    None
}

pub fn refund(
    state: &mut State,
    ctx: &Context,
    request: &RefundPaymentRequest,
    body_hash: u64,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let number = match find(state, &request.order_id) {
        Ok(number) => number,
        Err(code) => return Some(code.into()),
    };
    let order = order::existing(state, number);
    let payment = order::payment(order);
    let left_minor = order.total_minor - payment.refunded_minor;
    let amount_minor = match &request.amount {
        Some(amount) if amount.currency != order.currency => return Some(Code::CurrencyMismatch.into()),
        Some(amount) => amount.amount_minor,
        None => left_minor,
    };
    let key = format!("refund:{}:{}", request.order_id, request.idempotency_key);
    let leaves_nothing = match state.keys.get(&key) {
        Some(row) => row.body_hash == body_hash && row.outcome.is_none(),
        None => amount_minor == left_minor,
    };
    if leaves_nothing {
        return refund_rest(state, ctx, number, key, body_hash, waiter, fx);
    }
    Some(idempotency::once(state, ctx, key, body_hash, |state| refund_part(state, number, amount_minor, fx)))
}

fn refund_part(state: &mut State, number: u64, amount_minor: i64, fx: &mut Effects) -> Answer {
    let order = order::existing(state, number);
    if let Err(code) = refundable(order) {
        return code.into();
    }
    if amount_minor <= 0 || amount_minor > order.total_minor - order::payment(order).refunded_minor {
        return Code::PaymentAmountInvalid.into();
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    row(order).refunded_minor += amount_minor;
    fx.event(EventType::PaymentRefunded, order_saga::payment_event(order));
    Answer::new(outcome::Result::Payment(view::payment(order)))
}

/// Nothing is left of the payment then, so the order is taken back with it.
fn refund_rest(
    state: &mut State,
    ctx: &Context,
    number: u64,
    key: String,
    body_hash: u64,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let order = order::existing(state, number);
    if order::payment(order).status() == PaymentStatus::Refunded && order.close_reason() == CloseReason::Refunded {
        return Some(Answer::new(outcome::Result::Payment(view::payment(order))).repeated());
    }
    if let Err(code) = refundable(order) {
        return Some(code.into());
    }
    idempotency::remember(state, ctx, key, KeyRow { body_hash, outcome: None });
    order::close(state, ctx, number, CloseReason::Refunded, Waiter { wants_payment: true, ..waiter }, fx);
    None
}

fn refundable(order: &OrderRow) -> Result<(), Code> {
    if order_saga::is_running(order::saga(order).status()) {
        return Err(Code::OrderInProgress);
    }
    if order::payment(order).status() != PaymentStatus::Paid || order.status() != OrderStatus::Paid {
        return Err(Code::PaymentStatusInvalid);
    }
    Ok(())
}

/// Compensation of a confirmed payment: whatever is left of it goes back.
pub fn refund_all(order: &mut OrderRow) {
    set_status(order, PaymentStatus::Refunding);
    let total_minor = order.total_minor;
    row(order).refunded_minor = total_minor;
    set_status(order, PaymentStatus::Refunded);
}

fn find(state: &mut State, order_id: &String) -> Result<u64, Code> {
    state.order_ids.get(order_id).copied().ok_or(Code::PaymentNotFound)
}

pub fn row(order: &mut OrderRow) -> &mut PaymentRow {
    order.payment.as_mut().expect("orders have a payment")
}
