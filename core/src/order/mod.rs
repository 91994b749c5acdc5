//! Orders: submitted, cancelled, expired, delivered, completed, returned. The order's id is its idempotency key.

pub mod parcel;
pub mod payment;
pub mod route;
pub mod saga;
pub mod steps;
pub mod view;

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::ids;
use emshop_proto::internal::{LineRow, OrderRow, PaymentRow, SagaRow, StatusChangeRow, Waiter};
use emshop_proto::logistics::COMPLETION_SECONDS;
use emshop_proto::v1::{
    CancelOrderRequest, CheckoutCartRequest, CloseReason, CompleteOrderRequest, LogisticsStatus, Money, Operator, OrderReceipt,
    OrderStatus, RequestReturnRequest, ResolveReturnRequest, SagaKind, SagaStatus, SagaStep, SubmitOrderRequest, outcome,
};

use crate::context::Context;
use crate::effects::{Answer, Effects};
use crate::state::State;
use crate::state::rows::{Timer, TimerKind, Timers, UserOrder};
use crate::state::table::Table;

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

/// Moves an order on without a saga, and tells the world.
pub fn move_to(order: &mut OrderRow, to: OrderStatus, by: By, fx: &mut Effects) {
    set_status(order, to, by);
    fx.event(EventType::OrderMoved, steps::order_event(order));
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
    open(state, ctx, new_order(request, body_hash, ctx.time_ms), SagaKind::SubmitOrder, waiter, fx);
    None
}

/// Submits what is selected in the user's cart.
pub fn checkout(
    state: &mut State,
    ctx: &Context,
    request: &CheckoutCartRequest,
    body_hash: u64,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    if let Some(number) = state.order_ids.get(&request.order_id).copied() {
        return repeat_submit(state, number, body_hash, waiter);
    }
    let submit = SubmitOrderRequest {
        order_id: request.order_id.clone(),
        user_id: request.user_id,
        address: request.address.clone(),
        receiver: request.receiver.clone(),
        payment_method: request.payment_method,
        expires_in_seconds: request.expires_in_seconds,
        expected_total: request.expected_total.clone(),
        logistics_company: request.logistics_company,
        shipping_method: request.shipping_method,
        insured: request.insured,
        ..SubmitOrderRequest::default()
    };
    let order = new_order(&submit, body_hash, ctx.time_ms);
    let order = OrderRow { from_cart: true, address_id: request.address_id, ..order };
    open(state, ctx, order, SagaKind::CheckoutCart, waiter, fx);
    None
}

/// Takes a new order in and begins its saga.
fn open(state: &mut State, ctx: &Context, order: OrderRow, kind: SagaKind, waiter: Waiter, fx: &mut Effects) {
    let counters = state.counters.entry(&());
    counters.orders += 1;
    let number = counters.orders;
    let mut order = Box::new(order);
    state.order_ids.insert(order.order_id.clone(), number);
    let index = UserOrder { user_id: order.user_id, created_at_ms: order.created_at_ms, number };
    state.user_orders.insert_new(index, ());
    steps::start(&mut order, kind, waiter, By::command(ctx, ""));
    steps::run(&mut order, number, &mut state.timers, ctx, fx);
    state.orders.insert_new(number, order);
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
        insured: request.insured,
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
    if matches!(saga.kind(), SagaKind::SubmitOrder | SagaKind::CheckoutCart)
        && steps::is_running(saga.status())
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
    if let Err(code) = check_user(ctx, order, request.user_id) {
        return Some(code.into());
    }
    if steps::is_running(saga(order).status()) {
        return Some(Code::OrderInProgress.into());
    }
    match order.status() {
        OrderStatus::Pending | OrderStatus::Paid => {
            close(state, ctx, number, CloseReason::Cancelled, &request.reason, waiter, fx);
            None
        }
        OrderStatus::Cancelled | OrderStatus::Refunded if order.close_reason() == CloseReason::Cancelled => {
            Some(Answer::new(outcome::Result::Order(receipt(order))).repeated())
        }
        _ => Some(Code::OrderStatusInvalid.into()),
    }
}

/// The parcel is with its receiver, or stays there: unless they say otherwise in time, the order completes by itself.
pub fn deliver(
    order: &mut OrderRow,
    number: u64,
    completes_after_seconds: u32,
    by: By,
    timers: &mut Table<Timers>,
    fx: &mut Effects,
) {
    let after_seconds = if completes_after_seconds == 0 { COMPLETION_SECONDS } else { completes_after_seconds };
    order.completes_at_ms = by.at_ms + i64::from(after_seconds) * 1000;
    timers.insert(completion(order, number), ());
    move_to(order, OrderStatus::Delivered, by, fx);
}

/// The completion timer of a delivered order.
pub fn completion(order: &OrderRow, number: u64) -> Timer {
    Timer { due_ms: order.completes_at_ms, what: TimerKind::OrderCompletion(number) }
}

/// The receiver has made up their mind about a delivered order.
fn decided(order: &mut OrderRow, number: u64, timers: &mut Table<Timers>) {
    timers.remove(&completion(order, number));
    order.completes_at_ms = 0;
}

pub fn complete(state: &mut State, ctx: &Context, request: &CompleteOrderRequest, fx: &mut Effects) -> Answer {
    let number = match idle_order(state, ctx, &request.order_id, request.user_id) {
        Ok(number) => number,
        Err(code) => return code.into(),
    };
    let order = existing(state, number);
    match order.status() {
        OrderStatus::Delivered => {}
        OrderStatus::Completed => return answer(order).repeated(),
        _ => return Code::OrderStatusInvalid.into(),
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    decided(order, number, &mut state.timers);
    move_to(order, OrderStatus::Completed, By::command(ctx, ""), fx);
    answer(order)
}

/// The time is over in which the receiver of a delivered order may say something against it.
pub fn complete_by_itself(state: &mut State, ctx: &Context, number: u64, fx: &mut Effects) {
    let order = state.orders.change(&number).expect("an order with a timer exists");
    order.completes_at_ms = 0;
    move_to(order, OrderStatus::Completed, By::command(ctx, ""), fx);
}

pub fn request_return(state: &mut State, ctx: &Context, request: &RequestReturnRequest, fx: &mut Effects) -> Answer {
    let number = match idle_order(state, ctx, &request.order_id, request.user_id) {
        Ok(number) => number,
        Err(code) => return code.into(),
    };
    let order = existing(state, number);
    match order.status() {
        OrderStatus::Delivered => {}
        OrderStatus::Returning | OrderStatus::Returned => return answer(order).repeated(),
        _ => return Code::OrderStatusInvalid.into(),
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    decided(order, number, &mut state.timers);
    move_to(order, OrderStatus::Returning, By::command(ctx, &request.reason), fx);
    answer(order)
}

pub fn resolve_return(
    state: &mut State,
    ctx: &Context,
    request: &ResolveReturnRequest,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let number = match idle_order(state, ctx, &request.order_id, 0) {
        Ok(number) => number,
        Err(code) => return Some(code.into()),
    };
    let order = existing(state, number);
    match (order.status(), request.accept) {
        (OrderStatus::Returning, true) => {
            close(state, ctx, number, CloseReason::Returned, &request.reason, waiter, fx);
            None
        }
        (OrderStatus::Returning, false) => {
            let order = state.orders.change(&number).expect("an indexed order exists");
            let by = By::command(ctx, &request.reason);
            deliver(order, number, request.completes_after_seconds, by, &mut state.timers, fx);
            Some(answer(order))
        }
        (OrderStatus::Returned, true) => Some(answer(order).repeated()),
        (OrderStatus::Delivered, false) if return_was_declined(order) => Some(answer(order).repeated()),
        _ => Some(Code::OrderStatusInvalid.into()),
    }
}

/// What made a delivered order so was that its return was declined.
fn return_was_declined(order: &OrderRow) -> bool {
    matches!(order.history.as_slice(), [.., before, _] if before.to() == OrderStatus::Returning)
}

/// An order that its user, or whoever may act for them, may change now.
fn idle_order(state: &mut State, ctx: &Context, order_id: &String, user_id: u64) -> Result<u64, Code> {
    let number = state.order_ids.get(order_id).copied().ok_or(Code::OrderNotFound)?;
    let order = existing(state, number);
    check_user(ctx, order, user_id)?;
    check_idle(order)?;
    Ok(number)
}

/// While a saga is under way nothing else changes the order; when it is stuck, an operator must look first.
pub fn check_idle(order: &OrderRow) -> Result<(), Code> {
    match saga(order).status() {
        SagaStatus::Running | SagaStatus::Compensating => Err(Code::OrderInProgress),
        SagaStatus::Stuck => Err(Code::OrderStatusInvalid),
        SagaStatus::Completed | SagaStatus::Compensated | SagaStatus::Unspecified => Ok(()),
    }
}

fn answer(order: &OrderRow) -> Answer {
    Answer::new(outcome::Result::Order(receipt(order)))
}

/// Users only reach their own orders: whoever acts, and whoever the request names unless it is 0.
pub fn check_user(ctx: &Context, order: &OrderRow, user_id: u64) -> Result<(), Code> {
    let named = Some(user_id).filter(|named| *named != 0);
    let is_theirs = |user: Option<u64>| user.is_none_or(|user| user == order.user_id);
    if is_theirs(named) && is_theirs(ctx.acting_user()) { Ok(()) } else { Err(Code::OrderNotYours) }
}

/// Takes back all that was done for an order whose saga has ended and that is not at an end itself.
pub fn close(state: &mut State, ctx: &Context, number: u64, reason: CloseReason, why: &str, waiter: Waiter, fx: &mut Effects) {
    let order = state.orders.change(&number).expect("an indexed order exists");
    order.set_close_reason(reason);
    route::stop(order, number, &mut state.timers);
    let (kind, from) = match (order.status(), order.parcel.as_ref().map(|parcel| parcel.status())) {
        (OrderStatus::Pending, _) => (SagaKind::SubmitOrder, SagaStep::ReserveStock),
        (_, Some(LogisticsStatus::Pending)) => (SagaKind::PaymentSuccess, SagaStep::CreateLogisticsOrder),
        // The parcel has gone its way, or was cancelled before.
        _ => (SagaKind::PaymentSuccess, SagaStep::ConfirmSell),
    };
    steps::take_back(order, kind, from, waiter, By::command(ctx, why));
    steps::run(order, number, &mut state.timers, ctx, fx);
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
