//! Both stores behave alike.

use emshop_core::state::keys::{Kind, prefix};
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::store::{StateReader, StateStore};
use emshop_state::RocksStore;

use crate::{commit, key, rows, values};

fn conforms(store: &dyn StateStore) {
    let order = |number| key(Kind::Order, number);
    let changes = vec![
        (order(2), Some(b"two".to_vec())),
        (order(300), Some(b"three hundred".to_vec())),
        (order(1), Some(b"one".to_vec())),
        (key(Kind::Timer, 5), Some(Vec::new())),
        (key(Kind::Stock, 5), Some(b"stock".to_vec())),
        (prefix(Kind::Log).to_vec(), Some(b"log".to_vec())),
    ];
    commit(store, changes);
    assert_eq!(store.get(&order(2)), Some(b"two".to_vec()));
    assert_eq!(store.get(&order(3)), None);
    assert_eq!(store.get(&key(Kind::Timer, 5)), Some(Vec::new()), "an empty value is not an absent row");

    let before = store.snapshot();
    commit(store, vec![(order(2), None), (order(1), Some(b"uno".to_vec())), (order(9), None)]);
    commit(store, Vec::new());
    let in_order = [b"one".to_vec(), b"two".to_vec(), b"three hundred".to_vec()];
    assert_eq!(values(&*before, Kind::Order), in_order, "in order of the numbers, as of then");
    assert_eq!(before.get(&order(2)), Some(b"two".to_vec()));
    assert_eq!(values(store, Kind::Order), [b"uno".to_vec(), b"three hundred".to_vec()]);
    assert_eq!(store.get(&order(2)), None);
    assert_eq!(rows(store, &order(1), &order(300), 9).len(), 1, "a scan ends before its end");
    assert_eq!(rows(store, &order(0), &order(301), 1).len(), 1, "a scan stops when it is told to");
}

#[test]
fn memory_conforms() {
    conforms(&MemoryStore::default());
}

#[test]
fn rocksdb_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&RocksStore::open(folder.path()).unwrap());
}

#[test]
fn what_was_committed_is_in_memory_after_a_crash() {
    let store = MemoryStore::default();
    commit(&store, vec![(key(Kind::Order, 1), Some(b"kept".to_vec()))]);
    assert_eq!(store.after_crash().get(&key(Kind::Order, 1)), Some(b"kept".to_vec()));
}
