//! A checkpoint of orders just submitted, per row: taking it from memory, and making it durable in RocksDB.

use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use emshop_bench::{ORDERS_PER_CHECKPOINT, Shop, read, submits};
use emshop_core::replica::Checkpoint;
use emshop_core::state::batch::Batch;
use tempfile::TempDir;

fn checkpoint(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checkpoint");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    let mut batch = Batch::default();
    changed().0.replica.checkpoint().encode(&mut batch);
    let rows = batch.len();
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function("take", |bencher| {
        let take = |(mut shop, folder): (Shop, TempDir)| (shop.replica.checkpoint(), shop, folder);
        bencher.iter_batched(changed, take, BatchSize::PerIteration);
    });
    group.bench_function("commit", |bencher| {
        let taken = || {
            let (mut shop, folder) = changed();
            (shop.replica.checkpoint(), shop, folder)
        };
        let commit = |(checkpoint, shop, folder): (Checkpoint, Shop, TempDir)| {
            shop.commit(checkpoint);
            (shop, folder)
        };
        bencher.iter_batched(taken, commit, BatchSize::PerIteration);
    });
    group.finish();
}

/// A shop whose catalogue is in the store, and whose orders are not yet.
fn changed() -> (Shop, TempDir) {
    let folder = TempDir::new().expect("a temporary folder");
    let mut shop = Shop::on_disk(folder.path()).stocked();
    shop.checkpoint();
    for envelope in submits(0..ORDERS_PER_CHECKPOINT) {
        drop(shop.turn(read(envelope)));
    }
    (shop, folder)
}

criterion_group!(benches, checkpoint);
criterion_main!(benches);
