//! Log order is what a client can rely on: each record runs to its end before the next one begins, whichever share an envelope.

use emshop_core::rules;
use emshop_proto::errors::Code;
use emshop_proto::internal::{Envelope, Record, Rules, record};
use emshop_proto::v1::{Command, LogisticsStatus, OrderStatus, PaymentStatus};

use crate::commands::*;
use crate::shop::*;

/// What commands are answered, all in one envelope and in one each, without the position in the log.
fn both_ways<const N: usize>(prepare: fn(&mut Shop), commands: impl Fn() -> [Command; N]) -> [[Expected; N]; 2] {
    let (mut together, mut apart) = (Shop::with_two_goods(), Shop::with_two_goods());
    prepare(&mut together);
    prepare(&mut apart);
    let first = together.send(commands()).map(|outcome| seen(&outcome));
    let second = commands().map(|command| seen(&apart.send_one(command)));
    for goods_id in [1, 2] {
        assert_eq!(together.levels(goods_id), apart.levels(goods_id));
    }
    [first, second]
}

#[test]
fn what_follows_an_order_in_its_envelope_finds_it_done() {
    let nothing = |_: &mut Shop| {};
    let submit_o = || submit(order("o", &[(1, 2)]));
    let done = || [Expected::Done, Expected::Done];
    assert_eq!(both_ways(nothing, || [submit_o(), confirm("o")]), [done(), done()]);
    assert_eq!(both_ways(nothing, || [submit_o(), cancel("o")]), [done(), done()]);
    let all = || [Expected::Done, Expected::Done, Expected::Done, Expected::Done];
    assert_eq!(both_ways(nothing, || [submit_o(), confirm("o"), ship("o"), deliver("o")]), [all(), all()]);
    let second = || [Expected::Done, Expected::Refused(Code::StockInsufficientForReservation)];
    let two = || [submit(order("o", &[(1, 7)])), submit(order("p", &[(1, 7)]))];
    assert_eq!(both_ways(nothing, two), [second(), second()]);
}

#[test]
fn a_cart_is_cleared_after_it_was_bought() {
    let filled = |shop: &mut Shop| drop(shop.send([add_to_cart(USER, 1, 1, "k"), add_to_cart(USER, 2, 1, "k")]));
    let expected = || [Expected::Done, Expected::Repeated];
    assert_eq!(both_ways(filled, || [checkout(cart_order("o", USER)), clear_cart(USER)]), [expected(), expected()]);
    let mut shop = Shop::with_two_goods();
    shop.send_one(add_to_cart(USER, 1, 1, "k"));
    shop.send([checkout(cart_order("o", USER)), add_to_cart(USER, 2, 1, "k2")]);
    assert_eq!(shop.order("o").lines.len(), 1, "what came later is not in it");
}

#[test]
fn an_order_has_the_price_of_its_place_in_the_log() {
    let mut shop = Shop::with_two_goods();
    let dearer = goods(1, emshop_proto::v1::Money::new(9_999, "CNY"));
    shop.send([submit(order("before", &[(1, 1)])), update_goods_of(dearer), submit(order("after", &[(1, 1)]))]);
    assert_eq!(["before", "after"].map(|id| shop.order(id).total.expect("a total").amount_minor), [1_000, 9_999]);
}

/// The update that makes goods what a creation of them would.
fn update_goods_of(create: Command) -> Command {
    let Some(emshop_proto::v1::command::Body::CreateGoods(request)) = create.body else { panic!("no creation of goods") };
    let body = emshop_proto::v1::command::Body::UpdateGoods(emshop_proto::v1::UpdateGoodsRequest { goods: request.goods });
    Command::from(body)
}

/// Two logs with `units` of one SKU each.
fn two_logs(units: u64) -> (Shop, [u64; 2]) {
    let mut shop = Shop::new(2);
    let ([x], [y]) = (shop.goods_of(0), shop.goods_of(1));
    shop.stock_up(x, 100, units);
    shop.stock_up(y, 100, units);
    (shop, [x, y])
}

/// Orders that want the same last units in two logs: both had been refused when each got one of them.
#[test]
fn of_two_orders_for_the_last_units_one_gets_through() {
    for pair in 0..80 {
        let (mut shop, [x, y]) = two_logs(1);
        let ids = [shop.id_of(pair % 2, "a"), shop.id_of(pair / 2 % 2, "b")];
        let orders = ids.clone().map(|id| submit(order(&id, &[(x, 1), (y, 1)])));
        let done = shop.send(orders).iter().filter(|outcome| refused(outcome).is_none()).count();
        assert_eq!((done, shop.levels(x), shop.levels(y)), (1, (0, 1, 0), (0, 1, 0)), "pair {pair}");
    }
}

#[test]
fn as_many_orders_get_through_as_there_are_units() {
    let (mut shop, [x, y]) = two_logs(30);
    let ids: Vec<String> = (0..40).map(|number| shop.id_of(number % 2, &format!("o{number}"))).collect();
    let tickets: Vec<u64> = ids.iter().flat_map(|id| shop.send_only([submit(order(id, &[(x, 1), (y, 1)]))])).collect();
    shop.carry();
    let outcomes: Vec<_> = tickets.into_iter().map(|ticket| shop.outcome(ticket).expect("answered")).collect();
    assert_eq!(outcomes.iter().filter(|outcome| refused(outcome).is_none()).count(), 30);
    assert_eq!((shop.levels(x), shop.levels(y)), ((0, 30, 0), (0, 30, 0)));
    for (id, outcome) in ids.iter().zip(&outcomes) {
        let status = if refused(outcome).is_none() { PaymentStatus::Pending } else { PaymentStatus::Cancelled };
        assert_eq!(shop.payment(id).status(), status);
    }
}

#[test]
fn outside_reservations_of_the_last_units_get_through_alike() {
    for pair in 0..20 {
        let (mut shop, [x, y]) = two_logs(1);
        let ids = [shop.id_of(pair % 2, "a"), shop.id_of(pair / 2 % 2, "b")];
        let outcomes = shop.send(ids.map(|id| reserve(&id, &[(x, 1), (y, 1)])));
        assert_eq!(outcomes.iter().filter(|outcome| refused(outcome).is_none()).count(), 1, "pair {pair}");
    }
}

#[test]
fn a_paid_order_over_two_logs_goes_all_its_way() {
    let (mut shop, [x, y]) = two_logs(10);
    for log in 0..2 {
        let id = shop.id_of(log, "o");
        assert_done(&shop.send_one(submit(order(&id, &[(x, 1), (y, 2)]))));
        assert_done(&shop.send_one(confirm(&id)));
        shop.assert_stands(&id, OrderStatus::Paid, PaymentStatus::Paid, Some(LogisticsStatus::Pending));
    }
    assert_eq!((shop.levels(x), shop.levels(y)), ((8, 0, 2), (6, 0, 4)));
}

#[test]
fn the_log_says_which_rules_are_in_force() {
    let mut shop = Shop::with_two_goods();
    assert_eq!(shop.logs[0].replica.rules(), 0);
    for version in [rules::VERSION, 0] {
        let rules = Record { body: Some(record::Body::Rules(Rules { version })), ..Record::default() };
        shop.apply(0, Envelope { records: vec![rules], ..Envelope::default() });
        assert_eq!(shop.logs[0].replica.rules(), rules::VERSION, "they never go back");
    }
    let store = std::sync::Arc::clone(&shop.logs[0].store);
    assert_eq!(open(&store, 0, 1).rules(), rules::VERSION);
}
