//! Commands that no ingress writes: found in a log all the same, they are refused and leave nothing behind.

use emshop_core::entry::Entry;
use emshop_proto::envelope::DecodeError;
use emshop_proto::errors::Code;
use emshop_proto::internal::{RegisterUser, account_command, record};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AddCartItemRequest, CheckoutCartRequest, Command, CreateCategoryRequest, GoodsQuantity, Money, Receiver, ReserveStockRequest,
    SetStockRequest, SubmitOrderRequest, UpdateCartItemRequest,
};
use prost::encoding::{bytes, message, string, uint64};

use crate::commands;
use crate::shop::{Shop, assert_refused, envelope_of, record_of};

/// Each of them stopped its log, or left something that `inspect` finds broken.
#[test]
fn what_would_stop_a_log_is_refused() {
    let line = |goods_id, quantity| GoodsQuantity { goods_id, quantity };
    let order = |lines: Vec<GoodsQuantity>| commands::submit(SubmitOrderRequest { lines, ..commands::order("o1", &[]) });
    let reserve = |lines: Vec<GoodsQuantity>| -> Command {
        Body::ReserveStock(ReserveStockRequest { business_id: "r1".to_owned(), lines, expires_in_seconds: 0 }).into()
    };
    let add = |goods_id, quantity| -> Command { Body::AddCartItem(AddCartItemRequest { user_id: 1, goods_id, quantity }).into() };
    let update = UpdateCartItemRequest { user_id: 1, goods_id: 1, quantity: Some(0), selected: None };
    let from_cart_and_not = CheckoutCartRequest { ..commands::cart_order("o1", 1) };
    let category = CreateCategoryRequest { category: Some(commands::category(0, 0)) };
    let table: Vec<(&str, Command)> = vec![
        ("two lines of one SKU", order(vec![line(1, 6), line(1, 6)])),
        ("two lines of one SKU, not side by side", order(vec![line(1, 6), line(2, 1), line(1, 6)])),
        ("two lines of one SKU in a reservation", reserve(vec![line(1, 6), line(1, 6)])),
        ("no units", order(vec![line(1, 0)])),
        ("no lines", order(Vec::new())),
        ("no SKU", reserve(vec![line(0, 1)])),
        ("an order without id", commands::submit(commands::order("", &[(1, 1)]))),
        ("an id that is too long", commands::submit(commands::order(&"x".repeat(65), &[(1, 1)]))),
        ("a checkout without id", commands::checkout(CheckoutCartRequest { order_id: String::new(), ..from_cart_and_not })),
        ("an item without units", add(1, 0)),
        (
            "more of an item than a cart has room for",
            Body::UpdateCartItem(UpdateCartItemRequest { quantity: Some(u64::MAX), ..update }).into(),
        ),
        ("an item that loses its units", Body::UpdateCartItem(update).into()),
        ("a try that brings money", commands::try_payment(1, "t1", -5)),
        ("a try of more than there is in 64 bits", commands::try_payment(1, "t1", i64::MIN)),
        (
            "a price below 0",
            commands::create_goods(emshop_proto::v1::Goods { unit_price: Some(Money::new(-4, "CNY")), ..commands::entry(5) }),
        ),
        ("a category that is none", Body::CreateCategory(category).into()),
        ("stock of no SKU", Body::SetStock(SetStockRequest { goods_id: 0, on_hand: 5 }).into()),
    ];
    let mut shop = Shop::with_two_goods();
    shop.send_one(commands::adjust_balance(1, 100, "k"));
    let before = shop.rows();
    for (what, mut command) in table {
        command.idempotency_key.clear();
        assert_refused(&shop.send_one(command), Code::ValidationFailed);
        assert!(shop.rows() == before, "{what} left something behind");
    }
}

#[test]
fn what_lives_in_another_log_is_refused() {
    let mut shop = Shop::new(2);
    let [goods_id] = shop.goods_of(1);
    let command = commands::set_stock(goods_id, 5, "");
    shop.tick();
    let before = shop.rows();
    shop.apply(0, envelope_of(vec![record_of(command, 1_000)]));
    assert_refused(&shop.outcome(1_000).expect("an answer"), Code::ValidationFailed);
    assert!(shop.rows() == before);
}

#[test]
fn a_user_without_a_mobile_number_is_refused() {
    let mut shop = Shop::new(1);
    let register = RegisterUser { user_id: 1, code_hash: vec![1], ..RegisterUser::default() };
    let ticket = shop.send_account_only(account_command::Body::RegisterUser(register), "k", 7);
    assert_refused(&shop.outcome(ticket).expect("an answer"), Code::ValidationFailed);
}

/// Parts of an order that are kept as they came, and read when somebody asks for them: by then it is too late.
#[test]
fn an_order_that_cannot_be_read_later_is_not_an_entry() {
    const SUBMIT_ORDER: u32 = 2;
    type Damage = fn(&mut Vec<u8>);
    let table: [(&str, Damage); 8] = [
        ("an id that is a number", |order| uint64::encode(1, &7, order)),
        ("an id that is no text", |order| bytes::encode(1, &vec![0xFF], order)),
        ("two addresses", |order| (0..2).for_each(|_| string::encode(5, &"路 1".to_owned(), order))),
        ("two receivers", |order| (0..2).for_each(|_| message::encode(6, &Receiver::default(), order))),
        ("two ids", |order| (0..2).for_each(|_| string::encode(1, &"o1".to_owned(), order))),
        ("an address that is no text", |order| bytes::encode(5, &vec![0xFF], order)),
        ("a receiver that is none", |order| bytes::encode(6, &vec![0x0A, 0x05], order)),
        ("names of goods that are not reserved", |order| bytes::encode(100, &vec![], order)),
    ];
    for (what, write) in table {
        let (mut order, mut command) = (Vec::new(), Vec::new());
        write(&mut order);
        bytes::encode(SUBMIT_ORDER, &order, &mut command);
        let mut record = record_of(Command::default(), 1);
        record.body = Some(record::Body::Command(command.into()));
        let read = Entry::read(envelope_of(vec![record]));
        assert!(matches!(read.err(), Some(DecodeError::Body(_))), "{what}");
    }
}
