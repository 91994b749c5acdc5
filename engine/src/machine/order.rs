//! Orders: submit, cancel, expire. The order's id is its idempotency key.

use emshop_proto::errors::Code;
use emshop_proto::ids;
use emshop_proto::internal::{LineRow, OrderRow, PaymentRow, SagaRow, Waiter};
use emshop_proto::v1::{
    CancelOrderRequest, CloseReason, Money, OrderReceipt, OrderStatus, SagaKind, SubmitOrderRequest, outcome,
};

use super::effects::{Answer, Effects};
use super::state::{State, UserOrder};
use super::{Context, order_saga};

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

/// Moves an order on.
///
/// # Panics
/// When the table does not allow it: callers refuse what a client may not do before.
pub fn set_status(order: &mut OrderRow, to: OrderStatus) {
    let from = order.status();
    assert!(may_follow(from, to), "order {} cannot go from {from:?} to {to:?}", order.order_id);
    order.set_status(to);
}

pub fn submit(
    state: &mut State,
    ctx: &Context,
    request: &SubmitOrderRequest,
    body_hash: u64,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    if let Some(number) = state.order_ids.get(&request.order_id).copied() {
        return repeat_submit(state, number, body_hash, waiter);
    }
    let counters = state.counters.entry(&());
    counters.orders += 1;
    let number = counters.orders;
    let mut order = Box::new(new_order(request, body_hash, ctx.time_ms));
    state.order_ids.insert(order.order_id.clone(), number);
    let index = UserOrder { user_id: order.user_id, created_at_ms: order.created_at_ms, number };
    state.user_orders.insert_new(index, ());
    order_saga::start(&mut order, SagaKind::SubmitOrder, waiter);
    order_saga::run(&mut order, number, &mut state.timers, ctx, fx);
    state.orders.insert_new(number, order);
    None
}

fn new_order(request: &SubmitOrderRequest, body_hash: u64, time_ms: i64) -> OrderRow {
    let lines = request.lines.iter();
    let lines = lines.map(|line| LineRow { goods_id: line.goods_id, quantity: line.quantity, ..LineRow::default() }).collect();
    let expires_at_ms = time_ms + i64::from(request.expires_in_seconds) * 1000;
    OrderRow {
        order_id: request.order_id.clone(),
        user_id: request.user_id,
        body_hash,
        lines,
        expected_total: request.expected_total.clone(),
        address: request.address.clone(),
        receiver: request.receiver.clone(),
        logistics_company: request.logistics_company,
        shipping_method: request.shipping_method,
        created_at_ms: time_ms,
        updated_at_ms: time_ms,
        payment: Some(PaymentRow { method: request.payment_method, expires_at_ms, ..PaymentRow::default() }),
        ..OrderRow::default()
    }
}

/// The same order again: its stored outcome, or the wait for the one that is under way.
fn repeat_submit(state: &mut State, number: u64, body_hash: u64, waiter: Waiter) -> Option<Answer> {
    let order = existing(state, number);
    if order.body_hash != body_hash {
        return Some(Code::IdempotencyKeyReused.into());
    }
    let saga = saga(order);
    if saga.kind() == SagaKind::SubmitOrder
        && order_saga::is_running(saga.status())
        && order.close_reason() == CloseReason::Unspecified
    {
        latch(state, number, Waiter { repeated: true, ..waiter });
        return None;
    }
    if order.close_reason() == CloseReason::Refused {
        return Some(Answer::from(order.refusal.clone().expect("a refused order says why")).repeated());
    }
    let receipt = OrderReceipt { status: OrderStatus::Pending.into(), ..receipt(order) };
    Some(Answer::new(outcome::Result::Order(receipt)).repeated())
}

pub fn cancel(
    state: &mut State,
    ctx: &Context,
    request: &CancelOrderRequest,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let Some(number) = state.order_ids.get(&request.order_id).copied() else {
        return Some(Code::OrderNotFound.into());
    };
    let order = existing(state, number);
    if request.user_id != 0 && request.user_id != order.user_id {
        return Some(Code::OrderNotYours.into());
    }
    if order_saga::is_running(saga(order).status()) {
        return Some(Code::OrderInProgress.into());
    }
    match order.status() {
        OrderStatus::Pending | OrderStatus::Paid => {
            close(state, ctx, number, CloseReason::Cancelled, waiter, fx);
            None
        }
        OrderStatus::Cancelled | OrderStatus::Refunded if order.close_reason() == CloseReason::Cancelled => {
            Some(Answer::new(outcome::Result::Order(receipt(order))).repeated())
        }
        _ => Some(Code::OrderStatusInvalid.into()),
    }
}

/// Takes back all that was done for an order that is pending or paid and whose saga has ended.
pub fn close(state: &mut State, ctx: &Context, number: u64, reason: CloseReason, waiter: Waiter, fx: &mut Effects) {
    let order = state.orders.change(&number).expect("an indexed order exists");
    order.set_close_reason(reason);
    let kind = if order.status() == OrderStatus::Pending { SagaKind::SubmitOrder } else { SagaKind::PaymentSuccess };
    order_saga::take_back(order, kind, waiter);
    order_saga::run(order, number, &mut state.timers, ctx, fx);
}

/// Adds someone who waits for the saga that is under way.
pub fn latch(state: &mut State, number: u64, waiter: Waiter) {
    let order = state.orders.change(&number).expect("an indexed order exists");
    order.saga.as_mut().expect("orders have a saga").waiters.push(waiter);
}

pub fn existing(state: &mut State, number: u64) -> &OrderRow {
    state.orders.get(&number).expect("an indexed order exists")
}

pub fn saga(order: &OrderRow) -> &SagaRow {
    order.saga.as_ref().expect("orders have a saga")
}

pub fn payment(order: &OrderRow) -> &PaymentRow {
    order.payment.as_ref().expect("orders have a payment")
}

pub fn receipt(order: &OrderRow) -> OrderReceipt {
    OrderReceipt {
        order_id: order.order_id.clone(),
        status: order.status,
        payment_id: ids::payment_id(&order.order_id),
        total: Some(Money::new(order.total_minor, &order.currency)),
        expires_at_ms: payment(order).expires_at_ms,
    }
}
