//! Payments: each belongs to an order, is found by its id, and is answered by its state when a command comes again.

use std::ops::RangeInclusive;

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{KeyRow, OrderRow, PaymentChangeRow, PaymentRow, Waiter};
use emshop_proto::v1::{
    CancelPaymentRequest, CloseReason, ConfirmPaymentRequest, OrderStatus, PayWithBalanceRequest, PaymentAction, PaymentMethod,
    PaymentStatus, RefundPaymentRequest, SagaKind, SagaStatus, SimulatePaymentFailureRequest, SimulatePaymentSuccessRequest,
    outcome,
};

use crate::context::Context;
use crate::effects::{Answer, Effects};
use crate::order::By;
use crate::order::{steps, view};
use crate::state::State;
use crate::{idempotency, order};

/// What a payment may be of, in minor units: more than nothing, and what providers let pass at once.
pub const AMOUNT_MINOR: RangeInclusive<i64> = 1..=9_999_999;

/// How long after its payment a completed order can be refunded in part.
pub const REFUND_WINDOW_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// Each part is kept in the payment's log, which goes to whoever asks for the payment as a whole.
pub const REFUND_PARTS_MAX: usize = 100;

/// Which status may follow which. The one place that says so.
pub fn may_follow(from: PaymentStatus, to: PaymentStatus) -> bool {
    use PaymentStatus::*;
    matches!(
        (from, to),
        (Unspecified, Pending) | (Pending, Paid | Failed | Cancelled) | (Paid, Refunding) | (Refunding, Refunded | Paid)
    )
}

/// Moves a payment on, and notes it in its log.
///
/// # Panics
/// When the table does not allow it: callers refuse what a client may not do before.
pub fn set_status(order: &mut OrderRow, to: PaymentStatus, action: PaymentAction, by: By) {
    let from = order::payment(order).status();
    assert!(may_follow(from, to), "the payment of order {} cannot go from {from:?} to {to:?}", order.order_id);
    let amount_minor = if action == PaymentAction::Confirm { order.total_minor } else { 0 };
    row(order).set_status(to);
    note(order, action, amount_minor, by);
}

fn note(order: &mut OrderRow, action: PaymentAction, amount_minor: i64, by: By) {
    let By { operator, reason, at_ms, log_sequence } = by;
    let payment = row(order);
    let (action, to) = (action.into(), payment.status);
    payment.log.push(PaymentChangeRow { action, to, amount_minor, at_ms, operator, reason, log_sequence });
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
    if order::payment(order::existing(state, number)).method() == PaymentMethod::Balance {
        // Nobody but the balance can say that the money is there.
        return Some(Code::PaymentMethodInvalid.into());
    }
    pay(state, ctx, number, request, waiter, fx)
}

pub fn pay_with_balance(
    state: &mut State,
    ctx: &Context,
    request: &PayWithBalanceRequest,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let number = match find(state, &request.order_id) {
        Ok(number) => number,
        Err(code) => return Some(code.into()),
    };
    let order = order::existing(state, number);
    if let Err(code) = order::check_user(ctx, order, 0) {
        return Some(code.into());
    }
    if order::payment(order).method() != PaymentMethod::Balance {
        return Some(Code::PaymentMethodInvalid.into());
    }
    pay(state, ctx, number, &ConfirmPaymentRequest::default(), waiter, fx)
}

/// Begins the payment success saga, or tells what came of an earlier one.
fn pay(
    state: &mut State,
    ctx: &Context,
    number: u64,
    request: &ConfirmPaymentRequest,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let waiter = Waiter { wants_payment: true, ..waiter };
    let order = order::existing(state, number);
    let payment = order::payment(order);
    match payment.status() {
        PaymentStatus::Pending if is_being_paid(order) => return pay_again(state, number, request, waiter),
        PaymentStatus::Pending | PaymentStatus::Unspecified if steps::is_running(order::saga(order).status()) => {
            return Some(Code::OrderInProgress.into());
        }
        // What was not given back may be sold to somebody else: an operator must look.
        PaymentStatus::Pending if order::saga(order).status() == SagaStatus::Stuck => {
            return Some(Code::OrderStatusInvalid.into());
        }
        PaymentStatus::Pending => {}
        _ => return pay_again(state, number, request, waiter),
    }
    if ctx.time_ms >= payment.expires_at_ms {
        return Some(Code::PaymentExpired.into());
    }
    if is_of_another_amount(order, request) {
        return Some(Code::PaymentAmountInvalid.into());
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    row(order).third_party_sn.clone_from(&request.third_party_sn);
    steps::start(order, SagaKind::PaymentSuccess, waiter, By::command(ctx, ""));
    steps::run(order, number, &mut state.timers, ctx, fx);
    None
}

/// Of a payment that is being paid, has been paid, or cannot be any more.
fn pay_again(state: &mut State, number: u64, request: &ConfirmPaymentRequest, waiter: Waiter) -> Option<Answer> {
    let order = order::existing(state, number);
    let payment = order::payment(order);
    let same_number = payment.third_party_sn == request.third_party_sn;
    let answer = match (payment.status(), order.close_reason()) {
        (PaymentStatus::Cancelled, CloseReason::Expired) => Code::PaymentExpired.into(),
        (PaymentStatus::Cancelled, _) => Code::PaymentAlreadyCancelled.into(),
        (PaymentStatus::Failed | PaymentStatus::Unspecified, _) => Code::PaymentStatusInvalid.into(),
        (PaymentStatus::Refunded, _) if !same_number => Code::PaymentStatusInvalid.into(),
        _ if !same_number => Code::PaymentAlreadyPaid.into(),
        _ if is_of_another_amount(order, request) => Code::PaymentAmountInvalid.into(),
        _ if is_being_paid(order) => {
            order::latch(state, number, Waiter { repeated: true, ..waiter });
            return None;
        }
        // The money of this very confirmation was given back because of the parcel: that was its outcome.
        (PaymentStatus::Refunded, CloseReason::ParcelFailed) => {
            Answer::from(order.refusal.clone().expect("a failed parcel says why")).repeated()
        }
        _ => Answer::new(outcome::Result::Payment(view::payment(order))).repeated(),
    };
    Some(answer)
}

/// A confirmation is under way; its refusal for want of a parcel is a part of that.
fn is_being_paid(order: &OrderRow) -> bool {
    let saga = order::saga(order);
    saga.kind() == SagaKind::PaymentSuccess
        && match saga.status() {
            SagaStatus::Running => true,
            SagaStatus::Compensating => order.close_reason() == CloseReason::ParcelFailed,
            _ => false,
        }
}

fn is_of_another_amount(order: &OrderRow, request: &ConfirmPaymentRequest) -> bool {
    let paid = request.amount.as_ref().map(|amount| (amount.amount_minor, amount.currency.as_str()));
    paid.is_some_and(|paid| paid != (order.total_minor, order.currency.as_str()))
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
    let end = UnpaidEnd {
        reason: CloseReason::PaymentCancelled,
        status: PaymentStatus::Cancelled,
        action: PaymentAction::Cancel,
        refusal: Code::PaymentCannotCancel,
    };
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
    let end = UnpaidEnd {
        reason: CloseReason::PaymentFailed,
        status: PaymentStatus::Failed,
        action: PaymentAction::Fail,
        refusal: Code::PaymentStatusInvalid,
    };
    end_unpaid(state, ctx, &request.order_id, &end, waiter, fx)
}

/// How a payment ends that was never paid.
struct UnpaidEnd {
    reason: CloseReason,
    status: PaymentStatus,
    action: PaymentAction,
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
    let waiter = Waiter { wants_payment: true, ..waiter };
    let order = order::existing(state, number);
    if let Err(code) = order::check_user(ctx, order, 0) {
        return Some(code.into());
    }
    let payment = order::payment(order);
    if payment.method() == PaymentMethod::Balance && end.status == PaymentStatus::Failed {
        return Some(Code::PaymentMethodInvalid.into());
    }
    match (payment.status(), steps::is_running(order::saga(order).status())) {
        (status, true) if status == end.status && order.close_reason() == end.reason => {
            order::latch(state, number, Waiter { repeated: true, ..waiter });
            return None;
        }
        (_, true) => return Some(Code::OrderInProgress.into()),
        (status, false) if status == end.status => {
            return Some(Answer::new(outcome::Result::Payment(view::payment(order))).repeated());
        }
        (PaymentStatus::Pending, false) => {}
        (_, false) => return Some(end.refusal.into()),
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    set_status(order, end.status, end.action, By::command(ctx, ""));
    order::close(state, ctx, number, end.reason, "", waiter, fx);
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
    let left_minor = order.total_minor - order::payment(order).refunded_minor;
    let amount_minor = match &request.amount {
        Some(amount) if amount.currency != order.currency => return Some(Code::CurrencyMismatch.into()),
        Some(amount) => amount.amount_minor,
        None => left_minor,
    };
    let in_progress = steps::is_running(order::saga(order).status());
    let key = format!("refund:{}:{}", request.order_id, request.idempotency_key);
    let leaves_nothing = match state.keys.get(&key) {
        Some(row) => row.body_hash == body_hash && row.outcome.is_none(),
        // Not remembered: the same refund may come again.
        None if in_progress => return Some(Code::OrderInProgress.into()),
        None => amount_minor == left_minor,
    };
    if leaves_nothing {
        return refund_all(state, ctx, number, Key { key, body_hash }, &request.reason, waiter, fx);
    }
    let by = By::command(ctx, &request.reason);
    Some(idempotency::once(state, ctx, key, body_hash, |state| refund_part(state, ctx, number, amount_minor, by, fx)))
}

fn refund_part(state: &mut State, ctx: &Context, number: u64, amount_minor: i64, by: By, fx: &mut Effects) -> Answer {
    let order = order::existing(state, number);
    if let Err(code) = refundable(order, ctx.time_ms) {
        return code.into();
    }
    let payment = order::payment(order);
    if amount_minor <= 0 || amount_minor > order.total_minor - payment.refunded_minor {
        return Code::PaymentAmountInvalid.into();
    }
    if payment.log.iter().filter(|change| change.action() == PaymentAction::RefundPart).count() >= REFUND_PARTS_MAX {
        return Code::PaymentStatusInvalid.into();
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    row(order).refunded_minor += amount_minor;
    note(order, PaymentAction::RefundPart, amount_minor, by);
    if order::payment(order).method() == PaymentMethod::Balance {
        steps::ask_balance(order, number, amount_minor, ctx, fx);
    }
    fx.event(EventType::PaymentRefunded, steps::payment_event(order));
    Answer::new(outcome::Result::Payment(view::payment(order)))
}

/// Of a refund, with what its request was.
struct Key {
    key: String,
    body_hash: u64,
}

/// Nothing is left of the payment then, so the order is taken back with it: what is on its way or there must come back first.
fn refund_all(
    state: &mut State,
    ctx: &Context,
    number: u64,
    Key { key, body_hash }: Key,
    reason: &str,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let waiter = Waiter { wants_payment: true, ..waiter };
    let order = order::existing(state, number);
    let is_refund = order.close_reason() == CloseReason::Refunded;
    if is_refund && steps::is_running(order::saga(order).status()) {
        order::latch(state, number, Waiter { repeated: true, ..waiter });
        return None;
    }
    if is_refund && order::payment(order).status() == PaymentStatus::Refunded {
        return Some(Answer::new(outcome::Result::Payment(view::payment(order))).repeated());
    }
    if let Err(code) = refundable(order, ctx.time_ms) {
        return Some(code.into());
    }
    if order.status() != OrderStatus::Paid {
        return Some(Code::OrderStatusInvalid.into());
    }
    idempotency::remember(state, ctx, key, KeyRow { body_hash, outcome: None });
    order::close(state, ctx, number, CloseReason::Refunded, reason, waiter, fx);
    None
}

fn refundable(order: &OrderRow, time_ms: i64) -> Result<(), Code> {
    let payment = order::payment(order);
    match (payment.status(), order.status()) {
        (PaymentStatus::Paid, OrderStatus::Paid | OrderStatus::Shipped | OrderStatus::Delivered) => Ok(()),
        (PaymentStatus::Paid, OrderStatus::Completed) if time_ms < payment.paid_at_ms + REFUND_WINDOW_MS => Ok(()),
        (PaymentStatus::Paid, _) => Err(Code::OrderStatusInvalid),
        _ => Err(Code::PaymentStatusInvalid),
    }
}

/// Compensation of a confirmed payment: whatever is left of it goes back. Returns how much that is.
pub fn refund_rest(order: &mut OrderRow, by: By) -> i64 {
    let total_minor = order.total_minor;
    let left_minor = total_minor - order::payment(order).refunded_minor;
    for status in [PaymentStatus::Refunding, PaymentStatus::Refunded] {
        let from = order::payment(order).status();
        assert!(may_follow(from, status), "the payment of order {} cannot go from {from:?} to {status:?}", order.order_id);
        row(order).set_status(status);
    }
    row(order).refunded_minor = total_minor;
    note(order, PaymentAction::Refund, left_minor, by);
    left_minor
}

fn find(state: &mut State, order_id: &String) -> Result<u64, Code> {
    let number = state.order_ids.get(order_id).copied().ok_or(Code::PaymentNotFound)?;
    let order = order::existing(state, number);
    match order::payment(order).status() {
        // The cart has not given the lines yet, or has refused to.
        PaymentStatus::Unspecified if steps::is_running(order::saga(order).status()) => Err(Code::OrderInProgress),
        PaymentStatus::Unspecified => Err(Code::PaymentNotFound),
        _ => Ok(number),
    }
}

pub fn row(order: &mut OrderRow) -> &mut PaymentRow {
    order.payment.as_mut().expect("orders have a payment")
}
