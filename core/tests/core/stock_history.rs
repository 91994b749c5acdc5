//! What became of a SKU's stock, change by change, and when its level is told.

use emshop_core::queries;
use emshop_core::stock::levels::SLICE_MS;
use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{OwnedStockChange, OwnerKind, Query, StockChanges, StockChangesQuery, query, query_reply};
use emshop_proto::v1::StockCause::{self, Adjust, Reback, Release, Reserve, Sell, Set};
use emshop_proto::v1::{Command, StockChange, event, outcome};

use crate::commands::*;
use crate::events::NumberedEvent;
use crate::shop::*;

fn page(shop: &mut Shop, goods_id: u64, limit: u32, before_sequence: u64) -> Result<StockChanges, Code> {
    let log = shop.partitioner.of_goods(goods_id).log;
    let question = query::Body::StockChanges(StockChangesQuery { goods_id, limit, before_sequence });
    let answer = queries::answer(&mut shop.logs[log as usize].replica, Query { body: Some(question), viewer: 0 });
    match answer.and_then(|answer| answer.body) {
        Some(query_reply::Body::StockChanges(changes)) => Ok(changes),
        Some(query_reply::Body::Refusal(refusal)) => Err(Code::from_number(refusal.code).expect("a code of the table")),
        other => panic!("not changes of stock: {other:?}"),
    }
}

/// All changes, page by page, oldest first.
fn history(shop: &mut Shop, goods_id: u64, limit: u32) -> Vec<OwnedStockChange> {
    let (mut changes, mut before_sequence) = (Vec::new(), 0);
    loop {
        let page = page(shop, goods_id, limit, before_sequence).expect("the SKU has a history");
        changes.extend(page.changes);
        before_sequence = page.before_sequence;
        if before_sequence == 0 {
            changes.reverse();
            return changes;
        }
    }
}

type Told = (StockCause, i64, Levels);

fn told(changes: &[OwnedStockChange]) -> Vec<Told> {
    let change = |owned: &OwnedStockChange| owned.change.clone().expect("a change");
    let told = |change: StockChange| (change.cause(), change.delta, (change.available, change.reserved, change.sold));
    changes.iter().map(change).map(told).collect()
}

#[test]
fn every_change_is_told() {
    let mut shop = Shop::with_two_goods();
    shop.send_one(submit(order("o", &[(1, 2)])));
    shop.send_one(confirm("o"));
    shop.send_one(adjust_stock(1, -3, "k"));
    shop.send_one(cancel("o"));
    shop.send_one(reserve_within("r", &[(1, 4), (2, 1)], 35));
    shop.tick_after(35_000);
    shop.send_one(set_stock(1, 7, "k2"));
    // Neither of these changes anything.
    shop.send_one(set_stock(1, 7, "k2"));
    shop.send_one(reserve("too-much", &[(1, 8)]));
    shop.send_one(set_threshold(1, 3));

    let history = history(&mut shop, 1, 100);
    let expected = [
        (Set, 10, (10, 0, 0)),
        (Reserve, -2, (8, 2, 0)),
        (Sell, 0, (8, 0, 2)),
        (Adjust, -3, (5, 0, 2)),
        (Reback, 2, (7, 0, 0)),
        (Reserve, -4, (3, 4, 0)),
        (Release, 4, (7, 0, 0)),
        (Set, 0, (7, 0, 0)),
    ];
    assert_eq!(told(&history), expected);

    let owners: Vec<_> = history.iter().map(|change| change.owner.map(|owner| (owner.kind(), owner.number))).collect();
    let (order, reservation) = (Some((OwnerKind::Order, 1)), Some((OwnerKind::Reservation, 1)));
    assert_eq!(owners, [None, order, order, None, order, reservation, reservation, None]);

    let places = history.iter().map(|owned| owned.change.clone().expect("a change"));
    let places: Vec<_> = places.map(|change| (change.position.expect("a position").sequence, change.at_ms - START_MS)).collect();
    assert_eq!(places, [(1, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 35_000), (9, 35_000)]);
}

/// What one envelope did stays together; else a page is as long as was asked for.
#[test]
fn pages_keep_turns_together() {
    let mut shop = Shop::with_two_goods();
    let orders: [Command; 3] = std::array::from_fn(|number| submit(order(&format!("o{number}"), &[(1, 1)])));
    shop.send(orders);
    let confirms: [Command; 2] = std::array::from_fn(|number| confirm(&format!("o{number}")));
    shop.send(confirms);
    shop.send_one(cancel("o2"));

    let lengths = |shop: &mut Shop, limit| {
        let (mut lengths, mut before_sequence) = (Vec::new(), 0);
        loop {
            let page = page(shop, 1, limit, before_sequence).expect("the SKU has a history");
            lengths.push(page.changes.len());
            before_sequence = page.before_sequence;
            if before_sequence == 0 {
                return lengths;
            }
        }
    };
    assert_eq!(lengths(&mut shop, 1), [1, 2, 3, 1]);
    assert_eq!(lengths(&mut shop, 2), [3, 3, 1]);
    assert_eq!(lengths(&mut shop, 100), [7]);
    let whole = told(&history(&mut shop, 1, 100));
    assert_eq!(told(&history(&mut shop, 1, 1)), whole);
    assert_eq!(whole.iter().map(|(_, delta, _)| delta).sum::<i64>(), 8);

    // The same from the store, after a restart.
    let store = std::sync::Arc::clone(&shop.logs[0].store);
    shop.logs[0].replica = open(&store, 0, 1);
    assert_eq!(told(&history(&mut shop, 1, 2)), whole);
}

#[test]
fn unknown_stock_and_made_up_places_are_refused() {
    let mut shop = Shop::with_two_goods();
    assert_eq!(page(&mut shop, 999, 10, 0), Err(Code::InventoryNotFound));
    assert_eq!(page(&mut shop, 1, 10, 2), Err(Code::ValidationFailed), "that turn changed goods 2");
    assert_eq!(page(&mut shop, 1, 10, 99), Err(Code::ValidationFailed));
}

/// Goods of another log than their order: who caused a change is known by place.
#[test]
fn owners_in_another_log_are_told() {
    let mut shop = Shop::new(2);
    let [far] = shop.goods_of(1);
    shop.stock_up(far, 1000, 10);
    let id = shop.id_of(0, "o");
    assert_done(&shop.send_one(submit(order(&id, &[(far, 2)]))));
    let newest = page(&mut shop, far, 1, 0).expect("a history").changes.remove(0);
    let owner = newest.owner.expect("an order's doing");
    let change = newest.change.expect("a change");
    assert_eq!((change.cause(), change.position.expect("a position").log), (Reserve, 1));
    assert_eq!((owner.log, owner.kind(), owner.number), (0, OwnerKind::Order, 1));
}

/// Sends commands as one envelope, and says how many times they made stock low when their slice of log time has passed.
fn low_events<const N: usize>(shop: &mut Shop, commands: [Command; N]) -> usize {
    let told = shop.logs[0].events.len();
    shop.send(commands);
    shop.tick_after(SLICE_MS);
    let events = shop.logs[0].events[told..].iter().filter(|event| event.event_type == EventType::StockLow);
    let levels = events.map(|event| match &event.event.body {
        Some(event::Body::Stock(level)) => *level,
        other => panic!("not a level: {other:?}"),
    });
    levels.inspect(|level| assert!(level.available <= level.low_threshold, "{level:?} is not low")).count()
}

#[test]
fn low_stock_is_told_once_until_it_was_above() {
    let mut shop = Shop::with_two_goods();
    assert_eq!(low_events(&mut shop, [reserve("all", &[(1, 10)])]), 0, "without a threshold");
    assert_eq!(low_events(&mut shop, [release("all")]), 0);
    let table = [
        (vec![set_threshold(1, 5)], 0, "ten are above it"),
        (vec![reserve("a", &[(1, 4)])], 0, "six are"),
        (vec![reserve("b", &[(1, 1)])], 1, "five are not"),
        (vec![reserve("c", &[(1, 1)])], 0, "told already"),
        (vec![release("c")], 0, "five are still low"),
        (vec![release("b")], 0, "above again"),
        (vec![submit(order("o", &[(1, 6)])), confirm("o")], 1, "none are left"),
        (vec![cancel("o")], 0, "six are back"),
        (vec![reserve("d", &[(1, 3)]), adjust_stock(1, 3, "k")], 0, "it was low within the slice only"),
        (vec![set_threshold(1, 6)], 1, "the threshold came up to it"),
        (vec![set_threshold(1, 100)], 0, "told already"),
        (vec![set_threshold(1, 0)], 0, "no threshold"),
        (vec![set_threshold(1, 2), set_stock(1, 9, "k2")], 1, "to two available: seven are reserved"),
    ];
    for (commands, expected, why) in table {
        let told = match <[Command; 1]>::try_from(commands) {
            Ok(one) => low_events(&mut shop, one),
            Err(commands) => low_events(&mut shop, <[Command; 2]>::try_from(commands).expect("one or two")),
        };
        assert_eq!(told, expected, "{why}");
    }
}

/// Levels told after the first `last` ones, each with its sequence, time after the start, SKU and what is available.
fn levels_after(shop: &Shop, last: usize) -> Vec<(u64, i64, u64, u64)> {
    let events = shop.logs[0].events.iter().filter(|event| event.event_type == EventType::StockChanged).skip(last);
    let level = |told: &NumberedEvent| match &told.event.body {
        Some(event::Body::Stock(level)) => {
            (told.event.log_sequence, told.event.at_ms - START_MS, level.goods_id, level.available)
        }
        other => panic!("not a level: {other:?}"),
    };
    events.map(level).collect()
}

#[test]
fn levels_are_told_by_the_first_turn_of_a_later_slice() {
    let mut shop = Shop::with_two_goods();
    shop.now_ms += SLICE_MS - 1;
    shop.send([reserve("a", &[(2, 1)]), reserve("b", &[(2, 1), (1, 3)]), delete_goods(1)]);
    assert_eq!(levels_after(&shop, 0), [], "the slice has not passed");
    assert_eq!(shop.logs[0].replica.next_due_ms(), Some(START_MS + SLICE_MS));
    shop.tick_after(1);
    assert_eq!(levels_after(&shop, 0), [(4, 250, 1, 7), (4, 250, 2, 8)]);

    shop.tick_after(10 * SLICE_MS);
    assert_eq!(levels_after(&shop, 2), [], "nothing has changed");
    // Before its records, and what these change is for the next slice; a restart in between changes nothing.
    shop.send_one(reserve("c", &[(2, 1)]));
    shop.now_ms += SLICE_MS;
    let store = std::sync::Arc::clone(&shop.logs[0].store);
    shop.logs[0].replica = open(&store, 0, 1);
    shop.send_one(reserve("d", &[(2, 1)]));
    assert_eq!(levels_after(&shop, 2), [(7, 3000, 2, 7)]);
    shop.logs[0].replica = open(&store, 0, 1);
    shop.tick_after(SLICE_MS);
    assert_eq!(levels_after(&shop, 3), [(8, 3250, 2, 6)]);
}

#[test]
fn a_threshold_is_told_at_once() {
    let mut shop = Shop::with_two_goods();
    shop.tick_after(SLICE_MS);
    let told = shop.logs[0].events.len();
    shop.send_one(set_threshold(1, 10));
    assert_eq!(shop.events_after(0, told), ["stock.changed", "stock.low"]);
    shop.send_one(set_threshold(1, 11));
    shop.tick_after(SLICE_MS);
    assert_eq!(shop.events_after(0, told + 2), ["stock.changed"], "low as it was");
}

#[test]
fn a_threshold_needs_a_stock_entry_and_can_be_repeated() {
    let mut shop = Shop::with_two_goods();
    assert_refused(&shop.send_one(set_threshold(999, 5)), Code::InventoryNotFound);
    let first = shop.send_one(set_threshold(1, 5));
    let Some(outcome::Result::Stock(level)) = first.result else { panic!("{first:?}") };
    assert_eq!((level.available, level.low_threshold, first.repeated), (10, 5, false));
    let again = shop.send_one(set_threshold(1, 5));
    assert_eq!((again.result, again.repeated), (Some(outcome::Result::Stock(level)), true));
    // What changes the stock leaves the threshold.
    shop.send([set_stock(1, 20, "k"), reserve("r", &[(1, 1)])]);
    let stock = shop.logs[0].replica.state.stocks.get(&1).copied().expect("an entry");
    assert_eq!((stock.available, stock.low_threshold), (19, 5));
}
