//! Payments: each belongs to an order, is found by its id, and is answered by its state when a command comes again.

use std::ops::RangeInclusive;

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{OrderRow, PaymentRow, Waiter};
use emshop_proto::money::currency_code;
use emshop_proto::v1::{
    CancelPaymentRequest, CloseReason, ConfirmPaymentRequest, OrderStatus, PayWithBalanceRequest, PaymentAction, PaymentMethod,
    PaymentStatus, RefundPaymentRequest, SagaKind, SagaStatus, SimulatePaymentFailureRequest, SimulatePaymentSuccessRequest,
    outcome,
};

use super::case::Case;
use super::row::{By, check_idle, check_user, existing, payment, saga};
use super::{journal, latch, row as rows, steps, view};
use crate::context::Turn;
use crate::effects::{Answer, Answered, Handled};

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
    let from = payment(order).status();
    assert!(may_follow(from, to), "the payment of order {} cannot go from {from:?} to {to:?}", rows::id(order));
    let amount_minor = if action == PaymentAction::Confirm { order.total_minor } else { 0 };
    row(order).set_status(to);
    journal::payment(order, action, amount_minor, by);
}

pub(crate) fn confirm(turn: &mut Turn, request: ConfirmPaymentRequest) -> Handled {
    let number = find(turn, &request.order_id)?;
    if payment(existing(turn.state, number)).method() == PaymentMethod::Balance {
        // Nobody but the balance can say that the money is there.
        return Err(Code::PaymentMethodInvalid.into());
    }
    pay(turn, number, request)
}

pub(crate) fn pay_with_balance(turn: &mut Turn, request: PayWithBalanceRequest) -> Handled {
    let number = find(turn, &request.order_id)?;
    let order = existing(turn.state, number);
    if payment(order).method() != PaymentMethod::Balance {
        return Err(Code::PaymentMethodInvalid.into());
    }
    pay(turn, number, ConfirmPaymentRequest::default())
}

/// Begins the payment success saga, or tells what came of an earlier one.
fn pay(turn: &mut Turn, number: u64, request: ConfirmPaymentRequest) -> Handled {
    let order = existing(turn.state, number);
    let payment = payment(order);
    match payment.status() {
        PaymentStatus::Pending if is_being_paid(order) => return pay_again(turn, number, &request),
        PaymentStatus::Pending | PaymentStatus::Unspecified if steps::is_running(saga(order).status()) => {
            return Err(Code::OrderInProgress.into());
        }
        // What was not given back may be sold to somebody else: an operator must look.
        PaymentStatus::Pending if saga(order).status() == SagaStatus::Stuck => return Err(Code::OrderStatusInvalid.into()),
        PaymentStatus::Pending => {}
        _ => return pay_again(turn, number, &request),
    }
    if turn.ctx.time_ms >= payment.expires_at_ms {
        return Err(Code::PaymentExpired.into());
    }
    if is_of_another_amount(order, &request) {
        return Err(Code::PaymentAmountInvalid.into());
    }
    let waiter = Waiter { wants_payment: true, ..turn.ctx.waiter.clone() };
    Case::open(turn, number, |case| {
        row(case.row).third_party_sn = request.third_party_sn;
        case.start(SagaKind::PaymentSuccess, case.by(""), Some(waiter));
    });
    Ok(Answered::Later)
}

/// The payment is being paid, has been paid, or cannot be any more.
fn pay_again(turn: &mut Turn, number: u64, request: &ConfirmPaymentRequest) -> Handled {
    let order = existing(turn.state, number);
    let payment = payment(order);
    let same_number = payment.third_party_sn == request.third_party_sn;
    let code = match (payment.status(), order.close_reason()) {
        (PaymentStatus::Cancelled, CloseReason::Expired) => Code::PaymentExpired,
        (PaymentStatus::Cancelled, _) => Code::PaymentAlreadyCancelled,
        (PaymentStatus::Failed | PaymentStatus::Unspecified, _) => Code::PaymentStatusInvalid,
        (PaymentStatus::Refunded, _) if !same_number => Code::PaymentStatusInvalid,
        _ if !same_number => Code::PaymentAlreadyPaid,
        _ if is_of_another_amount(order, request) => Code::PaymentAmountInvalid,
        _ if is_being_paid(order) => return latch_payment(turn, number),
        // The money of this very confirmation was given back because of the parcel: that was its outcome.
        (PaymentStatus::Refunded, CloseReason::ParcelFailed) => {
            return Answer::from(order.refusal.as_deref().expect("a failed parcel says why").clone()).repeated().now();
        }
        _ => return answer(order).repeated().now(),
    };
    Err(code.into())
}

/// Waits for the saga that is under way, and for its payment.
fn latch_payment(turn: &mut Turn, number: u64) -> Handled {
    let waiter = Waiter { wants_payment: true, ..turn.ctx.repeated_waiter() };
    latch(turn, number, waiter)
}

/// A confirmation is under way; its refusal for want of a parcel is a part of that.
fn is_being_paid(order: &OrderRow) -> bool {
    let saga = saga(order);
    saga.kind() == SagaKind::PaymentSuccess
        && match saga.status() {
            SagaStatus::Running => true,
            SagaStatus::Compensating => order.close_reason() == CloseReason::ParcelFailed,
            _ => false,
        }
}

fn is_of_another_amount(order: &OrderRow, request: &ConfirmPaymentRequest) -> bool {
    let paid = request.amount.as_ref().map(|amount| (amount.amount_minor, currency_code(&amount.currency)));
    paid.is_some_and(|paid| paid != (order.total_minor, order.currency))
}

pub(crate) fn simulate_success(turn: &mut Turn, request: SimulatePaymentSuccessRequest) -> Handled {
    let SimulatePaymentSuccessRequest { order_id, third_party_sn: given, .. } = request;
    let third_party_sn = if given.is_empty() { format!("SIM-{order_id}") } else { given };
    confirm(turn, ConfirmPaymentRequest { order_id, third_party_sn, ..ConfirmPaymentRequest::default() })
}

pub(crate) fn cancel(turn: &mut Turn, request: CancelPaymentRequest) -> Handled {
    let end = UnpaidEnd {
        reason: CloseReason::PaymentCancelled,
        status: PaymentStatus::Cancelled,
        action: PaymentAction::Cancel,
        refusal: Code::PaymentCannotCancel,
    };
    end_unpaid(turn, &request.order_id, &end)
}

/// The provider says that the payment failed.
pub(crate) fn fail(turn: &mut Turn, request: SimulatePaymentFailureRequest) -> Handled {
    let end = UnpaidEnd {
        reason: CloseReason::PaymentFailed,
        status: PaymentStatus::Failed,
        action: PaymentAction::Fail,
        refusal: Code::PaymentStatusInvalid,
    };
    end_unpaid(turn, &request.order_id, &end)
}

/// How a payment ends that was never paid.
struct UnpaidEnd {
    reason: CloseReason,
    status: PaymentStatus,
    action: PaymentAction,
    /// When the payment is neither pending nor at this end already.
    refusal: Code,
}

fn end_unpaid(turn: &mut Turn, order_id: &str, end: &UnpaidEnd) -> Handled {
    let number = find(turn, order_id)?;
    let order = existing(turn.state, number);
    let payment = payment(order);
    if payment.method() == PaymentMethod::Balance && end.status == PaymentStatus::Failed {
        return Err(Code::PaymentMethodInvalid.into());
    }
    match (payment.status(), steps::is_running(saga(order).status())) {
        (status, true) if status == end.status && order.close_reason() == end.reason => return latch_payment(turn, number),
        (_, true) => return Err(Code::OrderInProgress.into()),
        (status, false) if status == end.status => return answer(order).repeated().now(),
        (PaymentStatus::Pending, false) => check_idle(order)?,
        (_, false) => return Err(end.refusal.into()),
    }
    let waiter = Waiter { wants_payment: true, ..turn.ctx.waiter.clone() };
    Case::open(turn, number, |case| {
        let by = case.by("");
        set_status(case.row, end.status, end.action, by);
        case.close(end.reason, case.by(""), Some(waiter));
    });
    Ok(Answered::Later)
}

pub(crate) fn refund(turn: &mut Turn, request: RefundPaymentRequest) -> Handled {
    let number = find(turn, &request.order_id)?;
    let order = existing(turn.state, number);
    check_idle(order)?;
    let is_all_refunded = order.close_reason() == CloseReason::Refunded && payment(order).status() == PaymentStatus::Refunded;
    if is_all_refunded && request.amount.is_none() {
        return answer(order).repeated().now();
    }
    // Before the currency: an order that was refused never had a price.
    refundable(order, turn.ctx.time_ms)?;
    let left_minor = order.total_minor - payment(order).refunded_minor;
    match request.amount {
        Some(amount) if currency_code(&amount.currency) != order.currency => Err(Code::CurrencyMismatch.into()),
        Some(amount) if !(1..=left_minor).contains(&amount.amount_minor) => Err(Code::PaymentAmountInvalid.into()),
        Some(amount) if amount.amount_minor < left_minor => refund_part(turn, number, amount.amount_minor, &request.reason),
        _ => refund_all(turn, number, &request.reason),
    }
}

fn refund_part(turn: &mut Turn, number: u64, amount_minor: i64, reason: &str) -> Handled {
    let order = existing(turn.state, number);
    if journal::payment_entries(order, &[PaymentAction::RefundPart]).count() >= REFUND_PARTS_MAX {
        return Err(Code::PaymentStatusInvalid.into());
    }
    Case::open(turn, number, |case| {
        row(case.row).refunded_minor += amount_minor;
        let by = case.by(reason);
        journal::payment(case.row, PaymentAction::RefundPart, amount_minor, by);
        if payment(case.row).method() == PaymentMethod::Balance {
            steps::ask_balance(case, amount_minor);
        }
        case.turn.fx.event(EventType::PaymentRefunded, view::payment_event(case.row));
        answer(case.row).now()
    })
}

/// Nothing is left of the payment then, so the order is taken back with it: what is on its way or there must come back first.
fn refund_all(turn: &mut Turn, number: u64, reason: &str) -> Handled {
    if existing(turn.state, number).status() != OrderStatus::Paid {
        return Err(Code::OrderStatusInvalid.into());
    }
    let waiter = Waiter { wants_payment: true, ..turn.ctx.waiter.clone() };
    Case::open(turn, number, |case| case.close(CloseReason::Refunded, case.by(reason), Some(waiter)));
    Ok(Answered::Later)
}

fn answer(order: &OrderRow) -> Answer {
    Answer::new(outcome::Result::Payment(view::payment(order)))
}

fn refundable(order: &OrderRow, time_ms: i64) -> Result<(), Code> {
    let payment = payment(order);
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
    let left_minor = total_minor - payment(order).refunded_minor;
    for status in [PaymentStatus::Refunding, PaymentStatus::Refunded] {
        let from = payment(order).status();
        assert!(may_follow(from, status), "the payment of order {} cannot go from {from:?} to {status:?}", rows::id(order));
        row(order).set_status(status);
    }
    row(order).refunded_minor = total_minor;
    journal::payment(order, PaymentAction::Refund, left_minor, by);
    left_minor
}

fn find(turn: &mut Turn, order_id: &str) -> Result<u64, Code> {
    let number = rows::find(turn.state, order_id, Code::PaymentNotFound)?;
    let order = existing(turn.state, number);
    check_user(&turn.ctx, order, 0, Code::PaymentNotFound)?;
    match payment(order).status() {
        // The cart has not given the lines yet, or has refused to.
        PaymentStatus::Unspecified if steps::is_running(saga(order).status()) => Err(Code::OrderInProgress),
        PaymentStatus::Unspecified => Err(Code::PaymentNotFound),
        _ => Ok(number),
    }
}

/// The payment of an order, to be changed.
pub fn row(order: &mut OrderRow) -> &mut PaymentRow {
    order.payment.as_mut().expect("orders have a payment")
}
