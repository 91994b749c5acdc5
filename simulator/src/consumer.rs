//! A downstream service: it knows the shop from events alone.

use std::collections::{BTreeMap, BTreeSet};

use emshop_proto::continuity::Continuity;
use emshop_proto::events::EventType;
use emshop_proto::v1::{Event, EventBatch, LogisticsStatus, OrderStatus, PaymentStatus, event};

use crate::model::{Stock, Wrong};

/// Tables of stock, orders, payments and parcels, made of events.
#[derive(Default)]
pub struct Consumer {
    continuity: Continuity,
    pub stock: BTreeMap<u64, Stock>,
    pub orders: BTreeMap<String, OrderStatus>,
    /// By order, with how much was given back.
    pub payments: BTreeMap<String, (PaymentStatus, i64)>,
    /// By order.
    pub parcels: BTreeMap<String, LogisticsStatus>,
    /// Users whom it is to forget.
    pub deleted: BTreeSet<u64>,
    /// What each event said, by log and number: it may come again, but not say something else.
    seen: BTreeMap<(u32, u64), u64>,
    /// The last event of each order and SKU: types overtake each other.
    last: BTreeMap<String, u64>,
}

impl Consumer {
    /// Takes the next message of the stream, or one that it had before.
    ///
    /// # Errors
    /// When events are missing, or one says something else than it did before.
    pub fn take(&mut self, batch: EventBatch) -> Result<(), Wrong> {
        let (log, kind) = (batch.log, batch.r#type.clone());
        for event in &batch.events {
            let hash = xxhash_rust::xxh3::xxh3_64(format!("{event:?}").as_bytes());
            let before = *self.seen.entry((log, event.number)).or_insert(hash);
            if before != hash {
                return Err(format!("event {} of log {log} was told twice, with different contents: {event:?}", event.number));
            }
        }
        let fresh = self.continuity.take(batch).map_err(|missed| format!("{kind} of log {log}: {missed:?}"))?;
        for event in fresh {
            self.note(&kind, event);
        }
        Ok(())
    }

    fn note(&mut self, kind: &str, Event { number, body, .. }: Event) {
        match body {
            Some(event::Body::Stock(level)) if self.is_newer(format!("stock {}", level.goods_id), number) => {
                let stock = Stock { available: level.available, reserved: level.reserved, sold: level.sold };
                self.stock.insert(level.goods_id, stock);
            }
            Some(event::Body::Order(order)) if self.is_newer(format!("order {}", order.order_id), number) => {
                let status = order.status();
                self.orders.insert(order.order_id, status);
            }
            Some(event::Body::Payment(payment)) if self.is_newer(format!("payment {}", payment.order_id), number) => {
                let refunded = payment.refunded.as_ref().map_or(0, |refunded| refunded.amount_minor);
                let status = payment.status();
                self.payments.insert(payment.order_id, (status, refunded));
            }
            Some(event::Body::Parcel(parcel)) if self.is_newer(format!("parcel {}", parcel.order_id), number) => {
                let status = parcel.status();
                self.parcels.insert(parcel.order_id, status);
            }
            Some(event::Body::UserChanged(user)) if kind == EventType::UserDeleted.name() => {
                self.deleted.insert(user.user_id);
            }
            _ => {}
        }
    }

    fn is_newer(&mut self, what: String, number: u64) -> bool {
        let last = self.last.entry(what).or_default();
        number > std::mem::replace(last, number.max(*last))
    }
}
