//! What is found when a database is opened.

use std::fs;

use emshop_core::state::keys::Kind;
use emshop_core::state::store::StateReader;
use emshop_state::{OpenError, RocksStore};
use rocksdb::{DB, Options};

use crate::{commit, key};

#[test]
fn rows_are_kept_and_a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = RocksStore::open(folder.path()).unwrap();
    commit(&store, vec![(key(Kind::Order, 1), Some(b"kept".to_vec()))]);
    let second = RocksStore::open(folder.path());
    assert!(matches!(second, Err(OpenError::InUse { .. })), "opened twice");
    drop(store);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_eq!(store.get(&key(Kind::Order, 1)), Some(b"kept".to_vec()));
}

#[test]
fn files_that_a_killed_process_left_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    drop(RocksStore::open(folder.path()).unwrap());
    let staging = folder.path().join("staging");
    fs::write(staging.join("0.sst"), b"half a file").unwrap();
    let store = RocksStore::open(folder.path()).unwrap();
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
    commit(&store, vec![(key(Kind::Order, 1), Some(b"new".to_vec()))]);
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0, "what is part of the database is not here any more");
}

#[test]
fn a_state_of_another_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    drop(DB::open_cf(&options, folder.path(), ["ascending", "random", "timers"]).unwrap());
    let refused = RocksStore::open(folder.path()).err().expect("a refusal");
    assert!(matches!(refused, OpenError::OtherRelease { .. }), "{refused}");
}
