//! Rows as clients see them.

use std::collections::BTreeMap;

use emshop_proto::ids;
use emshop_proto::internal::{OrderDestination, OrderRow};
use emshop_proto::logistics::{WAREHOUSE_ADDRESS, fee};
use emshop_proto::v1::{
    GoodsQuantity, ListTracksResponse, LogisticsOrder, LogisticsStatus, Money, Order, OrderChanged, OrderLine, ParcelChanged,
    Payment, PaymentChanged, Track, event,
};

use super::{journal, parcel, row as rows};

/// An order with all that happened to it.
pub fn order(row: &OrderRow) -> Order {
    let saga_row = rows::saga(row);
    let OrderDestination { address, receiver } = rows::destination(row);
    let names: BTreeMap<u64, String> = rows::names(row).into_iter().map(|goods| (goods.goods_id, goods.name)).collect();
    let lines = row.lines.iter().map(|line| OrderLine {
        goods_id: line.goods_id,
        quantity: line.quantity,
        goods_name: names.get(&line.goods_id).cloned().unwrap_or_default(),
        unit_price: Some(rows::money(row, line.unit_price_minor)),
    });
    Order {
        order_id: rows::id(row).to_owned(),
        user_id: row.user_id,
        status: row.status,
        lines: lines.collect(),
        total: Some(rows::money(row, row.total_minor)),
        address,
        receiver,
        payment_id: ids::payment_id(rows::id(row)),
        payment_status: rows::payment(row).status,
        logistics_id: row.parcel.as_ref().map(|_| ids::logistics_id(rows::id(row))).unwrap_or_default(),
        created_at_ms: row.created_at_ms,
        updated_at_ms: row.updated_at_ms,
        close_reason: row.close_reason,
        refusal: row.refusal.as_deref().cloned(),
        saga: saga_row.kind,
        saga_status: saga_row.status,
        timeline: journal::timeline(row),
        history: journal::history(row),
        completes_at_ms: row.completes_at_ms,
    }
}

/// A payment without its log.
pub fn payment(row: &OrderRow) -> Payment {
    let payment = rows::payment(row);
    Payment {
        payment_id: ids::payment_id(rows::id(row)),
        order_id: rows::id(row).to_owned(),
        user_id: row.user_id,
        amount: Some(rows::money(row, row.total_minor)),
        method: payment.method,
        status: payment.status,
        third_party_sn: payment.third_party_sn.clone(),
        created_at_ms: row.created_at_ms,
        expires_at_ms: payment.expires_at_ms,
        paid_at_ms: payment.paid_at_ms,
        refunded: Some(rows::money(row, payment.refunded_minor)),
        ..Payment::default()
    }
}

/// With its log, which only those get who ask for the payment: every command's answer would carry it otherwise.
pub fn payment_with_log(row: &OrderRow) -> Payment {
    Payment { log: journal::payment_log(row), ..payment(row) }
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
    let OrderDestination { address, receiver } = rows::destination(row);
    let receiver = receiver.unwrap_or_default();
    Some(LogisticsOrder {
        logistics_id: ids::logistics_id(rows::id(row)),
        order_id: rows::id(row).to_owned(),
        user_id: row.user_id,
        company: parcel.company,
        method: parcel.method,
        status: parcel.status,
        tracking_number: parcel.tracking_number.clone(),
        shipping_fee: Some(Money::new(parcel.fee_minor, fee::CURRENCY)),
        receiver_name: receiver.name,
        receiver_phone: receiver.phone,
        receiver_address: address,
        created_at_ms: parcel.created_at_ms,
        estimated_delivery_at_ms: parcel.estimated_delivery_at_ms,
        insurance_fee: Some(rows::money(row, parcel.insurance_fee_minor)),
        weight_grams: parcel.weight_grams,
        shipped_at_ms: parcel.shipped_at_ms,
        delivered_at_ms: parcel.delivered_at_ms,
        courier_name: parcel.courier_name.clone(),
        courier_phone: parcel.courier_phone.clone(),
        remark: parcel.remark.clone(),
    })
}

/// What the world is told of an order.
pub fn order_event(order: &OrderRow) -> event::Body {
    let lines = order.lines.iter().map(|line| GoodsQuantity { goods_id: line.goods_id, quantity: line.quantity }).collect();
    event::Body::Order(OrderChanged {
        order_id: rows::id(order).to_owned(),
        user_id: order.user_id,
        status: order.status,
        total: Some(rows::money(order, order.total_minor)),
        lines,
        close_reason: order.close_reason,
        refused_code: order.refusal.as_ref().map_or(0, |refusal| refusal.code),
    })
}

/// What the world is told of a payment.
pub fn payment_event(order: &OrderRow) -> event::Body {
    let payment = rows::payment(order);
    event::Body::Payment(PaymentChanged {
        payment_id: ids::payment_id(rows::id(order)),
        order_id: rows::id(order).to_owned(),
        status: payment.status,
        amount: Some(rows::money(order, order.total_minor)),
        refunded: Some(rows::money(order, payment.refunded_minor)),
        third_party_sn: payment.third_party_sn.clone(),
    })
}

/// # Panics
/// When the order has no parcel.
pub fn parcel_event(order: &OrderRow) -> event::Body {
    let parcel = parcel::parcel(order);
    event::Body::Parcel(Box::new(ParcelChanged {
        logistics_id: ids::logistics_id(rows::id(order)),
        order_id: rows::id(order).to_owned(),
        user_id: order.user_id,
        company: parcel.company,
        method: parcel.method,
        status: parcel.status,
        tracking_number: parcel.tracking_number.clone(),
        shipping_fee: Some(Money::new(parcel.fee_minor, fee::CURRENCY)),
        insurance_fee: Some(rows::money(order, parcel.insurance_fee_minor)),
        weight_grams: parcel.weight_grams,
        created_at_ms: parcel.created_at_ms,
        estimated_delivery_at_ms: parcel.estimated_delivery_at_ms,
        shipped_at_ms: parcel.shipped_at_ms,
        delivered_at_ms: parcel.delivered_at_ms,
    }))
}
