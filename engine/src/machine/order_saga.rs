//! Carries out the sagas of an order, step by step, in the order's partition.

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::ids;
use emshop_proto::internal::{LineStock, OrderRow, OwnerKind, SagaRow, StockAction, StockReply, Waiter};
use emshop_proto::money::total_minor;
use emshop_proto::v1::{
    CloseReason, GoodsQuantity, LogisticsStatus, Money, OrderChanged, OrderStatus, PaymentChanged, PaymentStatus, Refusal,
    SagaEvent, SagaKind, SagaStatus, SagaStep, event, outcome,
};

use super::effects::{Answer, Effects};
use super::saga::{self, Event, Position};
use super::state::{State, Timer, TimerKind, Timers};
use super::table::Table;
use super::{Context, allocation, logistics, order, payment, view};

/// What a step came to.
enum Flow {
    Done,
    Refused(Box<Refusal>),
    /// So many stock partitions will reply.
    Waiting(u32),
}

pub fn start(order: &mut OrderRow, kind: SagaKind, waiter: Waiter) {
    begin(order, kind, saga::first(kind), waiter);
}

/// Begins to take a completed saga back from its last step on.
pub fn take_back(order: &mut OrderRow, kind: SagaKind, waiter: Waiter) {
    begin(order, kind, saga::last(kind), waiter);
}

fn begin(order: &mut OrderRow, kind: SagaKind, at: Position, waiter: Waiter) {
    let waiters = if waiter.ticket == 0 { Vec::new() } else { vec![waiter] };
    let mut row = SagaRow { waiters, ..SagaRow::default() };
    row.set_kind(kind);
    row.set_status(at.status);
    row.set_step(at.step);
    order.saga = Some(row);
}

pub fn is_running(status: SagaStatus) -> bool {
    matches!(status, SagaStatus::Running | SagaStatus::Compensating)
}

/// Takes steps until the saga waits for stock partitions or has ended.
pub fn run(order: &mut OrderRow, number: u64, timers: &mut Table<Timers>, ctx: &Context, fx: &mut Effects) {
    loop {
        let (status, step) = (order::saga(order).status(), order::saga(order).step());
        let flow = match status {
            SagaStatus::Running => forward(order, number, step, timers, ctx, fx),
            SagaStatus::Compensating => compensate(order, number, step, timers, ctx, fx),
            _ => return finish(order, status, ctx, fx),
        };
        match flow {
            // No line to ask about: the step is done already.
            Flow::Done | Flow::Waiting(0) => advance(order, None, ctx),
            Flow::Refused(refusal) => advance(order, Some(*refusal), ctx),
            Flow::Waiting(replies) => {
                order.saga.as_mut().expect("orders have a saga").replies_due = replies;
                return;
            }
        }
    }
}

/// Takes the reply of one stock partition; with the last one the saga goes on.
pub fn reply(state: &mut State, ctx: &Context, number: u64, reply: &StockReply, fx: &mut Effects) {
    let order = state.orders.change(&number).unwrap_or_else(|| panic!("a reply to order number {number}, which is not there"));
    let saga = order.saga.as_mut().expect("orders have a saga");
    saga.replies_due = saga.replies_due.checked_sub(1).expect("a reply that was asked for");
    let (status, replies_due) = (saga.status(), saga.replies_due);
    let mut refusal = None;
    if status == SagaStatus::Running {
        allocation::settle(&mut order.lines, reply, &mut order.refusal);
        if order.refusal.is_none() {
            order.refusal = take_currency(order, reply).err().map(Code::refusal);
        }
        if replies_due == 0 {
            refusal = order.refusal.take().or_else(|| price(order).err().map(|refusal| *refusal));
        }
    } else if reply.refused {
        advance(order, Some(Code::StockReleaseFailed.refusal()), ctx);
        return run(order, number, &mut state.timers, ctx, fx);
    } else {
        allocation::settle(&mut order.lines, reply, &mut None);
    }
    if replies_due == 0 && is_running(status) {
        advance(order, refusal, ctx);
        run(order, number, &mut state.timers, ctx, fx);
    }
}

/// All goods of an order are priced in one currency.
fn take_currency(order: &mut OrderRow, reply: &StockReply) -> Result<(), Code> {
    for price in reply.goods.iter().filter_map(|goods| goods.unit_price.as_ref()) {
        if order.currency.is_empty() {
            order.currency.clone_from(&price.currency);
        } else if order.currency != price.currency {
            return Err(Code::CurrencyMismatch);
        }
    }
    Ok(())
}

/// Fixes the total once all lines are reserved.
fn price(order: &mut OrderRow) -> Result<(), Box<Refusal>> {
    if order::saga(order).step() != SagaStep::ReserveStock {
        return Ok(());
    }
    let lines = order.lines.iter().map(|line| (line.unit_price_minor, line.quantity));
    order.total_minor = total_minor(lines).ok_or_else(|| Box::new(Code::TotalTooLarge.refusal()))?;
    match &order.expected_total {
        Some(expected) if expected.currency != order.currency => Err(Box::new(Code::CurrencyMismatch.refusal())),
        Some(expected) if expected.amount_minor != order.total_minor => {
            let actual_total = Some(Money::new(order.total_minor, &order.currency));
            Err(Box::new(Refusal { actual_total, ..Code::PriceChanged.refusal() }))
        }
        _ => Ok(()),
    }
}

/// Notes how the step under way went, and moves the saga on.
fn advance(order: &mut OrderRow, refusal: Option<Refusal>, ctx: &Context) {
    let held = match order::saga(order).step() {
        SagaStep::ReserveStock => allocation::any(&order.lines, LineStock::Reserved),
        SagaStep::ConfirmSell => allocation::any(&order.lines, LineStock::Sold),
        _ => false,
    };
    let saga = order.saga.as_mut().expect("orders have a saga");
    let at = Position { status: saga.status(), step: saga.step() };
    order.timeline.push(SagaEvent {
        saga: saga.kind,
        step: saga.step,
        compensation: at.status == SagaStatus::Compensating,
        refused_code: refusal.as_ref().map_or(0, |refusal| refusal.code),
        at_ms: ctx.time_ms,
        log_sequence: ctx.sequence,
        name: String::new(),
    });
    order.updated_at_ms = ctx.time_ms;
    let event = if refusal.is_some() { Event::Refused { held } } else { Event::Done };
    let to = saga::next(saga.kind(), at, event);
    saga.set_status(to.status);
    saga.set_step(to.step);
    if at.status == SagaStatus::Running && refusal.is_some() {
        let reason = if saga.kind() == SagaKind::SubmitOrder { CloseReason::Refused } else { CloseReason::ParcelFailed };
        order.refusal = refusal;
        order.set_close_reason(reason);
    }
}

fn forward(
    order: &mut OrderRow,
    number: u64,
    step: SagaStep,
    timers: &mut Table<Timers>,
    ctx: &Context,
    fx: &mut Effects,
) -> Flow {
    match step {
        SagaStep::CreateOrder => order::set_status(order, OrderStatus::Pending),
        SagaStep::CreatePayment => {
            payment::set_status(order, PaymentStatus::Pending);
            timers.insert_new(expiry(order, number), ());
        }
        SagaStep::ReserveStock => return ask_stock(order, number, StockAction::Reserve, ctx, fx),
        SagaStep::ConfirmPayment => {
            timers.remove(&expiry(order, number));
            payment::set_status(order, PaymentStatus::Paid);
            fx.event(EventType::PaymentConfirmed, payment_event(order));
        }
        SagaStep::UpdatePaymentStatus => order::set_status(order, OrderStatus::Paid),
        SagaStep::ConfirmSell => return ask_stock(order, number, StockAction::Sell, ctx, fx),
        SagaStep::CreateLogisticsOrder => {
            if let Err(code) = logistics::create(order, number, ctx) {
                return Flow::Refused(Box::new(code.refusal()));
            }
            fx.event(EventType::LogisticsCreated, event::Body::Logistics(parcel_of(order)));
        }
        SagaStep::Unspecified => panic!("a saga without a step"),
    }
    Flow::Done
}

fn compensate(
    order: &mut OrderRow,
    number: u64,
    step: SagaStep,
    timers: &mut Table<Timers>,
    ctx: &Context,
    fx: &mut Effects,
) -> Flow {
    match step {
        SagaStep::CreateOrder => order::set_status(order, OrderStatus::Cancelled),
        SagaStep::CreatePayment => {
            timers.remove(&expiry(order, number));
            // A payment that was given up or failed stays so.
            if order::payment(order).status() == PaymentStatus::Pending {
                payment::set_status(order, PaymentStatus::Cancelled);
            }
            if order.close_reason() != CloseReason::Refused {
                fx.event(EventType::PaymentClosed, payment_event(order));
            }
        }
        SagaStep::ReserveStock => return ask_stock(order, number, StockAction::Release, ctx, fx),
        SagaStep::ConfirmPayment => {
            payment::refund_all(order);
            order::set_status(order, OrderStatus::Refunded);
            fx.event(EventType::PaymentRefunded, payment_event(order));
        }
        SagaStep::UpdatePaymentStatus => order::set_status(order, OrderStatus::Refunding),
        SagaStep::ConfirmSell => return ask_stock(order, number, StockAction::Reback, ctx, fx),
        SagaStep::CreateLogisticsOrder => {
            logistics::set_status(order, LogisticsStatus::Cancelled);
            fx.event(EventType::LogisticsCancelled, event::Body::Logistics(parcel_of(order)));
        }
        SagaStep::Unspecified => panic!("a saga without a step"),
    }
    Flow::Done
}

fn ask_stock(order: &OrderRow, number: u64, action: StockAction, ctx: &Context, fx: &mut Effects) -> Flow {
    let owner = ctx.owner(OwnerKind::Order, number);
    Flow::Waiting(allocation::request(ctx, &owner, &order.lines, action, true, fx))
}

/// The expiry timer of an unpaid order.
pub fn expiry(order: &OrderRow, number: u64) -> Timer {
    let payment = order::payment(order);
    Timer { due_ms: payment.expires_at_ms.max(payment.expiry_retry_ms), what: TimerKind::OrderExpiry(number) }
}

/// Tells everyone who waits, and the world.
fn finish(order: &mut OrderRow, status: SagaStatus, ctx: &Context, fx: &mut Effects) {
    let saga = order.saga.as_mut().expect("orders have a saga");
    let waiters = std::mem::take(&mut saga.waiters);
    match (saga.kind(), status) {
        (SagaKind::SubmitOrder, SagaStatus::Completed) => fx.event(EventType::OrderSubmitted, order_event(order)),
        (SagaKind::PaymentSuccess, SagaStatus::Completed) => fx.event(EventType::OrderPaid, order_event(order)),
        (_, SagaStatus::Compensated) => fx.event(EventType::OrderClosed, order_event(order)),
        _ => {}
    }
    for waiter in waiters {
        let answer = answer(order, status, waiter);
        let answer = if waiter.repeated { answer.repeated() } else { answer };
        fx.outcome(waiter, answer.into_outcome(ctx.position()));
    }
}

fn answer(order: &OrderRow, status: SagaStatus, waiter: Waiter) -> Answer {
    match (&order.refusal, status) {
        (Some(refusal), SagaStatus::Compensated | SagaStatus::Stuck) => refusal.clone().into(),
        (None, SagaStatus::Stuck) => Code::StockReleaseFailed.into(),
        _ if waiter.wants_payment => Answer::new(outcome::Result::Payment(view::payment(order))),
        _ => Answer::new(outcome::Result::Order(order::receipt(order))),
    }
}

fn order_event(order: &OrderRow) -> event::Body {
    let lines = order.lines.iter().map(|line| GoodsQuantity { goods_id: line.goods_id, quantity: line.quantity }).collect();
    event::Body::Order(OrderChanged {
        order_id: order.order_id.clone(),
        user_id: order.user_id,
        status: order.status,
        total: Some(Money::new(order.total_minor, &order.currency)),
        lines,
        close_reason: order.close_reason,
        refused_code: order.refusal.as_ref().map_or(0, |refusal| refusal.code),
    })
}

pub fn payment_event(order: &OrderRow) -> event::Body {
    let payment = order::payment(order);
    event::Body::Payment(PaymentChanged {
        payment_id: ids::payment_id(&order.order_id),
        order_id: order.order_id.clone(),
        status: payment.status,
        amount: Some(Money::new(order.total_minor, &order.currency)),
        refunded: Some(Money::new(payment.refunded_minor, &order.currency)),
        third_party_sn: payment.third_party_sn.clone(),
    })
}

fn parcel_of(order: &OrderRow) -> emshop_proto::v1::LogisticsOrder {
    view::logistics_order(order).expect("the parcel was just created or cancelled")
}
