use emshop_proto::internal::{Record, record};
use emshop_proto::v1::{
    Address, AdjustStockRequest, CreateGoodsRequest, Goods, LinkBrandRequest, ReserveStockRequest, UserMessage,
};

use super::*;

const DEFAULTS: Defaults = Defaults { completes_after_seconds: 600 };

fn order(lines: &[(u64, u64)]) -> SubmitOrderRequest {
    let lines = lines.iter().map(|&(goods_id, quantity)| GoodsQuantity { goods_id, quantity }).collect();
    SubmitOrderRequest { user_id: 7, order_id: "o1".to_owned(), lines, ..SubmitOrderRequest::default() }
}

/// What the log gets, and the command in it.
fn prepared(command: impl Into<Command>) -> (Prepared, Record, Command) {
    let mut command = Command { tag: 99, ..command.into() };
    let prepared = prepare(&mut command, None, Partitioner::new(4), DEFAULTS);
    let record = Record::decode(prepared.record.as_slice()).expect("a record");
    let Some(record::Body::Command(command)) = record.body.clone() else { panic!("{record:?} is not a command") };
    let command = Command::decode(command).expect("a command");
    assert_eq!(command.tag, 0);
    (prepared, record, command)
}

fn body_of(command: impl Into<Command>) -> Body {
    prepared(command).2.body.expect("a body")
}

fn hash(command: impl Into<Command>) -> u64 {
    prepared(command).1.body_hash
}

fn keyed(key: &str, body: Body) -> Command {
    Command { idempotency_key: key.to_owned(), ..body.into() }
}

#[test]
fn equal_orders_hash_equal() {
    let plain = hash(Body::SubmitOrder(order(&[(1, 5), (2, 1)])));
    let defaults = SubmitOrderRequest {
        expires_in_seconds: 900,
        logistics_company: 1,
        shipping_method: ShippingMethod::Standard.into(),
        wait: SubmitWait::Accepted.into(),
        ..order(&[(2, 1), (1, 5)])
    };
    assert_eq!(hash(Body::SubmitOrder(order(&[(1, 2), (2, 1), (1, 3)]))), plain);
    assert_eq!(hash(keyed("another", Body::SubmitOrder(defaults))), plain);
    assert_ne!(hash(Body::SubmitOrder(order(&[(1, 5), (2, 2)]))), plain);
    assert_ne!(hash(Body::SubmitOrder(SubmitOrderRequest { user_id: 8, ..order(&[(1, 5), (2, 1)]) })), plain);
}

#[test]
fn the_record_is_the_command_in_normal_form() {
    let (prepared, record, command) = prepared(Body::SubmitOrder(order(&[(2, 1), (1, 5)])));
    let Some(Body::SubmitOrder(sent)) = &command.body else { panic!("{command:?}") };
    assert_eq!(
        *sent,
        SubmitOrderRequest {
            expires_in_seconds: 900,
            logistics_company: 1,
            shipping_method: ShippingMethod::Standard.into(),
            ..order(&[(1, 5), (2, 1)])
        }
    );
    assert_eq!(record.body_hash, xxh3_64(&command.encode_to_vec()));
    assert_eq!((record.ticket, prepared.receipt), (0, None));
    assert_eq!(prepared.log, Partitioner::new(4).of_order("o1").log);
}

#[test]
fn order_ids_come_from_the_key_or_from_chance() {
    let id = |idempotency_key: &str| {
        let request = SubmitOrderRequest { order_id: String::new(), wait: SubmitWait::Accepted.into(), ..order(&[(1, 1)]) };
        let (prepared, _, command) = prepared(keyed(idempotency_key, Body::SubmitOrder(request)));
        assert_eq!(command.idempotency_key, "", "the id does its work");
        let receipt = prepared.receipt.expect("accepted is answered early");
        assert_eq!(receipt.payment_id, ids::payment_id(&receipt.order_id));
        assert!(ids::is_valid(&receipt.order_id));
        receipt.order_id
    };
    assert_eq!(id("k"), ids::order_id_of_key(7, "k"));
    assert_ne!(id(""), id(""));
}

#[test]
fn a_checkout_is_named_and_filled_like_an_order() {
    let request =
        |order_id: &str| CheckoutCartRequest { user_id: 7, order_id: order_id.to_owned(), ..CheckoutCartRequest::default() };
    let of = |key: &str, request| match body_of(keyed(key, Body::CheckoutCart(request))) {
        Body::CheckoutCart(request) => request,
        other => panic!("{other:?}"),
    };
    let filled = CheckoutCartRequest {
        expires_in_seconds: 900,
        logistics_company: 1,
        shipping_method: ShippingMethod::Standard.into(),
        ..request("o1")
    };
    assert_eq!(of("k", request("o1")), filled);
    assert_eq!(of("k", request("")).order_id, ids::order_id_of_key(7, "k"));
    assert_ne!(of("", request("")).order_id, of("", request("")).order_id);
    let hash = |key: &str, request| hash(keyed(key, Body::CheckoutCart(request)));
    assert_eq!(hash("a", request("o1")), hash("b", request("o1")));
    assert_eq!(hash("", request("o1")), hash("", filled));
    assert_ne!(hash("", request("o1")), hash("", CheckoutCartRequest { address_id: 1, ..request("o1") }));
    assert_eq!(prepared(Body::CheckoutCart(request("o1"))).0.log, Partitioner::new(4).of_order("o1").log);
}

/// Nothing that holds units is without an end.
#[test]
fn a_reservation_ends_some_time() {
    let of = |expires_in_seconds| {
        let lines = vec![GoodsQuantity { goods_id: 1, quantity: 1 }];
        Body::ReserveStock(ReserveStockRequest { business_id: "b".to_owned(), lines, expires_in_seconds })
    };
    assert_eq!(body_of(of(0)), of(86_400));
    assert_eq!(hash(of(0)), hash(of(86_400)));
    assert_eq!(body_of(of(60)), of(60));
}

#[test]
fn what_the_engine_gives_is_not_taken_from_clients() {
    let address = |address_id| {
        let address = Some(Address { address_id, city: "Shanghai".to_owned(), ..Address::default() });
        Body::CreateAddress(CreateAddressRequest { user_id: 7, address })
    };
    let message = |message_id, created_at_ms| {
        let message = Some(UserMessage { message_id, created_at_ms, ..UserMessage::default() });
        Body::CreateMessage(CreateMessageRequest { user_id: 7, message })
    };
    assert_eq!(body_of(address(9)), address(0));
    assert_eq!(body_of(message(9, 9)), message(0, 0));
    assert_eq!((hash(address(9)), hash(message(9, 9))), (hash(address(0)), hash(message(0, 0))));
}

#[test]
fn keys_are_kept_or_made_and_do_not_change_the_hash() {
    let adjust = |key: &str| keyed(key, Body::AdjustStock(AdjustStockRequest { goods_id: 5, delta: 1 }));
    let key_of = |command| prepared(command).2.idempotency_key;
    assert_eq!(hash(adjust("a")), hash(adjust("b")));
    assert_eq!(hash(adjust("a")), hash(adjust("")));
    assert_eq!(key_of(adjust("a")), "a");
    assert_eq!(key_of(adjust("")).len(), 32);
    assert_ne!(key_of(adjust("")), key_of(adjust("")));

    // What a command names may tell a repeat, and costs no key; one that is given is kept.
    let confirm = |key: &str| keyed(key, Body::ConfirmPayment(ConfirmPaymentRequest::default()));
    assert_eq!((key_of(confirm("")), key_of(confirm("k"))), (String::new(), "k".to_owned()));
}

#[test]
fn account_commands_say_who_and_hash_without_the_code() {
    let register = |code: &[u8], password_hash: &str| {
        let (mobile, password_hash) = ("13800000000".to_owned(), password_hash.to_owned());
        let request = RegisterUser { user_id: 7, mobile, password_hash, code_hash: code.to_vec(), ..RegisterUser::default() };
        let command = AccountCommand { body: Some(account_command::Body::RegisterUser(request)), ..AccountCommand::default() };
        let operator = Operator { user_id: 9, ..Operator::default() };
        let prepared = prepare_account(&command, Some(&operator), Partitioner::new(4));
        let record = Record::decode(prepared.record.as_slice()).expect("a record");
        assert_eq!(record.body, Some(record::Body::AccountCommand(command)));
        assert_eq!((record.operator, prepared.log), (Some(operator), Partitioner::new(4).of_user(7).log));
        record.body_hash
    };
    assert_eq!(register(b"1", "$a"), register(b"2", "$a"));
    assert_ne!(register(b"1", "$a"), register(b"1", "$b"));
}

#[test]
fn a_change_of_password_hashes_without_what_it_replaces() {
    let change = |replaced_hash: &str, password_hash: &str, key: &str| {
        let (replaced_hash, password_hash) = (replaced_hash.to_owned(), password_hash.to_owned());
        let body = Some(account_command::Body::SetPassword(SetPassword { user_id: 7, password_hash, replaced_hash }));
        let command = AccountCommand { body, idempotency_key: key.to_owned() };
        let prepared = prepare_account(&command, None, Partitioner::new(4));
        let record = Record::decode(prepared.record.as_slice()).expect("a record");
        assert_eq!(record.body, Some(record::Body::AccountCommand(command)));
        record.body_hash
    };
    assert_eq!(change("$old", "$new", "k"), change("", "$new", "l"));
    assert_ne!(change("$old", "$new", "k"), change("$old", "$newer", "k"));
}

#[test]
fn tries_have_a_time_out() {
    let of = |timeout_seconds| Body::TryPayment(TryPaymentRequest { timeout_seconds, ..TryPaymentRequest::default() });
    assert_eq!(body_of(of(0)), of(35));
    assert_eq!(body_of(of(60)), of(60));
    assert_eq!(hash(of(0)), hash(of(35)));
}

#[test]
fn payments_are_named_by_their_order() {
    let by = |payment_id: &str, order_id: &str| {
        let (payment_id, order_id) = (payment_id.to_owned(), order_id.to_owned());
        Body::ConfirmPayment(ConfirmPaymentRequest { payment_id, order_id, ..ConfirmPaymentRequest::default() })
    };
    for same in [by("pay-o1", ""), by("pay-o1", "o1")] {
        assert_eq!(body_of(same), by("", "o1"));
    }
}

#[test]
fn deliveries_say_when_their_order_completes() {
    let ship = |completes_after_seconds| {
        let logistics_id = "lg-o1".to_owned();
        let request = SimulateShipmentRequest { logistics_id, completes_after_seconds, ..SimulateShipmentRequest::default() };
        Body::SimulateShipment(request)
    };
    for (given, expected) in [(0, 600), (5, 5)] {
        let Body::SimulateShipment(request) = body_of(ship(given)) else { panic!("another command") };
        assert_eq!((request.order_id.as_str(), request.completes_after_seconds), ("o1", expected));
        let declined = ResolveReturnRequest { completes_after_seconds: given, ..ResolveReturnRequest::default() };
        let Body::ResolveReturn(request) = body_of(Body::ResolveReturn(declined)) else { panic!("another command") };
        assert_eq!(request.completes_after_seconds, expected);
    }
}

#[test]
fn goods_are_on_sale_unless_told_otherwise() {
    let goods = |on_sale, sold| Goods { goods_id: 9, on_sale, sold, created_at_ms: sold as i64, ..Goods::default() };
    let create = |on_sale, sold| hash(Body::CreateGoods(CreateGoodsRequest { goods: Some(goods(on_sale, sold)) }));
    let update = |on_sale, sold| hash(Body::UpdateGoods(UpdateGoodsRequest { goods: Some(goods(on_sale, sold)) }));
    assert_eq!(create(None, 0), create(Some(true), 7));
    assert_ne!(create(None, 0), create(Some(false), 0));
    assert_eq!(update(None, 0), update(None, 7));
    assert_ne!(update(None, 0), update(Some(true), 0), "an update that does not say leaves it as it is");
}

#[test]
fn errors_name_what_to_ask_again_with() {
    let of = |mut command: Command| {
        prepare(&mut command, None, Partitioner::new(1), DEFAULTS);
        identity(&command).into_iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    };
    let refund = RefundPaymentRequest { payment_id: "pay-o1".to_owned(), ..RefundPaymentRequest::default() };
    let goods = CreateGoodsRequest { goods: Some(Goods { goods_id: 9, ..Goods::default() }) };
    let link = LinkBrandRequest { category_id: 3, brand_id: 4 };
    assert_eq!(of(Body::SubmitOrder(order(&[(1, 1)])).into()), "order_id o1");
    assert_eq!(of(keyed("k", Body::RefundPayment(refund))), "order_id o1, idempotency_key k");
    assert_eq!(of(keyed("k", Body::CreateGoods(goods))), "goods_id 9, idempotency_key k");
    assert_eq!(of(keyed("k", Body::LinkBrand(link))), "category_id 3, brand_id 4, idempotency_key k");
    let made = of(Body::LinkBrand(link).into());
    assert_eq!(made.len(), "category_id 3, brand_id 4, idempotency_key ".len() + 32, "{made}");
}
