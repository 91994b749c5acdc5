//! Writes checkpoints to the store, on a thread of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use emshop_core::replica::Checkpoint;
use emshop_core::state::batch::Batch;
use emshop_core::state::store::StateStore;
use emshop_sync::threads::mpsc::{Receiver, Sender, channel};
use emshop_sync::threads::thread::{Builder, JoinHandle};

/// A checkpoint that is in the store.
pub struct Written {
    pub number: u64,
    pub rows: usize,
    /// Of keys and values.
    pub bytes: usize,
    pub took: Duration,
}

/// The thread that alone writes the store.
pub struct Writer {
    checkpoints: Sender<Box<Checkpoint>>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// `written` hears of each checkpoint that is in the store.
    pub fn start(store: Arc<dyn StateStore>, written: impl Fn(Written) + Send + 'static) -> Self {
        let (checkpoints, receiver) = channel();
        let run = move || write_all(store.as_ref(), &receiver, written);
        let thread = Builder::new().name("checkpoint".to_owned()).spawn(run).expect("threads can be started");
        Self { checkpoints, thread }
    }

    pub fn write(&self, checkpoint: Box<Checkpoint>) {
        self.checkpoints.send(checkpoint).expect("the checkpoint thread runs until it is stopped");
    }

    /// Writes what was given, and ends.
    pub fn stop(self) {
        drop(self.checkpoints);
        self.thread.join().expect("the checkpoint thread does not panic");
    }
}

fn write_all(store: &dyn StateStore, checkpoints: &Receiver<Box<Checkpoint>>, written: impl Fn(Written)) {
    // The memory of one checkpoint is that of the next one.
    let mut batch = Batch::default();
    for checkpoint in checkpoints {
        let (number, began) = (checkpoint.number, Instant::now());
        batch.clear();
        checkpoint.encode(&mut batch);
        let (rows, bytes) = (batch.len(), batch.bytes());
        store.commit(&mut batch);
        written(Written { number, rows, bytes, took: began.elapsed() });
    }
}
