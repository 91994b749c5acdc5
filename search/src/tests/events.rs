use std::collections::BTreeMap;

use emshop_proto::v1::{Goods, GoodsSort, Money};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index as Pick;
use tempfile::TempDir;

use super::{goods, open};
use crate::Filter;
use crate::change::Change;
use crate::index::Index;
use crate::listing::RESULTS_MAX;

const GOODS: u64 = 4;

/// What the engine tells of a shop in which these entries are touched: created, changed and deleted as they can be, with every number once.
fn history(touched: &[(u64, bool)]) -> Vec<Change> {
    let mut exists = [false; GOODS as usize + 1];
    let change = |(number, (goods_id, deletes)): (u64, &(u64, bool))| {
        let exists = &mut exists[*goods_id as usize];
        *exists = !(*exists && *deletes);
        Change { goods_id: *goods_id, number, goods: exists.then(|| version(*goods_id, number)) }
    };
    (1..).zip(touched).map(change).collect()
}

/// Told from other versions by its price.
fn version(goods_id: u64, number: u64) -> Goods {
    let price = Some(Money::new(number as i64, "CNY"));
    Goods { unit_price: price, on_sale: Some(number.is_multiple_of(2)), ..goods(goods_id, &format!("goods v{number}")) }
}

/// As the relay publishes: groups of events, each group type by type in some order; after a restart some of it again, grouped otherwise.
fn published(history: &[Change], restarts: &[(Pick, Pick)], group: usize) -> Vec<Change> {
    let mut published = Vec::new();
    let (mut next, mut size, mut is_deleted_first) = (0, group, false);
    let mut run = |from: usize, to: usize, size: usize| {
        for group in history[from..to].chunks(size) {
            is_deleted_first = !is_deleted_first;
            let (deleted, other): (Vec<_>, Vec<_>) = group.iter().cloned().partition(|change| change.goods.is_none());
            published.extend(if is_deleted_first { [deleted, other] } else { [other, deleted] }.into_iter().flatten());
        }
    };
    for (stop, resume) in restarts {
        let to = next + stop.index(history.len() - next + 1);
        run(next, to, size);
        next = resume.index(to + 1);
        size = size % 5 + 1;
    }
    run(next, history.len(), size);
    published
}

fn assert_found(index: &Index, latest: &BTreeMap<u64, Change>) {
    let all = Filter { include_off_sale: true, sort: GoodsSort::PriceAscending, limit: RESULTS_MAX, ..Filter::default() };
    let found = index.listing().list(&all).unwrap();
    let mut expected: Vec<_> = latest.values().filter(|change| change.goods.is_some()).collect();
    expected.sort_by_key(|change| change.number);
    assert_eq!(found.goods_ids, expected.iter().map(|change| change.goods_id).collect::<Vec<_>>());
    assert_eq!(found.total, expected.len() as u64);
    for change in expected {
        let number = change.number as i64;
        let itself = Filter {
            keywords: format!("v{number}"),
            price_min_minor: Some(number),
            price_max_minor: Some(number),
            include_off_sale: number % 2 == 1,
            ..all.clone()
        };
        assert_eq!(index.listing().list(&itself).unwrap().goods_ids, [change.goods_id]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_last_event_of_an_entry_counts_however_they_come(
        touched in vec((1..=GOODS, prop::bool::weighted(0.4)), 1..30),
        restarts in vec(any::<(Pick, Pick)>(), 0..3),
        group in 1..6_usize,
        commits in vec((1..12_usize, any::<bool>()), 1..6),
    ) {
        let history = history(&touched);
        let mut rest = published(&history, &restarts, group);
        let folder = TempDir::new().unwrap();
        let mut index = open(folder.path());
        let mut latest: BTreeMap<u64, Change> = BTreeMap::new();
        let mut sequence = 0;
        for (size, reopens) in commits.iter().cycle() {
            let batch: Vec<_> = rest.drain(..rest.len().min(*size)).collect();
            for change in &batch {
                let last = latest.entry(change.goods_id).or_insert_with(|| change.clone());
                if last.number < change.number {
                    *last = change.clone();
                }
            }
            sequence += batch.len() as u64;
            index.apply(batch, sequence).unwrap();
            if *reopens {
                drop(index);
                index = open(folder.path());
                prop_assert_eq!(index.sequence(), sequence);
            }
            assert_found(&index, &latest);
            if rest.is_empty() {
                break;
            }
        }
        let ends: BTreeMap<u64, Change> = history.into_iter().map(|change| (change.goods_id, change)).collect();
        prop_assert_eq!(latest, ends);
    }
}
