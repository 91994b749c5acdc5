//! The steps of an order's sagas: what each does and what undoes it, side by side; and the loop that takes them.

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{
    BalanceReply, BalanceRequest, CartLine, CartReply, CartRequest, LineRow, LineStock, OrderDestination, OwnerKind, StockAction,
    StockReply,
};
use emshop_proto::money::{currency_code, currency_text, total_minor};
use emshop_proto::v1::{
    CloseReason, OrderStatus, PaymentAction, PaymentMethod, PaymentStatus, Refusal, SagaKind, SagaStatus, SagaStep,
};

use super::case::Case;
use super::row;
use super::saga::{self, Event, Position};
use super::{journal, parcel, payment, view};
use crate::context::Turn;
use crate::effects::Refused;
use crate::limits;
use crate::stock::allocation::{self, Progress, Terms};
use crate::tally::StepResult;
use crate::timer;

/// A step and the compensation that undoes it, with their names as people read them.
pub struct Step {
    /// Which step it is.
    pub step: SagaStep,
    /// Name of the step, such as `Inventory/ReserveStock`.
    pub action: &'static str,
    act: fn(&mut Case) -> Flow,
    /// Name of what undoes it.
    pub compensation: &'static str,
    undo: fn(&mut Case) -> Flow,
}

/// What a step came to.
enum Flow {
    Done,
    Refused(Box<Refusal>),
    /// Another log will reply.
    Waiting,
}

const CREATE_ORDER: Step = Step {
    step: SagaStep::CreateOrder,
    action: "Order/CreateOrder",
    act: create_order,
    compensation: "Order/CreateOrderCompensate",
    undo: cancel_order,
};
const TAKE_CART_ITEMS: Step = Step {
    step: SagaStep::TakeCartItems,
    action: "Cart/TakeItems",
    act: take_cart_items,
    compensation: "Cart/PutItemsBack",
    undo: put_cart_items_back,
};
const CREATE_PAYMENT: Step = Step {
    step: SagaStep::CreatePayment,
    action: "Payment/CreatePayment",
    act: create_payment,
    compensation: "Payment/CancelPayment",
    undo: cancel_payment,
};
const RESERVE_STOCK: Step = Step {
    step: SagaStep::ReserveStock,
    action: "Inventory/ReserveStock",
    act: reserve_stock,
    compensation: "Inventory/ReleaseReserved",
    undo: release_reserved,
};
const CONFIRM_PAYMENT: Step = Step {
    step: SagaStep::ConfirmPayment,
    action: "Payment/ConfirmPayment",
    act: confirm_payment,
    compensation: "Payment/RefundPayment",
    undo: refund_payment,
};
const UPDATE_PAYMENT_STATUS: Step = Step {
    step: SagaStep::UpdatePaymentStatus,
    action: "Order/UpdatePaymentStatus",
    act: update_payment_status,
    compensation: "Order/RevertPaymentStatus",
    undo: revert_payment_status,
};
const CONFIRM_SELL: Step = Step {
    step: SagaStep::ConfirmSell,
    action: "Inventory/ConfirmSell",
    act: confirm_sell,
    compensation: "Inventory/Reback",
    undo: reback,
};
const CREATE_LOGISTICS_ORDER: Step = Step {
    step: SagaStep::CreateLogisticsOrder,
    action: "Logistics/CreateLogisticsOrder",
    act: create_logistics_order,
    compensation: "Logistics/CancelLogisticsOrder",
    undo: cancel_logistics_order,
};

/// From a request to an order that waits for its payment.
pub const SUBMIT_ORDER: &[Step] = &[CREATE_ORDER, CREATE_PAYMENT, RESERVE_STOCK];
/// As [`SUBMIT_ORDER`], with lines and perhaps the address out of the user's cart.
pub const CHECKOUT_CART: &[Step] = &[CREATE_ORDER, TAKE_CART_ITEMS, CREATE_PAYMENT, RESERVE_STOCK];
/// From a payment to a parcel.
pub const PAYMENT_SUCCESS: &[Step] = &[CONFIRM_PAYMENT, UPDATE_PAYMENT_STATUS, CONFIRM_SELL, CREATE_LOGISTICS_ORDER];

/// The steps of a kind of saga, in order.
pub fn of(kind: SagaKind) -> &'static [Step] {
    match kind {
        SagaKind::SubmitOrder => SUBMIT_ORDER,
        SagaKind::PaymentSuccess => PAYMENT_SUCCESS,
        SagaKind::CheckoutCart => CHECKOUT_CART,
        SagaKind::Unspecified => panic!("a saga without a kind"),
    }
}

/// How a step reads in a timeline.
pub fn name(kind: SagaKind, step: SagaStep, compensation: bool) -> &'static str {
    let Step { action, compensation: undone, .. } = &of(kind)[index(kind, step)];
    if compensation { undone } else { action }
}

fn index(kind: SagaKind, step: SagaStep) -> usize {
    of(kind).iter().position(|candidate| candidate.step == step).expect("a step of this saga")
}

/// The saga has not come to an end.
pub fn is_running(status: SagaStatus) -> bool {
    matches!(status, SagaStatus::Running | SagaStatus::Compensating)
}

/// Takes steps until the saga waits for another log or has ended.
pub(crate) fn run(case: &mut Case) {
    loop {
        let saga = row::saga(case.row);
        let step = &of(saga.kind())[index(saga.kind(), saga.step())];
        let flow = match saga.status() {
            SagaStatus::Running => (step.act)(case),
            SagaStatus::Compensating => (step.undo)(case),
            ended => return case.finish(ended),
        };
        match flow {
            Flow::Done => advance(case, None),
            Flow::Refused(refusal) => advance(case, Some(*refusal)),
            Flow::Waiting => return,
        }
    }
}

/// Goes on with a saga whose step got its reply from another log.
fn resume(case: &mut Case, flow: Flow) {
    match flow {
        Flow::Done => advance(case, None),
        Flow::Refused(refusal) => advance(case, Some(*refusal)),
        // The same step has more logs to ask.
        Flow::Waiting => {}
    }
    run(case);
}

/// Takes the reply of another log's cart.
pub(crate) fn cart_reply(turn: &mut Turn, number: u64, reply: CartReply) {
    Case::open(turn, number, |case| {
        let flow = cart_replied(case, reply);
        resume(case, flow);
    });
}

/// Takes the reply of another log's balance to a payment.
pub(crate) fn balance_reply(turn: &mut Turn, number: u64, reply: BalanceReply) {
    Case::open(turn, number, |case| {
        let flow = balance_replied(case, &reply);
        resume(case, flow);
    });
}

/// Takes the reply of another log's stock; the step goes on with the next log, if there is one.
pub(crate) fn stock_reply(turn: &mut Turn, number: u64, reply: StockReply) {
    Case::open(turn, number, |case| {
        let user_id = limits::user_of(case.row);
        let terms = Terms { currency: &mut case.row.currency, texts: &mut case.row.texts, user_id };
        let settled = allocation::settle(&mut case.row.lines, Some(terms), reply);
        let flow = settled.map_or_else(|Refused(refusal)| Flow::Refused(refusal), |()| Flow::Waiting);
        resume(case, flow);
    });
}

/// Notes how the step under way went, and moves the saga on.
fn advance(case: &mut Case, refusal: Option<Refusal>) {
    let order = &mut *case.row;
    let saga = row::saga(order);
    let (kind, status, step) = (saga.kind(), saga.status(), saga.step());
    let held = match step {
        SagaStep::ReserveStock => allocation::any(&order.lines, LineStock::Reserved),
        SagaStep::ConfirmSell => allocation::any(&order.lines, LineStock::Sold),
        _ => false,
    };
    let refused_code = refusal.as_ref().map_or(0, |refusal| refusal.code);
    journal::step(order, &case.turn.ctx, refused_code);
    let compensation = status == SagaStatus::Compensating;
    case.turn.fx.tally.step(kind, step, StepResult::of(compensation, refusal.is_some()));
    case.turn.fx.spans.step(name(kind, step, compensation), refused_code);
    order.updated_at_ms = case.turn.ctx.time_ms;
    let event = if refusal.is_some() { Event::Refused { held } } else { Event::Done };
    let to = saga::next(of(kind).len(), Position { status, step: index(kind, step) }, event);
    let saga = row::saga_mut(order);
    saga.set_status(to.status);
    saga.set_step(of(kind)[to.step].step);
    if status == SagaStatus::Running && refusal.is_some() {
        order.refusal = refusal.map(Box::new);
        match (kind, step) {
            // The order waits for its payment as before.
            (SagaKind::PaymentSuccess, SagaStep::ConfirmPayment) => {}
            (SagaKind::PaymentSuccess, _) => order.set_close_reason(CloseReason::ParcelFailed),
            _ => order.set_close_reason(CloseReason::Refused),
        }
    }
}

fn create_order(case: &mut Case) -> Flow {
    case.set_status(OrderStatus::Pending);
    Flow::Done
}

fn cancel_order(case: &mut Case) -> Flow {
    case.set_status(OrderStatus::Cancelled);
    Flow::Done
}

fn take_cart_items(case: &mut Case) -> Flow {
    ask_cart(case, Vec::new())
}

fn put_cart_items_back(case: &mut Case) -> Flow {
    let line = |line: &LineRow| {
        let LineRow { goods_id, quantity, added_at_ms, .. } = *line;
        CartLine { goods_id, quantity, added_at_ms }
    };
    let lines: Vec<_> = case.row.lines.iter().map(line).collect();
    assert!(!lines.is_empty(), "an empty cart refuses the order, so there is something to put back");
    ask_cart(case, lines)
}

fn ask_cart(case: &mut Case, put_back: Vec<CartLine>) -> Flow {
    let request = CartRequest { user_id: case.row.user_id, put_back, address_id: case.row.address_id };
    let owner = case.turn.ctx.owner(OwnerKind::Order, case.number);
    match case.turn.ask(owner, request) {
        Some(reply) => cart_replied(case, reply),
        None => Flow::Waiting,
    }
}

fn cart_replied(case: &mut Case, reply: CartReply) -> Flow {
    if let Some(code) = Code::from_number(reply.refused_code) {
        return refused(code);
    }
    if row::saga(case.row).status() == SagaStatus::Running {
        let line =
            |CartLine { goods_id, quantity, added_at_ms }| LineRow { goods_id, quantity, added_at_ms, ..LineRow::default() };
        case.row.lines = reply.lines.into_iter().map(line).collect();
        if case.row.address_id != 0 {
            let destination = OrderDestination { address: reply.address, receiver: reply.receiver };
            case.row.destination = Some(Box::new(destination));
        }
    }
    Flow::Done
}

fn create_payment(case: &mut Case) -> Flow {
    // A cart in another log may have taken its time: the payment gets all of its own, and no timer is set in the past.
    let waited_ms = case.turn.ctx.time_ms - case.row.created_at_ms;
    payment::row(case.row).expires_at_ms += waited_ms;
    case.set_payment_status(PaymentStatus::Pending, PaymentAction::Create);
    let expiry = case.expiry();
    timer::set(case.turn.state, &expiry);
    Flow::Done
}

fn cancel_payment(case: &mut Case) -> Flow {
    let expiry = case.expiry();
    timer::remove(case.turn.state, &expiry);
    // A payment that was given up or failed stays so.
    if row::payment(case.row).status() == PaymentStatus::Pending {
        let expired = case.row.close_reason() == CloseReason::Expired;
        let action = if expired { PaymentAction::Expire } else { PaymentAction::Cancel };
        case.set_payment_status(PaymentStatus::Cancelled, action);
    }
    if case.row.close_reason() != CloseReason::Refused {
        case.turn.fx.event(EventType::PaymentClosed, view::payment_event(case.row));
    }
    Flow::Done
}

fn reserve_stock(case: &mut Case) -> Flow {
    if let Err(Refused(refusal)) = limits::check_units(case.row, &case.turn.ctx.limits) {
        return Flow::Refused(refusal);
    }
    match ask_stock(case, StockAction::Reserve) {
        Flow::Done => price(case).err().map_or(Flow::Done, Flow::Refused),
        unfinished => unfinished,
    }
}

fn release_reserved(case: &mut Case) -> Flow {
    ask_stock(case, StockAction::Release)
}

fn confirm_sell(case: &mut Case) -> Flow {
    ask_stock(case, StockAction::Sell)
}

fn reback(case: &mut Case) -> Flow {
    ask_stock(case, StockAction::Reback)
}

fn ask_stock(case: &mut Case, action: StockAction) -> Flow {
    let owner = case.turn.ctx.owner(OwnerKind::Order, case.number);
    let order = &mut *case.row;
    let user_id = limits::user_of(order);
    let mut terms = Terms { currency: &mut order.currency, texts: &mut order.texts, user_id };
    match allocation::carry(case.turn, &owner, &mut order.lines, Some(&mut terms), action) {
        Ok(Progress::Done) => Flow::Done,
        Ok(Progress::Waiting) => Flow::Waiting,
        Err(Refused(refusal)) => Flow::Refused(refusal),
    }
}

/// Gives up what the log that was asked last does not take back, so that compensation goes on without it. Whatever is counted in this log
/// can be taken back always.
pub(crate) fn write_off(case: &mut Case) {
    let action = match row::saga(case.row).step() {
        SagaStep::ReserveStock => StockAction::Release,
        SagaStep::ConfirmSell => StockAction::Reback,
        // Nobody refuses to take back another one.
        _ => return,
    };
    allocation::write_off(&case.turn.ctx, &mut case.row.lines, action);
}

/// Fixes the total once all lines are reserved.
fn price(case: &mut Case) -> Result<(), Box<Refusal>> {
    let order = &mut *case.row;
    let lines = order.lines.iter().map(|line| (line.unit_price_minor, line.quantity));
    order.total_minor = total_minor(lines).ok_or_else(|| Box::new(Code::TotalTooLarge.refusal()))?;
    let code = match order.expected_total.take() {
        _ if !payment::AMOUNT_MINOR.contains(&order.total_minor) => Code::PaymentAmountInvalid,
        Some(expected) if currency_code(&expected.currency) != order.currency => {
            return Err(Box::new(Code::CurrencyMismatch.refusal()));
        }
        Some(expected) if expected.amount_minor != order.total_minor => Code::PriceChanged,
        _ => return Ok(()),
    };
    let actual_total = Some(row::money(order, order.total_minor));
    Err(Box::new(Refusal { actual_total, ..code.refusal() }))
}

fn confirm_payment(case: &mut Case) -> Flow {
    if row::payment(case.row).method() != PaymentMethod::Balance {
        return confirmed(case);
    }
    let total_minor = case.row.total_minor;
    match ask_balance(case, -total_minor) {
        Some(reply) => balance_replied(case, &reply.expect("what is taken is replied to")),
        None => Flow::Waiting,
    }
}

fn balance_replied(case: &mut Case, reply: &BalanceReply) -> Flow {
    match Code::from_number(reply.refused_code) {
        Some(code) => refused(code),
        None => confirmed(case),
    }
}

fn confirmed(case: &mut Case) -> Flow {
    let expiry = case.expiry();
    timer::remove(case.turn.state, &expiry);
    case.set_payment_status(PaymentStatus::Paid, PaymentAction::Confirm);
    payment::row(case.row).paid_at_ms = case.turn.ctx.time_ms;
    case.turn.fx.event(EventType::PaymentConfirmed, view::payment_event(case.row));
    Flow::Done
}

/// Gives back what is left of the payment, and ends the order.
fn refund_payment(case: &mut Case) -> Flow {
    let by = case.by_saga();
    let left_minor = payment::refund_rest(case.row, by);
    if row::payment(case.row).method() == PaymentMethod::Balance && left_minor > 0 {
        ask_balance(case, left_minor);
    }
    let end = if case.row.status() == OrderStatus::Returning { OrderStatus::Returned } else { OrderStatus::Refunded };
    case.set_status(end);
    case.turn.fx.event(EventType::PaymentRefunded, view::payment_event(case.row));
    Flow::Done
}

/// Moves money between the order and its user's balance. Only what is taken is replied to.
pub(crate) fn ask_balance(case: &mut Case, delta_minor: i64) -> Option<Option<BalanceReply>> {
    let request = BalanceRequest { user_id: case.row.user_id, delta_minor, currency: currency_text(case.row.currency) };
    let owner = case.turn.ctx.owner(OwnerKind::Order, case.number);
    case.turn.ask(owner, request)
}

fn update_payment_status(case: &mut Case) -> Flow {
    case.set_status(OrderStatus::Paid);
    Flow::Done
}

fn revert_payment_status(case: &mut Case) -> Flow {
    // A return is on its way to its own end.
    if case.row.status() != OrderStatus::Returning {
        case.set_status(OrderStatus::Refunding);
    }
    Flow::Done
}

fn create_logistics_order(case: &mut Case) -> Flow {
    if let Err(code) = parcel::create(case.row, case.number, &case.turn.ctx) {
        return refused(code);
    }
    case.turn.fx.event(EventType::LogisticsCreated, view::parcel_event(case.row));
    Flow::Done
}

fn cancel_logistics_order(case: &mut Case) -> Flow {
    let reason = row::saga(case.row).reason.clone();
    parcel::take_back(case, &reason);
    Flow::Done
}

fn refused(code: Code) -> Flow {
    Flow::Refused(Box::new(code.refusal()))
}
