//! Both state stores behave alike.

use std::ops::ControlFlow;

use emshop_core::state::keys::{Kind, end, prefix};
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::store::{Change, StateStore};
use emshop_state::{OpenError, RocksStore};

fn key(kind: Kind, number: u64) -> Vec<u8> {
    [&prefix(kind)[..], &number.to_be_bytes()].concat()
}

fn rows(store: &dyn StateStore, from: &[u8], to: &[u8], most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    store.scan(from, to, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        if rows.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    rows
}

fn conforms(store: &dyn StateStore) {
    let order = |number| key(Kind::Order, number);
    let changes: Vec<Change> = vec![
        (order(2), Some(b"two".to_vec())),
        (order(300), Some(b"three hundred".to_vec())),
        (order(1), Some(b"one".to_vec())),
        (key(Kind::Timer, 5), Some(Vec::new())),
        (key(Kind::Stock, 5), Some(b"stock".to_vec())),
        (prefix(Kind::Log).to_vec(), Some(b"log".to_vec())),
    ];
    store.commit(changes);
    assert_eq!(store.get(&order(2)), Some(b"two".to_vec()));
    assert_eq!(store.get(&order(3)), None);
    assert_eq!(store.get(&key(Kind::Timer, 5)), Some(Vec::new()), "an empty value is not an absent row");

    let (from, to) = (prefix(Kind::Order), end(Kind::Order));
    let values = |most| rows(store, &from, &to, most).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(values(9), [b"one".to_vec(), b"two".to_vec(), b"three hundred".to_vec()], "in order of the numbers");
    assert_eq!(values(2).len(), 2, "a scan stops when it is told to");

    store.commit(vec![(order(2), None), (order(1), Some(b"uno".to_vec())), (order(9), None)]);
    assert_eq!(values(9), [b"uno".to_vec(), b"three hundred".to_vec()]);
    store.flush();
    assert_eq!(values(9), [b"uno".to_vec(), b"three hundred".to_vec()]);
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
fn what_was_flushed_is_there_after_a_crash() {
    let store = MemoryStore::default();
    store.commit(vec![(key(Kind::Order, 1), Some(b"kept".to_vec()))]);
    store.flush();
    store.commit(vec![(key(Kind::Order, 2), Some(b"lost".to_vec()))]);
    let store = store.after_crash();
    assert_eq!(store.get(&key(Kind::Order, 1)), Some(b"kept".to_vec()));
    assert_eq!(store.get(&key(Kind::Order, 2)), None);
}

#[test]
fn rocksdb_keeps_rows_and_refuses_a_second_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = RocksStore::open(folder.path()).unwrap();
    store.commit(vec![(key(Kind::Order, 1), Some(b"kept".to_vec()))]);
    store.flush();
    let second = RocksStore::open(folder.path());
    assert!(matches!(second, Err(OpenError::InUse { .. })), "opened twice");
    drop(store);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_eq!(store.get(&key(Kind::Order, 1)), Some(b"kept".to_vec()));
}
