//! What may leave the log: envelopes well below the durable sequence, and old ones below it, since they say who somebody was.

use std::time::Duration;

use emshop_core::planted::{self, Bug};
use emshop_log::MESSAGE_BYTES_MAX;

use super::Now;

/// Envelopes that stay in the log below the durable sequence, for people who want to look at them; fewer when they would fill more than
/// this part of the log.
const KEPT_ENVELOPES: u64 = 10_000;
const KEPT_PART: u64 = 4;
const INTERVAL: Duration = Duration::from_secs(10);
/// Sooner when so large a part of the log was applied since the last time.
const WORTH_PART: u64 = 8;

/// Trims a log once in a while.
pub struct Trim {
    kept_envelopes: u64,
    bytes_worth: u64,
    /// Of the entries applied since the last time.
    bytes: u64,
    last: Duration,
    /// What was durable the last time.
    durable_sequence: u64,
}

impl Trim {
    /// Of a log that may grow to so many bytes. If each envelope that stays were full, they leave room for new ones.
    pub fn new(log_bytes_max: u64, now: Now) -> Self {
        let kept_envelopes = KEPT_ENVELOPES.min(log_bytes_max / KEPT_PART / MESSAGE_BYTES_MAX as u64);
        Self { kept_envelopes, bytes_worth: log_bytes_max / WORTH_PART, bytes: 0, last: now.elapsed, durable_sequence: 0 }
    }

    /// An entry of so many bytes was applied.
    pub fn applied(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The log is full: it is to be trimmed as soon as there is anything to drop.
    pub fn hurry(&mut self) {
        self.bytes = u64::MAX;
    }

    /// The sequence below which the log is to be trimmed now, if it is. What is before the sequence that `young` tells is too old
    /// to be kept.
    pub fn due(&mut self, durable_sequence: u64, young: impl FnOnce() -> u64, now: Now) -> Option<u64> {
        let is_urgent = self.bytes > self.bytes_worth && durable_sequence > self.durable_sequence;
        if !is_urgent && now.elapsed - self.last < INTERVAL {
            return None;
        }
        (self.bytes, self.last, self.durable_sequence) = (0, now.elapsed, durable_sequence);
        if planted::is(Bug::TrimmedOneTooFar) {
            return Some(durable_sequence + 2);
        }
        // The entry that was applied last stays: a start looks for it.
        let old = young().min(durable_sequence);
        Some((durable_sequence + 1).saturating_sub(self.kept_envelopes).max(old)).filter(|below| *below > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_a_log_leaves_room_in_it() {
        let kept = |log_bytes_max| Trim::new(log_bytes_max, Now::default()).kept_envelopes;
        assert_eq!([8 << 30, 256 << 20, 1 << 20].map(kept), [10_000, 1_024, 4]);
    }

    #[test]
    fn trimming_stays_behind_what_is_durable() {
        let mut trim = Trim::new(1 << 20, Now::default());
        let mut due = |durable, seconds| trim.due(durable, || 0, Now { elapsed: Duration::from_secs(seconds), wall_ms: 0 });
        assert_eq!([due(100, 9), due(100, 10), due(200, 11), due(5, 30), due(6, 50)], [None, Some(97), None, Some(2), Some(3)]);
    }

    #[test]
    fn what_is_old_goes_but_for_the_entry_applied_last() {
        let mut trim = Trim::new(8 << 30, Now::default());
        let mut due =
            |durable, young, seconds| trim.due(durable, || young, Now { elapsed: Duration::from_secs(seconds), wall_ms: 0 });
        let trimmed = [due(50, 1, 10), due(50, 20, 20), due(50, 51, 30), due(50, 90, 40), due(20_000, 20, 50)];
        assert_eq!(trimmed, [None, Some(20), Some(50), Some(50), Some(10_001)]);
    }

    #[test]
    fn a_part_of_a_small_log_is_trimmed_at_once_when_it_is_durable() {
        let mut trim = Trim::new(1 << 20, Now::default());
        let now = Now { elapsed: Duration::from_secs(1), wall_ms: 0 };
        trim.applied(128 << 10);
        assert_eq!(trim.due(100, || 0, now), None);
        trim.applied(1);
        assert_eq!([trim.due(100, || 0, now), trim.due(200, || 0, now)], [Some(97), None]);
        trim.hurry();
        assert_eq!(
            [trim.due(100, || 0, now), trim.due(101, || 0, now), trim.due(102, || 0, now)],
            [None, Some(98), None],
            "not while nothing is to drop"
        );
    }
}
