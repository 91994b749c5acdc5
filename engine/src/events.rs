//! The relay: brings numbered events to the streams that downstream services consume, each at least once and in order within its type. The
//! engine's thread has encoded them; here their bytes are put together to messages.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use emshop_core::events::{EventRun, RUN_BYTES_MAX};
use emshop_proto::events::EventType;
use emshop_proto::subjects;
use emshop_proto::v1::EventBatch;
use futures::future::try_join_all;
use prost::Message as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

/// Events that are published as one group, about, since turns stay whole; what comes meanwhile makes the next one.
const GROUP_EVENTS: u64 = 16_384;

/// Turns taken from the engine at once.
const TURNS_MAX: usize = 64;

/// Messages looked at from the end of the stream on, to find the last one of this log.
const LOOK_BACK_MESSAGES_MAX: u64 = 10_000;

const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// The events of one turn, which has some.
type TurnEvents = Vec<EventRun>;

/// Hands events to the relay, and tells how far they are published.
pub struct Relay {
    turns: UnboundedSender<TurnEvents>,
    /// Number of the last event that is in its stream, as all before it are.
    pub published: watch::Receiver<u64>,
}

impl Relay {
    /// Starts the relay of log `log`. `checkpointed` is the last event of the checkpoint that the engine starts from: all up to it were
    /// published before it was written.
    pub async fn start(context: Context, log: u32, checkpointed: u64) -> Result<Self, jetstream::context::GetStreamError> {
        let complete = last_complete(&context, log).await?.max(checkpointed);
        let (turns, receiver) = unbounded_channel();
        let (sender, published) = watch::channel(complete);
        tokio::spawn(run(context, log, receiver, sender));
        Ok(Self { turns, published })
    }

    pub fn publish(&self, events: TurnEvents) {
        if !events.is_empty() {
            self.turns.send(events).expect("the relay runs as long as the engine");
        }
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

async fn run(context: Context, log: u32, mut receiver: UnboundedReceiver<TurnEvents>, published: watch::Sender<u64>) {
    let mut turns = Vec::new();
    while receiver.recv_many(&mut turns, TURNS_MAX).await > 0 {
        let complete = *published.borrow();
        let fresh = turns.drain(..).filter(|turn| last_number(turn) > complete);
        for group in groups(complete, fresh) {
            let messages = messages(log, group.after, group.runs);
            if !publish_until_acknowledged(&context, log, &messages, &receiver).await {
                return;
            }
            published.send_replace(group.last_number);
        }
    }
}

/// What is published together.
struct Group {
    /// Number of the event before it.
    after: u64,
    last_number: u64,
    runs: Vec<EventRun>,
}

/// Whole turns, so that what is complete ends with a turn: a replay makes all of its events anew, or none of them.
fn groups(complete: u64, turns: impl Iterator<Item = TurnEvents>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut after = complete;
    for runs in turns {
        let last_number = last_number(&runs);
        match groups.last_mut().filter(|group| after - group.after < GROUP_EVENTS) {
            Some(group) => {
                group.last_number = last_number;
                group.runs.extend(runs);
            }
            None => groups.push(Group { after, last_number, runs }),
        }
        after = last_number;
    }
    groups
}

fn last_number(turn: &TurnEvents) -> u64 {
    turn.iter().map(|run| run.last_number).max().unwrap_or(0)
}

/// Publishes messages until all of them are acknowledged. A repeat of what was stored before is dropped by consumers, by its numbers.
/// `false` when that does not succeed and the engine has ended: a replay makes these events again.
async fn publish_until_acknowledged(
    context: &Context,
    log: u32,
    messages: &[(String, bytes::Bytes)],
    engine: &UnboundedReceiver<TurnEvents>,
) -> bool {
    loop {
        match publish_all(context, messages).await {
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
fn messages(log: u32, complete_through: u64, runs: Vec<EventRun>) -> Vec<(String, bytes::Bytes)> {
    let mut open: BTreeMap<EventType, EventRun> = BTreeMap::new();
    let mut full = Vec::new();
    for run in runs {
        match open.get_mut(&run.event_type) {
            Some(batch) if batch.bytes.len() + run.bytes.len() <= RUN_BYTES_MAX => batch.bytes.extend(run.bytes),
            Some(batch) => full.push(std::mem::replace(batch, run)),
            None => drop(open.insert(run.event_type, run)),
        }
    }
    full.extend(open.into_values());
    full.into_iter().map(|run| message(log, complete_through, run)).collect()
}

/// Subject and payload of a batch. What it says of itself stands behind its events, since in protobuf fields come in any order.
fn message(log: u32, complete_through: u64, run: EventRun) -> (String, bytes::Bytes) {
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
    fn turns(types: &[&[EventType]]) -> Vec<TurnEvents> {
        let (mut events, mut log) = (Events::default(), LogRow::default());
        let mut turn = |types: &&[EventType]| {
            for event_type in *types {
                events.push(*event_type, event::Body::Stock(StockLevel { goods_id: u64::MAX, ..StockLevel::default() }));
            }
            events.end_turn(&mut log)
        };
        types.iter().map(&mut turn).collect()
    }

    fn decoded(messages: &[(String, bytes::Bytes)]) -> Vec<EventBatch> {
        let batch = |(subject, payload): &(String, bytes::Bytes)| {
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
        let batches = decoded(&messages(2, 3, turns[1..].concat()));
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
        let messages = messages(u32::MAX, u64::MAX, turns.concat());
        assert!(messages.len() > 1);
        assert!(messages.iter().all(|(_, payload)| payload.len() <= ENVELOPE_BYTES_MAX));
        let batches = decoded(&messages);
        assert_eq!(batches.iter().map(|batch| batch.events.len()).sum::<usize>(), 9_000);
        let chained = batches.windows(2).all(|pair| pair[1].previous_number == pair[0].events.last().unwrap().number);
        assert!(chained, "the batches of a type follow on each other");
    }

    #[test]
    fn groups_are_whole_turns() {
        let turn = |events: usize| vec![EventType::StockChanged; events];
        let lengths = [1, 10_000, 6_000, 6_000, 40_000, 5, 1].map(turn);
        let turns = turns(&lengths.each_ref().map(Vec::as_slice));
        let groups = groups(1, turns.into_iter().skip(1));
        assert_eq!(groups.iter().map(|group| group.last_number).collect::<Vec<_>>(), [22_001, 62_001, 62_007]);
        assert!(groups.iter().all(|group| group.runs.last().is_some_and(|run| run.last_number == group.last_number)));
    }
}
