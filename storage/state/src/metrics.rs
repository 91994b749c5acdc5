//! What is measured of a store: what RocksDB knows of itself, asked when somebody asks.

use std::sync::Weak;

use emshop_telemetry::{Counter, Gauge, Histogram, Registry, catalogue};
use rocksdb::statistics::Ticker;

use crate::RocksStore;

/// Levels of a database whose options do not say how many.
const LEVELS: u32 = 7;

/// Asks a store for a number.
type Look = fn(&RocksStore) -> u64;

/// What RocksDB counts since it was opened.
struct Counted {
    /// As it was when the store was looked at last.
    counter: Counter,
    count: Look,
}

impl Counted {
    fn look(&self, store: &RocksStore) {
        self.counter.inc_by((self.count)(store).saturating_sub(self.counter.get()));
    }
}

/// Has the store of log `log` looked at, for as long as it is open. Gives what is told of waits for compaction.
pub fn watch(registry: &Registry, log: u32, store: Weak<RocksStore>) -> Histogram {
    let log = log.to_string();
    let labels = [log.as_str()];
    let gauges: [(Gauge, Look); 6] = [
        (registry.gauge(&catalogue::STORE_BYTES, &labels), |store| store.property("rocksdb.live-sst-files-size")),
        (registry.gauge(&catalogue::STORE_FILES, &labels), files),
        (registry.gauge(&catalogue::STORE_FRESH_FILES, &labels), |store| store.property("rocksdb.num-files-at-level0")),
        (registry.gauge(&catalogue::STORE_COMPACTION_BYTES, &labels), |store| {
            store.property("rocksdb.estimate-pending-compaction-bytes")
        }),
        (registry.gauge(&catalogue::STORE_COMPACTIONS, &labels), |store| store.property("rocksdb.num-running-compactions")),
        (registry.gauge(&catalogue::STORE_CACHE_BYTES, &labels), |store| store.property("rocksdb.block-cache-usage")),
    ];
    let counters = [
        Counted {
            counter: registry.counter(&catalogue::STORE_CACHE_HITS, &labels),
            count: |store| store.ticker(Ticker::BlockCacheHit),
        },
        Counted {
            counter: registry.counter(&catalogue::STORE_CACHE_MISSES, &labels),
            count: |store| store.ticker(Ticker::BlockCacheMiss),
        },
        Counted {
            counter: registry.counter(&catalogue::STORE_ERRORS, &labels),
            count: |store| store.property("rocksdb.background-errors"),
        },
    ];
    registry.at_scrape(move || {
        let Some(store) = store.upgrade() else { return };
        gauges.iter().for_each(|(gauge, value)| gauge.set(value(&store) as f64));
        counters.iter().for_each(|counted| counted.look(&store));
    });
    registry.histogram(&catalogue::STORE_COMPACTION_WAIT, &labels)
}

fn files(store: &RocksStore) -> u64 {
    (0..LEVELS).map(|level| store.property(&format!("rocksdb.num-files-at-level{level}"))).sum()
}
