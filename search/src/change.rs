//! What events say of goods.

use emshop_proto::events::EventType;
use emshop_proto::v1::{Event, EventBatch, Goods, event};
use prost::Message;

/// What a goods entry has become.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub goods_id: u64,
    /// Of the event. Grows within a log, and so for an entry, which lives in one; but not along the stream, which groups events by type.
    pub number: u64,
    /// `None` when it was deleted.
    pub goods: Option<Goods>,
}

/// Why a message says nothing that can be relied on.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Unreadable {
    #[error("it is no batch of events: {0}")]
    Batch(#[from] prost::DecodeError),
    #[error("event {0} of type {1} names no goods")]
    Event(u64, String),
}

/// The changes in a message of the stream. Types of events that this release does not know change no entry.
pub fn decode(payload: &[u8]) -> Result<Vec<Change>, Unreadable> {
    let batch = EventBatch::decode(payload)?;
    let is_deleted = batch.r#type == EventType::GoodsDeleted.name();
    let is_known =
        is_deleted || [EventType::GoodsCreated, EventType::GoodsChanged].iter().any(|known| batch.r#type == known.name());
    if !is_known {
        return Ok(Vec::new());
    }
    let change = |event: Event| match event.body {
        Some(event::Body::Goods(goods)) if goods.goods_id > 0 => {
            Ok(Change { goods_id: goods.goods_id, number: event.number, goods: (!is_deleted).then_some(*goods) })
        }
        _ => Err(Unreadable::Event(event.number, batch.r#type.clone())),
    };
    batch.events.into_iter().map(change).collect()
}
