//! The rule that consumers of events keep: take every event once, and notice when one is missing. See docs/EVENTS.md.

use std::collections::HashMap;

use crate::v1::{Event, EventBatch};

/// The last number taken of each log and type. A service keeps it where it keeps what it made of the events, in one transaction.
#[derive(Debug, Default)]
pub struct Continuity {
    last: HashMap<(u32, String), u64>,
}

/// Events that the stream no longer had when we came for them.
#[derive(Debug, PartialEq, Eq)]
pub struct Missed {
    /// Number of the last event that was taken.
    pub after: u64,
    /// Number of the last one that is missing.
    pub up_to: u64,
}

impl Continuity {
    /// The events of a batch without those taken before.
    ///
    /// # Errors
    /// When events of this log and type are missing before it.
    pub fn take(&mut self, batch: EventBatch) -> Result<Vec<Event>, Missed> {
        let last = self.last.entry((batch.log, batch.r#type)).or_insert(batch.previous_number);
        if batch.previous_number > *last {
            return Err(Missed { after: *last, up_to: batch.previous_number });
        }
        let fresh: Vec<_> = batch.events.into_iter().filter(|event| event.number > *last).collect();
        // The highest, not the one that comes last: nobody promises that a batch which something else wrote ascends.
        *last = fresh.iter().map(|event| event.number).fold(*last, u64::max);
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(log: u32, kind: &str, previous_number: u64, numbers: &[u64]) -> EventBatch {
        let events = numbers.iter().map(|number| Event { number: *number, ..Event::default() }).collect();
        EventBatch { log, r#type: kind.to_owned(), previous_number, events, ..EventBatch::default() }
    }

    fn take(continuity: &mut Continuity, batch: EventBatch) -> Result<Vec<u64>, Missed> {
        continuity.take(batch).map(|events| events.iter().map(|event| event.number).collect())
    }

    #[test]
    fn each_event_is_taken_once() {
        let mut continuity = Continuity::default();
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 0, &[1, 3])), Ok(vec![1, 3]));
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 0, &[1, 3])), Ok(vec![]), "the same message again");
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 1, &[3, 7])), Ok(vec![7]), "sent again in another batch");
        assert_eq!(take(&mut continuity, batch(0, "order.closed", 0, &[2])), Ok(vec![2]), "types overtake each other");
        assert_eq!(take(&mut continuity, batch(1, "order.paid", 0, &[1])), Ok(vec![1]), "logs count by themselves");
        assert_eq!(take(&mut continuity, batch(2, "order.paid", 0, &[9, 5])), Ok(vec![9, 5]), "one that does not ascend");
        assert_eq!(take(&mut continuity, batch(2, "order.paid", 0, &[9, 5])), Ok(vec![]), "nor is it taken twice");
    }

    #[test]
    fn missing_events_are_noticed() {
        let mut continuity = Continuity::default();
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 5, &[6])), Ok(vec![6]), "whoever comes late begins there");
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 9, &[10])), Err(Missed { after: 6, up_to: 9 }));
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 6, &[9, 10])), Ok(vec![9, 10]));
    }
}
