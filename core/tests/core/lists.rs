//! Orders listed page by page, and found by number.

use emshop_proto::internal::{Orders, Owner, OwnerKind, OwnersQuery, UserOrdersQuery, query, query_reply};
use emshop_proto::v1::{Order, OrderStatus, SubmitOrderRequest};
use prost::Message as _;

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
    // The later one of a millisecond is listed first.
    orders.reverse();
    (shop, orders)
}

/// All pages of a list.
fn pages(shop: &mut Shop, mut query: UserOrdersQuery) -> Vec<Orders> {
    let mut pages = Vec::new();
    loop {
        let query_reply::Body::UserOrders(page) = shop.ask(0, 0, query::Body::UserOrders(query.clone())) else {
            panic!("not a list of orders")
        };
        query.after = page.reached;
        pages.push(page);
        if query.after.is_none() {
            return pages;
        }
    }
}

fn orders_of(pages: Vec<Orders>) -> Vec<Order> {
    pages.into_iter().flat_map(|page| page.orders).filter_map(|listed| listed.order).collect()
}

#[test]
fn pages_hold_what_the_filters_let_through_each_once() {
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
            let pages = pages(&mut shop, query);
            assert!(pages.iter().all(|page| page.orders.len() <= limit as usize));
            assert_eq!(orders_of(pages), expected, "{statuses:?} from {from_ms} before {before_ms}, {limit} a page");
        }
    }
}

/// A list that let few through of many orders read every one of them before it answered, and no command was applied meanwhile.
#[test]
fn a_page_looks_at_so_many_orders_and_no_more() {
    let mut shop = Shop::with_two_goods();
    shop.send_one(adjust_stock(1, 2_000, "more"));
    for number in 0..1_200 {
        assert_done(&shop.send_one(submit(order(&format!("o{number}"), &[(1, 1)]))));
    }
    assert_done(&shop.send_one(cancel("o3")));
    let statuses = vec![OrderStatus::Cancelled.into()];
    let pages = pages(&mut shop, UserOrdersQuery { user_id: USER, limit: 20, statuses, ..UserOrdersQuery::default() });
    assert_eq!(pages.iter().map(|page| page.orders.len()).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(orders_of(pages)[0].order_id, "o3");
}

/// A page of large orders was larger than what NATS takes, and the client waited for it in vain.
#[test]
fn a_page_fits_into_an_answer() {
    let mut shop = Shop::new(1);
    for goods_id in 1..=200 {
        shop.stock_up(goods_id, 1, 1_000);
    }
    let lines: Vec<_> = (1..=200).map(|goods_id| (goods_id, 1)).collect();
    for number in 0..100 {
        assert_done(&shop.send_one(submit(order(&format!("o{number}"), &lines))));
    }
    let pages = pages(&mut shop, UserOrdersQuery { user_id: USER, limit: 100, ..UserOrdersQuery::default() });
    assert!(pages.len() > 1 && pages.iter().all(|page| page.encoded_len() < 600 * 1024));
    assert_eq!(orders_of(pages).len(), 100);
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
