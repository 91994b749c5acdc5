//! What users may do at most who are no staff. (Each turn ends with an inspection, which counts all of it again.)

use emshop_proto::errors::Code;
use emshop_proto::internal::{Envelope, Record, ShopLimits, record};
use emshop_proto::v1::{
    Command, CreateGoodsRequest, Goods, Operator, OperatorKind, OrderStatus, Outcome, OverLimit, SubmitOrderRequest,
    UpdateGoodsRequest, command,
};

use crate::commands::*;
use crate::shop::*;

const LIMITS: ShopLimits = ShopLimits { unpaid_orders: 2, order_units: 5, payment_seconds: 60 };

fn by_user() -> Option<Operator> {
    Some(Operator { kind: OperatorKind::User.into(), user_id: USER, ..Operator::default() })
}

/// A record of an engine in each log.
fn limit(shop: &mut Shop, limits: ShopLimits) {
    for log in 0..shop.logs.len() as u32 {
        let record = Record { body: Some(record::Body::ShopLimits(limits)), ..Record::default() };
        shop.apply(log, Envelope { records: vec![record], ..Envelope::default() });
    }
}

fn limited(logs: u32) -> Shop {
    let mut shop = Shop::new(logs);
    limit(&mut shop, LIMITS);
    shop
}

fn two_goods() -> Shop {
    let mut shop = Shop::with_two_goods();
    limit(&mut shop, LIMITS);
    shop
}

fn entry_for_few(goods_id: u64, user_units_max: u64) -> Goods {
    Goods { user_units_max, ..entry(goods_id) }
}

/// Goods of which a user may have so many, in ample stock.
fn sell(shop: &mut Shop, goods_id: u64, user_units_max: u64) {
    let goods = Some(entry_for_few(goods_id, user_units_max));
    let create: Command = command::Body::CreateGoods(CreateGoodsRequest { goods }).into();
    shop.send([create, set_stock(goods_id, 1000, "first")]).iter().for_each(assert_done);
}

#[track_caller]
fn assert_over(outcome: Outcome, code: Code, over: &[OverLimit]) {
    let refusal = refusal_of(outcome);
    assert_eq!((refusal.code, refusal.over_limits.as_slice()), (code.number(), over));
}

#[test]
fn a_user_has_so_many_unpaid_orders_at_a_time() {
    let mut shop = two_goods();
    let place = |shop: &mut Shop, id: &str| shop.send_as(by_user(), submit(order(id, &[(1, 1)])));
    assert_done(&place(&mut shop, "o1"));
    assert_done(&place(&mut shop, "o2"));
    let orders = shop.orders();
    assert_over(place(&mut shop, "o3"), Code::UnpaidOrdersTooMany, &[OverLimit { requested: 1, ..OverLimit::default() }]);
    assert_eq!((shop.orders(), shop.levels(1)), (orders, (8, 2, 0)), "nothing is left of the third");
    // A repeat is none more, and others are not concerned.
    assert!(place(&mut shop, "o2").repeated);
    assert_done(&shop.send_as(None, submit(order("staff", &[(1, 1)]))));
    // One that is paid, and one that is over.
    assert_done(&shop.send_one(confirm("o1")));
    assert_done(&place(&mut shop, "o3"));
    assert_refused(&place(&mut shop, "o4"), Code::UnpaidOrdersTooMany);
    shop.tick_after(61_000);
    assert_eq!(shop.order_row("o2").status(), OrderStatus::Cancelled);
    assert_done(&place(&mut shop, "o4"));
    // One that is refused is not unpaid.
    assert_refused(&shop.send_as(by_user(), submit(order("o5", &[(9, 1)]))), Code::GoodsNotFound);
    assert_done(&place(&mut shop, "o6"));
    assert_refused(&place(&mut shop, "o7"), Code::UnpaidOrdersTooMany);
    assert_done(&shop.send_one(cancel("o6")));
    assert_done(&place(&mut shop, "o7"));
}

#[test]
fn who_may_have_no_more_orders_learns_nothing_of_those_of_others() {
    let mut shop = two_goods();
    let theirs = SubmitOrderRequest { user_id: USER + 1, ..order("theirs", &[(1, 1)]) };
    assert_done(&shop.send_as(None, submit(theirs)));
    let place = |shop: &mut Shop, id: &str| shop.send_as(by_user(), submit(order(id, &[(1, 1)])));
    assert_refused(&place(&mut shop, "theirs"), Code::IdempotencyKeyReused);
    assert_done(&place(&mut shop, "o1"));
    assert_done(&place(&mut shop, "o2"));
    for id in ["theirs", "of-nobody"] {
        assert_refused(&place(&mut shop, id), Code::UnpaidOrdersTooMany);
    }
}

#[test]
fn an_order_has_so_many_units_of_a_sku() {
    let mut shop = two_goods();
    let over = [OverLimit { goods_id: 2, requested: 6, allowed: 5 }];
    assert_over(shop.send_as(by_user(), submit(order("o1", &[(1, 5), (2, 6)]))), Code::OrderUnitsTooMany, &over);
    assert_eq!((shop.levels(1), shop.levels(2)), ((10, 0, 0), (10, 0, 0)));
    assert_done(&shop.send_as(by_user(), submit(order("o2", &[(1, 5), (2, 5)]))));
    assert_done(&shop.send_as(None, submit(order("o3", &[(1, 5)]))));
}

#[test]
fn a_checkout_is_bound_and_what_it_took_goes_back_into_the_cart() {
    for user_log in 0..2 {
        let mut shop = limited(2);
        let user = shop.user_of(user_log);
        let [goods] = shop.goods_of(0);
        shop.stock_up(goods, 100, 10);
        assert_done(&shop.send_one(add_to_cart(user, goods, 6, "first")));
        let id = shop.id_of(0, "o");
        let by = Some(Operator { kind: OperatorKind::User.into(), user_id: user, ..Operator::default() });
        let refused = shop.send_as(by, checkout(cart_order(&id, user)));
        assert_over(refused, Code::OrderUnitsTooMany, &[OverLimit { goods_id: goods, requested: 6, allowed: 5 }]);
        let id = shop.id_of(0, "again");
        assert_done(&shop.send_as(None, checkout(cart_order(&id, user))));
        assert_eq!(shop.levels(goods), (4, 6, 0), "it was in the cart again");
    }
}

#[test]
fn a_user_may_only_shorten_the_time_to_pay() {
    let mut shop = two_goods();
    let cases = [(by_user(), 900, 60), (by_user(), 30, 30), (None, 900, 900)];
    for (number, (operator, asked, given)) in cases.into_iter().enumerate() {
        let id = format!("o{number}");
        let request = SubmitOrderRequest { expires_in_seconds: asked, ..order(&id, &[(1, 1)]) };
        assert_done(&shop.send_as(operator, submit(request)));
        assert_eq!(shop.payment(&id).expires_at_ms, START_MS + given * 1000, "{id}");
    }
}

#[test]
fn a_user_has_so_many_units_of_a_sku_over_all_orders() {
    // The SKU in the log of the orders, and in another one.
    for log in 0..2 {
        let mut shop = limited(2);
        shop.channels_repeat = true;
        let [goods] = shop.goods_of(log);
        sell(&mut shop, goods, 4);
        let ids: [String; 6] = std::array::from_fn(|number| shop.id_of(0, &format!("o{number}")));
        let place = |shop: &mut Shop, id: &str, units| shop.send_as(by_user(), submit(order(id, &[(goods, units)])));
        let over = |requested, allowed| [OverLimit { goods_id: goods, requested, allowed }];
        assert_over(place(&mut shop, &ids[0], 5), Code::UserUnitsTooMany, &over(5, 4));
        assert_done(&place(&mut shop, &ids[1], 3));
        assert_over(place(&mut shop, &ids[2], 2), Code::UserUnitsTooMany, &over(2, 1));
        // What was bought counts on, what staff orders does not, and what goes back is free again.
        assert_done(&shop.send_one(confirm(&ids[1])));
        assert_done(&shop.send_as(None, submit(order(&ids[3], &[(goods, 50)]))));
        let third = shop.id_of(0, "p");
        assert_over(place(&mut shop, &third, 2), Code::UserUnitsTooMany, &over(2, 1));
        assert_done(&shop.send_one(cancel(&ids[1])));
        assert_done(&place(&mut shop, &ids[4], 4));
        assert_done(&shop.send_one(cancel(&ids[4])));
        assert_done(&place(&mut shop, &ids[5], 4));
    }
}

#[test]
fn a_limit_of_a_sku_that_changes_counts_what_was_counted() {
    let mut shop = limited(1);
    sell(&mut shop, 7, 0);
    let change = |shop: &mut Shop, most| {
        let goods = Some(entry_for_few(7, most));
        assert_done(&shop.send_one(keyed(&format!("{most}"), command::Body::UpdateGoods(UpdateGoodsRequest { goods }))));
    };
    let place = |shop: &mut Shop, id: &str| shop.send_as(by_user(), submit(order(id, &[(7, 2)])));
    let pay = |shop: &mut Shop, id: &str| assert_done(&shop.send_one(confirm(id)));
    // Before there is a limit nothing is counted.
    assert_done(&place(&mut shop, "o1"));
    pay(&mut shop, "o1");
    change(&mut shop, 3);
    assert_done(&place(&mut shop, "o2"));
    pay(&mut shop, "o2");
    assert_refused(&place(&mut shop, "o3"), Code::UserUnitsTooMany);
    // What was not counted gives nothing back, what was counted does though there is no limit any more.
    assert_done(&shop.send_one(cancel("o1")));
    assert_refused(&place(&mut shop, "o4"), Code::UserUnitsTooMany);
    change(&mut shop, 0);
    assert_done(&place(&mut shop, "o5"));
    assert_done(&shop.send_one(cancel("o2")));
    change(&mut shop, 2);
    assert_done(&place(&mut shop, "o6"));
}

#[test]
fn the_log_says_what_the_shop_allows() {
    let mut shop = Shop::with_two_goods();
    assert_eq!(shop.logs[0].replica.limits(), ShopLimits::default(), "nothing is limited");
    for id in ["a", "b", "c"] {
        assert_done(&shop.send_as(by_user(), submit(order(id, &[(1, 1)]))));
    }
    limit(&mut shop, LIMITS);
    assert_eq!(shop.logs[0].replica.limits(), LIMITS);
    assert_refused(&shop.send_as(by_user(), submit(order("d", &[(1, 1)]))), Code::UnpaidOrdersTooMany);
    let store = std::sync::Arc::clone(&shop.logs[0].store);
    assert_eq!(open(&store, 0, 1).limits(), LIMITS);
    limit(&mut shop, ShopLimits { unpaid_orders: 4, ..LIMITS });
    assert_done(&shop.send_as(by_user(), submit(order("d", &[(1, 1)]))));
}
