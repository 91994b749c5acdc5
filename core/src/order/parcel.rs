//! Parcels: created for a paid order, moved on by commands. The order goes with its parcel. What the way of a simulated parcel is
//! like, [`route`] says; fees and numbers come from [`emshop_proto::logistics`].

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{OrderDestination, OrderRow, ParcelRow, Waiter};
use emshop_proto::logistics::tracking_number::{self, OrderNumber};
use emshop_proto::logistics::{WAREHOUSE_ADDRESS, company, delivery_hours, fee};
use emshop_proto::v1::{
    CancelLogisticsOrderRequest, CloseReason, CreateLogisticsOrderRequest, LogisticsStatus, OrderStatus, Refusal, ShippingMethod,
    SimulateDeliveryRequest, SimulateShipmentRequest, Track, UpdateLogisticsStatusRequest, outcome,
};

use super::case::Case;
use super::row::{self as order_row, By, check_idle, existing};
use super::{route, view};
use crate::context::{Context, Turn};
use crate::effects::{Answer, Answered, Handled, Refused};
use crate::state::State;

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
    assert!(may_follow(from, to), "the parcel of order {} cannot go from {from:?} to {to:?}", order_row::id(order));
    row(order).set_status(to);
}

/// Creates the parcel of a paid order, or says why it cannot be.
pub fn create(order: &mut OrderRow, number: u64, ctx: &Context) -> Result<(), Code> {
    let parcel = new_parcel(order, order.logistics_company, order.shipping_method(), number, ctx)?;
    order.parcel = Some(Box::new(parcel));
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
    let distance_km = fee::distance_km(WAREHOUSE_ADDRESS, order_row::address(order));
    let fee_minor = fee::shipping_minor(method, weight_grams, distance_km).ok_or(Code::InvalidGoodsWeight)?;
    let insured_minor = if order.insured { order.total_minor } else { 0 };
    let insurance_fee_minor = fee::insurance_minor(insured_minor).ok_or(Code::ShippingFeeCalculationFailed)?;
    let earlier = order.parcel.as_ref().map_or(0, |former| former.earlier + 1);
    let order_number = OrderNumber { partition: ctx.partitioner.of_order(order_row::id(order)).partition, number };
    Ok(ParcelRow {
        status: LogisticsStatus::Pending.into(),
        tracking_number: tracking_number::of(company.code, order_number, earlier),
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
pub(crate) fn create_again(turn: &mut Turn, request: CreateLogisticsOrderRequest) -> Handled {
    let number = order_row::find(turn.state, &request.order_id, Code::OrderNotFound)?;
    let order = existing(turn.state, number);
    check_idle(order)?;
    let company = if request.company == 0 { order.logistics_company } else { request.company };
    let method = match request.method() {
        ShippingMethod::Unspecified => order.shipping_method(),
        chosen => chosen,
    };
    if let Some(parcel) = order.parcel.as_ref().filter(|parcel| parcel.status() != LogisticsStatus::Cancelled) {
        let asked_before = parcel.status() == LogisticsStatus::Pending && parcel.earlier > 0;
        let same = (parcel.company, parcel.method(), &parcel.remark) == (company, method, &request.remark);
        let repeated = asked_before && same;
        return if repeated { answer(order).repeated().now() } else { Err(Code::LogisticsOrderExists.into()) };
    }
    if order.status() != OrderStatus::Paid {
        return Err(Code::OrderStatusInvalid.into());
    }
    let parcel = ParcelRow { remark: request.remark, ..new_parcel(order, company, method, number, &turn.ctx)? };
    Case::open(turn, number, |case| {
        case.row.parcel = Some(Box::new(parcel));
        case.row.updated_at_ms = case.turn.ctx.time_ms;
        case.turn.fx.event(EventType::LogisticsCreated, view::parcel_event(case.row));
        answer(case.row).now()
    })
}

pub(crate) fn update_status(turn: &mut Turn, request: UpdateLogisticsStatusRequest) -> Handled {
    let to = request.status();
    if to == LogisticsStatus::Cancelled {
        return cancel_parcel(turn, &request.order_id, &request.remark);
    }
    let number = find(turn.state, &request.order_id)?;
    let order = existing(turn.state, number);
    let from = parcel(order).status();
    if from == to {
        return answer(order).repeated().now();
    }
    if !may_follow(from, to) {
        return Err(illegal(from, to));
    }
    if !goes_with(from, order.status()) {
        return Err(Code::LogisticsOrderCannotUpdate.into());
    }
    Case::open(turn, number, |case| {
        let said = told(case.row, to, &request.location, &request.remark, case.turn.ctx.time_ms);
        route::stop(case);
        row(case.row).completes_after_seconds = request.completes_after_seconds;
        let by = case.by(&request.remark);
        move_on(case, to, said, by);
        if to == LogisticsStatus::Returned {
            let waiter = Waiter { wants_parcel: true, ..case.turn.ctx.waiter.clone() };
            case.close(CloseReason::ParcelRejected, case.by(&request.remark), Some(waiter));
            return Ok(Answered::Later);
        }
        answer(case.row).now()
    })
}

pub(crate) fn simulate_shipment(turn: &mut Turn, request: SimulateShipmentRequest) -> Handled {
    let number = find(turn.state, &request.order_id)?;
    let courier = if request.courier_name.is_empty() { COURIER } else { &request.courier_name };
    let order = existing(turn.state, number);
    let parcel = parcel(order);
    use LogisticsStatus::*;
    match parcel.status() {
        Pending if goes_with(Pending, order.status()) => {}
        Pending => return Err(Code::LogisticsOrderCannotUpdate.into()),
        Shipped if (parcel.courier_name.as_str(), &parcel.courier_phone) == (courier, &request.courier_phone) => {
            return answer(order).repeated().now();
        }
        Shipped | InTransit | Delivering | Rejected | Returning | Returned => return Err(Code::LogisticsAlreadyShipped.into()),
        Delivered => return Err(Code::LogisticsAlreadyDelivered.into()),
        Cancelled | Unspecified => return Err(Code::LogisticsOrderStatusInvalid.into()),
    }
    Case::open(turn, number, |case| {
        let parcel = row(case.row);
        parcel.courier_name = courier.to_owned();
        parcel.courier_phone.clone_from(&request.courier_phone);
        parcel.completes_after_seconds = request.completes_after_seconds;
        let said = Track {
            location: WAREHOUSE_ADDRESS.to_owned(),
            description: format!("快件已发出，配送员：{courier}"),
            operator_name: courier.to_owned(),
            at_ms: case.turn.ctx.time_ms,
            ..Track::default()
        };
        let by = case.by("");
        move_on(case, Shipped, said, by);
        route::start(case);
        answer(case.row).now()
    })
}

pub(crate) fn simulate_delivery(turn: &mut Turn, request: SimulateDeliveryRequest) -> Handled {
    let number = find(turn.state, &request.order_id)?;
    let order = existing(turn.state, number);
    let from = parcel(order).status();
    use LogisticsStatus::*;
    match from {
        Delivered => return answer(order).repeated().now(),
        Pending => return Err(Code::LogisticsNotShipped.into()),
        Shipped | InTransit | Delivering if goes_with(from, order.status()) => {}
        Shipped | InTransit | Delivering => return Err(Code::LogisticsOrderCannotUpdate.into()),
        Rejected | Returning | Returned | Cancelled | Unspecified => return Err(Code::LogisticsOrderStatusInvalid.into()),
    }
    Case::open(turn, number, |case| {
        let at_ms = case.turn.ctx.time_ms;
        route::stop(case);
        row(case.row).completes_after_seconds = request.completes_after_seconds;
        if from == InTransit {
            let said = told(case.row, Delivering, "", "", at_ms);
            let by = case.by("");
            move_on(case, Delivering, said, by);
        }
        let said = signed(case.row, &request.receiver_name, &request.remark, at_ms);
        let by = case.by(&request.remark);
        move_on(case, Delivered, said, by);
        answer(case.row).now()
    })
}

pub(crate) fn cancel(turn: &mut Turn, request: CancelLogisticsOrderRequest) -> Handled {
    cancel_parcel(turn, &request.order_id, &request.reason)
}

fn cancel_parcel(turn: &mut Turn, order_id: &str, reason: &str) -> Handled {
    let number = find(turn.state, order_id)?;
    let order = existing(turn.state, number);
    use LogisticsStatus::*;
    match parcel(order).status() {
        Pending => {}
        Cancelled => return answer(order).repeated().now(),
        Shipped | InTransit | Delivering => return Err(Code::LogisticsAlreadyShipped.into()),
        Delivered => return Err(Code::LogisticsAlreadyDelivered.into()),
        Rejected | Returning | Returned | Unspecified => return Err(Code::LogisticsOrderCannotCancel.into()),
    }
    Case::open(turn, number, |case| {
        take_back(case, reason);
        case.row.updated_at_ms = case.turn.ctx.time_ms;
        answer(case.row).now()
    })
}

/// Cancels a parcel that has not been shipped: asked for, or as a compensation.
pub(crate) fn take_back(case: &mut Case, reason: &str) {
    set_status(case.row, LogisticsStatus::Cancelled);
    let description = if reason.is_empty() { "订单已取消".to_owned() } else { format!("订单已取消: {reason}") };
    row(case.row).tracks.push(Track {
        location: SYSTEM.to_owned(),
        description,
        at_ms: case.turn.ctx.time_ms,
        operator_name: "系统自动".to_owned(),
        status: LogisticsStatus::Cancelled.into(),
    });
    case.turn.fx.event(EventType::LogisticsCancelled, view::parcel_event(case.row));
}

/// Moves a parcel to its next status with what is told of it, and the order with it.
pub(crate) fn move_on(case: &mut Case, to: LogisticsStatus, said: Track, by: By) {
    set_status(case.row, to);
    case.row.updated_at_ms = by.at_ms;
    let parcel = row(case.row);
    let at_ms = said.at_ms;
    parcel.tracks.push(Track { status: to.into(), ..said });
    match to {
        LogisticsStatus::Shipped => parcel.shipped_at_ms = at_ms,
        LogisticsStatus::Delivered => parcel.delivered_at_ms = at_ms,
        _ => {}
    }
    let completes_after_seconds = parcel.completes_after_seconds;
    case.turn.fx.event(EventType::LogisticsMoved, view::parcel_event(case.row));
    match to {
        LogisticsStatus::Shipped => case.move_to(OrderStatus::Shipped, by),
        LogisticsStatus::Delivered => case.deliver(completes_after_seconds, by),
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
    let door = order_row::address(order);
    let (usual_location, usual_words) = match to {
        Shipped => (WAREHOUSE_ADDRESS, "快件已发出"),
        InTransit => ("", "快件运输中"),
        Delivering => ("", "快件派送中"),
        Delivered => (door, "快件已签收"),
        Rejected => (door, "收件人拒收"),
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
    let OrderDestination { address, receiver } = order_row::destination(order);
    let receiver = receiver.as_ref().map_or("", |receiver| receiver.name.as_str());
    let by = if by.is_empty() { receiver } else { by };
    let remark = if remark.is_empty() { String::new() } else { format!("，{remark}") };
    Track {
        location: address,
        description: format!("快件已签收，签收人：{by}{remark}"),
        at_ms,
        operator_name: by.to_owned(),
        ..Track::default()
    }
}

fn illegal(from: LogisticsStatus, to: LogisticsStatus) -> Refused {
    let name = |status: LogisticsStatus| status.as_str_name().trim_start_matches("LOGISTICS_STATUS_");
    let message = format!("The logistics order cannot go from {} to {}", name(from), name(to));
    Refusal { message, ..Code::LogisticsStatusTransitionInvalid.refusal() }.into()
}

/// The number of an order that has a parcel and is not under way in a saga.
fn find(state: &mut State, order_id: &str) -> Result<u64, Code> {
    let number = order_row::find(state, order_id, Code::LogisticsOrderNotFound)?;
    let order = existing(state, number);
    check_idle(order)?;
    order.parcel.as_ref().map(|_| number).ok_or(Code::LogisticsOrderNotFound)
}

/// The parcel of an order.
///
/// # Panics
/// When it has none.
pub fn parcel(order: &OrderRow) -> &ParcelRow {
    order.parcel.as_ref().unwrap_or_else(|| panic!("order {} has no parcel", order_row::id(order)))
}

/// The parcel of an order, to be changed.
///
/// # Panics
/// When it has none.
pub fn row(order: &mut OrderRow) -> &mut ParcelRow {
    order.parcel.as_mut().expect("an order whose parcel moves has one")
}

/// What a command about a parcel answers.
pub fn answer(order: &OrderRow) -> Answer {
    let parcel = view::logistics_order(order).expect("the order has a parcel");
    Answer::new(outcome::Result::LogisticsOrder(Box::new(parcel)))
}
