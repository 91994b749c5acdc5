//! Orders listed page by page, and found by number.

use emshop_proto::internal::{Orders, Owner, OwnerKind, OwnersQuery, UserOrdersQuery, query, query_reply};
use emshop_proto::v1::{Order, OrderStatus, SubmitOrderRequest};

use crate::commands::*;
use crate::shop::*;

/// Orders of [`USER`], three in each millisecond, every fourth cancelled and every fifth paid; and some of somebody else.
fn shop_with_orders() -> (Shop, Vec<Order>) {
    let mut shop = Shop::with_two_goods();
    shop.send_one(adjust_stock(1, 100, "more"));
    let mut orders = Vec::new();
    for number in 0..60 {
        shop.now_ms = START_MS + number / 3;
        let id = format!("o{number}");
        let user_id = USER + u64::from(number % 6 == 5);
        assert_done(&shop.send_one(submit(SubmitOrderRequest { user_id, ..order(&id, &[(1, 1)]) })));
        if number % 4 == 0 {
            assert_done(&shop.send_one(cancel(&id)));
        } else if number % 5 == 0 {
            assert_done(&shop.send_one(confirm(&id)));
        }
        orders.push(shop.order(&id));
    }
    // As after a restart, when the store alone has them.
    let store = std::sync::Arc::clone(&shop.logs[0].store);
    shop.logs[0].replica = open(&store, 0, 1);
    orders.retain(|order| order.user_id == USER);
    orders.sort_by(|a, b| (b.created_at_ms, &b.order_id).cmp(&(a.created_at_ms, &a.order_id)));
    (shop, orders)
}

/// All pages of a list, with the total that each of them tells.
fn pages(shop: &mut Shop, first: UserOrdersQuery) -> (Vec<Order>, Vec<u64>) {
    let (mut query, mut all, mut totals) = (first, Vec::new(), Vec::new());
    loop {
        let query_reply::Body::UserOrders(Orders { orders, total }) = shop.ask(0, 0, query::Body::UserOrders(query.clone()))
        else {
            panic!("not a list of orders")
        };
        totals.push(total);
        let Some(last) = orders.last() else { return (all, totals) };
        (query.before_ms, query.before_order_id) = (last.created_at_ms, last.order_id.clone());
        all.extend(orders);
    }
}

#[test]
fn pages_hold_what_the_filters_let_through_each_once_and_every_total_is_of_all() {
    let (mut shop, orders) = shop_with_orders();
    use OrderStatus::*;
    let statuses: [&[OrderStatus]; 4] = [&[], &[Cancelled], &[Pending, Paid], &[Returned]];
    let ranges = [(0, 0), (START_MS + 5, 0), (0, START_MS + 12), (START_MS + 5, START_MS + 12), (START_MS + 7, START_MS + 7)];
    for (statuses, (from_ms, before_ms)) in statuses.into_iter().flat_map(|statuses| ranges.map(|range| (statuses, range))) {
        let expected: Vec<_> = orders
            .iter()
            .filter(|order| statuses.is_empty() || statuses.contains(&order.status()))
            .filter(|order| order.created_at_ms >= from_ms && (before_ms == 0 || order.created_at_ms < before_ms))
            .cloned()
            .collect();
        for limit in [1, 2, 7, 100] {
            let query = UserOrdersQuery {
                user_id: USER,
                limit,
                statuses: statuses.iter().map(|status| i32::from(*status)).collect(),
                created_from_ms: from_ms,
                created_before_ms: before_ms,
                ..UserOrdersQuery::default()
            };
            let (listed, totals) = pages(&mut shop, query);
            assert_eq!(listed, expected, "{statuses:?} from {from_ms} before {before_ms}, {limit} a page");
            assert_eq!(totals, vec![expected.len() as u64; expected.len().div_ceil(limit as usize) + 1]);
        }
    }
}

#[test]
fn owners_are_named_by_their_numbers() {
    let mut shop = Shop::new(2);
    let [goods] = shop.goods_of(1);
    shop.stock_up(goods, 100, 10);
    let (order_id, business_id) = (shop.id_of(1, "o"), shop.id_of(1, "r"));
    shop.send([submit(order(&order_id, &[(goods, 1)])), reserve(&business_id, &[(goods, 1)])]);
    let owner = |kind: OwnerKind| Owner { log: 1, kind: kind.into(), number: 1 };
    let (order, reservation) = (owner(OwnerKind::Order), owner(OwnerKind::Reservation));
    let owners = vec![
        reservation,
        order,
        Owner { number: 2, ..order },
        Owner { log: 0, ..order },
        Owner { kind: OwnerKind::User.into(), ..order },
    ];
    let answer = shop.ask(1, 0, query::Body::Owners(OwnersQuery { owners }));
    let query_reply::Body::Owners(owners) = answer else { panic!("{answer:?}") };
    assert_eq!(owners.ids, [business_id.as_str(), order_id.as_str(), "", "", ""]);
}
