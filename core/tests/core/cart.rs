//! Carts, apart from their checkout.

use emshop_core::idempotency::KEY_LIFETIME_MS;
use emshop_core::user::cart::{ITEMS_MAX, QUANTITY_MAX};
use emshop_proto::errors::Code;
use emshop_proto::internal::{UserQuery, query, query_reply};
use emshop_proto::v1::{CartItem, Command, Outcome, outcome};

use crate::commands::*;
use crate::shop::*;

/// An item without its time: goods id, units, whether it is selected.
pub type Short = (u64, u64, bool);

/// A user's cart as it is listed.
pub fn cart(shop: &mut Shop, user_id: u64) -> Vec<CartItem> {
    let place = shop.partitioner.of_user(user_id);
    match shop.ask(place.log, 0, query::Body::Cart(UserQuery { user_id })) {
        query_reply::Body::Cart(cart) => cart.items,
        other => panic!("not a cart: {other:?}"),
    }
}

/// The same without times, by goods id.
pub fn contents(shop: &mut Shop, user_id: u64) -> Vec<Short> {
    short(cart(shop, user_id))
}

fn short(items: Vec<CartItem>) -> Vec<Short> {
    let mut items: Vec<_> = items.into_iter().map(|item| (item.goods_id, item.quantity, item.selected)).collect();
    items.sort_unstable();
    items
}

#[track_caller]
fn items_of(outcome: Outcome) -> Vec<Short> {
    match outcome.result {
        Some(outcome::Result::Cart(cart)) => short(cart.items),
        other => panic!("not a cart: {other:?}"),
    }
}

/// Puts one unit of each of so many SKUs into a cart, in the user's log alone.
pub fn fill(shop: &mut Shop, user_id: u64, first: u64, skus: usize) {
    for goods_id in first..first + skus as u64 {
        let [ticket] = shop.send_only([add_to_cart(user_id, goods_id, 1, &goods_id.to_string())]);
        assert_done(&shop.outcome(ticket).expect("it has room"));
    }
}

/// Two units of goods 1, selected, and three of goods 2, not selected.
fn with_two_items() -> Shop {
    let mut shop = Shop::new(1);
    assert_done(&shop.send_one(add_to_cart(USER, 1, 2, "a")));
    shop.now_ms += 10;
    assert_done(&shop.send_one(add_to_cart(USER, 2, 3, "b")));
    assert_done(&shop.send_one(select(USER, &[2], false)));
    shop
}

#[test]
fn units_add_up_and_new_items_are_selected() {
    let mut shop = with_two_items();
    shop.now_ms += 10;
    assert_eq!(items_of(shop.send_one(add_to_cart(USER, 2, 4, "c"))), [(2, 7, false)]);
    assert_eq!(items_of(shop.send_one(add_to_cart(USER, 3, 1, "d"))), [(3, 1, true)]);
    assert_eq!(contents(&mut shop, USER), [(1, 2, true), (2, 7, false), (3, 1, true)]);
    assert_eq!(contents(&mut shop, USER + 1), [], "carts of others are theirs");
    let newest_first: Vec<_> = cart(&mut shop, USER).into_iter().map(|item| (item.goods_id, item.added_at_ms)).collect();
    assert_eq!(newest_first, [(3, START_MS + 20), (2, START_MS + 10), (1, START_MS)]);
}

/// What each command makes of the two items, and whether it finds that nothing is to be changed.
#[test]
fn items_are_changed_selected_and_removed() {
    /// Goods ids of the items that it is about, and whether it is a repeat; or the refusal.
    type Expected<'a> = Result<(&'a [u64], bool), Code>;
    let untouched = [(1, 2, true), (2, 3, false)];
    let table: &[(Command, Expected<'_>, &[Short])] = &[
        (update_cart(USER, 1, Some(9), None), Ok((&[1], false)), &[(1, 9, true), (2, 3, false)]),
        (update_cart(USER, 2, None, Some(true)), Ok((&[2], false)), &[(1, 2, true), (2, 3, true)]),
        (update_cart(USER, 2, Some(1), Some(true)), Ok((&[2], false)), &[(1, 2, true), (2, 1, true)]),
        (update_cart(USER, 2, Some(3), Some(false)), Ok((&[2], true)), &untouched),
        (update_cart(USER, 3, Some(1), None), Err(Code::CartItemNotFound), &untouched),
        (update_cart(USER + 1, 1, Some(1), None), Err(Code::CartItemNotFound), &untouched),
        (select(USER, &[], true), Ok((&[1, 2], false)), &[(1, 2, true), (2, 3, true)]),
        (select(USER, &[], false), Ok((&[1, 2], false)), &[(1, 2, false), (2, 3, false)]),
        (select(USER, &[3, 2, 2], true), Ok((&[2], false)), &[(1, 2, true), (2, 3, true)]),
        (select(USER, &[1], true), Ok((&[1], true)), &untouched),
        (select(USER, &[3], true), Err(Code::CartItemNotFound), &untouched),
        (select(USER + 1, &[], true), Ok((&[], true)), &untouched),
        (remove_from_cart(USER, &[2, 3, 2]), Ok((&[], false)), &[(1, 2, true)]),
        (remove_from_cart(USER, &[3]), Err(Code::CartItemNotFound), &untouched),
        (clear_cart(USER), Ok((&[], false)), &[]),
        (clear_cart(USER + 1), Ok((&[], true)), &untouched),
    ];
    for (command, expected, left) in table {
        let mut shop = with_two_items();
        let outcome = shop.send_one(command.clone());
        match expected {
            Err(code) => assert_refused(&outcome, *code),
            Ok((about, repeated)) => {
                assert_eq!(outcome.repeated, *repeated, "{command:?}");
                let items: Vec<_> = left.iter().copied().filter(|(goods_id, ..)| about.contains(goods_id)).collect();
                assert_eq!(items_of(outcome), items, "{command:?}");
            }
        }
        assert_eq!(contents(&mut shop, USER), *left, "after {command:?}");
    }
}

/// The old system listed ten items and ordered those.
#[test]
fn a_cart_is_full_at_a_thousand_skus() {
    let mut shop = Shop::new(1);
    fill(&mut shop, USER, 1, ITEMS_MAX);
    assert_refused(&shop.send_one(add_to_cart(USER, 1_001, 1, "more")), Code::CartFull);
    assert_done(&shop.send_one(add_to_cart(USER, 1_000, 1, "the same")));
    assert_done(&shop.send_one(add_to_cart(USER + 1, 1_001, 1, "more")));
    assert_done(&shop.send_one(remove_from_cart(USER, &[500])));
    assert_done(&shop.send_one(add_to_cart(USER, 1_001, 1, "again")));
    assert_eq!(cart(&mut shop, USER).len(), ITEMS_MAX);
}

#[test]
fn a_sku_has_at_most_a_million_units_in_a_cart() {
    let mut shop = Shop::new(1);
    assert_done(&shop.send_one(add_to_cart(USER, 1, QUANTITY_MAX - 1, "a")));
    assert_refused(&shop.send_one(add_to_cart(USER, 1, 2, "b")), Code::CartFull);
    assert_refused(&shop.send_one(add_to_cart(USER, 1, u64::MAX, "c")), Code::CartFull);
    assert_done(&shop.send_one(add_to_cart(USER, 1, 1, "d")));
    assert_eq!(contents(&mut shop, USER), [(1, QUANTITY_MAX, true)]);
}

#[test]
fn units_are_added_once_under_a_key() {
    let mut shop = with_two_items();
    let again = shop.send_one(add_to_cart(USER, 1, 2, "a"));
    assert_eq!((items_of(again.clone()), again.repeated), (vec![(1, 2, true)], true));
    assert_refused(&shop.send_one(add_to_cart(USER, 1, 3, "a")), Code::IdempotencyKeyReused);
    assert_refused(&shop.send_one(add_to_cart(USER, 3, 2, "a")), Code::IdempotencyKeyReused);
    assert_done(&shop.send_one(add_to_cart(USER + 1, 1, 2, "a")));
    assert_eq!(contents(&mut shop, USER), [(1, 2, true), (2, 3, false)]);
    shop.tick_after(KEY_LIFETIME_MS);
    assert_done(&shop.send_one(add_to_cart(USER, 1, 2, "a")));
    assert_eq!(contents(&mut shop, USER), [(1, 4, true), (2, 3, false)]);
}
