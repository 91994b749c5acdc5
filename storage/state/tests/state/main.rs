//! The state store on RocksDB, and how it is like the one in memory.

mod conformance;
mod kill;
mod long_run;
mod metrics;
mod opening;
mod snapshots;

use std::ops::ControlFlow;

use emshop_core::state::keys::{Kind, end, prefix};
use emshop_core::state::store::{StateReader, StateStore};

/// Bytes of a row of which a few are worth a file of their own.
const LARGE: usize = 512 << 10;

fn key(kind: Kind, number: u64) -> Vec<u8> {
    [&prefix(kind)[..], &number.to_be_bytes()].concat()
}

fn rows(store: &dyn StateReader, from: &[u8], to: &[u8], most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    store.scan(from, to, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        if rows.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    rows
}

/// Values of all rows of a kind in order.
fn values(store: &dyn StateReader, kind: Kind) -> Vec<Vec<u8>> {
    let (from, to) = (prefix(kind), end(kind));
    rows(store, &from, &to, usize::MAX).into_iter().map(|(_, value)| value).collect()
}

const STOCKS: u64 = 300;
const ORDERS: u64 = 10;

/// A key, and its value or that it is gone.
type Change = (Vec<u8>, Option<Vec<u8>>);

fn commit(store: &dyn StateStore, changes: impl IntoIterator<Item = Change>) {
    store.commit(&mut changes.into_iter().collect());
}

/// A checkpoint that says its generation in everything: stocks change, orders are added, one timer follows the other. Every third one adds
/// enough for a file of its own.
fn generation(number: u64) -> Vec<Change> {
    let value = number.to_be_bytes().to_vec();
    let order = if number.is_multiple_of(3) { value.repeat(LARGE / 8) } else { value.clone() };
    let stocks = (0..STOCKS).map(|goods_id| (key(Kind::Stock, goods_id), Some(value.clone())));
    let orders = (number * ORDERS..(number + 1) * ORDERS).map(|number| (key(Kind::Order, number), Some(order.clone())));
    let timers = [(key(Kind::Timer, number), Some(value.clone())), (key(Kind::Timer, number - 1), None)];
    let log = (prefix(Kind::Log).to_vec(), Some(value.clone()));
    stocks.chain(orders).chain(timers).chain([log]).collect()
}

/// The last generation that is in `store`, whole as it has to be; 0 when there is none.
fn whole_generation(store: &dyn StateReader) -> u64 {
    let number = |value: &[u8]| u64::from_be_bytes(value[..8].try_into().expect("8 bytes"));
    let Some(log) = store.get(&prefix(Kind::Log)) else {
        assert_eq!(values(store, Kind::Stock).len() + values(store, Kind::Order).len() + values(store, Kind::Timer).len(), 0);
        return 0;
    };
    let last = number(&log);
    assert_eq!(values(store, Kind::Stock), vec![log.clone(); STOCKS as usize], "stocks of generation {last}");
    assert_eq!(values(store, Kind::Timer), [log], "timers of generation {last}");
    let orders: Vec<_> = values(store, Kind::Order).iter().map(|value| number(value)).collect();
    let expected: Vec<_> = (1..=last).flat_map(|generation| vec![generation; ORDERS as usize]).collect();
    assert_eq!(orders, expected, "orders of generation {last}");
    last
}
