//! Carries out the sagas of an order, step by step, in the order's partition.

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::ids;
use emshop_proto::internal::{
    BalanceReply, BalanceRequest, CartLine, CartReply, CartRequest, LineRow, LineStock, OrderRow, OwnerKind, SagaRow, Step,
    StockAction, StockReply, Waiter, step,
};
use emshop_proto::money::total_minor;
use emshop_proto::v1::{
    CloseReason, GoodsQuantity, Money, OrderChanged, OrderStatus, PaymentAction, PaymentChanged, PaymentMethod, PaymentStatus,
    Refusal, SagaEvent, SagaKind, SagaStatus, SagaStep, event, outcome,
};

use crate::context::Context;
use crate::effects::{Answer, Effects};
use crate::order;
use crate::order::By;
use crate::order::saga::{self, Event, Position};
use crate::order::{parcel, payment, view};
use crate::state::State;
use crate::state::rows::{Orders, Timer, TimerKind, Timers};
use crate::state::table::Table;
use crate::stock::allocation;

/// What a step came to.
enum Flow {
    Done,
    Refused(Box<Refusal>),
    /// So many other partitions will reply.
    Waiting(u32),
}

pub fn start(order: &mut OrderRow, kind: SagaKind, waiter: Waiter, by: By) {
    begin(order, kind, saga::first(kind), waiter, by);
}

/// Begins to take a completed saga back, from step `from` on.
pub fn take_back(order: &mut OrderRow, kind: SagaKind, from: SagaStep, waiter: Waiter, by: By) {
    begin(order, kind, Position { status: SagaStatus::Compensating, step: from }, waiter, by);
}

fn begin(order: &mut OrderRow, kind: SagaKind, at: Position, waiter: Waiter, by: By) {
    let waiters = if waiter.ticket == 0 { Vec::new() } else { vec![waiter] };
    let mut row = SagaRow { waiters, operator: by.operator, reason: by.reason, ..SagaRow::default() };
    row.set_kind(kind);
    row.set_status(at.status);
    row.set_step(at.step);
    order.saga = Some(row);
}

pub fn is_running(status: SagaStatus) -> bool {
    matches!(status, SagaStatus::Running | SagaStatus::Compensating)
}

/// Takes steps until the saga waits for other partitions or has ended.
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

/// The order that a reply is for, with one reply less to come.
fn replied(orders: &mut Table<Orders>, number: u64) -> &mut OrderRow {
    let order = orders.change(&number).unwrap_or_else(|| panic!("a reply to order number {number}, which is not there"));
    let saga = order.saga.as_mut().expect("orders have a saga");
    saga.replies_due = saga.replies_due.checked_sub(1).expect("a reply that was asked for");
    order
}

/// Takes the reply of the user's cart.
pub fn cart_reply(state: &mut State, ctx: &Context, number: u64, reply: CartReply, fx: &mut Effects) {
    let order = replied(&mut state.orders, number);
    let refusal = Code::from_number(reply.refused_code).map(Code::refusal);
    if refusal.is_none() && order::saga(order).status() == SagaStatus::Running {
        let line =
            |CartLine { goods_id, quantity, added_at_ms }| LineRow { goods_id, quantity, added_at_ms, ..LineRow::default() };
        order.lines = reply.lines.into_iter().map(line).collect();
        if order.address_id != 0 {
            order.address = reply.address;
            order.receiver = reply.receiver;
        }
    }
    advance(order, refusal, ctx);
    run(order, number, &mut state.timers, ctx, fx);
}

/// Takes the reply of the user's balance to a payment.
pub fn balance_reply(state: &mut State, ctx: &Context, number: u64, reply: &BalanceReply, fx: &mut Effects) {
    let order = replied(&mut state.orders, number);
    let refusal = Code::from_number(reply.refused_code).map(Code::refusal);
    if refusal.is_none() {
        confirm_payment(order, number, &mut state.timers, ctx, fx);
    }
    advance(order, refusal, ctx);
    run(order, number, &mut state.timers, ctx, fx);
}

/// Takes the reply of one stock partition; with the last one the saga goes on.
pub fn stock_reply(state: &mut State, ctx: &Context, number: u64, reply: &StockReply, fx: &mut Effects) {
    let order = replied(&mut state.orders, number);
    let saga = order::saga(order);
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
    let code = match &order.expected_total {
        _ if !payment::AMOUNT_MINOR.contains(&order.total_minor) => Code::PaymentAmountInvalid,
        Some(expected) if expected.currency != order.currency => return Err(Box::new(Code::CurrencyMismatch.refusal())),
        Some(expected) if expected.amount_minor != order.total_minor => Code::PriceChanged,
        _ => return Ok(()),
    };
    let actual_total = Some(Money::new(order.total_minor, &order.currency));
    Err(Box::new(Refusal { actual_total, ..code.refusal() }))
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
    let refused_code = refusal.as_ref().map_or(0, |refusal| refusal.code);
    // Who wants to pay from a balance that is not enough may try for as long as there is time: the last try is kept.
    order.timeline.pop_if(|last| refused_code != 0 && (last.step, last.refused_code) == (saga.step, refused_code));
    order.timeline.push(SagaEvent {
        saga: saga.kind,
        step: saga.step,
        compensation: at.status == SagaStatus::Compensating,
        refused_code,
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
        order.refusal = refusal;
        match (saga.kind(), at.step) {
            // The order waits for its payment as before.
            (SagaKind::PaymentSuccess, SagaStep::ConfirmPayment) => {}
            (SagaKind::PaymentSuccess, _) => order.set_close_reason(CloseReason::ParcelFailed),
            _ => order.set_close_reason(CloseReason::Refused),
        }
    }
}

/// What the saga under way changes is the doing of whoever began it.
fn by(order: &OrderRow, ctx: &Context) -> By {
    let SagaRow { operator, reason, .. } = order::saga(order);
    By { operator: *operator, reason: reason.clone(), at_ms: ctx.time_ms, log_sequence: ctx.sequence }
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
        SagaStep::CreateOrder => order::set_status(order, OrderStatus::Pending, by(order, ctx)),
        SagaStep::TakeCartItems => return ask_cart(order, number, Vec::new(), ctx, fx),
        SagaStep::CreatePayment => {
            // A cart in another log may have taken its time: the payment gets all of its own, and no timer is set in the past.
            let waited_ms = ctx.time_ms - order.created_at_ms;
            payment::row(order).expires_at_ms += waited_ms;
            payment::set_status(order, PaymentStatus::Pending, PaymentAction::Create, by(order, ctx));
            timers.insert_new(expiry(order, number), ());
        }
        SagaStep::ReserveStock => return ask_stock(order, number, StockAction::Reserve, ctx, fx),
        SagaStep::ConfirmPayment if order::payment(order).method() == PaymentMethod::Balance => {
            ask_balance(order, number, -order.total_minor, ctx, fx);
            return Flow::Waiting(1);
        }
        SagaStep::ConfirmPayment => confirm_payment(order, number, timers, ctx, fx),
        SagaStep::UpdatePaymentStatus => order::set_status(order, OrderStatus::Paid, by(order, ctx)),
        SagaStep::ConfirmSell => return ask_stock(order, number, StockAction::Sell, ctx, fx),
        SagaStep::CreateLogisticsOrder => {
            if let Err(code) = parcel::create(order, number, ctx) {
                return Flow::Refused(Box::new(code.refusal()));
            }
            fx.event(EventType::LogisticsCreated, parcel::event_of(order));
        }
        SagaStep::Unspecified => panic!("a saga without a step"),
    }
    Flow::Done
}

fn confirm_payment(order: &mut OrderRow, number: u64, timers: &mut Table<Timers>, ctx: &Context, fx: &mut Effects) {
    timers.remove(&expiry(order, number));
    payment::set_status(order, PaymentStatus::Paid, PaymentAction::Confirm, by(order, ctx));
    payment::row(order).paid_at_ms = ctx.time_ms;
    fx.event(EventType::PaymentConfirmed, payment_event(order));
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
        SagaStep::CreateOrder => order::set_status(order, OrderStatus::Cancelled, by(order, ctx)),
        SagaStep::TakeCartItems => {
            let line = |line: &LineRow| {
                let LineRow { goods_id, quantity, added_at_ms, .. } = *line;
                CartLine { goods_id, quantity, added_at_ms }
            };
            return ask_cart(order, number, order.lines.iter().map(line).collect(), ctx, fx);
        }
        SagaStep::CreatePayment => {
            timers.remove(&expiry(order, number));
            // A payment that was given up or failed stays so.
            if order::payment(order).status() == PaymentStatus::Pending {
                let expired = order.close_reason() == CloseReason::Expired;
                let action = if expired { PaymentAction::Expire } else { PaymentAction::Cancel };
                payment::set_status(order, PaymentStatus::Cancelled, action, by(order, ctx));
            }
            if order.close_reason() != CloseReason::Refused {
                fx.event(EventType::PaymentClosed, payment_event(order));
            }
        }
        SagaStep::ReserveStock => return ask_stock(order, number, StockAction::Release, ctx, fx),
        SagaStep::ConfirmPayment => refund(order, number, ctx, fx),
        // A return is on its way to its own end.
        SagaStep::UpdatePaymentStatus if order.status() == OrderStatus::Returning => {}
        SagaStep::UpdatePaymentStatus => order::set_status(order, OrderStatus::Refunding, by(order, ctx)),
        SagaStep::ConfirmSell => return ask_stock(order, number, StockAction::Reback, ctx, fx),
        SagaStep::CreateLogisticsOrder => {
            let reason = order::saga(order).reason.clone();
            parcel::take_back(order, &reason, ctx.time_ms, fx);
        }
        SagaStep::Unspecified => panic!("a saga without a step"),
    }
    Flow::Done
}

/// Gives back what is left of the payment, and ends the order.
fn refund(order: &mut OrderRow, number: u64, ctx: &Context, fx: &mut Effects) {
    let left_minor = payment::refund_rest(order, by(order, ctx));
    if order::payment(order).method() == PaymentMethod::Balance && left_minor > 0 {
        ask_balance(order, number, left_minor, ctx, fx);
    }
    let end = if order.status() == OrderStatus::Returning { OrderStatus::Returned } else { OrderStatus::Refunded };
    order::set_status(order, end, by(order, ctx));
    fx.event(EventType::PaymentRefunded, payment_event(order));
}

/// Takes what is selected in the user's cart, or puts lines back into it.
fn ask_cart(order: &OrderRow, number: u64, put_back: Vec<CartLine>, ctx: &Context, fx: &mut Effects) -> Flow {
    let request = CartRequest { user_id: order.user_id, put_back, address_id: order.address_id };
    send(order, number, step::Body::CartRequest(request), ctx, fx);
    Flow::Waiting(1)
}

/// Moves money between the order and its user's balance. Only what is taken is replied to.
pub fn ask_balance(order: &OrderRow, number: u64, delta_minor: i64, ctx: &Context, fx: &mut Effects) {
    let request = BalanceRequest { user_id: order.user_id, delta_minor, currency: order.currency.clone() };
    send(order, number, step::Body::BalanceRequest(request), ctx, fx);
}

/// Sends a step to the partition of the order's user.
fn send(order: &OrderRow, number: u64, body: step::Body, ctx: &Context, fx: &mut Effects) {
    let owner = Some(ctx.owner(OwnerKind::Order, number));
    fx.step(ctx.partitioner.of_user(order.user_id), Step { owner, body: Some(body) });
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
    // A payment that was refused leaves the order as it was.
    let unchanged = status == SagaStatus::Compensated && order.status() == OrderStatus::Pending;
    let saga = order.saga.as_mut().expect("orders have a saga");
    let waiters = std::mem::take(&mut saga.waiters);
    match (saga.kind(), status) {
        (SagaKind::PaymentSuccess, SagaStatus::Completed) => fx.event(EventType::OrderPaid, order_event(order)),
        (_, SagaStatus::Completed) => fx.event(EventType::OrderSubmitted, order_event(order)),
        (_, SagaStatus::Compensated) if !unchanged => fx.event(EventType::OrderClosed, order_event(order)),
        _ => {}
    }
    for waiter in waiters {
        let answer = answer(order, status, waiter);
        let answer = if waiter.repeated { answer.repeated() } else { answer };
        fx.outcome(waiter, answer.into_outcome(ctx.position()));
    }
    if unchanged {
        order.refusal = None;
    }
}

fn answer(order: &OrderRow, status: SagaStatus, waiter: Waiter) -> Answer {
    match (&order.refusal, status) {
        (Some(refusal), SagaStatus::Compensated | SagaStatus::Stuck) => refusal.clone().into(),
        (None, SagaStatus::Stuck) => Code::StockReleaseFailed.into(),
        _ if waiter.wants_payment => Answer::new(outcome::Result::Payment(view::payment(order))),
        _ if waiter.wants_parcel => parcel::answer(order),
        _ => Answer::new(outcome::Result::Order(order::receipt(order))),
    }
}

pub fn order_event(order: &OrderRow) -> event::Body {
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
