//! A snapshot shows one moment, also while checkpoints come in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use emshop_core::state::store::StateStore;
use emshop_state::RocksStore;

use crate::{commit, generation, whole_generation};

#[test]
fn a_snapshot_shows_whole_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let store = RocksStore::open(folder.path()).unwrap();
    let done = AtomicBool::new(false);
    let mut seen = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (1..=60).for_each(|number| commit(&store, generation(number)));
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let snapshot = store.snapshot();
            let first = whole_generation(&*snapshot);
            assert_eq!(whole_generation(&*snapshot), first, "it does not move");
            seen.push(first);
        }
    });
    assert!(seen.is_sorted() && seen.first() < seen.last(), "{seen:?}");
    assert_eq!(whole_generation(&store), 60);
}
