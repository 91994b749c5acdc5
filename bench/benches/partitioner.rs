//! Finding the place of a key.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emshop_bench::order_id;
use emshop_proto::partitioner::Partitioner;

fn partitioner(criterion: &mut Criterion) {
    let partitioner = Partitioner::new(8);
    let id = order_id(1);
    let mut group = criterion.benchmark_group("partitioner");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).throughput(Throughput::Elements(1));
    group.bench_function("of_text", |bencher| bencher.iter(|| partitioner.of_text(black_box(&id))));
    group.bench_function("of_goods", |bencher| bencher.iter(|| partitioner.of_goods(black_box(42))));
    group.finish();
}

criterion_group!(benches, partitioner);
criterion_main!(benches);
