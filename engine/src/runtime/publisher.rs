//! Brings groups of events to the streams that downstream services consume. The engine's thread has encoded them; here their bytes are put
//! together to messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use emshop_core::events::{EventRun, RUN_BYTES_MAX};
use emshop_log::jetstream::Pulse;
use emshop_proto::events::EventType;
use emshop_proto::subjects::{self, Epoch};
use emshop_proto::trace::{TRACEPARENT, Trace};
use emshop_proto::v1::EventBatch;
use futures::future::try_join_all;
use prost::Message as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::shell::EngineError;
use crate::shell::relay::{Group, LastBatch, NotNext, NotPublished, Places};

/// The last batch of each type that the streams have of log `log`.
///
/// # Errors
/// When they do not tell.
pub async fn last_batches(context: &Context, log: u32) -> Result<BTreeMap<EventType, LastBatch>, EngineError> {
    let mut batches = BTreeMap::new();
    for event_type in EventType::ALL {
        let last = last_batch(context, log, *event_type).await.map_err(EngineError::Nats)?;
        batches.extend(last.map(|last| (*event_type, last)));
    }
    Ok(batches)
}

/// `None` when the stream never had one.
async fn last_batch(context: &Context, log: u32, event_type: EventType) -> Result<Option<LastBatch>, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let stream = context.get_stream(subjects::stream_of(event_type)).await.map_err(|error| text(&error))?;
    match stream.get_last_raw_message_by_subject(&subjects::event(event_type.name(), log)).await {
        Ok(message) => {
            let batch = EventBatch::decode(message.payload).map_err(|error| text(&error))?;
            Ok(Some(LastBatch { place: message.sequence, batch: Some(batch) }))
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
            let has_dropped = stream.cached_info().state.first_sequence > 1;
            Ok(has_dropped.then_some(LastBatch { place: 0, batch: None }))
        }
        Err(error) => Err(text(&error)),
    }
}

/// A group, and behind what it is to be published.
type Job = (Arc<Group>, Places);

/// What came of a group.
pub struct Published {
    pub group: Arc<Group>,
    pub took: Duration,
    pub result: Result<Places, NotPublished>,
}

impl Published {
    /// How many events it has.
    pub fn events(&self) -> u64 {
        self.group.through - self.group.after
    }
}

/// Where groups are handed in. The task behind it ends when this is dropped.
pub struct Publisher {
    jobs: UnboundedSender<Job>,
}

impl Publisher {
    /// `published` hears what came of each group.
    pub fn start(context: Context, epoch: Epoch, log: u32, pulse: Pulse, published: impl Fn(Published) + Send + 'static) -> Self {
        let (jobs, receiver) = unbounded_channel();
        tokio::spawn(run(context, epoch, log, pulse, receiver, published));
        Self { jobs }
    }

    pub fn publish(&self, group: Arc<Group>, behind: Places) {
        self.jobs.send((group, behind)).expect("the publisher runs as long as the engine");
    }
}

async fn run(
    context: Context,
    epoch: Epoch,
    log: u32,
    pulse: Pulse,
    mut jobs: UnboundedReceiver<Job>,
    published: impl Fn(Published),
) {
    while let Some((group, behind)) = jobs.recv().await {
        let began = Instant::now();
        let result = publish_all(&context, epoch, &pulse, log, messages(log, epoch, &group), &behind).await;
        if let Err(NotPublished::Unknown(error)) = &result {
            tracing::warn!(event = "events.not_acknowledged", log, %error, "events are not acknowledged, publishing them again");
        }
        published(Published { took: began.elapsed(), group, result });
    }
}

/// Types side by side, and of each type one batch behind the other: a connection that ends in between leaves no gap, and what is still
/// on its way then gets in nowhere else.
async fn publish_all(
    context: &Context,
    epoch: Epoch,
    pulse: &Pulse,
    log: u32,
    messages: Vec<Message>,
    behind: &Places,
) -> Result<Places, NotPublished> {
    let mut by_type: BTreeMap<EventType, Vec<Message>> = BTreeMap::new();
    for message in messages {
        by_type.entry(message.event_type).or_default().push(message);
    }
    let chain = |(event_type, messages): (EventType, Vec<Message>)| async move {
        let place = behind.get(&event_type).copied().unwrap_or(0);
        Ok((event_type, publish_chain(context, epoch, pulse, messages, place).await?))
    };
    let chains = try_join_all(by_type.into_iter().map(chain)).await?;
    let mut not_next = NotNext::default();
    for (event_type, place) in chains {
        match place {
            Some(place) => drop(not_next.places.insert(event_type, place)),
            None => {
                let found = last_batch(context, log, event_type).await.map_err(NotPublished::Unknown)?;
                not_next.last.insert(event_type, found);
            }
        }
    }
    if not_next.last.is_empty() { Ok(not_next.places) } else { Err(NotPublished::NotNext(not_next)) }
}

/// Publishes batches of one type, the first one behind a place, and tells where the last one is; `None` when one did not get behind the one
/// before it.
async fn publish_chain(
    context: &Context,
    epoch: Epoch,
    pulse: &Pulse,
    messages: Vec<Message>,
    behind: u64,
) -> Result<Option<u64>, NotPublished> {
    let unknown = |error: PublishError| NotPublished::Unknown(error.to_string());
    let mut place = behind;
    for Message { event_type, subject, payload, trace } in messages {
        let mut publish = PublishMessage::build().payload(payload).expected_last_subject_sequence(place);
        if let Some(trace) = trace {
            publish = publish.header(TRACEPARENT, trace.to_text().as_str());
        }
        let acknowledgement = context.send_publish(epoch.publishing(&subject), publish).await.map_err(unknown)?;
        let stored = acknowledgement.await;
        tell(pulse, event_type, stored.as_ref().err());
        match stored {
            Ok(stored) => place = stored.sequence,
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => return Ok(None),
            Err(error) => return Err(unknown(error)),
        }
    }
    Ok(Some(place))
}

/// A stream that refuses is one that works.
fn tell(pulse: &Pulse, event_type: EventType, error: Option<&PublishError>) {
    let stream = subjects::stream_of(event_type);
    match error.map(PublishError::kind) {
        Some(PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe) => pulse.unanswered(stream),
        _ => pulse.answered(stream),
    }
}

/// A batch as it is published.
pub struct Message {
    pub event_type: EventType,
    /// In its stream.
    pub subject: String,
    /// An `EventBatch`.
    pub payload: Bytes,
    /// Of the first event that is traced, for those who know no more than headers; each event says its own.
    pub trace: Option<Trace>,
}

/// One message per type, or several where one would be too large.
pub fn messages(log: u32, epoch: Epoch, group: &Group) -> Vec<Message> {
    let mut open: BTreeMap<EventType, EventRun> = BTreeMap::new();
    let mut full = Vec::new();
    for run in &group.runs {
        match open.get_mut(&run.event_type) {
            Some(batch) if batch.bytes.len() + run.bytes.len() <= RUN_BYTES_MAX => {
                batch.bytes.extend_from_slice(&run.bytes);
                batch.traces.extend_from_slice(&run.traces);
            }
            Some(batch) => full.push(std::mem::replace(batch, run.clone())),
            None => drop(open.insert(run.event_type, run.clone())),
        }
    }
    full.extend(open.into_values());
    full.into_iter().map(|run| message(log, epoch, group, run)).collect()
}

/// A batch. What it says of itself stands behind its events, since in protobuf fields come in any order.
fn message(log: u32, epoch: Epoch, group: &Group, run: EventRun) -> Message {
    let EventRun { event_type, previous_number, mut bytes, traces, .. } = run;
    let trace = traces.first().map(|(trace, _)| *trace);
    let Group { after, through, cause, .. } = *group;
    let r#type = event_type.name().to_owned();
    let (cause, epoch) = (Some(cause), epoch.0);
    let head =
        EventBatch { log, r#type, previous_number, complete_through: after, through, cause, epoch, ..EventBatch::default() };
    head.encode(&mut bytes).expect("a vector grows");
    Message { event_type, subject: subjects::event(event_type.name(), log), payload: bytes.into(), trace }
}

#[cfg(test)]
mod tests {
    use emshop_core::events::{BATCH_BYTES_MAX, Events};
    use emshop_proto::internal::LogRow;
    use emshop_proto::v1::{LogMark, StockLevel, event};

    use super::*;

    /// The events of turns, as the engine's thread makes them.
    fn turns(types: &[&[EventType]]) -> Vec<Vec<EventRun>> {
        let (mut events, mut log) = (Events::default(), LogRow::default());
        let mut turn = |types: &&[EventType]| {
            for event_type in *types {
                events.push(*event_type, event::Body::Stock(StockLevel { goods_id: u64::MAX, ..StockLevel::default() }), None);
            }
            events.end_turn(&mut log)
        };
        types.iter().map(&mut turn).collect()
    }

    fn group(after: u64, runs: Vec<EventRun>) -> Group {
        Group { after, through: u64::MAX, cause: LogMark::default(), runs }
    }

    fn decoded(messages: &[Message]) -> Vec<EventBatch> {
        let batch = |message: &Message| {
            let batch = EventBatch::decode(message.payload.clone()).expect("a batch");
            assert_eq!(message.subject, subjects::event(&batch.r#type, batch.log));
            batch
        };
        messages.iter().map(batch).collect()
    }

    #[test]
    fn batches_chain_within_a_type() {
        use EventType::{OrderSubmitted as Order, StockChanged as Stock};
        let turns = turns(&[&[Order, Stock, Order], &[Order, Order], &[Stock, Order]]);
        let batches = decoded(&messages(2, Epoch(9), &group(3, turns[1..].concat())));
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
        let turns = turns(&[[EventType::StockChanged; 900].as_slice(); 20]);
        let messages = messages(u32::MAX, Epoch(u64::MAX), &group(u64::MAX, turns.concat()));
        assert!(messages.len() > 1);
        assert!(messages.iter().all(|message| message.payload.len() <= BATCH_BYTES_MAX));
        let batches = decoded(&messages);
        assert_eq!(batches.iter().map(|batch| batch.events.len()).sum::<usize>(), 18_000);
        let chained = batches.windows(2).all(|pair| pair[1].previous_number == pair[0].events.last().unwrap().number);
        assert!(chained, "the batches of a type follow on each other");
    }
}
