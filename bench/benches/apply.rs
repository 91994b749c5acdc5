//! Turns over a stocked shop, per order, on one thread: the pure core with its tables in memory, without log, decoding and store.

use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use emshop_bench::{Shop, confirms, submits};
use emshop_proto::internal::Envelope;

/// About as many as change between two checkpoints under load.
const ORDERS: u64 = 10_000;

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.sampling_mode(SamplingMode::Flat).sample_size(10).throughput(Throughput::Elements(ORDERS));
    let submit = submits(ORDERS);
    let submit_and_confirm: Vec<Envelope> =
        submit.iter().cloned().zip(confirms(ORDERS)).flat_map(<[Envelope; 2]>::from).collect();
    for (name, envelopes) in [("submit", submit), ("submit_and_confirm", submit_and_confirm)] {
        let ready = || (Shop::stocked(), envelopes.clone());
        group.bench_function(name, |bencher| bencher.iter_batched(ready, turns, BatchSize::PerIteration));
    }
    group.finish();
}

/// Gives back what is dropped outside of the measurement.
fn turns((mut shop, envelopes): (Shop, Vec<Envelope>)) -> Shop {
    for envelope in envelopes {
        drop(shop.turn(envelope));
    }
    shop
}

criterion_group!(benches, apply);
criterion_main!(benches);
