//! Stock entries listed by ascending goods id.

use std::sync::Arc;

use emshop_core::entry::Entry;
use emshop_core::queries;
use emshop_core::replica::Replica;
use emshop_core::state::memory::MemoryStore;
use emshop_proto::internal::{PageQuery, Query, Stocks, query, query_reply};
use emshop_proto::v1::Command;

use crate::commands::*;
use crate::shop::*;

const ONLY_LOW: u32 = 1;

fn apply(replica: &mut Replica, commands: impl IntoIterator<Item = Command>) {
    let records = commands.into_iter().map(|command| record_of(command, 0)).collect();
    replica.turn(replica.applied_sequence() + 1, START_MS, Entry::read(envelope_of(records)).expect("just made"));
}

fn page(replica: &mut Replica, after: u64, limit: u32, filter: u32) -> Stocks {
    let question = query::Body::Stocks(PageQuery { limit, after, filter, ..PageQuery::default() });
    let answer = queries::answer(replica, Query { body: Some(question), viewer: 0 });
    match answer.and_then(|answer| answer.body) {
        Some(query_reply::Body::Stocks(stocks)) => stocks,
        other => panic!("not stock levels: {other:?}"),
    }
}

/// All pages: their ids, and how many there were.
fn pages(replica: &mut Replica, limit: u32, filter: u32) -> (Vec<u64>, usize) {
    let (mut ids, mut pages, mut after) = (Vec::new(), 0, 0);
    loop {
        let page = page(replica, after, limit, filter);
        assert!(page.stocks.len() <= limit as usize);
        ids.extend(page.stocks.iter().map(|stock| stock.goods_id));
        pages += 1;
        after = page.after;
        if after == 0 {
            return (ids, pages);
        }
    }
}

#[test]
fn pages_are_ascending_and_each_entry_comes_once() {
    let store = Arc::new(MemoryStore::default());
    let mut replica = open(&store, 0, 1);
    assert_eq!(page(&mut replica, 0, 10, 0), Stocks::default());
    let ids: Vec<u64> = (1..=300).map(|number| number * 7).collect();
    // One half is in the store only, the other in memory.
    let (stored, fresh) = ids.split_at(150);
    apply(&mut replica, stored.iter().map(|goods_id| set_stock(*goods_id, *goods_id, "k")));
    checkpoint(&mut replica, &store);
    let mut replica = open(&store, 0, 1);
    apply(&mut replica, fresh.iter().map(|goods_id| set_stock(*goods_id, *goods_id, "k")));

    for (limit, expected) in [(1, 300), (7, 43), (100, 3), (299, 2), (300, 1), (1000, 1)] {
        assert_eq!(pages(&mut replica, limit, 0), (ids.clone(), expected), "by {limit}");
    }
    let from_the_middle = page(&mut replica, 1000, 2, 0);
    assert_eq!(
        from_the_middle.stocks.iter().map(|stock| (stock.goods_id, stock.on_hand)).collect::<Vec<_>>(),
        [(1001, 1001), (1008, 1008)]
    );
}

/// However few are low, one question looks at some thousand rows only: turns wait for it.
#[test]
fn low_stock_is_found_bit_by_bit() {
    const SKUS: u64 = 40_000;
    let mut replica = open(&Arc::new(MemoryStore::default()), 0, 1);
    let all: Vec<u64> = (1..=SKUS).collect();
    for some in all.chunks(2_000) {
        apply(&mut replica, some.iter().map(|goods_id| set_stock(*goods_id, 10, "k")));
    }
    let low: Vec<u64> = (100..=SKUS).step_by(100).collect();
    apply(&mut replica, low.iter().map(|goods_id| set_threshold(*goods_id, 10)));
    apply(&mut replica, low.iter().map(|goods_id| set_threshold(goods_id + 1, 9)));

    let first = page(&mut replica, 0, 1000, ONLY_LOW);
    assert_eq!(first.after, 4_000, "looked through more");
    assert_eq!(first.stocks.len() as u64, first.after / 100);
    for limit in [7, 1000] {
        assert_eq!(pages(&mut replica, limit, ONLY_LOW).0, low, "by {limit}");
    }
}
