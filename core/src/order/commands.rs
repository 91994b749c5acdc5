//! Orders: submitted, cancelled, completed, returned. The order's id is its idempotency key.

use emshop_proto::errors::Code;
use emshop_proto::internal::{LineRow, OrderRow, PaymentRow};
use emshop_proto::v1::{
    CancelOrderRequest, CheckoutCartRequest, CloseReason, CompleteOrderRequest, OrderReceipt, OrderStatus, RequestReturnRequest,
    ResolveReturnRequest, SagaKind, SubmitOrderRequest, outcome,
};

use super::case::Case;
use super::row::{self, check_idle, check_user, existing, receipt, saga};
use super::{By, latch, steps};
use crate::context::Turn;
use crate::effects::{Answer, Answered, Handled};
use crate::state::rows::Shared;

pub fn submit(turn: &mut Turn, request: SubmitOrderRequest) -> Handled {
    if let Some(number) = turn.state.order_number(&request.order_id) {
        return repeat_submit(turn, number);
    }
    let order = new_order(request, turn.ctx.body_hash, turn.ctx.time_ms);
    open(turn, order, SagaKind::SubmitOrder);
    Ok(Answered::Later)
}

/// Submits what is selected in the user's cart.
pub fn checkout(turn: &mut Turn, request: CheckoutCartRequest) -> Handled {
    if let Some(number) = turn.state.order_number(&request.order_id) {
        return repeat_submit(turn, number);
    }
    let address_id = request.address_id;
    let submit = SubmitOrderRequest {
        order_id: request.order_id,
        user_id: request.user_id,
        address: request.address,
        receiver: request.receiver,
        payment_method: request.payment_method,
        expires_in_seconds: request.expires_in_seconds,
        expected_total: request.expected_total,
        logistics_company: request.logistics_company,
        shipping_method: request.shipping_method,
        insured: request.insured,
        ..SubmitOrderRequest::default()
    };
    let order = new_order(submit, turn.ctx.body_hash, turn.ctx.time_ms);
    open(turn, OrderRow { from_cart: true, address_id, ..order }, SagaKind::CheckoutCart);
    Ok(Answered::Later)
}

/// Takes a new order in and begins its saga.
fn open(turn: &mut Turn, mut order: OrderRow, kind: SagaKind) {
    let number = turn.state.number_order(&order.order_id, order.user_id, order.created_at_ms);
    let (by, waiter) = (By::command(&turn.ctx, ""), turn.ctx.waiter);
    Case { row: &mut order, number, turn }.start(kind, by, Some(waiter));
    turn.state.orders.insert_new(number, Shared::new(order));
}

fn new_order(request: SubmitOrderRequest, body_hash: u64, time_ms: i64) -> OrderRow {
    let lines = request.lines.iter();
    let lines = lines.map(|line| LineRow { goods_id: line.goods_id, quantity: line.quantity, ..LineRow::default() }).collect();
    let expires_at_ms = time_ms + i64::from(request.expires_in_seconds) * 1000;
    OrderRow {
        order_id: request.order_id,
        user_id: request.user_id,
        body_hash,
        lines,
        expected_total: request.expected_total,
        address: request.address,
        receiver: request.receiver,
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
fn repeat_submit(turn: &mut Turn, number: u64) -> Handled {
    let order = existing(turn.state, number);
    if order.body_hash != turn.ctx.body_hash {
        return Err(Code::IdempotencyKeyReused.into());
    }
    let saga = saga(order);
    if matches!(saga.kind(), SagaKind::SubmitOrder | SagaKind::CheckoutCart)
        && steps::is_running(saga.status())
        && order.close_reason() == CloseReason::Unspecified
    {
        let waiter = turn.ctx.repeated_waiter();
        return latch(turn, number, waiter);
    }
    if order.close_reason() == CloseReason::Refused {
        return Answer::from(order.refusal.clone().expect("a refused order says why")).repeated().now();
    }
    let receipt = OrderReceipt { status: OrderStatus::Pending.into(), ..receipt(order) };
    Answer::new(outcome::Result::Order(receipt)).repeated().now()
}

pub fn cancel(turn: &mut Turn, request: CancelOrderRequest) -> Handled {
    let number = row::find(turn.state, &request.order_id, Code::OrderNotFound)?;
    let order = existing(turn.state, number);
    check_user(&turn.ctx, order, request.user_id)?;
    if steps::is_running(saga(order).status()) {
        return Err(Code::OrderInProgress.into());
    }
    match order.status() {
        OrderStatus::Pending | OrderStatus::Paid => close(turn, number, CloseReason::Cancelled, &request.reason),
        OrderStatus::Cancelled | OrderStatus::Refunded if order.close_reason() == CloseReason::Cancelled => {
            answer(order).repeated().now()
        }
        _ => Err(Code::OrderStatusInvalid.into()),
    }
}

pub fn complete(turn: &mut Turn, request: CompleteOrderRequest) -> Handled {
    let number = idle_order(turn, &request.order_id, request.user_id)?;
    let order = existing(turn.state, number);
    match order.status() {
        OrderStatus::Delivered => {}
        OrderStatus::Completed => return answer(order).repeated().now(),
        _ => return Err(Code::OrderStatusInvalid.into()),
    }
    Case::open(turn, number, |case| {
        case.decide(OrderStatus::Completed, "");
        answer(case.row).now()
    })
}

/// The time is over in which the receiver of a delivered order may say something against it.
pub fn complete_by_itself(turn: &mut Turn, number: u64) {
    Case::open(turn, number, |case| {
        case.row.completes_at_ms = 0;
        case.move_to(OrderStatus::Completed, case.by(""));
    });
}

pub fn request_return(turn: &mut Turn, request: RequestReturnRequest) -> Handled {
    let number = idle_order(turn, &request.order_id, request.user_id)?;
    let order = existing(turn.state, number);
    match order.status() {
        OrderStatus::Delivered => {}
        OrderStatus::Returning | OrderStatus::Returned => return answer(order).repeated().now(),
        _ => return Err(Code::OrderStatusInvalid.into()),
    }
    Case::open(turn, number, |case| {
        case.decide(OrderStatus::Returning, &request.reason);
        answer(case.row).now()
    })
}

pub fn resolve_return(turn: &mut Turn, request: ResolveReturnRequest) -> Handled {
    let number = idle_order(turn, &request.order_id, 0)?;
    let order = existing(turn.state, number);
    match (order.status(), request.accept) {
        (OrderStatus::Returning, true) => close(turn, number, CloseReason::Returned, &request.reason),
        (OrderStatus::Returning, false) => Case::open(turn, number, |case| {
            case.deliver(request.completes_after_seconds, case.by(&request.reason));
            answer(case.row).now()
        }),
        (OrderStatus::Returned, true) => answer(order).repeated().now(),
        (OrderStatus::Delivered, false) if return_was_declined(order) => answer(order).repeated().now(),
        _ => Err(Code::OrderStatusInvalid.into()),
    }
}

/// What made a delivered order so was that its return was declined.
fn return_was_declined(order: &OrderRow) -> bool {
    matches!(order.history.as_slice(), [.., before, _] if before.to() == OrderStatus::Returning)
}

/// An order that its user, or whoever may act for them, may change now.
fn idle_order(turn: &mut Turn, order_id: &str, user_id: u64) -> Result<u64, Code> {
    let number = row::find(turn.state, order_id, Code::OrderNotFound)?;
    let order = existing(turn.state, number);
    check_user(&turn.ctx, order, user_id)?;
    check_idle(order)?;
    Ok(number)
}

fn answer(order: &OrderRow) -> Answer {
    Answer::new(outcome::Result::Order(receipt(order)))
}

/// Takes an order back; whoever gave the command gets to know when it is done.
fn close(turn: &mut Turn, number: u64, reason: CloseReason, why: &str) -> Handled {
    let waiter = turn.ctx.waiter;
    Case::open(turn, number, |case| case.close(reason, case.by(why), Some(waiter)));
    Ok(Answered::Later)
}
