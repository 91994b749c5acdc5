//! What is printed of a message: a line of JSON for each event that is asked for.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use emshop_log::jetstream::Message as Stored;
use emshop_proto::continuity::Continuity;
use emshop_proto::events::EventType;
use emshop_proto::v1::event::Body;
use emshop_proto::v1::{Event, EventBatch};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, Value as Field};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::ConsumeFlags;
use crate::json::{BY_PROTO, MESSAGES};

#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
    sequence: u64,
    time: String,
    log: u32,
    r#type: &'a str,
    number: u64,
    log_sequence: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    traceparent: &'a str,
    #[serde(flatten)]
    body: Map<String, Value>,
}

/// Which events are printed, and how far those of each log and type are.
pub struct Lines<'a> {
    wanted: &'a [EventType],
    flags: &'a ConsumeFlags,
    from_ms: i64,
    continuity: Continuity,
    event: MessageDescriptor,
}

impl<'a> Lines<'a> {
    pub fn new(wanted: &'a [EventType], flags: &'a ConsumeFlags, from_ms: i64) -> Result<Self> {
        let event = MESSAGES.get_message_by_name("emshop.v1.Event").context("the descriptors have no event")?;
        Ok(Self { wanted, flags, from_ms, continuity: Continuity::default(), event })
    }

    /// Writes the events of a message that are asked for, each once.
    ///
    /// # Errors
    /// When the message has none, or nothing more can be written.
    pub fn write(&mut self, out: &mut impl Write, stream: &str, message: &Stored) -> Result<()> {
        let Stored { sequence, payload, .. } = message;
        let unreadable = || format!("message {sequence} of stream {stream} cannot be read: go on behind it (--from)");
        let batch = EventBatch::decode(payload.clone()).with_context(unreadable)?;
        let (log, r#type) = (batch.log, batch.r#type.clone());
        if !self.wanted.iter().any(|wanted| wanted.name() == r#type) {
            return Ok(());
        }
        for event in self.fresh(batch) {
            if !self.is_wanted(&event) {
                continue;
            }
            let (sequence, number, log_sequence) = (*sequence, event.number, event.log_sequence);
            let (time, body) = (time(event.at_ms), self.body(&event).with_context(unreadable)?);
            let traceparent = event.traceparent.as_str();
            let line = Line { stream, sequence, time, log, r#type: &r#type, number, log_sequence, traceparent, body };
            serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Those that have not come before. What an engine has published once more after a restart is there twice.
    fn fresh(&mut self, batch: EventBatch) -> Vec<Event> {
        let (log, r#type) = (batch.log, batch.r#type.clone());
        loop {
            match self.continuity.take(batch.clone()) {
                Ok(fresh) => return fresh,
                Err(missed) => {
                    tracing::warn!(log, r#type, "events between {} and {} are not there any more", missed.after, missed.up_to);
                    self.continuity.skip(log, &r#type, &missed);
                }
            }
        }
    }

    fn is_wanted(&self, event: &Event) -> bool {
        let ConsumeFlags { order, user, goods, .. } = self.flags;
        let Some(body) = &event.body else { return false };
        event.at_ms >= self.from_ms
            && order.as_deref().is_none_or(|order| order_of(body) == Some(order))
            && user.is_none_or(|user| user_of(body) == Some(user))
            && goods.is_none_or(|goods| is_of_goods(body, goods))
    }

    /// What changed, by its name.
    fn body(&self, event: &Event) -> Result<Map<String, Value>> {
        let event = DynamicMessage::decode(self.event.clone(), event.encode_to_vec().as_slice())?;
        let changed = event.fields().filter_map(|(field, value)| match value {
            Field::Message(changed) => Some((field.name().to_owned(), changed)),
            _ => None,
        });
        changed
            .map(|(name, changed)| Ok((name, changed.serialize_with_options(serde_json::value::Serializer, &BY_PROTO)?)))
            .collect()
    }
}

fn time(at_ms: i64) -> String {
    let since = Duration::from_millis(at_ms.try_into().unwrap_or_default());
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

fn order_of(body: &Body) -> Option<&str> {
    match body {
        Body::Order(order) => Some(&order.order_id),
        Body::Payment(payment) => Some(&payment.order_id),
        Body::Parcel(parcel) => Some(&parcel.order_id),
        Body::Stock(_) | Body::Goods(_) | Body::UserChanged(_) | Body::Access(_) => None,
    }
}

fn user_of(body: &Body) -> Option<u64> {
    match body {
        Body::Order(order) => Some(order.user_id),
        Body::Parcel(parcel) => Some(parcel.user_id),
        Body::UserChanged(user) => Some(user.user_id),
        Body::Access(access) => Some(access.user_id),
        Body::Payment(_) | Body::Stock(_) | Body::Goods(_) => None,
    }
}

fn is_of_goods(body: &Body, goods_id: u64) -> bool {
    match body {
        Body::Order(order) => order.lines.iter().any(|line| line.goods_id == goods_id),
        Body::Stock(stock) => stock.goods_id == goods_id,
        Body::Goods(goods) => goods.goods_id == goods_id,
        Body::Payment(_) | Body::Parcel(_) | Body::UserChanged(_) | Body::Access(_) => false,
    }
}
