//! Idempotency keys: of every command that there is, a repeat is answered as the first one was, and what others did meanwhile stays.

use emshop_core::idempotency::KEY_LIFETIME_MS;
use emshop_proto::commands::{NAMES, name_of, names_itself};
use emshop_proto::errors::Code;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    Address, Category, Command, Goods, LogisticsStatus, LogoutEverywhereRequest, MessageKind, Operator, OperatorKind, Role,
    SagaResolution, SetUserRoleRequest, SetUserStatusRequest, UpdateProfileRequest, UserStatus,
};

use crate::commands::*;
use crate::shop::*;
use crate::users::registered;

/// A command of one kind, and what somebody else does after it: that undoes it where anything can.
struct Case {
    command: Command,
    between: Command,
}

fn case(name: &str) -> Case {
    let elsewhere = || adjust_stock(1, 1, "elsewhere");
    let renamed = |name: &str| update_goods(Goods { name: name.to_owned(), ..entry(1) });
    let named = |name: &str| update_category(Category { name: name.to_owned(), ..category(1, 0) });
    let living_in = |street: &str| update_address(USER, Address { address_id: 1, ..address(street, false) });
    let (command, between) = match name {
        "submit_order" => (submit(order("new", &[(1, 1)])), cancel("new")),
        "checkout_cart" => (checkout(cart_order("new", USER)), add_to_cart(USER, 1, 1, "other")),
        "cancel_order" => (cancel("pending"), elsewhere()),
        "complete_order" => (complete("delivered"), elsewhere()),
        "request_return" => (request_return("delivered"), decline_return("delivered")),
        "resolve_return" => (decline_return("returning"), request_return("returning")),

        "resolve_saga" => (resolve_saga("stuck", SagaResolution::Retry, 0, ""), elsewhere()),

        "confirm_payment" => (confirm("pending"), refund("pending", 0, "other")),
        "pay_with_balance" => (pay_with_balance("by-balance"), refund("by-balance", 0, "other")),
        "cancel_payment" => (cancel_payment("pending"), elsewhere()),
        "simulate_payment_success" => (simulate_success("pending"), refund("pending", 0, "other")),
        "simulate_payment_failure" => (fail_payment("pending"), elsewhere()),
        "refund_payment" => (refund("paid", 500, ""), refund("paid", 500, "other")),

        "create_logistics_order" => (create_parcel("without-parcel"), cancel_parcel("without-parcel")),
        "cancel_logistics_order" => (cancel_parcel("paid"), create_parcel("paid")),
        "simulate_shipment" => (ship("paid"), deliver("paid")),
        "simulate_delivery" => (deliver("shipped"), request_return("shipped")),
        "update_logistics_status" => {
            (move_parcel("shipped", LogisticsStatus::InTransit), move_parcel("shipped", LogisticsStatus::Delivering))
        }

        "create_goods" => (create_goods(entry(9)), delete_goods(9)),
        "update_goods" => (renamed("first"), renamed("second")),
        "delete_goods" => (delete_goods(2), create_goods(entry(2))),
        "set_on_sale" => (set_on_sale(1, false), set_on_sale(1, true)),

        "set_stock" => (set_stock(1, 50, ""), adjust_stock(1, -3, "other")),
        "adjust_stock" => (adjust_stock(1, 5, ""), set_stock(1, 30, "other")),
        "set_stock_threshold" => (set_threshold(1, 5), set_threshold(1, 6)),
        "reserve_stock" => (reserve("new", &[(1, 1)]), release("new")),
        "release_reserved" => (release("held"), elsewhere()),
        "confirm_sell" => (sell("held"), reback("held")),
        "reback" => (reback("held"), elsewhere()),

        "create_category" => (create_category(category(9, 0)), delete_category(9)),
        "update_category" => (named("first"), named("second")),
        "delete_category" => (delete_category(2), create_category(category(2, 0))),
        "create_brand" => (create_brand(brand(9, "new")), delete_brand(9)),
        "update_brand" => (update_brand(brand(1, "first")), update_brand(brand(1, "second"))),
        "delete_brand" => (delete_brand(2), create_brand(brand(2, "two"))),
        "create_banner" => (create_banner(banner(9, 1)), delete_banner(9)),
        "update_banner" => (update_banner(banner(1, 8)), update_banner(banner(1, 9))),
        "delete_banner" => (delete_banner(1), create_banner(banner(1, 1))),
        "link_brand" => (link_brand(2, 1), unlink_brand(2, 1)),
        "unlink_brand" => (unlink_brand(1, 1), link_brand(1, 1)),

        "add_cart_item" => (add_to_cart(USER, 1, 2, ""), remove_from_cart(USER, &[1])),
        "update_cart_item" => (update_cart(USER, 1, Some(5), None), update_cart(USER, 1, Some(6), None)),
        "select_cart_items" => (select(USER, &[1], false), select(USER, &[1], true)),
        "remove_cart_items" => (remove_from_cart(USER, &[1]), add_to_cart(USER, 1, 1, "other")),
        "clear_cart" => (clear_cart(USER), add_to_cart(USER, 1, 1, "other")),
        "add_favourite" => (add_favourite(USER, 1), remove_favourite(USER, 1)),
        "remove_favourite" => (remove_favourite(USER, 2), add_favourite(USER, 2)),
        "create_address" => (create_address(USER, address("new", true), ""), delete_address(USER, 3)),
        "update_address" => (living_in("first"), living_in("second")),
        "delete_address" => (delete_address(USER, 1), create_address(USER, address("new", true), "other")),
        "create_message" => {
            let message = |key: &str| create_message(USER, MessageKind::Enquiry, "text", key);
            (message(""), message("other"))
        }

        "update_profile" => (profile("first"), profile("second")),
        "set_user_status" => (status(UserStatus::Disabled), status(UserStatus::Active)),
        "set_user_role" => (role(Role::Admin), role(Role::User)),
        "logout_everywhere" => {
            let everywhere = || Command::from(Body::LogoutEverywhere(LogoutEverywhereRequest { user_id: USER }));
            (everywhere(), everywhere())
        }
        "adjust_balance" => (adjust_balance(USER, 100, ""), adjust_balance(USER, 100, "other")),
        "try_payment" => (try_payment(USER, "new", 100), cancel_tried(USER, "new")),
        "confirm_tried_payment" => (confirm_tried(USER, "tried"), elsewhere()),
        "cancel_tried_payment" => (cancel_tried(USER, "tried"), elsewhere()),
        other => panic!("no case of {other}: every command has one"),
    };
    assert_eq!(name_of(command.body.as_ref().expect("a body")), name);
    Case { command, between }
}

fn profile(nick_name: &str) -> Command {
    Body::UpdateProfile(UpdateProfileRequest {
        user_id: USER,
        nick_name: Some(nick_name.to_owned()),
        ..UpdateProfileRequest::default()
    })
    .into()
}

fn status(status: UserStatus) -> Command {
    Body::SetUserStatus(SetUserStatusRequest { user_id: USER, status: status.into() }).into()
}

fn role(role: Role) -> Command {
    Body::SetUserRole(SetUserRoleRequest { user_id: USER, role: role.into() }).into()
}

/// A shop in which each command has something to do: an order of each stage, by its name, and something of everything else.
fn shop(logs: u32) -> Shop {
    let mut shop = Shop::new(logs);
    shop.stock_up(1, 1000, 40);
    shop.stock_up(2, 250, 40);
    registered(&mut shop, USER);
    let stages: [(&str, &[OnOrder]); 7] = [
        ("pending", &[]),
        ("stuck", &[]),
        ("paid", &[confirm]),
        ("without-parcel", &[confirm, cancel_parcel]),
        ("shipped", &[confirm, ship]),
        ("delivered", &[confirm, ship, deliver]),
        ("returning", &[confirm, ship, deliver, request_return]),
    ];
    for (id, steps) in stages {
        assert_done(&shop.send_one(submit(order(id, &[(1, 1), (2, 2)]))));
        steps.iter().for_each(|step| assert_done(&shop.send_one(step(id))));
    }
    shop.stick("stuck");
    let rest = [
        adjust_balance(USER, 100_000, "first"),
        submit(order_by_balance("by-balance", USER, &[(1, 1)])),
        try_payment(USER, "tried", 100),
        reserve("held", &[(1, 1), (2, 1)]),
        create_category(category(1, 0)),
        create_category(category(2, 0)),
        create_brand(brand(1, "one")),
        create_brand(brand(2, "two")),
        create_banner(banner(1, 1)),
        link_brand(1, 1),
        add_to_cart(USER, 1, 1, "one"),
        add_to_cart(USER, 2, 1, "two"),
        add_favourite(USER, 2),
        create_address(USER, address("one", true), "one"),
        create_address(USER, address("two", false), "two"),
    ];
    for command in rest {
        assert_done(&shop.send_one(command));
    }
    shop
}

/// All that a command could change, and all that it could tell.
fn all(shop: &Shop) -> (impl PartialEq + use<>, usize) {
    (shop.rows(), shop.logs.iter().map(|log| log.events.len()).sum())
}

#[test]
fn every_command_is_carried_out_once_under_its_key() {
    for logs in [1, 2] {
        for name in NAMES {
            let Case { command, between } = case(name);
            let command = keyed("key", command);
            let mut shop = shop(logs);
            let first = shop.send_one(command.clone());
            assert_eq!((refused(&first), first.repeated), (None, false), "{name}");

            let after_first = all(&shop);
            let again = shop.send_one(command.clone());
            assert_eq!((&again.result, again.repeated), (&first.result, true), "{name}");
            let reused = shop.send_changed(command.clone(), |record| record.body_hash += 1);
            assert_eq!(refused(&reused), Some(Code::IdempotencyKeyReused), "{name}");
            assert!(all(&shop) == after_first, "a repeat of {name} changed something");

            let other = shop.send_one(between);
            assert_eq!((refused(&other), other.repeated), (None, false), "after {name}");
            let after_other = all(&shop);
            let again = shop.send_one(command);
            assert_eq!((&again.result, again.repeated), (&first.result, true), "{name}");
            assert!(all(&shop) == after_other, "a repeat of {name} undid something");
        }
    }
}

/// They come without a key, unless the client gives one.
#[test]
fn what_names_itself_needs_no_key() {
    for logs in [1, 2] {
        for name in NAMES {
            let Case { command, between } = case(name);
            if !names_itself(command.body.as_ref().expect("a body")) {
                continue;
            }
            let mut shop = shop(logs);
            let first = shop.send_one(command.clone());
            let after_first = all(&shop);
            let again = shop.send_one(command.clone());
            assert_eq!((&again.result, again.repeated), (&first.result, true), "{name}");
            assert!(all(&shop) == after_first, "a repeat of {name} changed something");
            shop.send_one(between);
            let after_other = all(&shop);
            let again = shop.send_one(command);
            assert!(again.repeated || refused(&again).is_some(), "{name}");
            assert!(all(&shop) == after_other, "a repeat of {name} undid something");
        }
    }
}

/// Two logs, goods in one of them, and a category that the other one has.
fn with_far_catalogue() -> (Shop, u64) {
    let mut shop = Shop::new(2);
    let near = 1 - shop.partitioner.of_catalogue().log;
    let [goods_id] = shop.goods_of(near);
    assert_done(&shop.send_one(create_category(category(3, 0))));
    assert_done(&shop.send_one(create_goods(Goods { category_id: 3, ..entry(goods_id) })));
    (shop, goods_id)
}

#[test]
fn repeats_wait_for_the_first_and_others_may_come_again() {
    let (mut shop, goods_id) = with_far_catalogue();
    let (delete, hide) = (keyed("k", delete_goods(goods_id)), keyed("k", set_on_sale(goods_id, false)));
    let [first, again, early] = shop.send_only([delete.clone(), delete.clone(), hide.clone()]);
    assert_refused(&shop.outcome(early).expect("answered at once"), Code::GoodsInProgress);
    assert_eq!((shop.outcome(first), shop.outcome(again)), (None, None));

    // Whatever time that takes: what is under way is not forgotten.
    shop.now_ms += KEY_LIFETIME_MS;
    shop.tick();
    let [late] = shop.send_only([delete.clone()]);
    assert_eq!(shop.outcome(late), None);
    shop.carry();
    let [first, again, late] = [first, again, late].map(|ticket| shop.outcome(ticket).expect("the catalogue has answered"));
    assert_done(&first);
    for repeat in [again, late, shop.send_one(delete)] {
        assert_eq!((&repeat.result, repeat.repeated), (&first.result, true));
    }

    // That the goods were busy was no answer.
    assert_done(&shop.send_one(create_goods(entry(goods_id))));
    assert_done(&shop.send_one(hide));
    shop.tick_after(KEY_LIFETIME_MS);
    assert_eq!(shop.logs.iter().map(|log| emshop_core::inspect(log.store.as_ref()).idempotency_keys).sum::<u64>(), 0);
}

/// Nor learns what came of it.
#[test]
fn a_stranger_does_not_spoil_a_key() {
    let mut shop = shop(1);
    let as_user = |user_id| Some(Operator { kind: OperatorKind::User.into(), user_id, ..Operator::default() });
    let cancel = || keyed("1", cancel("pending"));
    assert_refused(&shop.send_as(as_user(USER + 1), cancel()), Code::OrderNotFound);
    assert_done(&shop.send_as(as_user(USER), cancel()));
    assert_refused(&shop.send_as(as_user(USER + 1), cancel()), Code::OrderNotFound);
    assert!(shop.send_as(as_user(USER), cancel()).repeated);
}

#[test]
fn keys_of_two_things_do_not_meet() {
    let mut shop = Shop::with_two_goods();
    for id in ["S4", "S4:1"] {
        assert_done(&shop.send_one(submit(order(id, &[(1, 2)]))));
        assert_done(&shop.send_one(confirm(id)));
    }
    assert_done(&shop.send_one(refund("S4", 500, "1:1")));
    assert_done(&shop.send_one(refund("S4:1", 400, "1")));
    // One key for all that somebody does at once.
    assert_done(&shop.send_one(set_stock(1, 50, "k")));
    assert_done(&shop.send_one(set_stock(2, 60, "k")));
    assert_done(&shop.send_one(adjust_stock(1, 5, "k")));
}
