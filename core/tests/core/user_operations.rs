//! What users keep: favourites, addresses, messages.

use std::ops::ControlFlow;

use emshop_core::idempotency::KEY_LIFETIME_MS;
use emshop_core::user::address::ADDRESSES_MAX;
use emshop_core::user::favourite::FAVOURITES_MAX;
use emshop_proto::errors::Code;
use emshop_proto::internal::{FavouriteQuery, PageQuery, query, query_reply};
use emshop_proto::v1::{Address, Favourite, MessageKind, Money, Outcome, UserMessage, outcome};

use crate::commands::*;
use crate::shop::*;

/// A page of what a user has, by `question`.
fn page(user_id: u64, limit: u32, after: (i64, u64), filter: u32, question: fn(PageQuery) -> query::Body) -> query::Body {
    question(PageQuery { user_id, limit, after: after.1, after_ms: after.0, filter })
}

fn favourites(shop: &mut Shop, user_id: u64, limit: u32, after: (i64, u64)) -> (Vec<u64>, u64) {
    let place = shop.partitioner.of_user(user_id);
    match shop.ask(place.log, 0, page(user_id, limit, after, 0, query::Body::Favourites)) {
        query_reply::Body::Favourites(list) => (list.favourites.iter().map(|row| row.goods_id).collect(), list.total),
        other => panic!("not favourites: {other:?}"),
    }
}

fn is_favourite(shop: &mut Shop, user_id: u64, goods_id: u64) -> bool {
    let place = shop.partitioner.of_user(user_id);
    match shop.ask(place.log, 0, query::Body::Favourite(FavouriteQuery { user_id, goods_id })) {
        query_reply::Body::Favourite(favourite) => favourite.goods_id == goods_id,
        query_reply::Body::Refusal(refusal) if refusal == Code::FavouriteNotFound.refusal() => false,
        other => panic!("neither a favourite nor none: {other:?}"),
    }
}

/// How many users the goods count.
fn counted(shop: &mut Shop, goods_id: u64) -> u64 {
    let place = shop.partitioner.of_goods(goods_id);
    let goods = &mut shop.logs[place.log as usize].replica.state.goods;
    goods.get(&goods_id).expect("the goods are there").favourites
}

/// A user and goods 1 to 3 or such, within one log, and in two.
fn scenes() -> Vec<(Shop, u64, [u64; 3])> {
    let scene = |logs, goods_log| {
        let mut shop = Shop::new(logs);
        shop.channels_repeat = true;
        let (user, found) = (shop.user_of(0), shop.goods_of(goods_log));
        for goods_id in found {
            shop.send_one(goods(goods_id, Money::new(100, "CNY")));
        }
        (shop, user, found)
    };
    vec![scene(1, 0), scene(2, 1)]
}

#[test]
fn favourites_are_counted_by_their_goods() {
    for (mut shop, user, [first, second, _]) in scenes() {
        let added = shop.send_one(add_favourite(user, first));
        assert_done(&added);
        assert_eq!(added.result, Some(outcome::Result::Favourite(Favourite { goods_id: first, added_at_ms: START_MS })));
        shop.now_ms += 10;
        let again = shop.send_one(add_favourite(user, first));
        assert_eq!((again.result, again.repeated), (added.result.clone(), true));
        assert_done(&shop.send_one(add_favourite(user, second)));
        assert_done(&shop.send_one(add_favourite(user + 1, first)));
        assert_eq!((counted(&mut shop, first), counted(&mut shop, second)), (2, 1));
        assert_eq!(favourites(&mut shop, user, 9, (0, 0)), (vec![second, first], 2));

        let removed = shop.send_one(remove_favourite(user, first));
        assert_done(&removed);
        assert_eq!(removed.result, added.result);
        assert_refused(&shop.send_one(remove_favourite(user, first)), Code::FavouriteNotFound);
        assert_eq!((counted(&mut shop, first), counted(&mut shop, second)), (1, 1));
        assert!(!is_favourite(&mut shop, user, first) && is_favourite(&mut shop, user, second));
    }
}

#[test]
fn unknown_goods_are_no_favourite() {
    for (mut shop, user, [known, ..]) in scenes() {
        let unknown = shop.goods_of::<9>(shop.logs.len() as u32 - 1)[8];
        let [first, repeat] = shop.send([add_favourite(user, unknown), add_favourite(user, unknown)]);
        assert_refused(&first, Code::GoodsNotFound);
        assert_eq!((repeat.result, first.repeated), (first.result, false));
        assert!(!is_favourite(&mut shop, user, unknown));
        assert_eq!(favourites(&mut shop, user, 9, (0, 0)), (vec![], 0));
        // Once they are made, they can be.
        shop.send_one(goods(unknown, Money::new(100, "CNY")));
        assert_done(&shop.send_one(add_favourite(user, unknown)));
        assert_eq!((counted(&mut shop, unknown), counted(&mut shop, known)), (1, 0));
    }
}

/// While the goods are asked a repeat waits for the same outcome, and what is not there yet cannot be removed, nor is it shown.
#[test]
fn a_favourite_on_its_way() {
    let (mut shop, user, [goods_id, ..]) = scenes().pop().expect("the one with two logs");
    let [first, repeat, early] =
        shop.send_only([add_favourite(user, goods_id), add_favourite(user, goods_id), remove_favourite(user, goods_id)]);
    assert_refused(&shop.outcome(early).expect("answered at once"), Code::FavouriteInProgress);
    assert_eq!((shop.outcome(first), shop.outcome(repeat)), (None, None));
    assert!(!is_favourite(&mut shop, user, goods_id));
    assert_eq!(favourites(&mut shop, user, 9, (0, 0)), (vec![], 0));
    shop.carry();
    assert_done(&shop.outcome(first).expect("the goods answered"));
    assert!(shop.outcome(repeat).expect("the goods answered").repeated);
    assert_eq!(counted(&mut shop, goods_id), 1);
}

#[test]
fn favourites_of_goods_that_are_gone_are_removed_all_the_same() {
    for (mut shop, user, [goods_id, ..]) in scenes() {
        assert_done(&shop.send_one(add_favourite(user, goods_id)));
        assert_done(&shop.send_one(delete_goods(goods_id)));
        assert!(is_favourite(&mut shop, user, goods_id));
        assert_done(&shop.send_one(remove_favourite(user, goods_id)));
        assert_refused(&shop.send_one(add_favourite(user, goods_id)), Code::GoodsNotFound);
    }
}

#[test]
fn a_user_has_so_many_favourites_and_no_more() {
    let mut shop = Shop::new(1);
    for goods_id in 1..=FAVOURITES_MAX as u64 + 1 {
        let row = emshop_proto::internal::GoodsRow::default();
        shop.logs[0].replica.state.goods.insert(goods_id, row);
    }
    let goods_ids: Vec<u64> = (1..=FAVOURITES_MAX as u64).collect();
    for goods_ids in goods_ids.chunks(20) {
        let commands: [_; 20] = std::array::from_fn(|index| add_favourite(USER, goods_ids[index]));
        shop.send(commands).iter().for_each(assert_done);
    }
    let more = FAVOURITES_MAX as u64 + 1;
    assert_refused(&shop.send_one(add_favourite(USER, more)), Code::FavouritesFull);
    assert!(shop.send_one(add_favourite(USER, 1)).repeated);
    assert_done(&shop.send_one(add_favourite(USER + 1, more)));
    assert_done(&shop.send_one(remove_favourite(USER, 1)));
    assert_done(&shop.send_one(add_favourite(USER, more)));
    assert_eq!(favourites(&mut shop, USER, 1, (0, 0)).1, FAVOURITES_MAX as u64);
}

#[test]
fn pages_of_favourites() {
    let mut shop = Shop::new(1);
    for goods_id in 1..=5 {
        shop.send_one(goods(goods_id, Money::new(100, "CNY")));
        // Two of the same moment.
        shop.now_ms += i64::from(goods_id != 3);
        shop.send_one(add_favourite(USER, goods_id));
    }
    let at_ms = |goods_id: i64| START_MS + goods_id - i64::from(goods_id >= 3);
    assert_eq!(favourites(&mut shop, USER, 9, (0, 0)), (vec![5, 4, 3, 2, 1], 5));
    assert_eq!(favourites(&mut shop, USER, 3, (0, 0)), (vec![5, 4, 3], 5));
    assert_eq!(favourites(&mut shop, USER, 3, (at_ms(3), 3)), (vec![2, 1], 5));
    assert_eq!(favourites(&mut shop, USER, 3, (at_ms(1), 1)), (vec![], 5));
    assert_eq!(favourites(&mut shop, USER + 1, 3, (0, 0)), (vec![], 0));
}

fn address_of(outcome: Outcome) -> Address {
    match outcome.result {
        Some(outcome::Result::Address(address)) => address,
        other => panic!("not an address: {other:?}"),
    }
}

fn addresses(shop: &mut Shop, user_id: u64, limit: u32, after: (i64, u64)) -> (Vec<(u64, bool)>, u64) {
    let place = shop.partitioner.of_user(user_id);
    match shop.ask(place.log, 0, page(user_id, limit, after, 0, query::Body::Addresses)) {
        query_reply::Body::Addresses(list) => {
            (list.addresses.iter().map(|address| (address.address_id, address.is_default)).collect(), list.total)
        }
        other => panic!("not addresses: {other:?}"),
    }
}

/// Addresses 1 to 3, the first the default one.
fn with_three_addresses() -> Shop {
    let mut shop = Shop::new(1);
    for street in ["one", "two", "three"] {
        assert_done(&shop.send_one(create_address(USER, address(street, false), street)));
    }
    shop
}

fn all_addresses(shop: &mut Shop) -> Vec<(u64, bool)> {
    addresses(shop, USER, 100, (0, 0)).0
}

#[test]
fn there_is_one_default_address() {
    let numbered = |address_id, street, is_default| Address { address_id, ..address(street, is_default) };
    let mut shop = with_three_addresses();
    assert_eq!(all_addresses(&mut shop), [(1, true), (3, false), (2, false)]);

    let created = address_of(shop.send_one(create_address(USER, address("four", true), "four")));
    assert_eq!(created, numbered(4, "four", true));
    assert_eq!(all_addresses(&mut shop), [(4, true), (3, false), (2, false), (1, false)]);
    assert_eq!(address_of(shop.send_one(update_address(USER, numbered(2, "changed", true)))), numbered(2, "changed", true));
    assert_eq!(all_addresses(&mut shop), [(2, true), (4, false), (3, false), (1, false)]);
    // It cannot be taken from the default one, only be given to another.
    assert_eq!(address_of(shop.send_one(update_address(USER, numbered(2, "again", false)))), numbered(2, "again", true));
    assert!(shop.send_one(update_address(USER, numbered(2, "again", false))).repeated);
    assert_done(&shop.send_one(update_address(USER, numbered(1, "other", false))));

    // The newest of the others takes over, and an ordinary one goes without a change.
    assert_eq!(address_of(shop.send_one(delete_address(USER, 2))), numbered(2, "again", true));
    assert_eq!(all_addresses(&mut shop), [(4, true), (3, false), (1, false)]);
    assert_done(&shop.send_one(delete_address(USER, 3)));
    assert_done(&shop.send_one(delete_address(USER, 4)));
    assert_eq!(all_addresses(&mut shop), [(1, true)]);
    assert_done(&shop.send_one(delete_address(USER, 1)));
    assert_eq!(all_addresses(&mut shop), []);
    assert_eq!(address_of(shop.send_one(create_address(USER, address("five", false), "five"))), numbered(5, "five", true));
}

#[test]
fn addresses_of_others_are_not_found() {
    let mut shop = with_three_addresses();
    // Another user of the same partition, where the numbers come from too.
    let place = shop.partitioner.of_user(USER);
    let other = (USER + 1..).find(|user_id| shop.partitioner.of_user(*user_id) == place).expect("numbers do not end");
    let theirs = Address { address_id: 1, ..address("stolen", true) };
    assert_refused(&shop.send_one(update_address(other, theirs)), Code::AddressNotFound);
    assert_refused(&shop.send_one(delete_address(other, 1)), Code::AddressNotFound);
    assert_refused(&shop.send_one(delete_address(USER, 9)), Code::AddressNotFound);
    assert_eq!(address_of(shop.send_one(create_address(other, address("own", false), "one"))).address_id, 4);
    assert_eq!(addresses(&mut shop, other, 9, (0, 0)), (vec![(4, true)], 1));
    assert_eq!(all_addresses(&mut shop), [(1, true), (3, false), (2, false)]);
}

#[test]
fn an_address_is_created_once_under_a_key() {
    let mut shop = with_three_addresses();
    let again = shop.send_one(create_address(USER, address("two", false), "two"));
    assert_eq!((address_of(again.clone()).address_id, again.repeated), (2, true));
    assert_refused(&shop.send_one(create_address(USER, address("other", false), "two")), Code::IdempotencyKeyReused);
    assert_eq!(all_addresses(&mut shop).len(), 3);
    shop.tick_after(KEY_LIFETIME_MS);
    assert_done(&shop.send_one(create_address(USER, address("two", false), "two")));
}

#[test]
fn a_user_has_so_many_addresses_and_no_more() {
    let mut shop = Shop::new(1);
    for number in 0..ADDRESSES_MAX {
        assert_done(&shop.send_one(create_address(USER, address("street", false), &number.to_string())));
    }
    assert_refused(&shop.send_one(create_address(USER, address("street", true), "more")), Code::AddressesFull);
    assert_done(&shop.send_one(create_address(USER + 1, address("street", false), "more")));
    assert_done(&shop.send_one(delete_address(USER, 7)));
    assert_done(&shop.send_one(create_address(USER, address("street", false), "again")));
    assert_eq!(all_addresses(&mut shop).len(), ADDRESSES_MAX);
}

#[test]
fn pages_of_addresses_begin_with_the_default_one() {
    let mut shop = with_three_addresses();
    let mut pages = Vec::new();
    let mut after = (0, 0);
    loop {
        let (page, total) = addresses(&mut shop, USER, 1, after);
        assert_eq!(total, 3);
        let Some((address_id, is_default)) = page.first().copied() else { break };
        pages.push(address_id);
        after = (i64::from(is_default), address_id);
    }
    assert_eq!(pages, [1, 3, 2]);
}

fn message_of(outcome: Outcome) -> UserMessage {
    match outcome.result {
        Some(outcome::Result::Message(message)) => message,
        other => panic!("not a message: {other:?}"),
    }
}

#[test]
fn messages_are_kept_and_listed_by_kind() {
    use MessageKind::{AfterSale, Complaint, Enquiry, Message, Wanted};
    let mut shop = Shop::new(1);
    let kinds = [Message, Complaint, Enquiry, Complaint, AfterSale, Wanted, Complaint];
    for (number, kind) in (1..).zip(kinds) {
        shop.now_ms += 10;
        let sent = shop.send_one(create_message(USER, kind, "text", &format!("k{number}")));
        assert_done(&sent);
        let sent = message_of(sent);
        assert_eq!((sent.message_id, sent.kind(), sent.created_at_ms), (number, kind, shop.now_ms));
    }
    let again = shop.send_one(create_message(USER, Complaint, "text", "k2"));
    assert_eq!((message_of(again.clone()).message_id, again.repeated), (2, true));
    assert_refused(&shop.send_one(create_message(USER, Complaint, "other", "k2")), Code::IdempotencyKeyReused);

    let place = shop.partitioner.of_user(USER);
    let mut listed = |limit, after, kind: MessageKind| match shop.ask(
        place.log,
        0,
        page(USER, limit, (0, after), kind as u32, query::Body::Messages),
    ) {
        query_reply::Body::Messages(list) => {
            (list.messages.iter().map(|message| message.message_id).collect::<Vec<_>>(), list.after)
        }
        other => panic!("not messages: {other:?}"),
    };
    assert_eq!(listed(9, 0, MessageKind::Unspecified), (vec![7, 6, 5, 4, 3, 2, 1], 0));
    assert_eq!(listed(2, 0, MessageKind::Unspecified), (vec![7, 6], 6));
    assert_eq!(listed(2, 6, MessageKind::Unspecified), (vec![5, 4], 4));
    assert_eq!(listed(2, 0, Complaint), (vec![7, 4], 4));
    assert_eq!(listed(2, 4, Complaint), (vec![2], 0));
    assert_eq!(listed(2, 1, Complaint), (vec![], 0));
    let others = shop.user_of(0).max(USER) + 1;
    let place = shop.partitioner.of_user(others);
    let nothing = shop.ask(place.log, 0, page(others, 9, (0, 0), 0, query::Body::Messages));
    assert_eq!(nothing, query_reply::Body::Messages(Default::default()));
}

/// The rows that stay are those that commands made: a removed favourite or address leaves nothing behind.
#[test]
fn what_is_removed_leaves_no_row() {
    let mut shop = Shop::with_two_goods();
    shop.send([add_favourite(USER, 1), create_address(USER, address("one", false), "k"), add_to_cart(USER, 1, 1, "k")]);
    shop.send([remove_favourite(USER, 1), delete_address(USER, 1), clear_cart(USER)]);
    let state = &mut shop.logs[0].replica.state;
    let mut rows = 0;
    let mut count = || {
        rows += 1;
        ControlFlow::Continue(())
    };
    state.favourites.scan(&(0, 0), |_, _| count());
    state.cart_items.scan(&(0, 0), |_, _| count());
    state.addresses.scan(&emshop_core::state::rows::Newest::first(0), |_, _| count());
    assert_eq!(rows, 0);
}
