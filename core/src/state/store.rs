//! The state store: rows by key, written as checkpoints of the log.
//!
//! The crate `emshop-state` has the real one; [`memory`](super::memory) serves simulation and tests.

use std::ops::ControlFlow;

use super::batch::Batch;

/// Takes a key and its value, and says whether the scan goes on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Reads rows: the latest of a store, or those of one moment of it.
///
/// A failing disk leaves no right answer, so its errors are panics with a sentence: the process stops and replays after a restart.
pub trait StateReader {
    /// The value of a row; `None` when there is no such row.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Rows with `from <= key < to` in key order, until `visit` breaks.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>);
}

/// Rows of one log's state. One thread writes; any may read.
pub trait StateStore: StateReader + Send + Sync + 'static {
    /// Writes the changes, each key at most once; sorts them. When it returns they survive the loss of the process and of power; until
    /// then none of them does.
    fn commit(&self, changes: &mut Batch);

    /// The rows as they are now, whatever is committed afterwards. It keeps what it shows from being forgotten, so it is not kept for long.
    fn snapshot(&self) -> Box<dyn StateReader + '_>;
}
