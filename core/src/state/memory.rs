//! A state store in memory that can crash: what was committed is there afterwards, as with the real one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::batch::Batch;
use super::store::{StateReader, StateStore, Visit};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Rows in a map.
#[derive(Default)]
pub struct MemoryStore {
    /// Shared with those who read it: whoever scans may ask for rows meanwhile.
    rows: Mutex<Arc<Rows>>,
}

impl MemoryStore {
    /// What a process finds that starts after this one was killed.
    pub fn after_crash(&self) -> Self {
        Self { rows: Mutex::new(self.read()) }
    }

    fn read(&self) -> Arc<Rows> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Rows>> {
        self.rows.lock().expect("no thread panicked")
    }
}

impl StateReader for MemoryStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.lock().get(key).cloned()
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) {
        scan(&self.read(), from, to, visit);
    }
}

impl StateStore for MemoryStore {
    fn commit(&self, changes: &mut Batch) {
        let mut rows = self.lock();
        let rows = Arc::make_mut(&mut rows);
        for (key, value) in changes.iter() {
            match value {
                Some(value) => rows.insert(key.to_vec(), value.to_vec()),
                None => rows.remove(key),
            };
        }
    }

    fn snapshot(&self) -> Box<dyn StateReader + '_> {
        Box::new(Snapshot(self.read()))
    }
}

struct Snapshot(Arc<Rows>);

impl StateReader for Snapshot {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) {
        scan(&self.0, from, to, visit);
    }
}

fn scan(rows: &Rows, from: &[u8], to: &[u8], visit: &mut Visit<'_>) {
    let _ = rows.range(from.to_vec()..to.to_vec()).try_for_each(|(key, value)| visit(key, value));
}
