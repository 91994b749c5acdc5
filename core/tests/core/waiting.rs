//! What waits for somebody, and has for long: found, named, and in pages.

use std::array::from_fn;

use emshop_proto::internal::{WaitingOrders, WaitingQuery, query, query_reply};
use emshop_proto::v1::{LogisticsStatus, WaitsFor};

use crate::commands::*;
use crate::shop::*;

/// What an order waits for, and the sentence that says so.
type Waits = Option<(WaitsFor, &'static str)>;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub fn ask(shop: &mut Shop, query: WaitingQuery) -> WaitingOrders {
    match shop.ask(0, 0, query::Body::Waiting(query)) {
        query_reply::Body::Waiting(waiting) => waiting,
        other => panic!("not orders that wait: {other:?}"),
    }
}

/// What has waited at a time, by id.
fn waiting(shop: &mut Shop, since_ms: i64, waits_for: WaitsFor) -> Vec<(String, WaitsFor, String)> {
    let query = WaitingQuery { limit: 100, since_ms, waits_for: waits_for.into(), ..WaitingQuery::default() };
    let found = ask(shop, query);
    assert_eq!(found.after, 0, "a short list is one page");
    found.orders.into_iter().map(|order| (order.order_id.clone(), order.waits_for(), order.reason)).collect()
}

/// Each state that an order can be in, and what it waits for there.
#[test]
fn every_state_that_waits_is_listed() {
    use WaitsFor::*;
    let reject: OnOrder = |id| move_parcel(id, LogisticsStatus::Rejected);
    let way: [OnOrder; 2] = [|id| move_parcel(id, LogisticsStatus::InTransit), |id| move_parcel(id, LogisticsStatus::Delivering)];
    let back: OnOrder = |id| move_parcel(id, LogisticsStatus::Returning);
    let table: [(&str, &[OnOrder], Waits); 12] = [
        ("pending", &[], Some((Payment, "it is unpaid, and expires by itself"))),
        ("stuck", &[], Some((Operator, "Inventory/ReleaseReserved was refused: for no known reason"))),
        ("paid", &[confirm], Some((Shipment, "its parcel is not shipped"))),
        ("without", &[confirm, cancel_parcel], Some((Shipment, "its parcel was cancelled: it needs another one, or a refund"))),
        ("shipped", &[confirm, ship], Some((Parcel, "its parcel has not arrived"))),
        (
            "rejected",
            &[confirm, ship, way[0], way[1], reject],
            Some((Parcel, "its parcel was rejected, and is not on its way back")),
        ),
        (
            "coming",
            &[confirm, ship, way[0], way[1], reject, back],
            Some((Parcel, "its parcel was rejected, and has not come back")),
        ),
        ("delivered", &[confirm, ship, deliver], None),
        ("returning", &[confirm, ship, deliver, request_return], Some((Return, "its return is neither accepted nor declined"))),
        ("completed", &[confirm, ship, deliver, complete], None),
        ("cancelled", &[cancel], None),
        ("refunded", &[confirm, cancel], None),
    ];
    let mut shop = Shop::new(1);
    shop.stock_up(1, 1000, 100);
    for (id, steps, _) in table {
        assert_done(&shop.send_one(submit(order(id, &[(1, 1)]))));
        steps.iter().for_each(|step| assert_done(&shop.send_one(step(id))));
    }
    shop.stick("stuck");
    let expected = |only: WaitsFor| {
        let listed = table.iter().filter_map(|(id, _, waits)| waits.map(|(waits_for, reason)| (*id, waits_for, reason)));
        let listed = listed.filter(|(_, waits_for, _)| only == Unspecified || *waits_for == only);
        listed.map(|(id, waits_for, reason)| (id.to_owned(), waits_for, reason.to_owned())).collect::<Vec<_>>()
    };
    let now_ms = shop.now_ms;
    for only in [Unspecified, Payment, AnotherLog, Shipment, Parcel, Return, Operator] {
        assert_eq!(waiting(&mut shop, now_ms, only), expected(only), "{only:?}");
        assert_eq!(waiting(&mut shop, START_MS - 1, only), [], "{only:?}, before there was anything");
    }
}

#[test]
fn it_waits_since_something_happened_last() {
    let mut shop = Shop::with_two_goods();
    for id in ["one", "two"] {
        assert_done(&shop.send_one(submit(order(id, &[(1, 1)]))));
        assert_done(&shop.send_one(confirm(id)));
    }
    shop.now_ms += DAY_MS;
    assert_done(&shop.send_one(ship("two")));
    let ids = |shop: &mut Shop, since_ms| {
        waiting(shop, since_ms, WaitsFor::Unspecified).into_iter().map(|(id, ..)| id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&mut shop, START_MS), ["one"]);
    assert_eq!(ids(&mut shop, START_MS + DAY_MS), ["one", "two"]);
}

#[test]
fn an_order_that_waits_for_another_log_is_listed() {
    let mut shop = Shop::new(2);
    let [far] = shop.goods_of(1);
    shop.stock_up(far, 100, 10);
    let id = shop.id_of(0, "o");
    shop.send_only([submit(order(&id, &[(far, 1)]))]);
    let reason = "Inventory/ReserveStock waits for the answer of another log".to_owned();
    assert_eq!(waiting(&mut shop, START_MS, WaitsFor::Unspecified), [(id, WaitsFor::AnotherLog, reason)]);
}

/// One question looks at 500 orders: the list goes on behind them, found or not.
#[test]
fn pages_go_through_all_orders() {
    let mut shop = Shop::new(1);
    shop.stock_up(1, 1000, 10_000);
    let ids: Vec<_> = (0..1_203).map(|number| format!("o{number}")).collect();
    for batch in ids.chunks_exact(401) {
        shop.send_only::<401>(from_fn(|number| submit(order(&batch[number], &[(1, 1)]))));
    }
    for batch in ids[100..1_100].chunks_exact(500) {
        shop.send_only::<500>(from_fn(|number| cancel(&batch[number])));
    }
    let expected: Vec<_> = [&ids[..100], &ids[1_100..]].concat();
    for (limit, pages) in [(1, 206), (60, 5), (1_000, 3)] {
        let (mut found, mut after, mut asked) = (Vec::new(), 0, 0);
        loop {
            let page = ask(&mut shop, WaitingQuery { limit, after, since_ms: START_MS, waits_for: 0 });
            assert!(page.orders.len() <= limit as usize);
            found.extend(page.orders.into_iter().map(|order| order.order_id));
            (after, asked) = (page.after, asked + 1);
            if after == 0 {
                break;
            }
        }
        assert_eq!(found, expected, "by {limit}");
        assert!(asked <= pages, "{asked} questions by {limit}");
    }
}
