//! A checkpoint of orders just submitted, per row: taking it from memory, and making it durable in RocksDB.

use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use emshop_bench::{Shop, submits};
use emshop_core::state::store::{Change, StateStore};
use emshop_state::RocksStore;
use tempfile::TempDir;

const ORDERS: u64 = 10_000;

fn checkpoint(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checkpoint");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    let rows = Changed::new().shop.replica.checkpoint().encode().len();
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function("take", |bencher| {
        bencher.iter_batched(Changed::new, |mut changed| (changed.shop.replica.checkpoint(), changed), BatchSize::PerIteration);
    });
    group.bench_function("commit", |bencher| {
        let taken = || {
            let mut changed = Changed::new();
            (changed.shop.replica.checkpoint(), changed)
        };
        let commit = |(changes, changed): (Vec<Change>, Changed)| {
            changed.store.commit(changes);
            changed
        };
        bencher.iter_batched(taken, commit, BatchSize::PerIteration);
    });
    group.finish();
}

/// A shop whose catalogue is in the store, and whose orders are not yet.
struct Changed {
    shop: Shop,
    store: RocksStore,
    _folder: TempDir,
}

impl Changed {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let store = RocksStore::open(folder.path()).expect("a new database");
        let mut changed = Self { shop: Shop::stocked(), store, _folder: folder }.write();
        for envelope in submits(ORDERS) {
            changed.shop.turn(envelope);
        }
        changed
    }

    fn write(mut self) -> Self {
        let checkpoint = self.shop.replica.checkpoint();
        self.store.commit(checkpoint.encode());
        self
    }
}

criterion_group!(benches, checkpoint);
criterion_main!(benches);
