//! Rows as clients see them.

use emshop_proto::ids;
use emshop_proto::internal::OrderRow;
use emshop_proto::v1::{LogisticsOrder, Money, Order, OrderLine, Payment, SagaEvent};

use super::{order, saga};

pub fn order(row: &OrderRow) -> Order {
    let saga_row = order::saga(row);
    let lines = row.lines.iter().map(|line| OrderLine {
        goods_id: line.goods_id,
        quantity: line.quantity,
        goods_name: line.name.clone(),
        unit_price: Some(Money::new(line.unit_price_minor, &row.currency)),
    });
    let timeline = row
        .timeline
        .iter()
        .map(|event| SagaEvent { name: saga::name(event.saga(), event.step(), event.compensation).to_owned(), ..event.clone() });
    Order {
        order_id: row.order_id.clone(),
        user_id: row.user_id,
        status: row.status,
        lines: lines.collect(),
        total: Some(Money::new(row.total_minor, &row.currency)),
        address: row.address.clone(),
        receiver: row.receiver.clone(),
        payment_id: ids::payment_id(&row.order_id),
        payment_status: order::payment(row).status,
        logistics_id: row.parcel.as_ref().map(|_| ids::logistics_id(&row.order_id)).unwrap_or_default(),
        created_at_ms: row.created_at_ms,
        updated_at_ms: row.updated_at_ms,
        close_reason: row.close_reason,
        refusal: row.refusal.clone(),
        saga: saga_row.kind,
        saga_status: saga_row.status,
        timeline: timeline.collect(),
    }
}

pub fn payment(row: &OrderRow) -> Payment {
    let payment = order::payment(row);
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
    }
}

/// `None` when the order has no parcel.
pub fn logistics_order(row: &OrderRow) -> Option<LogisticsOrder> {
    let parcel = row.parcel.as_ref()?;
    let receiver = row.receiver.clone().unwrap_or_default();
    Some(LogisticsOrder {
        logistics_id: ids::logistics_id(&row.order_id),
        order_id: row.order_id.clone(),
        user_id: row.user_id,
        company: row.logistics_company,
        method: row.shipping_method,
        status: parcel.status,
        tracking_number: parcel.tracking_number.clone(),
        shipping_fee: Some(Money::new(parcel.fee_minor, "CNY")),
        receiver_name: receiver.name,
        receiver_phone: receiver.phone,
        receiver_address: row.address.clone(),
        created_at_ms: parcel.created_at_ms,
        estimated_delivery_at_ms: parcel.estimated_delivery_at_ms,
    })
}
