//! Commands by chance: few ids and small numbers, so that they meet.

use emshop_proto::v1::{Address, CheckoutCartRequest, Command, Goods, LogisticsStatus, MessageKind, SimulateDeliveryRequest};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::commands;

/// What is for sale, and who has an account of any kind.
pub const GOODS: std::ops::RangeInclusive<u64> = 1..=6;
pub const USERS: std::ops::RangeInclusive<u64> = 1..=4;

/// Any command of any service. Some have a key, few enough for repeats, also of what waits for another log.
pub fn command() -> impl Strategy<Value = Command> {
    let key = prop_oneof![3 => Just(None), 1 => (0..2_u8).prop_map(|number| Some(format!("k{number}")))];
    (any_command(), key).prop_map(|(command, key)| match key {
        Some(key) if command.idempotency_key.is_empty() => commands::keyed(&key, command),
        _ => command,
    })
}

fn any_command() -> impl Strategy<Value = Command> {
    let order = || (0..8_u8).prop_map(|number| format!("o{number}"));
    let business = || (0..8_u8).prop_map(|number| format!("r{number}"));
    let key = || (0..4_u8).prop_map(|number| format!("k{number}"));
    let on_balance = (USERS, business(), 1..400_i64).prop_flat_map(|(user_id, id, amount_minor)| {
        prop_oneof![
            // The key tells the amount: what was deposited is read from the keys.
            (-300..500_i64).prop_map(move |delta| commands::adjust_balance(user_id, delta, &delta.to_string())),
            Just(commands::try_payment(user_id, &id, amount_minor)),
            Just(commands::confirm_tried(user_id, &id)),
            Just(commands::cancel_tried(user_id, &id)),
        ]
    });
    prop_oneof![
        6 => on_balance,
        4 => (order(), USERS, lines()).prop_map(|(id, user_id, lines)| {
            commands::submit(commands::order_by_balance(&id, user_id, &lines))
        }),
        8 => order().prop_map(|id| commands::pay_with_balance(&id)),
        6 => (order(), lines()).prop_map(|(id, lines)| commands::submit(commands::order(&id, &lines))),
        2 => (order(), lines()).prop_map(|(id, lines)| commands::submit(commands::order_without_carrier(&id, &lines))),
        5 => order().prop_map(|id| commands::confirm(&id)),
        2 => order().prop_map(|id| commands::cancel(&id)),
        1 => order().prop_map(|id| commands::cancel_payment(&id)),
        1 => order().prop_map(|id| commands::fail_payment(&id)),
        6 => (order(), on_its_way()).prop_map(|(id, command)| command(&id)),
        4 => (order(), 0..300_i64, key()).prop_map(|(id, amount, key)| commands::refund(&id, amount, &key)),
        2 => (GOODS, -5..10_i64, key()).prop_map(|(goods_id, delta, key)| commands::adjust_stock(goods_id, delta, &key)),
        1 => (GOODS, 0..30_u64, key()).prop_map(|(goods_id, on_hand, key)| commands::set_stock(goods_id, on_hand, &key)),
        1 => (GOODS, 0..15_u64).prop_map(|(goods_id, low_threshold)| commands::set_threshold(goods_id, low_threshold)),
        2 => (business(), lines()).prop_map(|(id, lines)| commands::reserve(&id, &lines)),
        2 => (business(), lines(), 1..600_u32).prop_map(|(id, lines, seconds)| commands::reserve_within(&id, &lines, seconds)),
        1 => business().prop_map(|id| commands::release(&id)),
        1 => business().prop_map(|id| commands::sell(&id)),
        1 => business().prop_map(|id| commands::reback(&id)),
        8 => of_users(),
        4 => goods_command(),
        3 => catalogue_command(),
    ]
}

fn lines() -> impl Strategy<Value = Vec<(u64, u64)>> {
    // Goods 7 are not for sale. A SKU comes once: the ingress sums lines.
    proptest::collection::btree_map(1..=7_u64, 1..=4_u64, 1..=3).prop_map(|lines| lines.into_iter().collect())
}

/// What comes after a payment. Deliveries are frequent, so that some orders come to what follows them.
fn on_its_way() -> impl Strategy<Value = commands::OnOrder> {
    let hastily = |id: &str| {
        let (order_id, completes_after_seconds) = (id.to_owned(), 300);
        commands::deliver_with(SimulateDeliveryRequest {
            order_id,
            completes_after_seconds,
            ..SimulateDeliveryRequest::default()
        })
    };
    prop_oneof![
        4 => Just(commands::ship as commands::OnOrder),
        3 => Just(commands::deliver as commands::OnOrder),
        1 => Just(hastily as commands::OnOrder),
        2 => Just(commands::request_return as commands::OnOrder),
        1 => Just(commands::accept_return as commands::OnOrder),
        1 => Just(commands::decline_return as commands::OnOrder),
        1 => Just(commands::complete as commands::OnOrder),
        1 => Just(commands::cancel_parcel as commands::OnOrder),
        2 => Just(commands::create_parcel as commands::OnOrder),
        6 => parcel_move(),
    ]
}

/// Entries that refer to one of a few categories, brands and numbers, or to none.
fn goods_command() -> impl Strategy<Value = Command> {
    let entry = || {
        (1..=7_u64, 0..=4_u64, 0..=3_u64, 0..=3_u8).prop_map(|(goods_id, category_id, brand_id, number)| {
            let goods_sn = if number == 0 { String::new() } else { format!("sn{number}") };
            Goods { category_id, brand_id, goods_sn, ..commands::entry(goods_id) }
        })
    };
    prop_oneof![
        2 => entry().prop_map(commands::create_goods),
        4 => entry().prop_map(commands::update_goods),
        1 => (1..=7_u64).prop_map(commands::delete_goods),
        2 => (GOODS, any::<bool>()).prop_map(|(goods_id, on_sale)| commands::set_on_sale(goods_id, on_sale)),
    ]
}

fn catalogue_command() -> impl Strategy<Value = Command> {
    let (category, brand) = (|| 1..=5_u64, || 1..=3_u64);
    prop_oneof![
        4 => (category(), 0..=5_u64).prop_map(|(id, parent)| commands::create_category(commands::category(id, parent))),
        1 => category().prop_map(|id| commands::update_category(commands::category(id, 0))),
        1 => category().prop_map(commands::delete_category),
        3 => (brand(), brand()).prop_map(|(id, name)| commands::create_brand(commands::brand(id, &format!("b{name}")))),
        1 => (brand(), brand()).prop_map(|(id, name)| commands::update_brand(commands::brand(id, &format!("b{name}")))),
        1 => brand().prop_map(commands::delete_brand),
        1 => (1..=2_u64, 0..2).prop_map(|(id, index)| commands::create_banner(commands::banner(id, index))),
        1 => (1..=2_u64).prop_map(commands::delete_banner),
        2 => (category(), brand()).prop_map(|(category, brand)| commands::link_brand(category, brand)),
        1 => (category(), brand()).prop_map(|(category, brand)| commands::unlink_brand(category, brand)),
    ]
}

/// Users 1 to 4 live in both of two logs.
fn of_users() -> impl Strategy<Value = Command> {
    let order = (0..20_u8).prop_map(|number| format!("o{number}"));
    let user = || 1..=4_u64;
    // Nobody sells goods 7.
    let goods_id = || 1..=7_u64;
    let key = || (0..8_u8).prop_map(|number| format!("k{number}"));
    let address = || ("[ab]", any::<bool>()).prop_map(|(street, is_default)| commands::address(&street, is_default));
    let kind = (1..=5_i32).prop_map(|kind| MessageKind::try_from(kind).expect("there are five"));
    prop_oneof![
        8 => (user(), goods_id(), 1..=9_u64, key()).prop_map(|(user, id, units, key)| commands::add_to_cart(user, id, units, &key)),
        2 => (user(), goods_id(), 1..=9_u64, any::<bool>())
            .prop_map(|(user, id, units, selected)| commands::update_cart(user, id, Some(units), Some(selected))),
        2 => (user(), vec(goods_id(), 0..3), any::<bool>()).prop_map(|(user, ids, selected)| commands::select(user, &ids, selected)),
        1 => (user(), vec(goods_id(), 1..3)).prop_map(|(user, ids)| commands::remove_from_cart(user, &ids)),
        1 => user().prop_map(commands::clear_cart),
        8 => (order, user(), 0..5_u64).prop_map(|(order, user, address_id)| {
            commands::checkout(CheckoutCartRequest { address_id, ..commands::cart_order(&order, user) })
        }),
        4 => (user(), goods_id()).prop_map(|(user, id)| commands::add_favourite(user, id)),
        3 => (user(), goods_id()).prop_map(|(user, id)| commands::remove_favourite(user, id)),
        2 => (user(), address(), key()).prop_map(|(user, address, key)| commands::create_address(user, address, &key)),
        1 => (user(), address(), 1..4_u64).prop_map(|(user, address, address_id)| {
            commands::update_address(user, Address { address_id, ..address })
        }),
        1 => (user(), 1..4_u64).prop_map(|(user, id)| commands::delete_address(user, id)),
        1 => (user(), kind, key()).prop_map(|(user, kind, key)| commands::create_message(user, kind, "text", &key)),
    ]
}

fn parcel_move() -> impl Strategy<Value = commands::OnOrder> {
    use LogisticsStatus::*;
    let moves: [commands::OnOrder; 6] = [
        |id| commands::move_parcel(id, InTransit),
        |id| commands::move_parcel(id, Delivering),
        |id| commands::move_parcel(id, Rejected),
        |id| commands::move_parcel(id, Returning),
        |id| commands::move_parcel(id, Returned),
        |id| commands::move_parcel(id, Delivered),
    ];
    proptest::sample::select(moves.to_vec())
}
