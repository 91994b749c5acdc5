use std::sync::Arc;

use emshop_core::state::batch::Batch;
use emshop_core::state::keys::Kind;
use emshop_core::state::store::{StateReader, StateStore};
use emshop_state::RocksStore;
use emshop_telemetry::Registry;
use tempfile::TempDir;

use crate::key;

#[test]
fn a_store_is_measured_for_as_long_as_it_is_open() {
    let (folder, registry) = (TempDir::new().unwrap(), Registry::new());
    let store = Arc::new(RocksStore::open(folder.path()).unwrap());
    store.measure(&registry, 3);
    let value = |name: &str| {
        let text = registry.text();
        let line = format!("emshop_store_{name}{{log=\"3\"}} ");
        let value = text.lines().find_map(|text| text.strip_prefix(&line)).unwrap_or_else(|| panic!("{line}\n{text}"));
        value.parse::<f64>().expect("a number")
    };
    assert_eq!((value("files"), value("bytes"), value("fresh_files")), (0.0, 0.0, 0.0));
    let row = key(Kind::Order, 1);
    let mut changes: Batch = [(row.clone(), Some(vec![0; 4_096]))].into_iter().collect();
    store.commit(&mut changes);
    assert_eq!(store.get(&row), Some(vec![0; 4_096]));
    assert!(value("files") == 1.0 && value("bytes") > 0.0);
    assert!(value("cache_hits_total") + value("cache_misses_total") > 0.0, "the row was read");
    let files = value("files");
    drop(store);
    assert_eq!(value("files"), files, "nobody looks any more");
    RocksStore::open(folder.path()).expect("it is closed");
}
