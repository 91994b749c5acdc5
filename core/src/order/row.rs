//! The row of an order: which status may follow which, what its parts say, and who may reach it.

use emshop_proto::errors::Code;
use emshop_proto::ids;
use emshop_proto::internal::{OrderRow, PaymentRow, SagaRow, StatusChangeRow};
use emshop_proto::v1::{Money, Operator, OrderReceipt, OrderStatus, SagaStatus};

use crate::context::Context;
use crate::state::State;
use crate::state::timers::{Timer, TimerKind};

/// Which status may follow which. The one place that says so.
pub fn may_follow(from: OrderStatus, to: OrderStatus) -> bool {
    use OrderStatus::*;
    matches!(
        (from, to),
        (Unspecified, Pending)
            | (Pending, Paid | Cancelled)
            | (Paid, Shipped | Refunding)
            | (Shipped, Delivered | Refunding)
            | (Delivered, Completed | Returning)
            | (Refunding, Refunded | Paid)
            | (Returning, Returned | Delivered)
    )
}

/// Who changes something, why, and where in the log.
#[derive(Clone, Debug, Default)]
pub struct By {
    pub operator: Option<Operator>,
    /// As they said it.
    pub reason: String,
    pub at_ms: i64,
    pub log_sequence: u64,
}

impl By {
    /// Whoever gave the command that is being applied.
    pub fn command(ctx: &Context, reason: &str) -> Self {
        Self { operator: ctx.operator, reason: reason.to_owned(), at_ms: ctx.time_ms, log_sequence: ctx.sequence }
    }
}

/// Moves an order on, and notes it in its history.
///
/// # Panics
/// When the table does not allow it: callers refuse what a client may not do before.
pub fn set_status(order: &mut OrderRow, to: OrderStatus, by: By) {
    let from = order.status();
    assert!(may_follow(from, to), "order {} cannot go from {from:?} to {to:?}", order.order_id);
    order.set_status(to);
    let By { operator, reason, at_ms, log_sequence } = by;
    order.history.push(StatusChangeRow { to: to.into(), at_ms, operator, reason, log_sequence });
    order.updated_at_ms = at_ms;
}

/// The number of an order.
///
/// # Errors
/// `missing` when there is none of this id.
pub fn find(state: &mut State, order_id: &str, missing: Code) -> Result<u64, Code> {
    let number = state.order_number(order_id).ok_or(missing)?;
    // The index knows hashes.
    if existing(state, number).order_id == order_id { Ok(number) } else { Err(missing) }
}

/// # Panics
/// When there is no order of this number: whoever has a number has it from an index.
pub fn existing(state: &mut State, number: u64) -> &OrderRow {
    state.orders.get(&number).expect("an indexed order exists")
}

pub fn saga(order: &OrderRow) -> &SagaRow {
    order.saga.as_ref().expect("orders have a saga")
}

pub fn saga_mut(order: &mut OrderRow) -> &mut SagaRow {
    order.saga.as_mut().expect("orders have a saga")
}

pub fn payment(order: &OrderRow) -> &PaymentRow {
    order.payment.as_ref().expect("orders have a payment")
}

/// The expiry timer of an unpaid order.
pub fn expiry(order: &OrderRow, number: u64) -> Timer {
    Timer { due_ms: payment(order).expires_at_ms, what: TimerKind::OrderExpiry(number) }
}

/// The completion timer of a delivered order.
pub fn completion(order: &OrderRow, number: u64) -> Timer {
    Timer { due_ms: order.completes_at_ms, what: TimerKind::OrderCompletion(number) }
}

/// Users only reach their own orders: whoever acts, and whoever the request names unless it is 0.
pub fn check_user(ctx: &Context, order: &OrderRow, user_id: u64) -> Result<(), Code> {
    let named = Some(user_id).filter(|named| *named != 0);
    let is_theirs = |user: Option<u64>| user.is_none_or(|user| user == order.user_id);
    if is_theirs(named) && is_theirs(ctx.acting_user()) { Ok(()) } else { Err(Code::OrderNotYours) }
}

/// While a saga is under way nothing else changes the order; when it is stuck, an operator must look first.
pub fn check_idle(order: &OrderRow) -> Result<(), Code> {
    match saga(order).status() {
        SagaStatus::Running | SagaStatus::Compensating => Err(Code::OrderInProgress),
        SagaStatus::Stuck => Err(Code::OrderStatusInvalid),
        SagaStatus::Completed | SagaStatus::Compensated | SagaStatus::Unspecified => Ok(()),
    }
}

/// What a client gets to know of an order at once.
pub fn receipt(order: &OrderRow) -> OrderReceipt {
    OrderReceipt {
        order_id: order.order_id.clone(),
        status: order.status,
        payment_id: ids::payment_id(&order.order_id),
        total: Some(Money::new(order.total_minor, &order.currency)),
        expires_at_ms: payment(order).expires_at_ms,
    }
}
