//! Turns over a stocked shop, per order, on one thread, without log and decoding: with the tables in memory, and over a database with a
//! million orders, where each new order id is looked for.

use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use emshop_bench::{ORDERS_PER_CHECKPOINT, Shop, confirms, read, submits};
use emshop_core::entry::Entry;
use emshop_proto::internal::Envelope;
use tempfile::TempDir;

const ORDERS: u64 = ORDERS_PER_CHECKPOINT;
const ORDERS_BEFORE: u64 = 1_000_000;

fn in_memory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.sampling_mode(SamplingMode::Flat).sample_size(10).throughput(Throughput::Elements(ORDERS));
    let submit = submits(0..ORDERS);
    let submit_and_confirm: Vec<Envelope> =
        submit.iter().cloned().zip(confirms(0..ORDERS)).flat_map(<[Envelope; 2]>::from).collect();
    for (name, envelopes) in [("submit", submit), ("submit_and_confirm", submit_and_confirm)] {
        let ready = || (Shop::empty().stocked(), envelopes.iter().cloned().map(read).collect());
        group.bench_function(name, |bencher| bencher.iter_batched(ready, turns, BatchSize::PerIteration));
    }
    group.finish();
}

/// Gives back what is dropped outside of the measurement.
fn turns((mut shop, entries): (Shop, Vec<Entry>)) -> Shop {
    for entry in entries {
        drop(shop.turn(entry));
    }
    shop
}

fn over_a_million(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(5));
    group.sampling_mode(SamplingMode::Flat).sample_size(10).throughput(Throughput::Elements(ORDERS));
    let folder = TempDir::new().expect("a temporary folder");
    let mut shop = Shop::on_disk(folder.path()).stocked().with_orders(ORDERS_BEFORE);
    let mut next = ORDERS_BEFORE;
    group.bench_function("submit_over_a_million", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut passed = Duration::ZERO;
            for _ in 0..rounds {
                let entries: Vec<_> = submits(next..next + ORDERS).into_iter().map(read).collect();
                next += ORDERS;
                let begun = Instant::now();
                for entry in entries {
                    drop(shop.turn(entry));
                }
                passed += begun.elapsed();
                shop.checkpoint();
            }
            passed
        });
    });
    group.finish();
}

criterion_group!(benches, in_memory, over_a_million);
criterion_main!(benches);
