//! Which events are published when: each at least once, in groups of whole turns, one group after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use emshop_core::events::EventRun;

use super::Now;

/// Events that are published as one group, about, since turns stay whole; what comes meanwhile makes the next one.
const GROUP_EVENTS: u64 = 16_384;
/// Events that may be unpublished before the engine takes no further entries.
const BEHIND_MAX: u64 = 200_000;
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// What is published together: the events of whole turns, so that what is complete ends with a turn. A replay makes all events of a turn
/// anew, or none.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Number of the event before the first one.
    pub after: u64,
    /// Number of the last event.
    pub through: u64,
    /// The events. Those of one type in order.
    pub runs: Vec<EventRun>,
}

/// The events of a log on their way to its streams.
pub struct Relay {
    /// Number of the last event that is in its stream, as all before it are.
    published: u64,
    /// Number of the last event that was handed in.
    last: u64,
    /// Events of turns that are in no group yet.
    turns: VecDeque<Vec<EventRun>>,
    under_way: Option<Arc<Group>>,
    /// When the group under way is to be published again.
    again_at: Option<Duration>,
}

impl Relay {
    /// A relay of a log whose events up to `published` are in their streams.
    pub fn new(published: u64) -> Self {
        Self { published, last: published, turns: VecDeque::new(), under_way: None, again_at: None }
    }

    /// Number of the last event that is in its stream, as all before it are.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Whether downstream has to catch up before more events are made.
    pub fn is_behind(&self) -> bool {
        self.last - self.published > BEHIND_MAX
    }

    /// The last try to publish failed.
    pub fn is_failing(&self) -> bool {
        self.again_at.is_some()
    }

    /// Takes the events of a turn; those that were published before, as a replay makes them again, are dropped.
    pub fn push(&mut self, turn: Vec<EventRun>) {
        let last_number = last_number(&turn);
        if last_number > self.last {
            self.last = last_number;
            self.turns.push_back(turn);
        }
    }

    /// The group that is to be published now, if one is.
    pub fn next(&mut self, now: Now) -> Option<Arc<Group>> {
        if self.under_way.is_some() {
            self.again_at.take_if(|at| *at <= now.elapsed)?;
            return self.under_way.clone();
        }
        let mut through = self.published;
        let mut runs = Vec::new();
        while through - self.published < GROUP_EVENTS
            && let Some(turn) = self.turns.pop_front()
        {
            through = last_number(&turn);
            runs.extend(turn);
        }
        if runs.is_empty() {
            return None;
        }
        self.under_way = Some(Arc::new(Group { after: self.published, through, runs }));
        self.under_way.clone()
    }

    /// The group up to `through` is in its streams.
    pub fn acknowledged(&mut self, through: u64) {
        if self.under_way.take_if(|group| group.through == through).is_some() {
            self.published = through;
            self.again_at = None;
        }
    }

    /// Some of the group up to `through` may be missing. What is published again is dropped by consumers, by its numbers.
    pub fn failed(&mut self, through: u64, now: Now) {
        if self.under_way.as_ref().is_some_and(|group| group.through == through) {
            self.again_at = Some(now.elapsed + RETRY_INTERVAL);
        }
    }
}

fn last_number(turn: &[EventRun]) -> u64 {
    turn.iter().map(|run| run.last_number).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use emshop_proto::events::EventType;

    use super::*;

    fn at(elapsed_ms: u64) -> Now {
        Now { elapsed: Duration::from_millis(elapsed_ms), wall_ms: 0 }
    }

    /// The events of a turn, the last of which has this number.
    fn turn(last_number: u64) -> Vec<EventRun> {
        vec![EventRun { event_type: EventType::StockChanged, previous_number: 0, last_number, bytes: Vec::new() }]
    }

    #[test]
    fn groups_are_whole_turns_one_after_the_other() {
        let mut relay = Relay::new(1);
        for turn in [vec![], turn(10_001), turn(16_001), turn(22_001), turn(62_001), turn(62_006), turn(62_007)] {
            relay.push(turn);
        }
        let mut seen = Vec::new();
        while let Some(group) = relay.next(at(0)) {
            assert_eq!(relay.next(at(99_999)), None, "one at a time");
            assert_eq!(group.runs.last().map(|run| run.last_number), Some(group.through));
            seen.push((group.after, group.through));
            relay.acknowledged(group.through);
        }
        assert_eq!(seen, [(1, 22_001), (22_001, 62_001), (62_001, 62_007)]);
        assert_eq!(relay.published(), 62_007);
    }

    #[test]
    fn what_a_replay_makes_again_is_dropped() {
        let mut relay = Relay::new(10);
        [turn(5), turn(10), turn(12)].into_iter().for_each(|turn| relay.push(turn));
        let group = relay.next(at(0)).expect("a group");
        assert_eq!((group.after, group.through, group.runs.len()), (10, 12, 1));
    }

    #[test]
    fn a_group_that_failed_comes_again_as_it_was() {
        let mut relay = Relay::new(0);
        relay.push(turn(3));
        let first = relay.next(at(0)).expect("a group");
        relay.push(turn(5));
        relay.failed(3, at(100));
        assert!(relay.is_failing() && relay.next(at(349)).is_none());
        assert_eq!(relay.next(at(350)), Some(first));
        assert_eq!((relay.is_failing(), relay.next(at(99_999))), (false, None), "it is under way again");
        relay.acknowledged(2);
        assert_eq!(relay.published(), 0, "that was not the group");
        relay.acknowledged(3);
        relay.acknowledged(3);
        assert_eq!((relay.published(), relay.next(at(0)).map(|group| group.through)), (3, Some(5)));
    }

    #[test]
    fn far_behind_it_wants_no_more() {
        let mut relay = Relay::new(7);
        relay.push(turn(7 + BEHIND_MAX));
        assert!(!relay.is_behind());
        relay.push(turn(8 + BEHIND_MAX));
        assert!(relay.is_behind());
        let group = relay.next(at(0)).expect("a group");
        relay.acknowledged(group.through);
        assert!(!relay.is_behind());
    }
}
