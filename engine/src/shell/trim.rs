//! What may leave the log: envelopes well below the durable sequence.

use std::time::Duration;

use emshop_core::planted::{self, Bug};
use emshop_proto::envelope::ENVELOPE_BYTES_MAX;

use super::Now;

/// Envelopes that stay in the log below the durable sequence, for people who want to look at them; fewer when they would fill more than
/// this part of the log.
const KEPT_ENVELOPES: u64 = 10_000;
const KEPT_PART: u64 = 4;
const INTERVAL: Duration = Duration::from_secs(10);

/// Trims a log once in a while.
pub struct Trim {
    kept_envelopes: u64,
    last: Duration,
}

impl Trim {
    /// Of a log that may grow to so many bytes. If each envelope that stays were full, they leave room for new ones.
    pub fn new(log_bytes_max: u64, now: Now) -> Self {
        let kept_envelopes = KEPT_ENVELOPES.min(log_bytes_max / KEPT_PART / ENVELOPE_BYTES_MAX as u64);
        Self { kept_envelopes, last: now.elapsed }
    }

    /// The sequence below which the log is to be trimmed now, if it is.
    pub fn due(&mut self, durable_sequence: u64, now: Now) -> Option<u64> {
        if now.elapsed - self.last < INTERVAL {
            return None;
        }
        self.last = now.elapsed;
        if planted::is(Bug::TrimmedOneTooFar) {
            return Some(durable_sequence + 2);
        }
        Some((durable_sequence + 1).saturating_sub(self.kept_envelopes)).filter(|below| *below > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_a_log_leaves_room_in_it() {
        let kept = |log_bytes_max| Trim::new(log_bytes_max, Now::default()).kept_envelopes;
        assert_eq!([8 << 30, 256 << 20, 1 << 20].map(kept), [10_000, 1_365, 5]);
    }

    #[test]
    fn trimming_stays_behind_what_is_durable() {
        let mut trim = Trim::new(1 << 20, Now::default());
        let mut due = |durable, seconds| trim.due(durable, Now { elapsed: Duration::from_secs(seconds), wall_ms: 0 });
        assert_eq!([due(100, 9), due(100, 10), due(200, 11), due(5, 30), due(6, 50)], [None, Some(96), None, None, Some(2)]);
    }
}
