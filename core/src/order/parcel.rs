//! Parcels: created for a paid order, moved on by commands. The order goes with its parcel. What the way of a simulated parcel is
//! like, [`route`](super::route) says; fees and numbers come from [`emshop_proto::logistics`].

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{OrderRow, ParcelRow, Waiter};
use emshop_proto::logistics::tracking_number::{self, OrderNumber};
use emshop_proto::logistics::{WAREHOUSE_ADDRESS, company, delivery_hours, fee};
use emshop_proto::v1::{
    CancelLogisticsOrderRequest, CloseReason, CreateLogisticsOrderRequest, LogisticsStatus, OrderStatus, Refusal, ShippingMethod,
    SimulateDeliveryRequest, SimulateShipmentRequest, Track, UpdateLogisticsStatusRequest, event, outcome,
};

use crate::context::Context;
use crate::effects::{Answer, Effects};
use crate::order::{self, By};
use crate::order::{route, view};
use crate::state::State;
use crate::state::rows::Timers;
use crate::state::table::Table;

/// Whoever brings a parcel when nobody says who.
const COURIER: &str = "配送员";
/// Who is named in tracks that nobody in person stands behind.
pub const SYSTEM: &str = "系统";

const HOUR_MS: i64 = 60 * 60 * 1000;

/// Which status may follow which. The one place that says so.
pub fn may_follow(from: LogisticsStatus, to: LogisticsStatus) -> bool {
    use LogisticsStatus::*;
    matches!(
        (from, to),
        (Pending, Shipped | Cancelled)
            | (Shipped, InTransit | Delivered)
            | (InTransit, Delivering)
            | (Delivering, Delivered | Rejected)
            | (Rejected, Returning)
            | (Returning, Returned)
    )
}

/// Moves an order's parcel on.
///
/// # Panics
/// When there is no parcel or the table does not allow it.
pub fn set_status(order: &mut OrderRow, to: LogisticsStatus) {
    let from = parcel(order).status();
    assert!(may_follow(from, to), "the parcel of order {} cannot go from {from:?} to {to:?}", order.order_id);
    row(order).set_status(to);
}

/// Creates the parcel of a paid order, or says why it cannot be.
pub fn create(order: &mut OrderRow, number: u64, ctx: &Context) -> Result<(), Code> {
    let parcel = new_parcel(order, order.logistics_company, order.shipping_method(), number, ctx)?;
    order.parcel = Some(parcel);
    Ok(())
}

fn new_parcel(
    order: &OrderRow,
    company_number: u32,
    method: ShippingMethod,
    number: u64,
    ctx: &Context,
) -> Result<ParcelRow, Code> {
    let company = company(company_number).ok_or(Code::LogisticsCompanyNotSupported)?;
    let mut weights = order.lines.iter().map(|line| line.weight_grams.checked_mul(line.quantity));
    let weight_grams = weights.try_fold(0_u64, |sum, weight| sum.checked_add(weight?)).ok_or(Code::InvalidGoodsWeight)?;
    let distance_km = fee::distance_km(WAREHOUSE_ADDRESS, &order.address);
    let fee_minor = fee::shipping_minor(method, weight_grams, distance_km).ok_or(Code::InvalidGoodsWeight)?;
    let insured_minor = if order.insured { order.total_minor } else { 0 };
    let insurance_fee_minor = fee::insurance_minor(insured_minor).ok_or(Code::ShippingFeeCalculationFailed)?;
    let earlier = order.parcel.as_ref().map_or(0, |former| former.earlier + 1);
    let order_number = OrderNumber { place: ctx.place, number };
    Ok(ParcelRow {
        status: LogisticsStatus::Pending.into(),
        tracking_number: tracking_number::of(company.code, ctx.partitioner, order_number, earlier),
        fee_minor,
        insurance_fee_minor,
        created_at_ms: ctx.time_ms,
        estimated_delivery_at_ms: ctx.time_ms + i64::from(delivery_hours(method)) * HOUR_MS,
        company: company.number,
        method: method.into(),
        weight_grams,
        earlier,
        ..ParcelRow::default()
    })
}

/// Creates another parcel for an order whose former one was cancelled.
pub fn create_again(state: &mut State, ctx: &Context, request: &CreateLogisticsOrderRequest, fx: &mut Effects) -> Answer {
    let Some(number) = state.order_ids.get(&request.order_id).copied() else {
        return Code::OrderNotFound.into();
    };
    let order = order::existing(state, number);
    if let Err(code) = order::check_idle(order) {
        return code.into();
    }
    let company = if request.company == 0 { order.logistics_company } else { request.company };
    let method = match request.method() {
        ShippingMethod::Unspecified => order.shipping_method(),
        chosen => chosen,
    };
    if let Some(parcel) = order.parcel.as_ref().filter(|parcel| parcel.status() != LogisticsStatus::Cancelled) {
        let asked_before = parcel.status() == LogisticsStatus::Pending && parcel.earlier > 0;
        let same = (parcel.company, parcel.method(), &parcel.remark) == (company, method, &request.remark);
        return if asked_before && same { answer(order).repeated() } else { Code::LogisticsOrderExists.into() };
    }
    if order.status() != OrderStatus::Paid {
        return Code::OrderStatusInvalid.into();
    }
    let parcel = match new_parcel(order, company, method, number, ctx) {
        Ok(parcel) => ParcelRow { remark: request.remark.clone(), ..parcel },
        Err(code) => return code.into(),
    };
    let order = state.orders.change(&number).expect("an indexed order exists");
    order.parcel = Some(parcel);
    order.updated_at_ms = ctx.time_ms;
    fx.event(EventType::LogisticsCreated, event_of(order));
    answer(order)
}

pub fn update_status(
    state: &mut State,
    ctx: &Context,
    request: &UpdateLogisticsStatusRequest,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    let to = request.status();
    if to == LogisticsStatus::Cancelled {
        return Some(cancel_parcel(state, ctx, &request.order_id, &request.remark, fx));
    }
    let number = match find(state, &request.order_id) {
        Ok(number) => number,
        Err(code) => return Some(code.into()),
    };
    let order = order::existing(state, number);
    let from = parcel(order).status();
    if from == to {
        return Some(answer(order).repeated());
    }
    if !may_follow(from, to) {
        return Some(illegal(from, to));
    }
    if !goes_with(from, order.status()) {
        return Some(Code::LogisticsOrderCannotUpdate.into());
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    let said = told(order, to, &request.location, &request.remark, ctx.time_ms);
    let by = By::command(ctx, &request.remark);
    route::stop(order, number, &mut state.timers);
    row(order).completes_after_seconds = request.completes_after_seconds;
    move_on(order, number, to, said, by, &mut state.timers, fx);
    if to == LogisticsStatus::Returned {
        let waiter = Waiter { wants_parcel: true, ..waiter };
        order::close(state, ctx, number, CloseReason::ParcelRejected, &request.remark, waiter, fx);
        return None;
    }
    Some(answer(order))
}

pub fn simulate_shipment(state: &mut State, ctx: &Context, request: &SimulateShipmentRequest, fx: &mut Effects) -> Answer {
    let number = match find(state, &request.order_id) {
        Ok(number) => number,
        Err(code) => return code.into(),
    };
    let courier = if request.courier_name.is_empty() { COURIER } else { &request.courier_name };
    let order = order::existing(state, number);
    let parcel = parcel(order);
    use LogisticsStatus::*;
    match parcel.status() {
        Pending if goes_with(Pending, order.status()) => {}
        Pending => return Code::LogisticsOrderCannotUpdate.into(),
        Shipped if (parcel.courier_name.as_str(), &parcel.courier_phone) == (courier, &request.courier_phone) => {
            return answer(order).repeated();
        }
        Shipped | InTransit | Delivering | Rejected | Returning | Returned => return Code::LogisticsAlreadyShipped.into(),
        Delivered => return Code::LogisticsAlreadyDelivered.into(),
        Cancelled | Unspecified => return Code::LogisticsOrderStatusInvalid.into(),
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    let parcel = row(order);
    parcel.courier_name = courier.to_owned();
    parcel.courier_phone.clone_from(&request.courier_phone);
    parcel.completes_after_seconds = request.completes_after_seconds;
    let said = Track {
        location: WAREHOUSE_ADDRESS.to_owned(),
        description: format!("快件已发出，配送员：{courier}"),
        operator_name: courier.to_owned(),
        at_ms: ctx.time_ms,
        ..Track::default()
    };
    move_on(order, number, Shipped, said, By::command(ctx, ""), &mut state.timers, fx);
    route::start(order, number, &mut state.timers);
    answer(order)
}

pub fn simulate_delivery(state: &mut State, ctx: &Context, request: &SimulateDeliveryRequest, fx: &mut Effects) -> Answer {
    let number = match find(state, &request.order_id) {
        Ok(number) => number,
        Err(code) => return code.into(),
    };
    let order = order::existing(state, number);
    let from = parcel(order).status();
    use LogisticsStatus::*;
    match from {
        Delivered => return answer(order).repeated(),
        Pending => return Code::LogisticsNotShipped.into(),
        Shipped | InTransit | Delivering if goes_with(from, order.status()) => {}
        Shipped | InTransit | Delivering => return Code::LogisticsOrderCannotUpdate.into(),
        Rejected | Returning | Returned | Cancelled | Unspecified => return Code::LogisticsOrderStatusInvalid.into(),
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    route::stop(order, number, &mut state.timers);
    row(order).completes_after_seconds = request.completes_after_seconds;
    if from == InTransit {
        let said = told(order, Delivering, "", "", ctx.time_ms);
        move_on(order, number, Delivering, said, By::command(ctx, ""), &mut state.timers, fx);
    }
    let said = signed(order, &request.receiver_name, &request.remark, ctx.time_ms);
    move_on(order, number, Delivered, said, By::command(ctx, &request.remark), &mut state.timers, fx);
    answer(order)
}

pub fn cancel(state: &mut State, ctx: &Context, request: &CancelLogisticsOrderRequest, fx: &mut Effects) -> Answer {
    cancel_parcel(state, ctx, &request.order_id, &request.reason, fx)
}

fn cancel_parcel(state: &mut State, ctx: &Context, order_id: &String, reason: &str, fx: &mut Effects) -> Answer {
    let number = match find(state, order_id) {
        Ok(number) => number,
        Err(code) => return code.into(),
    };
    let order = order::existing(state, number);
    use LogisticsStatus::*;
    match parcel(order).status() {
        Pending => {}
        Cancelled => return answer(order).repeated(),
        Shipped | InTransit | Delivering => return Code::LogisticsAlreadyShipped.into(),
        Delivered => return Code::LogisticsAlreadyDelivered.into(),
        Rejected | Returning | Returned | Unspecified => return Code::LogisticsOrderCannotCancel.into(),
    }
    let order = state.orders.change(&number).expect("an indexed order exists");
    take_back(order, reason, ctx.time_ms, fx);
    order.updated_at_ms = ctx.time_ms;
    answer(order)
}

/// Cancels a parcel that has not been shipped: asked for, or as a compensation.
pub fn take_back(order: &mut OrderRow, reason: &str, at_ms: i64, fx: &mut Effects) {
    set_status(order, LogisticsStatus::Cancelled);
    let description = if reason.is_empty() { "订单已取消".to_owned() } else { format!("订单已取消: {reason}") };
    row(order).tracks.push(Track {
        location: SYSTEM.to_owned(),
        description,
        at_ms,
        operator_name: "系统自动".to_owned(),
        status: LogisticsStatus::Cancelled.into(),
    });
    fx.event(EventType::LogisticsCancelled, event_of(order));
}

/// Moves a parcel to its next status with what is told of it, and the order with it.
pub fn move_on(
    order: &mut OrderRow,
    number: u64,
    to: LogisticsStatus,
    said: Track,
    by: By,
    timers: &mut Table<Timers>,
    fx: &mut Effects,
) {
    set_status(order, to);
    order.updated_at_ms = by.at_ms;
    let parcel = row(order);
    let at_ms = said.at_ms;
    parcel.tracks.push(Track { status: to.into(), ..said });
    match to {
        LogisticsStatus::Shipped => parcel.shipped_at_ms = at_ms,
        LogisticsStatus::Delivered => parcel.delivered_at_ms = at_ms,
        _ => {}
    }
    let completes_after_seconds = parcel.completes_after_seconds;
    fx.event(EventType::LogisticsMoved, event_of(order));
    match to {
        LogisticsStatus::Shipped => order::move_to(order, OrderStatus::Shipped, by, fx),
        LogisticsStatus::Delivered => order::deliver(order, number, completes_after_seconds, by, timers, fx),
        _ => {}
    }
}

/// Whether a parcel may leave a status while its order has this one. Of an order that was taken back meanwhile it may not.
fn goes_with(from: LogisticsStatus, order: OrderStatus) -> bool {
    order == if from == LogisticsStatus::Pending { OrderStatus::Paid } else { OrderStatus::Shipped }
}

/// What is told of a move by hand, in the words of whoever made it as far as there are any.
fn told(order: &OrderRow, to: LogisticsStatus, location: &str, remark: &str, at_ms: i64) -> Track {
    use LogisticsStatus::*;
    let (usual_location, usual_words) = match to {
        Shipped => (WAREHOUSE_ADDRESS, "快件已发出"),
        InTransit => ("", "快件运输中"),
        Delivering => ("", "快件派送中"),
        Delivered => (order.address.as_str(), "快件已签收"),
        Rejected => (order.address.as_str(), "收件人拒收"),
        Returning => ("", "快件退回中"),
        Returned => (WAREHOUSE_ADDRESS, "快件已退回"),
        Pending | Cancelled | Unspecified => panic!("no parcel moves to {to:?}"),
    };
    let or = |given: &str, usual: &str| if given.is_empty() { usual.to_owned() } else { given.to_owned() };
    Track {
        location: or(location, usual_location),
        description: or(remark, usual_words),
        at_ms,
        operator_name: SYSTEM.to_owned(),
        ..Track::default()
    }
}

/// What is told of a parcel that somebody signed for: its receiver unless another is named.
pub fn signed(order: &OrderRow, by: &str, remark: &str, at_ms: i64) -> Track {
    let receiver = order.receiver.as_ref().map_or("", |receiver| receiver.name.as_str());
    let by = if by.is_empty() { receiver } else { by };
    let remark = if remark.is_empty() { String::new() } else { format!("，{remark}") };
    Track {
        location: order.address.clone(),
        description: format!("快件已签收，签收人：{by}{remark}"),
        at_ms,
        operator_name: by.to_owned(),
        ..Track::default()
    }
}

fn illegal(from: LogisticsStatus, to: LogisticsStatus) -> Answer {
    let name = |status: LogisticsStatus| status.as_str_name().trim_start_matches("LOGISTICS_STATUS_");
    let message = format!("The logistics order cannot go from {} to {}", name(from), name(to));
    Refusal { message, ..Code::LogisticsStatusTransitionInvalid.refusal() }.into()
}

/// The number of an order that has a parcel and is not under way in a saga.
fn find(state: &mut State, order_id: &String) -> Result<u64, Code> {
    let number = state.order_ids.get(order_id).copied().ok_or(Code::LogisticsOrderNotFound)?;
    let order = order::existing(state, number);
    order::check_idle(order)?;
    order.parcel.as_ref().map(|_| number).ok_or(Code::LogisticsOrderNotFound)
}

pub fn parcel(order: &OrderRow) -> &ParcelRow {
    order.parcel.as_ref().unwrap_or_else(|| panic!("order {} has no parcel", order.order_id))
}

pub fn row(order: &mut OrderRow) -> &mut ParcelRow {
    order.parcel.as_mut().expect("an order whose parcel moves has one")
}

pub fn answer(order: &OrderRow) -> Answer {
    let parcel = view::logistics_order(order).expect("the order has a parcel");
    Answer::new(outcome::Result::LogisticsOrder(Box::new(parcel)))
}

pub fn event_of(order: &OrderRow) -> event::Body {
    let parcel = view::logistics_order(order).expect("the order has a parcel");
    event::Body::Logistics(Box::new(parcel))
}
