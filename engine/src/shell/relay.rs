//! Which events are published when: in groups of whole turns, one group after the other, each behind what the streams had before.
//!
//! The streams take a batch only behind the one that was the last of its type. So what an engine still sends that another one has relieved
//! does not get in, and streams that lost something are noticed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use emshop_core::events::EventRun;
use emshop_proto::events::EventType;
use emshop_proto::subjects::{self, ACCESS_AGE_MAX, ACCESS_STREAM};
use emshop_proto::v1::{EventBatch, LogMark};

use super::Now;
use super::start::{BrokenHistory, Witness};

/// Events that are published as one group, about, since turns stay whole; what comes meanwhile makes the next one.
const GROUP_EVENTS: u64 = 16_384;
/// Events that may be unpublished before the engine takes no further entries.
const BEHIND_MAX: u64 = 200_000;
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// So far the clock that streams go by may be from that of a log.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What is published together: the events of whole turns, so that what is complete ends with a turn. A replay makes all events of a turn
/// anew, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Number of the event before the first one.
    pub after: u64,
    /// Number of the last event.
    pub through: u64,
    /// The entry of the log that made it.
    pub cause: LogMark,
    /// The events. Those of one type in order.
    pub runs: Vec<EventRun>,
}

/// The last batch of a type that the streams have of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct LastBatch {
    /// Where it stands in its stream; 0 when there is none.
    pub place: u64,
    /// `None` when there is none, because the stream has dropped it.
    pub batch: Option<EventBatch>,
}

impl LastBatch {
    /// Its last event, there or lost, if it is known.
    pub fn last_event(&self) -> Option<LastEvent> {
        let lost = |batch: &EventBatch| LastEvent { number: batch.lost_through, at_ms: 0 };
        let last = |batch: &EventBatch| batch.events.last().map(|event| LastEvent { number: event.number, at_ms: event.at_ms });
        self.batch.as_ref().map(|batch| last(batch).unwrap_or_else(|| lost(batch)))
    }
}

/// The last event of a type that was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastEvent {
    /// 0 when there is none.
    pub number: u64,
    /// When it was made, in log time, if the type is one whose events are kept for a time.
    pub at_ms: i64,
}

/// Where the last batch of each type stands in its stream.
pub type Places = BTreeMap<EventType, u64>;

/// What there is where a group did not get in as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotNext {
    /// Where that of each type is now that got in.
    pub places: Places,
    /// The last batch of each type that did not; `None` where there is none.
    pub last: BTreeMap<EventType, Option<LastBatch>>,
}

/// Why a group is not known to be in the streams. Some of it may be.
#[derive(Clone, Debug, PartialEq)]
pub enum NotPublished {
    /// Not all was acknowledged.
    Unknown(String),
    /// The last batches of some types are others than those before the group; those of the others got in.
    NotNext(NotNext),
}

/// The events of a log on their way to its streams.
pub struct Relay {
    log: u32,
    /// Where the last batch of each type stands.
    places: Places,
    /// The last event of each type that is in its stream. What is there already must not come behind it again: the last batch of a
    /// type tells how far its log was.
    there: BTreeMap<EventType, LastEvent>,
    /// Which entries made the events that are not known to be published: the number of the last event of each, and the entry.
    causes: VecDeque<(u64, LogMark)>,
    /// Number of the last event that is in its stream, as all before it are.
    published: u64,
    /// Number of the last event that was handed in.
    last: u64,
    /// Events of turns that are in no group yet, each with the entry that made them.
    turns: VecDeque<(Vec<EventRun>, LogMark)>,
    under_way: Option<Arc<Group>>,
    /// When the group under way is to be published again.
    again_at: Option<Duration>,
}

impl Relay {
    /// A relay of a log whose events up to `published` are in their streams, and what these end with.
    pub fn new(log: u32, published: u64, last: &BTreeMap<EventType, LastBatch>) -> Self {
        Self {
            log,
            places: last.iter().map(|(event_type, last)| (*event_type, last.place)).collect(),
            there: last.iter().filter_map(|(event_type, last)| Some((*event_type, last.last_event()?))).collect(),
            causes: VecDeque::new(),
            published,
            last: published,
            turns: VecDeque::new(),
            under_way: None,
            again_at: None,
        }
    }

    /// Number of the last event that is in its stream, as all before it are.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Events that are not known to be in their streams.
    pub fn waiting(&self) -> u64 {
        self.last - self.published
    }

    /// Whether downstream has to catch up before more events are made.
    pub fn is_behind(&self) -> bool {
        self.waiting() > BEHIND_MAX
    }

    /// The last try to publish failed.
    pub fn is_failing(&self) -> bool {
        self.again_at.is_some()
    }

    /// Takes the events of the turn of an entry; those that were published before, as a replay makes them again, are dropped.
    pub fn push(&mut self, turn: Vec<EventRun>, cause: LogMark) {
        let last_number = last_number(&turn);
        if last_number > self.last {
            self.last = last_number;
            self.causes.push_back((last_number, cause));
            self.turns.push_back((turn, cause));
        }
    }

    /// The group that is to be published now, if one is, and behind what.
    pub fn next(&mut self, now: Now) -> Option<(Arc<Group>, Places)> {
        if let Some(group) = &self.under_way {
            self.again_at.take_if(|at| *at <= now.elapsed)?;
            return Some((Arc::clone(group), self.places_of(group)));
        }
        loop {
            let (runs, cause) = self.turns.pop_front()?;
            let mut group = Group { after: self.published, through: last_number(&runs), cause, runs };
            while group.through - group.after < GROUP_EVENTS
                && let Some((turn, cause)) = self.turns.pop_front()
            {
                (group.through, group.cause) = (last_number(&turn), cause);
                group.runs.extend(turn);
            }
            if self.send(group) {
                let group = self.under_way.clone()?;
                let places = self.places_of(&group);
                return Some((group, places));
            }
        }
    }

    /// Puts a group under way, but for what is in the streams already. `false` when that is all of it.
    fn send(&mut self, mut group: Group) -> bool {
        group.runs.retain(|run| self.there.get(&run.event_type).is_none_or(|there| there.number < run.last_number));
        if group.runs.is_empty() {
            self.complete(group.through);
            return false;
        }
        self.under_way = Some(Arc::new(group));
        true
    }

    /// All events up to `through` are in their streams.
    fn complete(&mut self, through: u64) {
        self.under_way = None;
        self.again_at = None;
        self.published = through;
        while self.causes.pop_front_if(|(number, _)| *number <= through).is_some() {}
    }

    fn places_of(&self, group: &Group) -> Places {
        let place = |run: &EventRun| (run.event_type, self.places.get(&run.event_type).copied().unwrap_or(0));
        group.runs.iter().map(place).collect()
    }

    /// The group up to `through` is in its streams, where it ends at these places.
    pub fn acknowledged(&mut self, through: u64, places: Places) {
        if let Some(group) = self.under_way.take_if(|group| group.through == through) {
            self.there.extend(group.runs.iter().map(last_event));
            self.places.extend(places);
            self.complete(through);
        }
    }

    /// The group up to `through` did not get in: the streams end with other batches than those before it. What they have of it already is left
    /// out when it is sent again. Gives the entries that made these
    /// and that this engine has not come to yet: it must find the same ones.
    ///
    /// # Errors
    /// When events are missing that were published before, or what is there instead is of another history.
    pub fn not_next(
        &mut self,
        through: u64,
        NotNext { places, last }: NotNext,
        time_ms: i64,
        now: Now,
    ) -> Result<Vec<LogMark>, BrokenHistory> {
        let Some(group) = self.under_way.clone().filter(|group| group.through == through) else { return Ok(Vec::new()) };
        let mut causes = Vec::new();
        let got_in = group.runs.iter().filter(|run| places.contains_key(&run.event_type));
        self.there.extend(got_in.map(last_event));
        self.places.extend(places);
        for (event_type, last) in last {
            let number = group.runs.iter().find(|run| run.event_type == event_type).map_or(0, |run| run.previous_number);
            let at_ms = self.there.get(&event_type).map_or(0, |there| there.at_ms);
            check_published(self.log, event_type, LastEvent { number, at_ms }, last.as_ref(), time_ms)?;
            causes.extend(last.as_ref().and_then(|last| last.batch.as_ref()?.cause));
            self.there.extend(last.as_ref().and_then(|last| Some((event_type, last.last_event()?))));
            self.places.insert(event_type, last.map_or(0, |last| last.place));
        }
        for cause in &causes {
            let another = |(_, known): &&(u64, LogMark)| known.sequence == cause.sequence && known.identity != cause.identity;
            if self.causes.iter().any(|known| another(&known)) {
                let (log, sequence) = (self.log, cause.sequence);
                return Err(BrokenHistory::Another { log, sequence, witness: Witness::Events });
            }
        }
        if self.send(Group::clone(&group)) {
            self.again_at = Some(now.elapsed);
        }
        Ok(causes)
    }

    /// Some of the group up to `through` may be missing. What is published again is dropped by consumers, by its numbers.
    pub fn failed(&mut self, through: u64, now: Now) {
        if self.under_way.as_ref().is_some_and(|group| group.through == through) {
            self.again_at = Some(now.elapsed + RETRY_INTERVAL);
        }
    }
}

/// The streams must have the events of a type up to the last one that was published, unless they have dropped them by now.
///
/// # Errors
/// When they do not.
pub fn check_published(
    log: u32,
    event_type: EventType,
    published: LastEvent,
    last: Option<&LastBatch>,
    time_ms: i64,
) -> Result<(), BrokenHistory> {
    let found = last.map(LastBatch::last_event);
    let is_there = match found {
        Some(Some(found)) => found.number >= published.number,
        Some(None) => may_be_dropped(event_type, published.at_ms, time_ms),
        None => false,
    };
    if is_there || published.number == 0 {
        return Ok(());
    }
    let (found, published) = (found.flatten().map_or(0, |found| found.number), published.number);
    Err(BrokenHistory::LostEvents { log, event_type: event_type.name(), found, published })
}

/// Whether nothing need be left of a type in its stream, though its last event was made at `at_ms` and something was there once. A stream
/// that is full drops anything; that of what revokes tokens only what is old, so that none is believed again which it revokes.
pub fn may_be_dropped(event_type: EventType, at_ms: i64, time_ms: i64) -> bool {
    let there_ms = (ACCESS_AGE_MAX - CLOCKS_DIFFER_MAX).as_millis() as i64;
    subjects::stream_of(event_type) != ACCESS_STREAM || time_ms.saturating_sub(at_ms) > there_ms
}

fn last_event(run: &EventRun) -> (EventType, LastEvent) {
    (run.event_type, LastEvent { number: run.last_number, at_ms: run.at_ms })
}

fn last_number(turn: &[EventRun]) -> u64 {
    turn.iter().map(|run| run.last_number).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::Event;

    use super::*;

    fn at(elapsed_ms: u64) -> Now {
        Now { elapsed: Duration::from_millis(elapsed_ms), wall_ms: 0 }
    }

    fn relay(published: u64) -> Relay {
        Relay::new(2, published, &BTreeMap::new())
    }

    /// The events of a turn, the last of which has this number, behind others.
    fn turn_after(previous_number: u64, last_number: u64) -> Vec<EventRun> {
        vec![EventRun {
            event_type: EventType::StockChanged,
            previous_number,
            last_number,
            at_ms: 0,
            bytes: Vec::new(),
            traces: Vec::new(),
        }]
    }

    fn turn(last_number: u64) -> Vec<EventRun> {
        turn_after(0, last_number)
    }

    fn cause(sequence: u64) -> LogMark {
        LogMark { sequence, identity: 100 + sequence }
    }

    /// The last batch of stock: where it is, its last event, and what made that.
    fn last(place: u64, number: u64, cause: LogMark) -> NotNext {
        let events = vec![Event { number, ..Event::default() }];
        let batch = Some(EventBatch { events, cause: Some(cause), ..EventBatch::default() });
        not_next(Some(LastBatch { place, batch }))
    }

    fn not_next(last: Option<LastBatch>) -> NotNext {
        NotNext { last: BTreeMap::from([(EventType::StockChanged, last)]), ..NotNext::default() }
    }

    fn places(place: u64) -> Places {
        Places::from([(EventType::StockChanged, place)])
    }

    #[test]
    fn groups_are_whole_turns_one_after_the_other() {
        let mut relay = relay(1);
        for turn in [vec![], turn(10_001), turn(16_001), turn(22_001), turn(62_001), turn(62_006), turn(62_007)] {
            relay.push(turn, LogMark::default());
        }
        let mut seen = Vec::new();
        while let Some((group, behind)) = relay.next(at(0)) {
            assert_eq!(relay.next(at(99_999)), None, "one at a time");
            assert_eq!(group.runs.last().map(|run| run.last_number), Some(group.through));
            seen.push((group.after, group.through, behind));
            relay.acknowledged(group.through, places(group.through));
        }
        assert_eq!(seen, [(1, 22_001, places(0)), (22_001, 62_001, places(22_001)), (62_001, 62_007, places(62_001))]);
        assert_eq!(relay.published(), 62_007);
    }

    #[test]
    fn what_a_replay_makes_again_is_dropped() {
        let mut relay = relay(10);
        [turn(5), turn(10), turn(12)].into_iter().for_each(|turn| relay.push(turn, LogMark::default()));
        let (group, _) = relay.next(at(0)).expect("a group");
        assert_eq!((group.after, group.through, group.runs.len()), (10, 12, 1));
    }

    #[test]
    fn a_group_that_failed_comes_again_as_it_was() {
        let mut relay = relay(0);
        relay.push(turn(3), LogMark::default());
        let first = relay.next(at(0)).expect("a group");
        relay.push(turn(5), LogMark::default());
        relay.failed(3, at(100));
        assert!(relay.is_failing() && relay.next(at(349)).is_none());
        assert_eq!(relay.next(at(350)), Some(first));
        assert_eq!((relay.is_failing(), relay.next(at(99_999))), (false, None), "it is under way again");
        relay.acknowledged(2, places(1));
        assert_eq!(relay.published(), 0, "that was not the group");
        relay.acknowledged(3, places(1));
        relay.acknowledged(3, places(1));
        assert_eq!((relay.published(), relay.next(at(0)).map(|(group, _)| group.through)), (3, Some(5)));
    }

    #[test]
    fn what_is_there_already_does_not_come_again() {
        let group = || {
            let mut relay = relay(6);
            relay.push(turn_after(6, 9), cause(3));
            assert_eq!(relay.next(at(0)).map(|(_, behind)| behind), Some(places(0)));
            relay
        };
        let mut own = group();
        assert_eq!(own.not_next(9, last(40, 9, cause(3)), 0, at(0)), Ok(vec![cause(3)]), "its own, published before");
        assert_eq!((own.published(), own.next(at(0))), (9, None));
        let mut late = group();
        assert_eq!(late.not_next(9, last(50, 99, cause(77)), 0, at(0)), Ok(vec![cause(77)]), "of an engine that was ahead");
        late.push(turn_after(9, 99), cause(77));
        late.push(turn_after(99, 120), cause(80));
        let (next, behind) = late.next(at(0)).expect("a group");
        assert_eq!((next.after, next.through, next.runs.len(), behind), (9, 120, 1, places(50)));
        let mut earlier = group();
        assert_eq!(earlier.not_next(9, last(30, 6, cause(2)), 0, at(0)), Ok(vec![cause(2)]), "it was not known where");
        assert_eq!(earlier.next(at(0)).map(|(group, behind)| (group.through, behind)), Some((9, places(30))));
    }

    #[test]
    fn a_start_goes_on_behind_what_the_streams_have() {
        let batch = |number| LastBatch {
            place: 70,
            batch: Some(EventBatch { events: vec![Event { number, ..Event::default() }], ..EventBatch::default() }),
        };
        let mut relay = Relay::new(2, 6, &BTreeMap::from([(EventType::StockChanged, batch(9))]));
        relay.push(turn_after(6, 9), cause(3));
        assert_eq!((relay.next(at(0)), relay.published()), (None, 9));
        relay.push(turn_after(9, 11), cause(4));
        assert_eq!(relay.next(at(0)).map(|(group, behind)| (group.after, group.through, behind)), Some((9, 11, places(70))));
    }

    /// Otherwise two types could get in by turns, one behind the other, for ever.
    #[test]
    fn what_got_in_of_a_group_is_known_where_it_is() {
        let mut relay = relay(0);
        let runs = [EventType::OrderPaid, EventType::StockChanged];
        let run = |event_type| EventRun {
            event_type,
            previous_number: 0,
            last_number: 2,
            at_ms: 0,
            bytes: Vec::new(),
            traces: Vec::new(),
        };
        relay.push(runs.map(run).to_vec(), cause(1));
        relay.next(at(0)).expect("a group");
        let there = NotNext { places: Places::from([(EventType::OrderPaid, 30)]), ..last(20, 1, cause(1)) };
        relay.not_next(2, there, 0, at(0)).expect("it is of the same history");
        let (_, behind) = relay.next(at(0)).expect("the group again");
        assert_eq!(behind, places(20), "the other type is there");
    }

    #[test]
    fn events_that_are_missing_or_of_another_history_are_noticed() {
        let group = || {
            let mut relay = relay(6);
            relay.push(turn_after(6, 9), cause(3));
            relay.next(at(0)).expect("a group");
            relay
        };
        let event_type = EventType::StockChanged.name();
        let lost = |found| Err(BrokenHistory::LostEvents { log: 2, event_type, found, published: 6 });
        assert_eq!(group().not_next(9, last(40, 5, cause(2)), 0, at(0)), lost(5));
        assert_eq!(group().not_next(9, not_next(None), 0, at(0)), lost(0));
        let dropped = not_next(Some(LastBatch { place: 0, batch: None }));
        assert_eq!(group().not_next(9, dropped, 0, at(0)), Ok(vec![]), "the stream was full");
        let other = LogMark { sequence: 3, identity: 7 };
        let another = BrokenHistory::Another { log: 2, sequence: 3, witness: Witness::Events };
        assert_eq!(group().not_next(9, last(40, 9, other), 0, at(0)), Err(another));
    }

    /// Tokens that were revoked would be believed again.
    #[test]
    fn what_revokes_tokens_is_dropped_when_it_is_old_and_lost_before() {
        const HOUR_MS: i64 = 60 * 60 * 1000;
        let event_type = EventType::AccessChanged;
        let run = |previous_number, last_number, at_ms| EventRun {
            event_type,
            previous_number,
            last_number,
            at_ms,
            bytes: Vec::new(),
            traces: Vec::new(),
        };
        let nothing =
            || NotNext { last: BTreeMap::from([(event_type, Some(LastBatch { place: 0, batch: None }))]), ..NotNext::default() };
        let lost = BrokenHistory::LostEvents { log: 2, event_type: event_type.name(), found: 0, published: 9 };
        // Published by this engine, or by one before it.
        let own = || {
            let mut relay = relay(6);
            relay.push(vec![run(6, 9, 0)], cause(3));
            relay.next(at(0)).expect("a group");
            relay.acknowledged(9, Places::from([(event_type, 40)]));
            relay
        };
        let before = || {
            let events = vec![Event { number: 9, at_ms: 0, ..Event::default() }];
            let batch = Some(EventBatch { events, ..EventBatch::default() });
            Relay::new(2, 9, &BTreeMap::from([(event_type, LastBatch { place: 40, batch })]))
        };
        for mut relay in [own(), before()] {
            relay.push(vec![run(9, 12, 47 * HOUR_MS)], cause(4));
            relay.next(at(0)).expect("a group");
            assert_eq!(relay.not_next(12, nothing(), 48 * HOUR_MS, at(0)), Err(lost.clone()));
            assert_eq!(relay.not_next(12, nothing(), 48 * HOUR_MS + 1, at(0)), Ok(vec![]));
            assert_eq!(relay.next(at(0)).map(|(_, behind)| behind), Some(Places::from([(event_type, 0)])));
        }
        let start = |at_ms, last: Option<LastBatch>| {
            check_published(2, event_type, LastEvent { number: 9, at_ms }, last.as_ref(), 72 * HOUR_MS)
        };
        let dropped = || Some(LastBatch { place: 0, batch: None });
        assert_eq!([start(24 * HOUR_MS, dropped()), start(24 * HOUR_MS - 1, dropped())], [Err(lost.clone()), Ok(())]);
        assert_eq!(start(0, None), Err(lost), "a stream that never had anything drops nothing");
    }

    #[test]
    fn far_behind_it_wants_no_more() {
        let mut relay = relay(7);
        relay.push(turn(7 + BEHIND_MAX), LogMark::default());
        assert!(!relay.is_behind());
        relay.push(turn(8 + BEHIND_MAX), LogMark::default());
        assert!(relay.is_behind());
        let (group, _) = relay.next(at(0)).expect("a group");
        relay.acknowledged(group.through, places(1));
        assert!(!relay.is_behind());
    }
}
