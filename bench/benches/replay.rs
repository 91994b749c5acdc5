//! A recorded log into an empty database, per order that is submitted and paid: decode, turns and checkpoints on one thread. What a
//! start after the loss of the state has to do, without reading from NATS.

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use emshop_bench::{Shop, log};
use tempfile::TempDir;

const ORDERS: u64 = 100_000;

fn replay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    group.sampling_mode(SamplingMode::Flat).sample_size(10).throughput(Throughput::Elements(ORDERS));
    let log = log(ORDERS);
    let empty = || {
        let folder = TempDir::new().expect("a temporary folder");
        (Shop::on_disk(folder.path()), folder)
    };
    group.bench_function("submit_and_confirm", |bencher| {
        let replay = |(mut shop, folder): (Shop, TempDir)| (shop.replay(&log), shop, folder);
        bencher.iter_batched(empty, replay, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
