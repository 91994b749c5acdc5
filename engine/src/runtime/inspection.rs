//! Reads the whole state and recomputes what must hold, on a thread of its own: turns and checkpoints go on meanwhile.

use std::ops::ControlFlow;
use std::sync::Arc;

use emshop_core::invariants;
use emshop_core::state::store::{StateReader, StateStore, Visit};
use emshop_proto::v1::LogInspection;
use emshop_sync::threads::atomic::{AtomicBool, Ordering};
use emshop_sync::threads::thread::Builder;

/// Inspections of one log.
pub struct Inspector {
    store: Arc<dyn StateStore>,
    stopping: Arc<AtomicBool>,
}

impl Inspector {
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self { store, stopping: Arc::default() }
    }

    /// Inspects what the store has now. `done` hears the result; nothing when it was cancelled.
    pub fn start(&self, done: impl FnOnce(Option<LogInspection>) + Send + 'static) {
        let (store, stopping) = (Arc::clone(&self.store), Arc::clone(&self.stopping));
        let run = move || {
            let rows = Interruptible { rows: store.snapshot(), stopping: &stopping };
            let inspection = invariants::inspect(&rows);
            done((!stopping.load(Ordering::Relaxed)).then_some(inspection));
        };
        Builder::new().name("inspection".to_owned()).spawn(run).expect("threads can be started");
    }

    /// Lets the one under way end without a result.
    pub fn cancel(&self) {
        self.stopping.store(true, Ordering::Relaxed);
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
