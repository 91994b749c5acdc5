//! Writes checkpoints to the store on a thread of its own, and says which sequence is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use emshop_core::state::store::StateStore;
use emshop_proto::internal::{QueryReply, query_reply};
use prost::Message as _;
use tokio::sync::watch;

use crate::post::Post;
use emshop_core::invariants;
use emshop_core::replica::Checkpoint;

/// What was committed is flushed to disk after this long or this many bytes, so that a restart has little to replay.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);
const FLUSH_BYTES: usize = 64 << 20;

enum Job {
    Write(Box<Checkpoint>),
    /// Reads the whole store as of the last checkpoint and answers to this subject.
    Inspect(async_nats::Subject),
    Stop,
}

/// The thread that alone writes the store.
pub struct Writer {
    jobs: Sender<Job>,
    durable_sequence: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `written` hears the number of each checkpoint that is in the store. A checkpoint waits until the events of its turns are published up to
    /// `published`: a replay from it would not make them again.
    pub fn start(
        store: Arc<dyn StateStore>,
        durable_sequence: u64,
        published: watch::Receiver<u64>,
        post: Post,
        written: impl Fn(u64) + Send + 'static,
    ) -> Self {
        let (jobs, receiver) = unbounded();
        let durable_sequence = Arc::new(AtomicU64::new(durable_sequence));
        let work = Work { store, durable_sequence: Arc::clone(&durable_sequence), published, post, unflushed: None };
        let runtime = tokio::runtime::Handle::current();
        let run = move || work.run(&runtime, &receiver, written);
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(run).expect("threads can be started");
        Self { jobs, durable_sequence, thread: Some(thread) }
    }

    pub fn write(&self, checkpoint: Checkpoint) {
        self.send(Job::Write(Box::new(checkpoint)));
    }

    pub fn inspect(&self, reply: async_nats::Subject) {
        self.send(Job::Inspect(reply));
    }

    /// Sequence of the log up to which the state is on disk.
    pub fn durable_sequence(&self) -> u64 {
        self.durable_sequence.load(Ordering::Relaxed)
    }

    /// Writes and flushes what was given, and ends.
    pub fn stop(mut self) {
        self.send(Job::Stop);
        self.thread.take().expect("stopped once").join().expect("the checkpoint thread does not panic");
    }

    fn send(&self, job: Job) {
        self.jobs.send(job).expect("the checkpoint thread runs until it is stopped");
    }
}

/// Committed, but not flushed.
struct Unflushed {
    since: Instant,
    bytes: usize,
    applied_sequence: u64,
}

struct Work {
    store: Arc<dyn StateStore>,
    durable_sequence: Arc<AtomicU64>,
    published: watch::Receiver<u64>,
    post: Post,
    unflushed: Option<Unflushed>,
}

impl Work {
    fn run(mut self, runtime: &tokio::runtime::Handle, jobs: &Receiver<Job>, written: impl Fn(u64)) {
        loop {
            match jobs.recv_timeout(FLUSH_INTERVAL) {
                Ok(Job::Write(checkpoint)) => {
                    if self.is_published(runtime, checkpoint.last_event) {
                        let number = checkpoint.number;
                        self.commit(*checkpoint);
                        written(number);
                    }
                }
                Ok(Job::Inspect(reply)) => self.inspect(reply),
                Ok(Job::Stop) => break,
                Err(_) => {}
            }
            let due = |unflushed: &Unflushed| unflushed.bytes > FLUSH_BYTES || unflushed.since.elapsed() > FLUSH_INTERVAL;
            if self.unflushed.as_ref().is_some_and(due) {
                self.flush();
            }
        }
        self.flush();
    }

    /// Waits for the events up to `last_event`. `false` when the relay ended before, as at a stop while NATS is away: what is not
    /// written is replayed.
    fn is_published(&mut self, runtime: &tokio::runtime::Handle, last_event: u64) -> bool {
        runtime.block_on(self.published.wait_for(|published| *published >= last_event)).is_ok()
    }

    fn commit(&mut self, checkpoint: Checkpoint) {
        let applied_sequence = checkpoint.applied_sequence;
        let changes = checkpoint.encode();
        let row_bytes = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| key.len() + value.as_ref().map_or(0, Vec::len);
        let bytes: usize = changes.iter().map(row_bytes).sum();
        self.store.commit(changes);
        let unflushed = self.unflushed.get_or_insert_with(|| Unflushed { since: Instant::now(), bytes: 0, applied_sequence: 0 });
        unflushed.bytes += bytes;
        unflushed.applied_sequence = applied_sequence;
    }

    fn flush(&mut self) {
        if let Some(unflushed) = self.unflushed.take() {
            self.store.flush();
            self.durable_sequence.store(unflushed.applied_sequence, Ordering::Relaxed);
        }
    }

    fn inspect(&self, reply: async_nats::Subject) {
        let mut inspection = invariants::inspect(self.store.as_ref());
        inspection.durable_sequence = self.durable_sequence.load(Ordering::Relaxed);
        let body = Some(query_reply::Body::Inspection(inspection));
        self.post.send(reply, QueryReply { body }.encode_to_vec());
    }
}
