//! What an order waits for that is not at its end: somebody who has to do something, or another log.

use emshop_proto::errors::Code;
use emshop_proto::internal::OrderRow;
use emshop_proto::v1::{LogisticsStatus, OrderStatus, SagaStatus, WaitingOrder, WaitsFor};

use super::{journal, row as rows, steps};

/// What an order waits for, as an operator gets to know it. `None` when it is at its end, or comes there by itself.
pub fn waiting(order: &OrderRow) -> Option<WaitingOrder> {
    let (waits_for, reason) = what_for(order)?;
    Some(WaitingOrder {
        order_id: rows::id(order).to_owned(),
        user_id: order.user_id,
        status: order.status,
        waits_for: waits_for.into(),
        since_ms: order.updated_at_ms,
        reason,
        version: journal::version(order),
    })
}

fn what_for(order: &OrderRow) -> Option<(WaitsFor, String)> {
    let saga = rows::saga(order);
    let step = |compensation| steps::name(saga.kind(), saga.step(), compensation);
    match saga.status() {
        SagaStatus::Stuck => return Some((WaitsFor::Operator, format!("{} was refused: {}", step(true), refusal(order)))),
        status if steps::is_running(status) => {
            let step = step(status == SagaStatus::Compensating);
            return Some((WaitsFor::AnotherLog, format!("{step} waits for the answer of another log")));
        }
        _ => {}
    }
    let (waits_for, reason) = match order.status() {
        OrderStatus::Pending => (WaitsFor::Payment, "it is unpaid, and expires by itself"),
        OrderStatus::Paid => (WaitsFor::Shipment, of_paid(order)),
        OrderStatus::Shipped => (WaitsFor::Parcel, of_shipped(order)),
        OrderStatus::Returning => (WaitsFor::Return, "its return is neither accepted nor declined"),
        _ => return None,
    };
    Some((waits_for, reason.to_owned()))
}

/// Of the step at which a saga is stuck: whatever was noted last.
fn refusal(order: &OrderRow) -> &'static str {
    let refused = journal::entries(order).into_iter().rev().find(|entry| entry.refused_code != 0);
    refused.and_then(|entry| Code::from_number(entry.refused_code)).map_or("for no known reason", Code::name)
}

fn parcel(order: &OrderRow) -> LogisticsStatus {
    order.parcel.as_ref().map_or(LogisticsStatus::Unspecified, |parcel| parcel.status())
}

fn of_paid(order: &OrderRow) -> &'static str {
    match parcel(order) {
        LogisticsStatus::Cancelled => "its parcel was cancelled: it needs another one, or a refund",
        _ => "its parcel is not shipped",
    }
}

fn of_shipped(order: &OrderRow) -> &'static str {
    match parcel(order) {
        LogisticsStatus::Rejected => "its parcel was rejected, and is not on its way back",
        LogisticsStatus::Returning => "its parcel was rejected, and has not come back",
        _ => "its parcel has not arrived",
    }
}
