//! When checkpoints are taken and written, and when turns have to wait for them.

use std::collections::VecDeque;
use std::time::Duration;

use emshop_core::planted::{self, Bug};
use emshop_core::replica::Checkpoint;

use super::{Now, Options};

/// Fewer changed rows are not worth files of their own once a second: they wait for more …
const ROWS_WORTH_MIN: usize = 1_000;
/// … but not longer than this, and so does a sequence that moved although no row changed.
const QUIET_INTERVAL: Duration = Duration::from_secs(5);

/// A log that is small is trimmed often enough only if its checkpoints come as often: whenever so large a part of it was applied.
const LOG_PART: u64 = 16;

/// Turns go on beside a checkpoint under way until so many times the rows of one have changed.
const ROWS_BEHIND: usize = 2;

/// A store that takes longer for a checkpoint stands still: it takes one in seconds, however much else it does.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// The checkpoints of one engine, from when they are due to when the store has them.
pub struct Checkpoints {
    interval: Duration,
    rows_max: usize,
    /// So many bytes of entries are worth one, however few rows they change.
    bytes_worth: u64,
    /// Of the entries applied since the last one was begun.
    bytes: u64,
    last_taken: Duration,
    /// Number of the last checkpoint that was begun, until it is written.
    under_way: Option<u64>,
    /// The sequence that the last one begun reflects.
    sequence: u64,
    /// Taken, but their events are not all published.
    waiting: VecDeque<Checkpoint>,
    writing: Option<Writing>,
    durable_sequence: u64,
}

struct Writing {
    number: u64,
    sequence: u64,
    since: Duration,
}

impl Checkpoints {
    /// Of a store that reflects `sequence`.
    pub fn new(options: &Options, sequence: u64, now: Now) -> Self {
        Self {
            interval: options.checkpoint_interval,
            rows_max: options.checkpoint_rows_max,
            bytes_worth: options.log_bytes_max / LOG_PART,
            bytes: 0,
            last_taken: now.elapsed,
            under_way: None,
            sequence,
            waiting: VecDeque::new(),
            writing: None,
            durable_sequence: sequence,
        }
    }

    /// Sequence of the log up to which the state is on disk.
    pub fn durable_sequence(&self) -> u64 {
        self.durable_sequence
    }

    /// An entry of so many bytes was applied.
    pub fn applied(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The log is full: one is due as soon as there is anything to bring to the disk.
    pub fn hurry(&mut self) {
        self.bytes = u64::MAX;
    }

    /// Whether to take a checkpoint now that so many rows changed, at this sequence.
    pub fn is_due(&self, changed_rows: usize, applied_sequence: u64, now: Now) -> bool {
        let waited = now.elapsed - self.last_taken;
        let changed = changed_rows > 0 || applied_sequence > self.sequence;
        self.under_way.is_none()
            && (changed_rows > self.rows_max
                || changed && self.bytes > self.bytes_worth
                || changed_rows > ROWS_WORTH_MIN && waited > self.interval
                || changed && waited > self.interval.max(QUIET_INTERVAL))
    }

    /// Whether the store must catch up before more rows change.
    pub fn is_behind(&self, changed_rows: usize) -> bool {
        self.under_way.is_some() && changed_rows > ROWS_BEHIND * self.rows_max
    }

    /// A checkpoint was begun, with this number and at this sequence of the log.
    pub fn begun(&mut self, number: u64, applied_sequence: u64, now: Now) {
        self.last_taken = now.elapsed;
        self.under_way = Some(number);
        self.bytes = 0;
        self.sequence = applied_sequence;
    }

    /// A checkpoint has all its rows.
    pub fn push(&mut self, checkpoint: Checkpoint) {
        self.waiting.push_back(checkpoint);
    }

    /// The checkpoint that is to be written now, if one is. It waits until the events of its turns are published: a replay from it would not
    /// make them again.
    pub fn next(&mut self, published: u64, now: Now) -> Option<Checkpoint> {
        let is_published = self.waiting.front()?.last_event <= published || planted::is(Bug::CheckpointBeforeEvents);
        let is_next = self.writing.is_none() && is_published;
        let checkpoint = if is_next { self.waiting.pop_front()? } else { return None };
        self.writing = Some(Writing { number: checkpoint.number, sequence: checkpoint.applied_sequence, since: now.elapsed });
        Some(checkpoint)
    }

    /// The store has the checkpoint with this number.
    pub fn written(&mut self, number: u64) {
        self.under_way.take_if(|last| *last <= number);
        if let Some(writing) = self.writing.take_if(|writing| writing.number <= number) {
            self.durable_sequence = writing.sequence;
        }
    }

    /// Whether the store does not come to an end with what it was given.
    pub fn is_stuck(&self, now: Now) -> bool {
        self.writing.as_ref().is_some_and(|writing| now.elapsed - writing.since > WRITE_MAX)
    }

    /// Whether the store has all that were begun.
    pub fn is_written(&self) -> bool {
        self.under_way.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use emshop_core::entry::Entry;
    use emshop_core::replica::Replica;
    use emshop_core::state::memory::MemoryStore;
    use emshop_core::state::store::StateStore;
    use emshop_proto::partitioner::Partitioner;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(elapsed: Duration) -> Now {
        Now { elapsed, wall_ms: 0 }
    }

    /// As of a checkpoint at sequence 7 that was taken at the beginning.
    fn checkpoints() -> Checkpoints {
        let options = Options { checkpoint_interval: SECOND, checkpoint_rows_max: 10_000, ..Options::default() };
        Checkpoints::new(&options, 7, Now::default())
    }

    #[test]
    fn many_rows_are_due_at_once_some_after_a_second_and_few_when_it_stays_quiet() {
        for (time, [many, some, few]) in
            [(Duration::ZERO, [true, false, false]), (2 * SECOND, [true, true, false]), (6 * SECOND, [true, true, true])]
        {
            let due = [10_001, 2_000, 1].map(|rows| checkpoints().is_due(rows, 8, after(time)));
            assert_eq!(due, [many, some, few], "after {time:?}");
        }
    }

    #[test]
    fn a_sequence_that_moved_is_due_without_any_row() {
        assert!(!checkpoints().is_due(0, 7, after(6 * SECOND)), "nothing happened");
        assert!(checkpoints().is_due(0, 8, after(6 * SECOND)));
        assert!(!checkpoints().is_due(0, 8, after(2 * SECOND)), "it is not urgent");
    }

    #[test]
    fn a_part_of_a_small_log_is_due_however_few_rows_it_changed() {
        let options = Options { log_bytes_max: 16 << 20, ..Options::default() };
        let mut checkpoints = Checkpoints::new(&options, 7, Now::default());
        checkpoints.applied(1 << 20);
        assert!(!checkpoints.is_due(0, 8, Now::default()));
        checkpoints.applied(1);
        assert!(checkpoints.is_due(0, 8, Now::default()));
        checkpoints.begun(1, 8, Now::default());
        checkpoints.written(1);
        assert!(!checkpoints.is_due(0, 9, Now::default()), "counted from the last one on");
        checkpoints.hurry();
        assert!(checkpoints.is_due(0, 9, Now::default()) && !checkpoints.is_due(0, 8, Now::default()));
    }

    #[test]
    fn turns_wait_when_too_many_rows_changed_beside_a_checkpoint() {
        let (mut checkpoints, now) = (checkpoints(), after(6 * SECOND));
        assert!(!checkpoints.is_behind(1_000_000), "none is under way: one is due");
        checkpoints.begun(1, 8, now);
        assert!(!checkpoints.is_due(10_001, 9, now), "one at a time");
        assert_eq!([20_000, 20_001].map(|rows| checkpoints.is_behind(rows)), [false, true]);
        checkpoints.begun(2, 9, now);
        checkpoints.written(1);
        assert!(checkpoints.is_behind(20_001), "the second one is still under way");
        checkpoints.written(2);
        assert!(!checkpoints.is_behind(20_001) && checkpoints.is_due(20_001, 9, now));
    }

    fn replica() -> Replica {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::default());
        Replica::open(&store, "c", 0, Partitioner::new(1)).expect("a new state")
    }

    /// A checkpoint of a log with this many empty turns, of which the last has this number as its last event.
    fn checkpoint(replica: &mut Replica, last_event: u64) -> Checkpoint {
        let entry = Entry::empty(false);
        replica.turn(replica.applied_sequence() + 1, 0, entry);
        let mut checkpoint = replica.checkpoint();
        checkpoint.last_event = last_event;
        checkpoint
    }

    #[test]
    fn a_checkpoint_waits_for_the_events_of_its_turns_and_for_the_one_before() {
        let (mut replica, mut checkpoints) = (replica(), checkpoints());
        for last_event in [5, 6] {
            let checkpoint = checkpoint(&mut replica, last_event);
            checkpoints.begun(checkpoint.number, checkpoint.applied_sequence, Now::default());
            checkpoints.push(checkpoint);
        }
        assert!(checkpoints.next(4, after(SECOND)).is_none(), "its last event is not published");
        let first = checkpoints.next(6, after(SECOND)).expect("its events are published");
        assert!(checkpoints.next(6, after(SECOND)).is_none(), "one is being written");
        assert_eq!((first.number, checkpoints.durable_sequence()), (1, 7));
        checkpoints.written(1);
        assert_eq!((checkpoints.durable_sequence(), checkpoints.is_written()), (1, false));
        assert_eq!(checkpoints.next(6, after(SECOND)).map(|checkpoint| checkpoint.number), Some(2));
        checkpoints.written(2);
        assert_eq!((checkpoints.durable_sequence(), checkpoints.is_written()), (2, true));
    }

    #[test]
    fn a_store_that_does_not_come_to_an_end_is_noticed() {
        let mut checkpoints = checkpoints();
        checkpoints.begun(1, 8, after(SECOND));
        assert!(!checkpoints.is_stuck(after(999 * SECOND)), "its events are not published yet");
        checkpoints.push(checkpoint(&mut replica(), 1));
        checkpoints.next(u64::MAX, after(10 * SECOND)).expect("it is to be written");
        assert_eq!([40, 41].map(|at| checkpoints.is_stuck(after(at * SECOND))), [false, true]);
        checkpoints.written(1);
        assert!(!checkpoints.is_stuck(after(999 * SECOND)));
    }
}
