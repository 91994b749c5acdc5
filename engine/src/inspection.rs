//! Reads the whole state and recomputes what must hold, on a thread of its own: turns and checkpoints go on meanwhile.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::Subject;
use emshop_core::invariants;
use emshop_core::state::store::{StateReader, StateStore, Visit};
use emshop_proto::errors::Code;
use emshop_proto::internal::{QueryReply, query_reply};
use emshop_proto::v1::Refusal;
use prost::Message;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::post::Post;

/// When to ask again, while another inspection is under way.
const RETRY_MS: u64 = 5_000;

/// Inspections of one log, one at a time: two of them read the disk twice to say the same.
pub struct Inspector {
    store: Arc<dyn StateStore>,
    post: Post,
    only: Arc<Semaphore>,
    stopping: Arc<AtomicBool>,
}

impl Inspector {
    pub fn new(store: Arc<dyn StateStore>, post: Post) -> Self {
        Self { store, post, only: Arc::new(Semaphore::new(1)), stopping: Arc::default() }
    }

    /// An inspection that answers to `reply`.
    ///
    /// # Errors
    /// A refusal, when one is under way.
    pub fn begin(&self, reply: Subject) -> Result<Inspection, Box<Refusal>> {
        let only = Arc::clone(&self.only).try_acquire_owned().map_err(|_| refusal())?;
        let (store, post, stopping) = (Arc::clone(&self.store), self.post.clone(), Arc::clone(&self.stopping));
        Ok(Inspection { store, post, reply, stopping, _only: only })
    }

    /// Lets the one under way end without an answer.
    pub fn cancel(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Returns when none is under way any more.
    pub fn wait(&self, runtime: &Handle) {
        let _only = runtime.block_on(self.only.acquire()).expect("never closed");
    }
}

fn refusal() -> Box<Refusal> {
    let message = "An inspection of this log is under way; try again when it is done".to_owned();
    Box::new(Refusal { message, retry_after_ms: RETRY_MS, ..Code::Overloaded.refusal() })
}

/// One inspection, to be started when what it should see is in the store.
pub struct Inspection {
    store: Arc<dyn StateStore>,
    post: Post,
    reply: Subject,
    stopping: Arc<AtomicBool>,
    _only: OwnedSemaphorePermit,
}

impl Inspection {
    pub fn start(self) {
        std::thread::Builder::new().name("inspection".to_owned()).spawn(|| self.run()).expect("threads can be started");
    }

    fn run(self) {
        let rows = Interruptible { rows: self.store.snapshot(), stopping: &self.stopping };
        let inspection = invariants::inspect(&rows);
        if !self.stopping.load(Ordering::Relaxed) {
            let body = Some(query_reply::Body::Inspection(inspection));
            self.post.send(self.reply, QueryReply { body }.encode_to_vec());
        }
    }
}

/// Rows that come to an end when the engine does.
struct Interruptible<'a> {
    rows: Box<dyn StateReader + 'a>,
    stopping: &'a AtomicBool,
}

impl StateReader for Interruptible<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) {
        self.rows.scan(from, to, &mut |key, value| match self.stopping.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => visit(key, value),
        });
    }
}
