//! A state store in memory that can crash: what was not flushed is gone then.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::store::{Change, StateStore, Visit};

#[derive(Default)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    live: BTreeMap<Vec<u8>, Vec<u8>>,
    flushed: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    /// What a process finds that starts after this one was killed.
    pub fn after_crash(&self) -> Self {
        let flushed = self.rows.lock().expect("no thread panicked").flushed.clone();
        Self { rows: Mutex::new(Rows { live: flushed.clone(), flushed }) }
    }
}

impl StateStore for MemoryStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.lock().expect("no thread panicked").live.get(key).cloned()
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) {
        let rows = self.rows.lock().expect("no thread panicked");
        let _ = rows.live.range(from.to_vec()..to.to_vec()).try_for_each(|(key, value)| visit(key, value));
    }

    fn commit(&self, changes: Vec<Change>) {
        let mut rows = self.rows.lock().expect("no thread panicked");
        for (key, value) in changes {
            match value {
                Some(value) => rows.live.insert(key, value),
                None => rows.live.remove(&key),
            };
        }
    }

    fn flush(&self) {
        let mut rows = self.rows.lock().expect("no thread panicked");
        rows.flushed = rows.live.clone();
    }
}
