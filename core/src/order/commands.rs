//! Orders: submitted, cancelled, completed, returned. The order's id is its idempotency key.

use emshop_proto::errors::Code;
use emshop_proto::internal::{LineRow, OrderRow, PaymentRow, Waiter};
use emshop_proto::v1::{
    CancelOrderRequest, CloseReason, CompleteOrderRequest, GoodsQuantity, OrderReceipt, OrderStatus, Refusal,
    RequestReturnRequest, ResolveReturnRequest, ResolveSagaRequest, SagaKind, SagaResolution, SagaStatus, outcome,
};

use super::case::Case;
use super::row::{self, check_idle, check_user, existing, receipt, saga};
use super::{By, journal, latch, steps};
use crate::context::{Context, Turn};
use crate::effects::{Answer, Answered, Handled};
use crate::entry::NewOrder;
use crate::limits;
use crate::state::rows::Shared;

/// Room for what goods are called.
const USUAL_NAME_BYTES: usize = 32;

/// Submits an order, or what is selected in the user's cart.
pub(crate) fn submit(turn: &mut Turn, new: NewOrder) -> Handled {
    if let Some(number) = turn.state.order_index.number(new.id) {
        if existing(turn.state, number).user_id != new.request.user_id {
            // Who may have no more orders learns nothing of those of others.
            limits::check_unpaid(turn, new.request.user_id)?;
        }
        return repeat_submit(turn, number, new.request.user_id);
    }
    limits::check_unpaid(turn, new.request.user_id)?;
    let (id, kind) = (new.id, if new.from_cart { SagaKind::CheckoutCart } else { SagaKind::SubmitOrder });
    let mut order = new_order(new, &turn.ctx);
    let number = turn.state.number_order(id, order.user_id, order.created_at_ms);
    let (by, waiter) = (By::command(&turn.ctx, ""), turn.ctx.waiter.clone());
    Case { row: &mut order, number, turn, waiter: None }.start(kind, by, Some(waiter));
    turn.state.books.new_order(&turn.ctx, &order);
    turn.state.orders.insert_new(number, Shared::new(order));
    Ok(Answered::Later)
}

fn new_order(new: NewOrder, ctx: &Context) -> OrderRow {
    let NewOrder { bytes, request, from_cart, .. } = new;
    let line = |line: &GoodsQuantity| LineRow { goods_id: line.goods_id, quantity: line.quantity, ..LineRow::default() };
    let seconds = limits::payment_seconds(ctx, request.expires_in_seconds);
    let expires_at_ms = ctx.time_ms + i64::from(seconds) * 1000;
    // Copied: a part of an envelope would keep all of it in memory.
    let mut texts = Vec::with_capacity(bytes.len() + request.lines.len() * USUAL_NAME_BYTES);
    texts.extend_from_slice(&bytes);
    OrderRow {
        texts,
        user_id: request.user_id,
        body_hash: ctx.body_hash,
        lines: request.lines.iter().map(line).collect(),
        expected_total: request.expected_total,
        logistics_company: request.logistics_company,
        shipping_method: request.shipping_method,
        insured: request.insured,
        created_at_ms: ctx.time_ms,
        updated_at_ms: ctx.time_ms,
        created_sequence: ctx.sequence,
        payment: Some(PaymentRow { method: request.payment_method, expires_at_ms, ..PaymentRow::default() }),
        journal: Vec::with_capacity(journal::USUAL_BYTES),
        from_cart,
        address_id: request.address_id,
        is_limited: limits::hold_for(ctx),
        ..OrderRow::default()
    }
}

/// The same order again: its stored outcome, or the wait for the one that is under way.
fn repeat_submit(turn: &mut Turn, number: u64, user_id: u64) -> Handled {
    let order = existing(turn.state, number);
    if (order.user_id, order.body_hash) != (user_id, turn.ctx.body_hash) {
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
        return Answer::from(order.refusal.as_deref().expect("a refused order says why").clone()).repeated().now();
    }
    let receipt = OrderReceipt { status: OrderStatus::Pending.into(), ..receipt(order) };
    Answer::new(outcome::Result::Order(receipt)).repeated().now()
}

pub(crate) fn cancel(turn: &mut Turn, request: CancelOrderRequest) -> Handled {
    let number = row::find(turn.state, &request.order_id, Code::OrderNotFound)?;
    let order = existing(turn.state, number);
    check_user(&turn.ctx, order, request.user_id, Code::OrderNotFound)?;
    check_idle(order)?;
    match order.status() {
        OrderStatus::Pending | OrderStatus::Paid => close(turn, number, CloseReason::Cancelled, &request.reason),
        OrderStatus::Cancelled | OrderStatus::Refunded if order.close_reason() == CloseReason::Cancelled => {
            answer(order).repeated().now()
        }
        _ => Err(Code::OrderStatusInvalid.into()),
    }
}

pub(crate) fn complete(turn: &mut Turn, request: CompleteOrderRequest) -> Handled {
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
pub(crate) fn complete_by_itself(turn: &mut Turn, number: u64) {
    Case::open(turn, number, |case| {
        case.row.completes_at_ms = 0;
        case.move_to(OrderStatus::Completed, case.by(""));
    });
}

pub(crate) fn request_return(turn: &mut Turn, request: RequestReturnRequest) -> Handled {
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

pub(crate) fn resolve_return(turn: &mut Turn, request: ResolveReturnRequest) -> Handled {
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
    journal::history(order).last().is_some_and(|last| last.from() == OrderStatus::Returning)
}

/// Goes on with a stuck saga. Nothing else does: every other command refuses such an order, and its timers leave it alone.
pub(crate) fn resolve_saga(turn: &mut Turn, request: ResolveSagaRequest) -> Handled {
    let number = row::find(turn.state, &request.order_id, Code::OrderNotFound)?;
    let order = existing(turn.state, number);
    match saga(order).status() {
        SagaStatus::Stuck => {}
        status if steps::is_running(status) => return Err(Code::OrderInProgress.into()),
        _ => return Err(Code::OrderStatusInvalid.into()),
    }
    let version = journal::version(order);
    if request.version != 0 && request.version != version {
        let message = format!("It was looked at as of version {}, and is of version {version} now", request.version);
        return Err(Refusal { message, ..Code::OrderStatusInvalid.refusal() }.into());
    }
    let waiter = Waiter { resolves: true, ..turn.ctx.waiter.clone() };
    Case::open(turn, number, |case| {
        let (resolution, by) = (request.resolution(), case.by(&request.reason));
        journal::resolution(case.row, resolution, by);
        case.row.updated_at_ms = case.turn.ctx.time_ms;
        if resolution == SagaResolution::WriteOff {
            steps::write_off(case);
        }
        case.unstick(waiter);
    });
    Ok(Answered::Later)
}

/// An order that its user, or whoever may act for them, may change now.
fn idle_order(turn: &mut Turn, order_id: &str, user_id: u64) -> Result<u64, Code> {
    let number = row::find(turn.state, order_id, Code::OrderNotFound)?;
    let order = existing(turn.state, number);
    check_user(&turn.ctx, order, user_id, Code::OrderNotFound)?;
    check_idle(order)?;
    Ok(number)
}

fn answer(order: &OrderRow) -> Answer {
    Answer::new(outcome::Result::Order(receipt(order)))
}

/// Takes an order back; whoever gave the command gets to know when it is done.
fn close(turn: &mut Turn, number: u64, reason: CloseReason, why: &str) -> Handled {
    let waiter = turn.ctx.waiter.clone();
    Case::open(turn, number, |case| case.close(reason, case.by(why), Some(waiter)));
    Ok(Answered::Later)
}
