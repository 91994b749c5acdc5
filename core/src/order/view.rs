//! Rows as clients see them.

use emshop_proto::ids;
use emshop_proto::internal::{OrderRow, PaymentChangeRow, StatusChangeRow};
use emshop_proto::logistics::{WAREHOUSE_ADDRESS, fee};
use emshop_proto::v1::{
    GoodsQuantity, ListTracksResponse, LogisticsOrder, LogisticsStatus, Money, Order, OrderChanged, OrderLine, OrderStatus,
    Payment, PaymentChange, PaymentChanged, PaymentStatus, SagaEvent, StatusChange, Track, event,
};

use super::{parcel, row as rows, steps};

pub fn order(row: &OrderRow) -> Order {
    let saga_row = rows::saga(row);
    let lines = row.lines.iter().map(|line| OrderLine {
        goods_id: line.goods_id,
        quantity: line.quantity,
        goods_name: line.name.clone(),
        unit_price: Some(Money::new(line.unit_price_minor, &row.currency)),
    });
    let timeline = row
        .timeline
        .iter()
        .map(|event| SagaEvent { name: steps::name(event.saga(), event.step(), event.compensation).to_owned(), ..event.clone() });
    Order {
        order_id: row.order_id.clone(),
        user_id: row.user_id,
        status: row.status,
        lines: lines.collect(),
        total: Some(Money::new(row.total_minor, &row.currency)),
        address: row.address.clone(),
        receiver: row.receiver.clone(),
        payment_id: ids::payment_id(&row.order_id),
        payment_status: rows::payment(row).status,
        logistics_id: row.parcel.as_ref().map(|_| ids::logistics_id(&row.order_id)).unwrap_or_default(),
        created_at_ms: row.created_at_ms,
        updated_at_ms: row.updated_at_ms,
        close_reason: row.close_reason,
        refusal: row.refusal.clone(),
        saga: saga_row.kind,
        saga_status: saga_row.status,
        timeline: timeline.collect(),
        history: history(row),
        completes_at_ms: row.completes_at_ms,
    }
}

fn history(row: &OrderRow) -> Vec<StatusChange> {
    let before = std::iter::once(OrderStatus::Unspecified as i32).chain(row.history.iter().map(|change| change.to));
    let changes = row.history.iter().zip(before);
    let change = |(change, from): (&StatusChangeRow, i32)| StatusChange {
        from,
        to: change.to,
        at_ms: change.at_ms,
        operator: change.operator,
        reason: change.reason.clone(),
        log_sequence: change.log_sequence,
    };
    changes.map(change).collect()
}

fn payment_log(row: &OrderRow) -> Vec<PaymentChange> {
    let log = &rows::payment(row).log;
    let before = std::iter::once(PaymentStatus::Unspecified as i32).chain(log.iter().map(|change| change.to));
    let change = |(change, from): (&PaymentChangeRow, i32)| PaymentChange {
        action: change.action,
        from,
        to: change.to,
        amount: (change.amount_minor != 0).then(|| Money::new(change.amount_minor, &row.currency)),
        at_ms: change.at_ms,
        operator: change.operator,
        reason: change.reason.clone(),
        log_sequence: change.log_sequence,
    };
    log.iter().zip(before).map(change).collect()
}

pub fn payment(row: &OrderRow) -> Payment {
    let payment = rows::payment(row);
    Payment {
        payment_id: ids::payment_id(&row.order_id),
        order_id: row.order_id.clone(),
        user_id: row.user_id,
        amount: Some(Money::new(row.total_minor, &row.currency)),
        method: payment.method,
        status: payment.status,
        third_party_sn: payment.third_party_sn.clone(),
        created_at_ms: row.created_at_ms,
        expires_at_ms: payment.expires_at_ms,
        paid_at_ms: payment.paid_at_ms,
        refunded: Some(Money::new(payment.refunded_minor, &row.currency)),
        ..Payment::default()
    }
}

/// With its log, which only those get who ask for the payment: every command's answer would carry it otherwise.
pub fn payment_with_log(row: &OrderRow) -> Payment {
    Payment { log: payment_log(row), ..payment(row) }
}

/// Where a parcel has been, oldest first. What every parcel begins with is not stored. `None` when the order has no parcel.
pub fn tracks(row: &OrderRow) -> Option<ListTracksResponse> {
    let parcel = row.parcel.as_ref()?;
    let first = Track {
        location: WAREHOUSE_ADDRESS.to_owned(),
        description: "商家正在准备发货".to_owned(),
        at_ms: parcel.created_at_ms,
        operator_name: parcel::SYSTEM.to_owned(),
        status: LogisticsStatus::Pending.into(),
    };
    let tracks = std::iter::once(first).chain(parcel.tracks.iter().cloned()).collect();
    Some(ListTracksResponse { logistics_order: logistics_order(row), tracks })
}

/// `None` when the order has no parcel.
pub fn logistics_order(row: &OrderRow) -> Option<LogisticsOrder> {
    let parcel = row.parcel.as_ref()?;
    let receiver = row.receiver.clone().unwrap_or_default();
    Some(LogisticsOrder {
        logistics_id: ids::logistics_id(&row.order_id),
        order_id: row.order_id.clone(),
        user_id: row.user_id,
        company: parcel.company,
        method: parcel.method,
        status: parcel.status,
        tracking_number: parcel.tracking_number.clone(),
        shipping_fee: Some(Money::new(parcel.fee_minor, fee::CURRENCY)),
        receiver_name: receiver.name,
        receiver_phone: receiver.phone,
        receiver_address: row.address.clone(),
        created_at_ms: parcel.created_at_ms,
        estimated_delivery_at_ms: parcel.estimated_delivery_at_ms,
        insurance_fee: Some(Money::new(parcel.insurance_fee_minor, &row.currency)),
        weight_grams: parcel.weight_grams,
        shipped_at_ms: parcel.shipped_at_ms,
        delivered_at_ms: parcel.delivered_at_ms,
        courier_name: parcel.courier_name.clone(),
        courier_phone: parcel.courier_phone.clone(),
        remark: parcel.remark.clone(),
    })
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
    let payment = rows::payment(order);
    event::Body::Payment(PaymentChanged {
        payment_id: ids::payment_id(&order.order_id),
        order_id: order.order_id.clone(),
        status: payment.status,
        amount: Some(Money::new(order.total_minor, &order.currency)),
        refunded: Some(Money::new(payment.refunded_minor, &order.currency)),
        third_party_sn: payment.third_party_sn.clone(),
    })
}

/// # Panics
/// When the order has no parcel.
pub fn parcel_event(order: &OrderRow) -> event::Body {
    let parcel = logistics_order(order).expect("the order has a parcel");
    event::Body::Logistics(Box::new(parcel))
}
