//! Bytes of an envelope of two-line orders, per order: what an ingress spends to write them and an engine to read them.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emshop_bench::{decoded, envelope, seal, submit_order};
use emshop_proto::envelope::{assemble, encode, seal as seal_with};
use prost::Message;

const ORDERS: u64 = 100;

fn codec(criterion: &mut Criterion) {
    let orders = envelope((0..ORDERS).map(submit_order));
    let with = seal();
    let message = encode(&orders, &with);
    // An ingress encodes each record when it comes, and writes an envelope of those that wait.
    let records: Vec<_> = orders.records.iter().map(|record| (record.encode_to_vec(), true)).collect();
    let mut group = criterion.benchmark_group("codec");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2)).throughput(Throughput::Elements(ORDERS));
    group.bench_function("encode_records", |bencher| {
        bencher.iter(|| black_box(&orders).records.iter().map(Message::encode_to_vec).collect::<Vec<_>>());
    });
    group.bench_function("assemble_and_seal", |bencher| bencher.iter(|| seal_with(assemble(1, 1, black_box(&records)), &with)));
    group.bench_function("decode", |bencher| bencher.iter(|| decoded(black_box(&message))));
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
