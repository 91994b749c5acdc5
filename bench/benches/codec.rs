//! Bytes of an envelope of two-line orders: what ingress and engine spend on the format, per order.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emshop_bench::{envelope, submit_order};
use emshop_proto::envelope::{decode, encode};

const ORDERS: u64 = 100;

fn codec(criterion: &mut Criterion) {
    let orders = envelope((0..ORDERS).map(submit_order));
    let bytes = encode(&orders);
    let mut group = criterion.benchmark_group("codec");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2)).throughput(Throughput::Elements(ORDERS));
    group.bench_function("encode", |bencher| bencher.iter(|| encode(black_box(&orders))));
    group.bench_function("decode", |bencher| bencher.iter(|| decode(black_box(&bytes)).expect("just encoded")));
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
