//! An engine's own time: it begins as that of the machine, or of the log if that is ahead, and goes on by a clock that nobody sets.
//!
//! What is due is decided by log time, the highest that the log has seen. If the server's clock is set back, log time stands, and ticks carry
//! it on by the engine's time, once one has shown that the two clocks agree. If it jumps ahead, every unpaid order would be over for good: that stops the engine before anything is applied.

use std::time::Duration;

use emshop_core::planted::{self, Bug};

use super::Now;

/// Of two clocks that nobody sets, one may be ahead of the other by one part in so many: what it was followed by then is no jump.
const DRIFT: u32 = 1_000;

/// The time of one engine.
#[derive(Debug)]
pub struct Clock {
    base_ms: i64,
    /// When it was that.
    at: Duration,
    /// By how much it has followed entries lately: many small jumps are a large one.
    followed: Duration,
    /// How far clocks may differ.
    pub tolerance: Duration,
}

/// An entry is from a time that has not come yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "log {log}, sequence {sequence} is {} s ahead of this engine's time: the clock of nats-server has jumped ahead, or that of this machine \
     was set back, or is behind. Nothing from there on is applied. Set the clocks right; if the log is right, raise engine.clock_tolerance once",
    .ahead.as_secs()
)]
pub struct AheadOfTime {
    pub log: u32,
    pub sequence: u64,
    pub ahead: Duration,
}

/// The server's clock and the machine's tell different times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock that log {log} is stamped by is {} s behind that of this machine: that of nats-server was set back, or this one is ahead. \
     Nothing may expire by either. Set the clocks right, or raise engine.clock_tolerance",
    .behind.as_secs()
)]
pub struct ClocksDiffer {
    pub log: u32,
    pub behind: Duration,
}

impl Clock {
    /// As the machine's clock is now. Entries may be ahead of it by `tolerance`.
    pub fn new(tolerance: Duration, now: Now) -> Self {
        Self { base_ms: now.wall_ms, at: now.elapsed, followed: Duration::ZERO, tolerance }
    }

    /// What time it is, in Unix milliseconds. Never goes back, and never jumps but by what entries it accepted.
    pub fn time_ms(&self, now: Now) -> i64 {
        self.base_ms + (now.elapsed - self.at).as_millis() as i64
    }

    /// Takes notice of when an entry was written.
    ///
    /// # Errors
    /// [`AheadOfTime`] when that is further ahead than clocks differ, be it by many steps.
    pub fn accept(&mut self, log: u32, sequence: u64, time_ms: i64, now: Now) -> Result<(), AheadOfTime> {
        let ahead_ms = time_ms - self.time_ms(now);
        if ahead_ms <= 0 {
            return Ok(());
        }
        let drifted = (now.elapsed - self.at) / DRIFT;
        let ahead = self.followed.saturating_sub(drifted) + Duration::from_millis(ahead_ms as u64);
        if ahead > self.tolerance && !planted::is(Bug::AheadFollowed) {
            return Err(AheadOfTime { log, sequence, ahead });
        }
        (self.base_ms, self.at, self.followed) = (time_ms, now.elapsed, ahead);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, wall_ms: i64) -> Now {
        Now { elapsed: Duration::from_secs(seconds), wall_ms }
    }

    #[test]
    fn a_clock_that_is_set_changes_nothing() {
        let clock = Clock::new(Duration::from_secs(10), at(5, 1_000_000));
        let hour_ms = 3_600_000;
        assert_eq!([0, -hour_ms, hour_ms].map(|set_ms| clock.time_ms(at(65, 1_060_000 + set_ms))), [1_060_000; 3]);
    }

    #[test]
    fn an_entry_ahead_of_time_is_told_and_a_little_ahead_is_followed() {
        let mut clock = Clock::new(Duration::from_secs(10), at(0, 1_000_000));
        assert_eq!(clock.accept(2, 7, 999_000, at(0, 0)), Ok(()), "the past is no news");
        assert_eq!(clock.time_ms(at(0, 0)), 1_000_000);
        assert_eq!(clock.accept(2, 7, 1_009_000, at(0, 0)), Ok(()));
        assert_eq!(clock.time_ms(at(1, 0)), 1_010_000);
        let ahead = Duration::from_millis(10_001);
        assert_eq!(clock.accept(2, 8, 10_020_001, at(9_001, 0)), Err(AheadOfTime { log: 2, sequence: 8, ahead }));
        assert_eq!(clock.time_ms(at(9_001, 0)), 10_010_000, "nothing was followed");
    }

    /// A clock that ran ahead by a little less than the tolerance, again and again, took every deadline with it.
    #[test]
    fn many_small_jumps_are_a_large_one_and_a_clock_that_is_a_little_fast_is_followed() {
        let mut clock = Clock::new(Duration::from_secs(10), at(0, 0));
        assert_eq!(clock.accept(0, 1, 9_000, at(0, 0)), Ok(()));
        let ahead = Duration::from_millis(17_999);
        assert_eq!(clock.accept(0, 2, 19_000, at(1, 0)), Err(AheadOfTime { log: 0, sequence: 2, ahead }));

        let mut clock = Clock::new(Duration::from_secs(10), at(0, 0));
        for hour in 1..=1_000 {
            let (seconds, fast_ms) = (hour * 3_600, hour as i64 * 1_500);
            assert_eq!(clock.accept(0, hour, seconds as i64 * 1_000 + fast_ms, at(seconds, 0)), Ok(()), "hour {hour}");
        }
    }
}
