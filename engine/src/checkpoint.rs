//! Writes checkpoints to the store on a thread of its own, and says which sequence is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, unbounded};
use emshop_core::replica::Checkpoint;
use emshop_core::state::batch::Batch;
use emshop_core::state::store::StateStore;
use tokio::sync::watch;

enum Job {
    Write(Box<Checkpoint>),
    Run(Box<dyn FnOnce() + Send>),
}

/// The thread that alone writes the store. It ends when this is dropped and all that was given is written.
pub struct Writer {
    jobs: Sender<Job>,
    durable_sequence: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// `written` hears the number of each checkpoint that is in the store. A checkpoint waits until the events of its turns are published up to
    /// `published`: a replay from it would not make them again.
    pub fn start(
        store: Arc<dyn StateStore>,
        durable_sequence: u64,
        published: watch::Receiver<u64>,
        written: impl Fn(u64) + Send + 'static,
    ) -> Self {
        let (jobs, receiver) = unbounded();
        let durable_sequence = Arc::new(AtomicU64::new(durable_sequence));
        let work = Work { store, durable_sequence: Arc::clone(&durable_sequence), published, batch: Batch::default() };
        let runtime = tokio::runtime::Handle::current();
        let run = move || work.run(&runtime, &receiver, written);
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(run).expect("threads can be started");
        Self { jobs, durable_sequence, thread }
    }

    pub fn write(&self, checkpoint: Checkpoint) {
        self.send(Job::Write(Box::new(checkpoint)));
    }

    /// Runs `then` once what was given before is written. Checkpoints wait for it meanwhile.
    pub fn when_written(&self, then: impl FnOnce() + Send + 'static) {
        self.send(Job::Run(Box::new(then)));
    }

    /// Sequence of the log up to which the state is on disk.
    pub fn durable_sequence(&self) -> u64 {
        self.durable_sequence.load(Ordering::Relaxed)
    }

    /// Writes what was given, and ends.
    pub fn stop(self) {
        drop(self.jobs);
        self.thread.join().expect("the checkpoint thread does not panic");
    }

    fn send(&self, job: Job) {
        self.jobs.send(job).expect("the checkpoint thread runs until it is stopped");
    }
}

struct Work {
    store: Arc<dyn StateStore>,
    durable_sequence: Arc<AtomicU64>,
    published: watch::Receiver<u64>,
    /// Of the last checkpoint: its memory is that of the next one.
    batch: Batch,
}

impl Work {
    fn run(mut self, runtime: &tokio::runtime::Handle, jobs: &Receiver<Job>, written: impl Fn(u64)) {
        for job in jobs {
            match job {
                Job::Write(checkpoint) if self.is_published(runtime, checkpoint.last_event) => {
                    let number = checkpoint.number;
                    self.write(*checkpoint);
                    written(number);
                }
                // What is not written is replayed.
                Job::Write(_) => {}
                Job::Run(then) => then(),
            }
        }
    }

    /// Waits for the events up to `last_event`. `false` when the relay ended before, as at a stop while NATS is away.
    fn is_published(&mut self, runtime: &tokio::runtime::Handle, last_event: u64) -> bool {
        runtime.block_on(self.published.wait_for(|published| *published >= last_event)).is_ok()
    }

    fn write(&mut self, checkpoint: Checkpoint) {
        let applied_sequence = checkpoint.applied_sequence;
        self.batch.clear();
        checkpoint.encode(&mut self.batch);
        self.store.commit(&mut self.batch);
        self.durable_sequence.store(applied_sequence, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use emshop_core::entry::Entry;
    use emshop_core::replica::Replica;
    use emshop_core::state::memory::MemoryStore;
    use emshop_core::state::store::{StateReader, Visit};
    use emshop_proto::internal::{Envelope, Record, record};
    use emshop_proto::partitioner::Partitioner;
    use emshop_proto::v1::{AdjustBalanceRequest, Command, Money, command};
    use prost::Message as _;

    use super::*;
    use crate::schedule::Schedule;

    const ROWS_MAX: usize = 100;
    /// Commands of an envelope; each changes a few rows.
    const COMMANDS: u64 = 10;
    const ENVELOPES: u64 = 200;

    /// A disk that takes its time: each commit waits for a permit.
    struct SlowStore {
        rows: MemoryStore,
        permits: Receiver<()>,
    }

    impl StateReader for SlowStore {
        fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
            self.rows.get(key)
        }

        fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) {
            self.rows.scan(from, to, visit);
        }
    }

    impl StateStore for SlowStore {
        fn commit(&self, changes: &mut Batch) {
            let _ = self.permits.recv();
            self.rows.commit(changes);
        }

        fn snapshot(&self) -> Box<dyn StateReader + '_> {
            self.rows.snapshot()
        }
    }

    fn envelope(sequence: u64) -> Envelope {
        let deposit = |number: u64| {
            let request = AdjustBalanceRequest {
                user_id: sequence * COMMANDS + number,
                delta: Some(Money::new(1, "CNY")),
                idempotency_key: "first".to_owned(),
            };
            let command = Command { body: Some(command::Body::AdjustBalance(request)), ..Command::default() };
            Record { body: Some(record::Body::Command(command.encode_to_vec().into())), ..Record::default() }
        };
        Envelope { records: (0..COMMANDS).map(deposit).collect(), ..Envelope::default() }
    }

    /// What the engine's loop does: a checkpoint when it is due, and a turn unless the store is behind.
    fn step(replica: &mut Replica, schedule: &mut Schedule, writer: &Writer) -> bool {
        if schedule.is_due(replica.changed_rows(), replica.applied_sequence()) {
            let checkpoint = replica.checkpoint();
            schedule.taken(checkpoint.number, checkpoint.applied_sequence);
            writer.write(checkpoint);
        }
        let goes_on = !schedule.is_behind(replica.changed_rows()) && replica.applied_sequence() < ENVELOPES;
        if goes_on {
            let sequence = replica.applied_sequence() + 1;
            let entry = Entry::read(envelope(sequence)).expect("just made");
            replica.turn(sequence, 1_700_000_000_000, entry);
        }
        goes_on
    }

    #[tokio::test]
    async fn turns_wait_for_a_slow_disk() {
        let (permit, permits) = unbounded();
        let slow = Arc::new(SlowStore { rows: MemoryStore::default(), permits });
        let store: Arc<dyn StateStore> = Arc::clone(&slow) as _;
        let mut replica = Replica::open(&store, "c", 0, Partitioner::new(1)).unwrap();
        let (written, writes) = mpsc::channel();
        let (_publish, published) = watch::channel(u64::MAX);
        let writer = Writer::start(store, 0, published, move |number| written.send(number).expect("the test waits for it"));
        let mut schedule = Schedule::new(Duration::from_secs(60), ROWS_MAX, 0);

        let mut stops = 0;
        while replica.applied_sequence() < ENVELOPES {
            while step(&mut replica, &mut schedule, &writer) {}
            assert!(replica.changed_rows() < 4 * ROWS_MAX, "{} rows wait", replica.changed_rows());
            if replica.applied_sequence() < ENVELOPES {
                stops += 1;
                permit.send(()).unwrap();
                schedule.written(writes.recv().unwrap());
                assert!(writer.durable_sequence() > 0);
            }
        }
        assert!(stops > 5, "the disk was in the way {stops} times");

        drop(permit);
        writer.write(replica.checkpoint());
        writer.stop();
        assert_eq!(emshop_core::inspect(&*slow.rows.snapshot()).applied_sequence, ENVELOPES);
    }
}
