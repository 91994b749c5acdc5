//! Many checkpoints, with merges in between, against a model.

use std::collections::BTreeMap;

use emshop_core::state::keys::Kind;
use emshop_core::state::store::StateReader;
use emshop_state::RocksStore;

use crate::{LARGE, commit, key, rows};

const CHECKPOINTS: u64 = 150;

/// Rows of every kind are added, changed and removed, by arithmetic that looks random.
fn changes(checkpoint: u64) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let mut changes = BTreeMap::new();
    for (kind, index) in Kind::ALL.into_iter().zip(1_u64..) {
        for turn in 0..20 {
            let chosen = (checkpoint * 31 + turn * 7919 + index * 104_729) % 400;
            let value = (!(chosen + checkpoint).is_multiple_of(3)).then(|| format!("{checkpoint} {chosen}").into_bytes());
            changes.insert(key(kind, chosen), value);
        }
    }
    if checkpoint.is_multiple_of(10) {
        let of_orders = (0..10).map(|index| (key(Kind::Order, 1000 + checkpoint * 10 + index), Some(vec![7; LARGE])));
        changes.extend(of_orders);
    }
    changes
}

fn check(store: &RocksStore, model: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let found = rows(store, &[0], &[0xFF], usize::MAX);
    assert!(found.iter().map(|(key, value)| (key, value)).eq(model.iter()), "{} rows, {} expected", found.len(), model.len());
    for (kind, number) in Kind::ALL.into_iter().flat_map(|kind| (0..400).map(move |number| (kind, number))) {
        let key = key(kind, number);
        assert_eq!(store.get(&key), model.get(&key).cloned(), "{kind:?} {number}");
    }
}

#[test]
fn many_checkpoints_are_like_one_map() {
    let folder = tempfile::tempdir().unwrap();
    let store = RocksStore::open(folder.path()).unwrap();
    let mut model = BTreeMap::new();
    for checkpoint in 1..=CHECKPOINTS {
        let changes = changes(checkpoint);
        for (key, value) in changes.clone() {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        commit(&store, changes);
        if checkpoint.is_multiple_of(50) {
            check(&store, &model);
        }
    }
    drop(store);
    check(&RocksStore::open(folder.path()).unwrap(), &model);
}
