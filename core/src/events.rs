//! Events of a turn: numbered when they come about, and encoded at once, as they stand in the batch that downstream services get.

use emshop_proto::events::EventType;
use emshop_proto::internal::LogRow;
use emshop_proto::subjects::{self, ACCESS_STREAM};
use emshop_proto::trace::Trace;
use emshop_proto::v1::{Event, event};
use prost::encoding;

/// Field number of `EventBatch.events`.
const EVENTS_FIELD: u32 = 4;
/// What a batch says of itself besides its events: at most seven fields.
const BATCH_HEAD_BYTES_MAX: usize = 128;
/// Most bytes of a batch, unless a single event is larger. The batches of a type get into their stream one behind the other, so they are few.
pub const BATCH_BYTES_MAX: usize = 192 * 1024;
/// Most bytes of the events in one.
pub const RUN_BYTES_MAX: usize = BATCH_BYTES_MAX - BATCH_HEAD_BYTES_MAX;

/// A place for each type, by its number.
const PLACES: usize = EventType::ALL[EventType::ALL.len() - 1] as usize + 1;

/// Events of one type from one turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRun {
    /// Of all of them.
    pub event_type: EventType,
    /// Number of the event of the same type before the first one here; 0 when there is none.
    pub previous_number: u64,
    /// Number of the last event here.
    pub last_number: u64,
    /// When they came about, in log time.
    pub at_ms: i64,
    /// The field `events` of an `EventBatch`, once for each event.
    pub bytes: Vec<u8>,
    /// Of those that are traced, the span that each is published by, with the number of the span above it.
    pub traces: Vec<(Trace, u64)>,
}

/// Takes the events of one turn after the other.
#[derive(Default)]
pub struct Events {
    /// Number of the last event, and of the last one of each type.
    last_number: u64,
    last_of_type: [u64; PLACES],
    /// Of the turn.
    log_sequence: u64,
    at_ms: i64,
    open: [Option<EventRun>; PLACES],
    /// Runs that would have become too large.
    full: Vec<EventRun>,
    /// How long the last run of each type was: the next one is likely to be.
    usual_bytes: [usize; PLACES],
}

impl Events {
    /// Goes on after the last events of a log.
    pub fn after(log: &LogRow) -> Self {
        let mut last_of_type = [0; PLACES];
        for event_type in EventType::ALL {
            last_of_type[*event_type as usize] = log.events_by_type.get(&(*event_type as u32)).copied().unwrap_or(0);
        }
        Self { last_number: log.events, last_of_type, ..Self::default() }
    }

    /// What comes now is of this turn.
    pub fn begin_turn(&mut self, log_sequence: u64, at_ms: i64) {
        (self.log_sequence, self.at_ms) = (log_sequence, at_ms);
    }

    /// Gives an event its number, and writes it down. `cause`: the span of what made it.
    pub fn push(&mut self, event_type: EventType, body: event::Body, cause: Option<Trace>) {
        self.last_number += 1;
        let number = self.last_number;
        let place = event_type as usize;
        let previous_number = std::mem::replace(&mut self.last_of_type[place], number);
        let run = self.open[place].get_or_insert_with(|| {
            let bytes = Vec::with_capacity(self.usual_bytes[place] + BATCH_HEAD_BYTES_MAX);
            EventRun { event_type, previous_number, last_number: number, at_ms: self.at_ms, bytes, traces: Vec::new() }
        });
        let end = run.bytes.len();
        let trace = cause.map(|cause| (cause.child(number), cause.span_id));
        let traceparent = trace.map_or_else(String::new, |(trace, _)| trace.to_text());
        let event = Event { number, log_sequence: self.log_sequence, at_ms: self.at_ms, traceparent, body: Some(body) };
        encoding::message::encode(EVENTS_FIELD, &event, &mut run.bytes);
        if run.bytes.len() > RUN_BYTES_MAX && end > 0 {
            let bytes = run.bytes.split_off(end);
            let next =
                EventRun { event_type, previous_number, last_number: number, at_ms: self.at_ms, bytes, traces: Vec::new() };
            self.full.push(std::mem::replace(run, next));
        }
        run.last_number = number;
        run.traces.extend(trace);
    }

    /// Ends the turn: its runs, those of one type in order. The log's row says how far they go.
    pub fn end_turn(&mut self, log: &mut LogRow) -> Vec<EventRun> {
        let mut runs = std::mem::take(&mut self.full);
        for run in self.open.iter_mut().filter_map(Option::take) {
            self.usual_bytes[run.event_type as usize] = run.bytes.len();
            log.events_by_type.insert(run.event_type as u32, run.last_number);
            if subjects::stream_of(run.event_type) == ACCESS_STREAM {
                log.access_at_ms = run.at_ms;
            }
            runs.push(run);
        }
        log.events = self.last_number;
        runs
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::{EventBatch, LogMark, StockLevel};
    use prost::Message;

    use super::*;

    fn push(events: &mut Events, event_type: EventType) {
        events.push(event_type, event::Body::Stock(StockLevel { goods_id: u64::MAX, ..StockLevel::default() }), None);
    }

    /// (previous number, numbers) of a run.
    fn numbers(run: &EventRun) -> (u64, Vec<u64>) {
        let batch = EventBatch::decode(run.bytes.as_slice()).expect("a run is the middle of a batch");
        (run.previous_number, batch.events.iter().map(|event| event.number).collect())
    }

    #[test]
    fn runs_chain_within_a_type_over_turns_and_restarts() {
        use EventType::{OrderSubmitted as Order, StockChanged as Stock};
        let (mut events, mut log) = (Events::default(), LogRow::default());
        let mut turn = |events: &mut Events, types: &[EventType]| {
            types.iter().for_each(|event_type| push(events, *event_type));
            let runs = events.end_turn(&mut log);
            (runs.iter().map(|run| (run.event_type, numbers(run))).collect::<Vec<_>>(), log.clone())
        };
        let (first, _) = turn(&mut events, &[Stock, Order, Order, Stock]);
        assert_eq!(first, [(Order, (0, vec![2, 3])), (Stock, (0, vec![1, 4]))]);
        let (second, log_then) = turn(&mut events, &[Order]);
        assert_eq!(second, [(Order, (3, vec![5]))]);
        assert_eq!(turn(&mut events, &[]).0, []);
        let third = turn(&mut events, &[Stock, Order]);
        assert_eq!(third.0, [(Order, (5, vec![7])), (Stock, (4, vec![6]))]);
        assert_eq!(turn(&mut Events::after(&log_then), &[Stock, Order]), third);
    }

    #[test]
    fn a_log_knows_when_tokens_were_revoked_last() {
        let (mut events, mut log) = (Events::default(), LogRow::default());
        let mut turn = |at_ms, event_type| {
            events.begin_turn(1, at_ms);
            push(&mut events, event_type);
            let runs = events.end_turn(&mut log);
            (runs[0].at_ms, log.access_at_ms)
        };
        let told = [(5, EventType::StockChanged), (7, EventType::AccessChanged), (9, EventType::UserRegistered)];
        assert_eq!(told.map(|(at_ms, event_type)| turn(at_ms, event_type)), [(5, 0), (7, 7), (9, 7)]);
    }

    #[test]
    fn a_run_fits_in_a_message_and_the_next_one_goes_on() {
        let (mut events, mut log) = (Events::default(), LogRow::default());
        events.begin_turn(u64::MAX, i64::MAX);
        (0..30_000).for_each(|_| push(&mut events, EventType::StockChanged));
        let runs = events.end_turn(&mut log);
        assert!(runs.len() > 1);
        let mut last = 0;
        for run in runs {
            assert!(run.bytes.len() <= RUN_BYTES_MAX);
            let (previous_number, numbers) = numbers(&run);
            assert_eq!((previous_number, numbers[0], numbers.last()), (last, last + 1, Some(&run.last_number)));
            last = run.last_number;
        }
        assert_eq!((last, log.events), (30_000, 30_000));
    }

    #[test]
    fn the_head_of_a_batch_leaves_room_for_a_run() {
        for event_type in EventType::ALL {
            let head = EventBatch {
                log: u32::MAX,
                r#type: event_type.name().to_owned(),
                previous_number: u64::MAX,
                events: Vec::new(),
                complete_through: u64::MAX,
                through: u64::MAX,
                cause: Some(LogMark { sequence: u64::MAX, identity: u64::MAX }),
                epoch: u64::MAX,
                lost_through: 0,
            };
            assert!(head.encoded_len() <= BATCH_HEAD_BYTES_MAX, "{}", event_type.name());
        }
    }
}
