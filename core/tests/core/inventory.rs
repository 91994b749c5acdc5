//! Stock entries, and reservations of outside transaction managers, within one log and over two.

use emshop_core::stock::ON_HAND_MAX;
use emshop_proto::errors::Code;
use emshop_proto::v1::{ReservationStatus, Shortage, StockLevel, outcome};

use crate::commands::*;
use crate::shop::*;

use ReservationStatus::{Released, Reserved, Sold};

/// Two goods with ten units each: both in the log of "r", or one of them in the other log. With each the reservation's id.
pub fn shops() -> Vec<(Shop, [u64; 2], String)> {
    let mut shops = Vec::new();
    for logs in [1, 2] {
        let mut shop = Shop::new(logs);
        let goods = if logs == 1 { shop.goods_of(0) } else { [shop.goods_of::<1>(0)[0], shop.goods_of::<1>(1)[0]] };
        goods.iter().for_each(|goods_id| shop.stock_up(*goods_id, 100, 10));
        shop.channels_repeat = true;
        let id = shop.id_of(0, "r");
        shops.push((shop, goods, id));
    }
    shops
}

pub fn assert_levels(shop: &mut Shop, goods: [u64; 2], levels: [Levels; 2]) {
    assert_eq!(goods.map(|goods_id| shop.levels(goods_id)), levels);
}

pub const UNTOUCHED: [Levels; 2] = [(10, 0, 0); 2];

#[test]
fn stock_is_set_to_what_is_on_hand() {
    let mut shop = Shop::with_two_goods();
    shop.send_one(reserve("r", &[(1, 4)]));
    assert_refused(&shop.send_one(set_stock(1, 3, "k1")), Code::StockBelowReserved);
    let answer = shop.send_one(set_stock(1, 5, "k2"));
    let level = StockLevel { goods_id: 1, on_hand: 5, available: 1, reserved: 4, sold: 0, received: 5, low_threshold: 0 };
    assert_eq!(answer.result, Some(outcome::Result::Stock(level)));
    shop.send_one(sell("r"));
    assert_done(&shop.send_one(set_stock(1, 7, "k3")));
    assert_eq!(shop.levels(1), (7, 0, 4));
}

#[test]
fn stock_is_adjusted_within_its_bounds() {
    let mut shop = Shop::with_two_goods();
    assert_refused(&shop.send_one(adjust_stock(999, 1, "k")), Code::InventoryNotFound);
    assert_refused(&shop.send_one(adjust_stock(1, -11, "k1")), Code::StockInsufficient);
    assert_refused(&shop.send_one(adjust_stock(1, ON_HAND_MAX as i64, "k2")), Code::StockTooLarge);
    assert_done(&shop.send_one(adjust_stock(1, -10, "k3")));
    assert_eq!(shop.levels(1), (0, 0, 0));
    assert_done(&shop.send_one(adjust_stock(1, ON_HAND_MAX as i64, "k4")));
    assert_eq!(shop.levels(1), (ON_HAND_MAX, 0, 0));
}

/// What was sold comes back on top of what there is.
#[test]
fn stock_above_its_limit_can_be_made_less() {
    let mut shop = Shop::with_two_goods();
    for command in [reserve("r", &[(1, 5)]), sell("r"), set_stock(1, ON_HAND_MAX, "full"), reback("r")] {
        assert_done(&shop.send_one(command));
    }
    assert_eq!(shop.levels(1), (ON_HAND_MAX + 5, 0, 0));
    assert_refused(&shop.send_one(adjust_stock(1, 1, "more")), Code::StockTooLarge);
    assert_refused(&shop.send_one(set_stock(1, ON_HAND_MAX + 6, "more")), Code::StockTooLarge);
    assert_done(&shop.send_one(adjust_stock(1, -1, "less")));
    assert_done(&shop.send_one(set_stock(1, ON_HAND_MAX + 3, "less")));
    assert_eq!(shop.levels(1), (ON_HAND_MAX + 3, 0, 0));
}

#[test]
fn a_key_is_for_one_body_of_one_sku() {
    let mut shop = Shop::with_two_goods();
    let [first, again] = shop.send([adjust_stock(1, 5, "k"), adjust_stock(1, 5, "k")]);
    assert_eq!((&again.result, again.repeated), (&first.result, true));
    assert_refused(&shop.send_one(adjust_stock(1, 6, "k")), Code::IdempotencyKeyReused);
    assert_done(&shop.send_one(adjust_stock(2, 5, "k")));
    assert_eq!((shop.levels(1), shop.levels(2)), ((15, 0, 0), (15, 0, 0)));
}

/// A refusal is an outcome too: under the same key it stays one when the stock would do now.
#[test]
fn a_refused_adjustment_stays_refused() {
    let mut shop = Shop::with_two_goods();
    assert_refused(&shop.send_one(adjust_stock(1, -11, "k")), Code::StockInsufficient);
    shop.send_one(adjust_stock(1, 5, "more"));
    let again = shop.send_one(adjust_stock(1, -11, "k"));
    assert_refused(&again, Code::StockInsufficient);
    assert!(again.repeated);
}

#[test]
fn reserved_and_released() {
    for (mut shop, goods, id) in shops() {
        assert_reservation(shop.send_one(reserve(&id, &[(goods[0], 3), (goods[1], 4)])), Reserved, false);
        assert_levels(&mut shop, goods, [(7, 3, 0), (6, 4, 0)]);
        assert_reservation(shop.send_one(release(&id)), Released, false);
        assert_levels(&mut shop, goods, UNTOUCHED);
        assert_reservation(shop.send_one(release(&id)), Released, true);
        assert_reservation(shop.send_one(reback(&id)), Released, true);
        assert_refused(&shop.send_one(sell(&id)), Code::StockConfirmFailed);
        assert_refused(&shop.send_one(reserve(&id, &[(goods[0], 3), (goods[1], 4)])), Code::StockReservationReleased);
        assert_levels(&mut shop, goods, UNTOUCHED);
    }
}

#[test]
fn reserved_and_sold_and_given_back() {
    for (mut shop, goods, id) in shops() {
        let lines = [(goods[0], 3), (goods[1], 4)];
        shop.send_one(reserve(&id, &lines));
        assert_reservation(shop.send_one(sell(&id)), Sold, false);
        assert_reservation(shop.send_one(sell(&id)), Sold, true);
        assert_refused(&shop.send_one(release(&id)), Code::StockReleaseFailed);
        assert_reservation(shop.send_one(reserve(&id, &lines)), Reserved, true);
        assert_levels(&mut shop, goods, [(7, 0, 3), (6, 0, 4)]);
        assert_reservation(shop.send_one(reback(&id)), Released, false);
        assert_levels(&mut shop, goods, UNTOUCHED);
        assert_reservation(shop.send_one(reback(&id)), Released, true);
        assert_levels(&mut shop, goods, UNTOUCHED);
    }
}

#[test]
fn a_reservation_that_was_not_sold_is_given_back_too() {
    for (mut shop, goods, id) in shops() {
        shop.send_one(reserve(&id, &[(goods[0], 3), (goods[1], 4)]));
        assert_reservation(shop.send_one(reback(&id)), Released, false);
        assert_levels(&mut shop, goods, UNTOUCHED);
    }
}

#[test]
fn all_or_nothing() {
    for (mut shop, goods, id) in shops() {
        let lines = [(goods[0], 3), (goods[1], 11)];
        let first = shop.send_one(reserve(&id, &lines));
        let refusal = refusal_of(first.clone());
        assert_eq!(refusal.shortages, [Shortage { goods_id: goods[1], requested: 11, available: 10 }]);
        assert_levels(&mut shop, goods, UNTOUCHED);
        let again = shop.send_one(reserve(&id, &lines));
        assert_eq!((again.result, again.repeated), (first.result, true));
        assert_refused(&shop.send_one(sell(&id)), Code::StockConfirmFailed);
        assert_levels(&mut shop, goods, UNTOUCHED);
    }
}

#[test]
fn other_lines_under_the_same_id() {
    for (mut shop, goods, id) in shops() {
        shop.send_one(reserve(&id, &[(goods[0], 3)]));
        assert_refused(&shop.send_one(reserve(&id, &[(goods[0], 4)])), Code::IdempotencyKeyReused);
        assert_reservation(shop.send_one(reserve(&id, &[(goods[0], 3)])), Reserved, true);
        assert_levels(&mut shop, goods, [(7, 3, 0), (10, 0, 0)]);
    }
}

#[test]
fn a_release_or_reback_that_comes_first_refuses_the_late_reserve() {
    for take_back in [release, reback] {
        for (mut shop, goods, id) in shops() {
            assert_reservation(shop.send_one(take_back(&id)), Released, false);
            assert_reservation(shop.send_one(take_back(&id)), Released, true);
            assert_refused(&shop.send_one(reserve(&id, &[(goods[0], 3)])), Code::StockReservationReleased);
            assert_refused(&shop.send_one(sell(&id)), Code::StockConfirmFailed);
            assert_levels(&mut shop, goods, UNTOUCHED);
        }
    }
}

#[test]
fn nothing_to_sell_under_an_unknown_id() {
    for (mut shop, _, id) in shops() {
        assert_refused(&shop.send_one(sell(&id)), Code::StockReservationNotFound);
    }
}

/// While the other log is asked, a repeat waits for the same outcome and other commands are told to come again.
#[test]
fn commands_while_another_log_is_asked() {
    let (mut shop, goods, id) = shops().pop().expect("the one with two logs");
    let lines = [(goods[0], 3), (goods[1], 4)];
    let [first, repeat, early] = shop.send_only([reserve(&id, &lines), reserve(&id, &lines), sell(&id)]);
    assert_refused(&shop.outcome(early).expect("answered at once"), Code::ReservationInProgress);
    assert_eq!((shop.outcome(first), shop.outcome(repeat)), (None, None));
    shop.carry();
    assert_reservation(shop.outcome(first).expect("the other log answered"), Reserved, false);
    assert_reservation(shop.outcome(repeat).expect("the other log answered"), Reserved, true);
    assert_levels(&mut shop, goods, [(7, 3, 0), (6, 4, 0)]);
}
