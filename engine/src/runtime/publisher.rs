//! Brings groups of events to the streams that downstream services consume. The engine's thread has encoded them; here their bytes are put
//! together to messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use emshop_core::events::{EventRun, RUN_BYTES_MAX};
use emshop_proto::events::EventType;
use emshop_proto::subjects;
use emshop_proto::v1::EventBatch;
use futures::future::try_join_all;
use prost::Message as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::shell::relay::Group;

/// Messages looked at from the end of the stream on, to find the last one of this log.
const LOOK_BACK_MESSAGES_MAX: u64 = 10_000;

/// Up to which event of `log` the streams are known to be complete; 0 when they do not tell. The last message in one of them tells: the group
/// before it was in both of them by then. What the other one would tell beyond is published again, and dropped by consumers.
pub async fn last_complete(context: &Context, log: u32) -> Result<u64, jetstream::context::GetStreamError> {
    let stream = context.get_stream(subjects::EVENT_STREAM).await?;
    let state = &stream.cached_info().state;
    let first = state.first_sequence.max(state.last_sequence.saturating_sub(LOOK_BACK_MESSAGES_MAX)).max(1);
    for sequence in (first..=state.last_sequence).rev() {
        let Ok(message) = stream.get_raw_message(sequence).await else { continue };
        match EventBatch::decode(message.payload) {
            Ok(batch) if batch.log == log => return Ok(batch.complete_through),
            _ => {}
        }
    }
    Ok(0)
}

/// Where groups are handed in. The task behind it ends when this is dropped.
pub struct Publisher {
    groups: UnboundedSender<Arc<Group>>,
}

impl Publisher {
    /// `published` hears what came of each group, by the number of its last event.
    pub fn start(context: Context, log: u32, published: impl Fn(u64, Result<(), String>) + Send + 'static) -> Self {
        let (groups, receiver) = unbounded_channel();
        tokio::spawn(run(context, log, receiver, published));
        Self { groups }
    }

    pub fn publish(&self, group: Arc<Group>) {
        self.groups.send(group).expect("the publisher runs as long as the engine");
    }
}

async fn run(context: Context, log: u32, mut groups: UnboundedReceiver<Arc<Group>>, published: impl Fn(u64, Result<(), String>)) {
    while let Some(group) = groups.recv().await {
        let result = publish_all(&context, messages(log, &group)).await;
        if let Err(error) = &result {
            tracing::warn!(log, %error, "events are not acknowledged, publishing them again");
        }
        published(group.through, result.map_err(|error| error.to_string()));
    }
}

async fn publish_all(context: &Context, messages: Vec<(String, Bytes)>) -> Result<(), jetstream::context::PublishError> {
    let mut acknowledgements = Vec::with_capacity(messages.len());
    for (subject, payload) in messages {
        acknowledgements.push(context.publish(subject, payload).await?.into_future());
    }
    try_join_all(acknowledgements).await.map(|_| ())
}

/// One message per type, or several where one would be too large.
pub fn messages(log: u32, group: &Group) -> Vec<(String, Bytes)> {
    let mut open: BTreeMap<EventType, EventRun> = BTreeMap::new();
    let mut full = Vec::new();
    for run in &group.runs {
        match open.get_mut(&run.event_type) {
            Some(batch) if batch.bytes.len() + run.bytes.len() <= RUN_BYTES_MAX => batch.bytes.extend_from_slice(&run.bytes),
            Some(batch) => full.push(std::mem::replace(batch, run.clone())),
            None => drop(open.insert(run.event_type, run.clone())),
        }
    }
    full.extend(open.into_values());
    full.into_iter().map(|run| message(log, group.after, run)).collect()
}

/// Subject and payload of a batch. What it says of itself stands behind its events, since in protobuf fields come in any order.
fn message(log: u32, complete_through: u64, run: EventRun) -> (String, Bytes) {
    let EventRun { event_type, previous_number, mut bytes, .. } = run;
    let r#type = event_type.name().to_owned();
    let head = EventBatch { log, r#type, previous_number, events: Vec::new(), complete_through };
    head.encode(&mut bytes).expect("a vector grows");
    (subjects::event(event_type.name()), bytes.into())
}

#[cfg(test)]
mod tests {
    use emshop_core::events::Events;
    use emshop_proto::envelope::ENVELOPE_BYTES_MAX;
    use emshop_proto::internal::LogRow;
    use emshop_proto::v1::{StockLevel, event};

    use super::*;

    /// The events of turns, as the engine's thread makes them.
    fn turns(types: &[&[EventType]]) -> Vec<Vec<EventRun>> {
        let (mut events, mut log) = (Events::default(), LogRow::default());
        let mut turn = |types: &&[EventType]| {
            for event_type in *types {
                events.push(*event_type, event::Body::Stock(StockLevel { goods_id: u64::MAX, ..StockLevel::default() }));
            }
            events.end_turn(&mut log)
        };
        types.iter().map(&mut turn).collect()
    }

    fn group(after: u64, runs: Vec<EventRun>) -> Group {
        Group { after, through: u64::MAX, runs }
    }

    fn decoded(messages: &[(String, Bytes)]) -> Vec<EventBatch> {
        let batch = |(subject, payload): &(String, Bytes)| {
            let batch = EventBatch::decode(payload.clone()).expect("a batch");
            assert_eq!(*subject, subjects::event(&batch.r#type));
            batch
        };
        messages.iter().map(batch).collect()
    }

    #[test]
    fn batches_chain_within_a_type() {
        use EventType::{OrderSubmitted as Order, StockChanged as Stock};
        let turns = turns(&[&[Order, Stock, Order], &[Order, Order], &[Stock, Order]]);
        let batches = decoded(&messages(2, &group(3, turns[1..].concat())));
        let seen: Vec<_> = batches
            .iter()
            .map(|batch| {
                let numbers: Vec<_> = batch.events.iter().map(|event| event.number).collect();
                (batch.log, batch.r#type.as_str(), batch.previous_number, numbers, batch.complete_through)
            })
            .collect();
        assert_eq!(seen, [(2, "order.submitted", 3, vec![4, 5, 7], 3), (2, "stock.changed", 2, vec![6], 3)]);
    }

    #[test]
    fn a_batch_fits_in_a_message() {
        let turns = turns(&[[EventType::StockChanged; 900].as_slice(); 10]);
        let messages = messages(u32::MAX, &group(u64::MAX, turns.concat()));
        assert!(messages.len() > 1);
        assert!(messages.iter().all(|(_, payload)| payload.len() <= ENVELOPE_BYTES_MAX));
        let batches = decoded(&messages);
        assert_eq!(batches.iter().map(|batch| batch.events.len()).sum::<usize>(), 9_000);
        let chained = batches.windows(2).all(|pair| pair[1].previous_number == pair[0].events.last().unwrap().number);
        assert!(chained, "the batches of a type follow on each other");
    }
}
