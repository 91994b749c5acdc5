//! The rule that consumers of events keep: take every event once, and notice when one is missing. See docs/EVENTS.md.

use std::collections::HashMap;

use crate::v1::{Event, EventBatch};

/// The last number taken of each log and type. A service keeps it where it keeps what it made of the events, in one transaction.
#[derive(Debug, Default)]
pub struct Continuity {
    last: HashMap<(u32, String), Last>,
}

#[derive(Debug)]
struct Last {
    number: u64,
    epoch: u64,
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
    /// The events of a batch without those taken before. In another epoch, what was taken beyond `previous_number` has never happened.
    ///
    /// # Errors
    /// When events of this log and type are missing before it, or are lost, as it says itself. Then it goes on behind them.
    pub fn take(&mut self, batch: EventBatch) -> Result<Vec<Event>, Missed> {
        let EventBatch { log, r#type, previous_number, events, epoch, lost_through, .. } = batch;
        let last = self.last.entry((log, r#type)).or_insert(Last { number: previous_number, epoch });
        if std::mem::replace(&mut last.epoch, epoch) != epoch {
            last.number = last.number.min(previous_number);
        }
        let after = last.number;
        if previous_number > after {
            return Err(Missed { after, up_to: previous_number });
        }
        if lost_through > after {
            last.number = lost_through;
            return Err(Missed { after, up_to: lost_through });
        }
        let fresh: Vec<_> = events.into_iter().filter(|event| event.number > after).collect();
        // The highest, not the one that comes last: nobody promises that a batch which something else wrote ascends.
        last.number = fresh.iter().map(|event| event.number).fold(after, u64::max);
        Ok(fresh)
    }

    /// Goes on behind what is missing: nobody brings it any more, and whoever asks has been told.
    pub fn skip(&mut self, log: u32, r#type: &str, missed: &Missed) {
        if let Some(last) = self.last.get_mut(&(log, r#type.to_owned())) {
            last.number = last.number.max(missed.up_to);
        }
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
    fn another_epoch_takes_back_what_was_beyond_it() {
        let mut continuity = Continuity::default();
        let of_epoch = |epoch, batch| EventBatch { epoch, ..batch };
        assert_eq!(take(&mut continuity, of_epoch(1, batch(0, "order.paid", 0, &[1, 5, 9]))), Ok(vec![1, 5, 9]));
        assert_eq!(take(&mut continuity, of_epoch(2, batch(0, "order.paid", 5, &[8, 9]))), Ok(vec![8, 9]), "others than before");
        assert_eq!(take(&mut continuity, of_epoch(2, batch(0, "order.paid", 5, &[8, 9]))), Ok(vec![]));
    }

    #[test]
    fn what_is_lost_is_told_once() {
        let mut continuity = Continuity::default();
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 0, &[4])), Ok(vec![4]));
        let lost = EventBatch { lost_through: 7, ..batch(0, "order.paid", 4, &[]) };
        assert_eq!(take(&mut continuity, lost.clone()), Err(Missed { after: 4, up_to: 7 }));
        assert_eq!(take(&mut continuity, lost), Ok(vec![]));
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 7, &[8])), Ok(vec![8]));
    }

    #[test]
    fn missing_events_are_noticed() {
        let mut continuity = Continuity::default();
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 5, &[6])), Ok(vec![6]), "whoever comes late begins there");
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 9, &[10])), Err(Missed { after: 6, up_to: 9 }));
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 6, &[9, 10])), Ok(vec![9, 10]));
        let missed = take(&mut continuity, batch(0, "order.paid", 20, &[21])).expect_err("11 to 20");
        continuity.skip(0, "order.paid", &missed);
        assert_eq!(take(&mut continuity, batch(0, "order.paid", 20, &[21])), Ok(vec![21]));
    }
}
