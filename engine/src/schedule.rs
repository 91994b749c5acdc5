//! When checkpoints are taken, and when turns have to wait for them.

use std::time::{Duration, Instant};

/// Fewer changed rows are not worth files of their own once a second: they wait for more …
const ROWS_WORTH_MIN: usize = 1_000;
/// … but not longer than this, and so does a sequence that moved although no row changed.
const QUIET_INTERVAL: Duration = Duration::from_secs(5);

/// Turns go on beside a checkpoint under way until so many times the rows of one have changed.
const ROWS_BEHIND: usize = 2;

/// Keeps the account of one engine's checkpoints.
pub struct Schedule {
    interval: Duration,
    rows_max: usize,
    last_taken: Instant,
    /// Number of the last checkpoint taken, until it is written.
    under_way: Option<u64>,
    /// The sequence that the last one taken reflects.
    sequence: u64,
}

impl Schedule {
    /// A checkpoint after `interval`, or when `rows_max` rows changed. The store reflects `sequence`.
    pub fn new(interval: Duration, rows_max: usize, sequence: u64) -> Self {
        Self { interval, rows_max, last_taken: Instant::now(), under_way: None, sequence }
    }

    /// Whether to take a checkpoint now that so many rows changed, at this sequence.
    pub fn is_due(&self, changed_rows: usize, applied_sequence: u64) -> bool {
        let waited = self.last_taken.elapsed();
        let changed = changed_rows > 0 || applied_sequence > self.sequence;
        self.under_way.is_none()
            && (changed_rows > self.rows_max
                || changed_rows > ROWS_WORTH_MIN && waited > self.interval
                || changed && waited > self.interval.max(QUIET_INTERVAL))
    }

    /// Whether the store must catch up before more rows change.
    pub fn is_behind(&self, changed_rows: usize) -> bool {
        self.under_way.is_some() && changed_rows > ROWS_BEHIND * self.rows_max
    }

    /// A checkpoint was taken, with this number and at this sequence of the log.
    pub fn taken(&mut self, number: u64, applied_sequence: u64) {
        self.last_taken = Instant::now();
        self.under_way = Some(number);
        self.sequence = applied_sequence;
    }

    pub fn written(&mut self, number: u64) {
        self.under_way = self.under_way.filter(|last| *last > number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// As of a checkpoint at sequence 7 that was taken so long ago.
    fn waited(time: Duration) -> Schedule {
        let last_taken = Instant::now().checked_sub(time).expect("the machine runs longer than the test looks back");
        Schedule { last_taken, ..Schedule::new(SECOND, 10_000, 7) }
    }

    #[test]
    fn many_rows_are_due_at_once_some_after_a_second_and_few_when_it_stays_quiet() {
        for (time, [many, some, few]) in
            [(Duration::ZERO, [true, false, false]), (2 * SECOND, [true, true, false]), (6 * SECOND, [true, true, true])]
        {
            let schedule = waited(time);
            assert_eq!([10_001, 2_000, 1].map(|rows| schedule.is_due(rows, 8)), [many, some, few], "after {time:?}");
        }
    }

    #[test]
    fn a_sequence_that_moved_is_due_without_any_row() {
        assert!(!waited(6 * SECOND).is_due(0, 7), "nothing happened");
        assert!(waited(6 * SECOND).is_due(0, 8));
        assert!(!waited(2 * SECOND).is_due(0, 8), "it is not urgent");
    }

    #[test]
    fn turns_wait_when_too_many_rows_changed_beside_a_checkpoint() {
        let mut schedule = waited(6 * SECOND);
        assert!(!schedule.is_behind(1_000_000), "none is under way: one is due");
        schedule.taken(1, 8);
        assert!(!schedule.is_due(10_001, 9), "one at a time");
        assert_eq!([20_000, 20_001].map(|rows| schedule.is_behind(rows)), [false, true]);
        schedule.taken(2, 9);
        schedule.written(1);
        assert!(schedule.is_behind(20_001), "the second one is still under way");
        schedule.written(2);
        assert!(!schedule.is_behind(20_001) && schedule.is_due(20_001, 9));
    }
}
