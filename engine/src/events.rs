//! The relay: brings numbered events to the streams that downstream services consume, each at least once and in order within its type.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use emshop_proto::envelope::ENVELOPE_BYTES_MAX;
use emshop_proto::events::EventType;
use emshop_proto::subjects;
use emshop_proto::v1::EventBatch;
use futures::future::try_join_all;
use prost::Message as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use emshop_core::replica::NumberedEvent;

/// Events that are published as one group; what comes meanwhile makes the next one.
const GROUP_EVENTS_MAX: usize = 16_384;

/// Messages looked at from the end of the stream on, to find the last one of this log.
const LOOK_BACK_MESSAGES_MAX: u64 = 10_000;

const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Hands events to the relay, and tells how far they are published.
pub struct Relay {
    pub events: UnboundedSender<Vec<NumberedEvent>>,
    /// Number of the last event that is in its stream, as all before it are.
    pub published: watch::Receiver<u64>,
}

impl Relay {
    /// Starts the relay of log `log`. `checkpointed` is the last event of the checkpoint that the engine starts from: all up to it were
    /// published before it was written.
    pub async fn start(context: Context, log: u32, checkpointed: u64) -> Result<Self, jetstream::context::GetStreamError> {
        let complete = last_complete(&context, log).await?.max(checkpointed);
        let (events, receiver) = unbounded_channel();
        let (sender, published) = watch::channel(complete);
        tokio::spawn(run(context, log, receiver, sender));
        Ok(Self { events, published })
    }
}

/// Up to which event of `log` the streams are known to be complete. The last message in one of them tells: the group before it was in both of
/// them by then. What the other one would tell beyond is published again, and dropped by consumers.
async fn last_complete(context: &Context, log: u32) -> Result<u64, jetstream::context::GetStreamError> {
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

async fn run(context: Context, log: u32, mut receiver: UnboundedReceiver<Vec<NumberedEvent>>, published: watch::Sender<u64>) {
    let mut turns = Vec::new();
    while receiver.recv_many(&mut turns, 64).await > 0 {
        let mut complete = *published.borrow();
        let fresh = turns.drain(..).flatten().filter(|event| event.event.number > complete);
        let mut group: Vec<_> = fresh.collect();
        while let Some(last) = group.get(group.len().min(GROUP_EVENTS_MAX).wrapping_sub(1)).map(|event| event.event.number) {
            let rest = group.split_off(group.len().min(GROUP_EVENTS_MAX));
            if !publish_group(&context, log, complete, group, &receiver).await {
                return;
            }
            complete = last;
            published.send_replace(complete);
            group = rest;
        }
    }
}

/// Publishes a group until all of it is acknowledged. A repeat of what was stored before is dropped by consumers, by its numbers.
/// `false` when that does not succeed and the engine has ended: a replay makes these events again.
async fn publish_group(
    context: &Context,
    log: u32,
    complete_through: u64,
    group: Vec<NumberedEvent>,
    engine: &UnboundedReceiver<Vec<NumberedEvent>>,
) -> bool {
    let messages: Vec<_> = batches(log, complete_through, group)
        .into_iter()
        .map(|batch| (subjects::event(&batch.r#type), bytes::Bytes::from(batch.encode_to_vec())))
        .collect();
    loop {
        match publish_all(context, &messages).await {
            Ok(()) => return true,
            Err(_) if engine.is_closed() => return false,
            Err(error) => {
                tracing::warn!(log, %error, "events are not acknowledged, publishing them again");
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

async fn publish_all(context: &Context, messages: &[(String, bytes::Bytes)]) -> Result<(), jetstream::context::PublishError> {
    let mut acknowledgements = Vec::with_capacity(messages.len());
    for (subject, payload) in messages {
        acknowledgements.push(context.publish(subject.clone(), payload.clone()).await?.into_future());
    }
    try_join_all(acknowledgements).await.map(|_| ())
}

/// One message per type, or several where one would be too large.
fn batches(log: u32, complete_through: u64, group: Vec<NumberedEvent>) -> Vec<EventBatch> {
    let mut open: BTreeMap<EventType, (usize, EventBatch)> = BTreeMap::new();
    let mut full = Vec::new();
    for NumberedEvent { event_type, previous_number, event } in group {
        let bytes = event.encoded_len() + 4;
        if open.get(&event_type).is_some_and(|(size, _)| size + bytes > ENVELOPE_BYTES_MAX) {
            full.extend(open.remove(&event_type).map(|(_, batch)| batch));
        }
        let (size, batch) = open.entry(event_type).or_insert_with(|| {
            let r#type = event_type.name().to_owned();
            (0, EventBatch { log, r#type, previous_number, events: Vec::new(), complete_through })
        });
        *size += bytes;
        batch.events.push(event);
    }
    full.extend(open.into_values().map(|(_, batch)| batch));
    full
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::Event;

    use super::*;

    fn numbered(event_type: EventType, previous_number: u64, number: u64) -> NumberedEvent {
        NumberedEvent { event_type, previous_number, event: Event { number, ..Event::default() } }
    }

    #[test]
    fn batches_chain_within_a_type() {
        use EventType::{OrderSubmitted as Order, StockChanged as Stock};
        let group = vec![numbered(Order, 3, 5), numbered(Order, 5, 6), numbered(Stock, 4, 7), numbered(Order, 6, 8)];
        let batches = batches(2, 4, group);
        let seen: Vec<_> = batches
            .iter()
            .map(|batch| {
                let numbers: Vec<_> = batch.events.iter().map(|event| event.number).collect();
                (batch.r#type.as_str(), batch.previous_number, numbers, batch.complete_through)
            })
            .collect();
        assert_eq!(seen, [("order.submitted", 3, vec![5, 6, 8], 4), ("stock.changed", 4, vec![7], 4)]);
    }

    #[test]
    fn a_batch_fits_in_a_message() {
        let group = (1..=9_000).map(|number| {
            let mut event = numbered(EventType::OrderSubmitted, number - 1, number);
            event.event.at_ms = i64::MAX;
            event
        });
        let batches = batches(0, 0, group.collect());
        assert!(batches.len() > 1);
        assert!(batches.iter().all(|batch| batch.encoded_len() <= ENVELOPE_BYTES_MAX + 64));
        let chained = batches.windows(2).all(|pair| pair[1].previous_number == pair[0].events.last().unwrap().number);
        assert!(chained, "the batches of a type follow on each other");
    }
}
