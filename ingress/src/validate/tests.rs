mod catalogue;
mod goods;
mod inventory;
mod of_users;

use emshop_proto::v1::{
    AdjustBalanceRequest, AdjustStockRequest, ConfirmPaymentRequest, GetBalanceRequest, GetPaymentRequest, GoodsQuantity, Money,
    PaymentMethod, RebackRequest, Receiver, RefundPaymentRequest, SetStockRequest, ShippingMethod, SubmitOrderRequest,
    TryPaymentRequest,
};

use super::*;

fn line(goods_id: u64, quantity: u64) -> GoodsQuantity {
    GoodsQuantity { goods_id, quantity }
}

fn order() -> SubmitOrderRequest {
    SubmitOrderRequest {
        user_id: 1,
        lines: vec![line(1, 1)],
        address: "1 Main Street".to_owned(),
        receiver: Some(Receiver { name: "Li".to_owned(), phone: "1".to_owned() }),
        payment_method: PaymentMethod::Alipay.into(),
        ..SubmitOrderRequest::default()
    }
}

pub fn of(body: Body) -> Vec<String> {
    fields(command(&body.into(), None))
}

pub fn fields(violations: Vec<FieldViolation>) -> Vec<String> {
    violations.into_iter().map(|violation| violation.field).collect()
}

pub type Change<T> = fn(&mut T);

/// Each change of a good request violates exactly the field that stands beside it; none when it is empty.
pub fn check<T>(good: impl Fn() -> T, of: impl Fn(T) -> Vec<String>, table: &[(&str, Change<T>)]) {
    assert_eq!(of(good()), [""; 0], "the good one");
    for (row, (field, change)) in table.iter().enumerate() {
        let mut request = good();
        change(&mut request);
        let expected: &[&str] = if field.is_empty() { &[] } else { &[field] };
        assert_eq!(of(request), expected, "row {row}");
    }
}

#[test]
fn orders() {
    check(
        order,
        |request| of(Body::SubmitOrder(request)),
        &[
            ("", |r| r.order_id = "A-z_0.9:".to_owned()),
            ("order_id", |r| r.order_id = "a b".to_owned()),
            ("order_id", |r| r.order_id = "x".repeat(65)),
            ("user_id", |r| r.user_id = 0),
            ("lines", |r| r.lines.clear()),
            ("", |r| r.lines = (1..=200).map(|id| line(id, 1)).collect()),
            ("lines", |r| r.lines = (0..=200).map(|id| line(id, 0)).collect()),
            ("lines[1].goods_id", |r| r.lines.push(line(0, 1))),
            ("lines[0].quantity", |r| r.lines[0].quantity = 0),
            ("", |r| r.lines = vec![line(1, 1_000_000), line(2, 1_000_000)]),
            ("lines[0].quantity", |r| r.lines[0].quantity = 1_000_001),
            ("lines[0].quantity", |r| r.lines = vec![line(1, u64::MAX), line(1, 1)]),
            ("", |r| r.lines = vec![line(1, 999_999), line(2, 9), line(1, 1)]),
            ("lines", |r| r.lines = vec![line(1, 999_999), line(2, 9), line(1, 2)]),
            ("address", |r| r.address.clear()),
            ("address", |r| r.address = "x".repeat(257)),
            ("receiver", |r| r.receiver = None),
            ("receiver.name", |r| r.receiver.as_mut().unwrap().name.clear()),
            ("receiver.name", |r| r.receiver.as_mut().unwrap().name = "x".repeat(65)),
            ("receiver.phone", |r| r.receiver.as_mut().unwrap().phone.clear()),
            ("receiver.phone", |r| r.receiver.as_mut().unwrap().phone = "1".repeat(33)),
            ("payment_method", |r| r.payment_method = 0),
            ("payment_method", |r| r.payment_method = 99),
            ("", |r| r.expires_in_seconds = 86_400),
            ("expires_in_seconds", |r| r.expires_in_seconds = 86_401),
            ("", |r| r.expected_total = Some(Money::new(1, "JPY"))),
            ("expected_total.amount_minor", |r| r.expected_total = Some(Money::new(0, "JPY"))),
            ("expected_total.amount_minor", |r| r.expected_total = Some(Money::new(-1, "JPY"))),
            ("expected_total.currency", |r| r.expected_total = Some(Money::new(1, "cny"))),
            ("expected_total.currency", |r| r.expected_total = Some(Money::new(1, "QQQ"))),
            ("expected_total.currency", |r| r.expected_total = Some(Money::new(1, ""))),
            ("wait", |r| r.wait = 3),
            ("", |r| r.logistics_company = 4_000_000_000),
            ("", |r| r.shipping_method = ShippingMethod::SelfPickup.into()),
            ("shipping_method", |r| r.shipping_method = 5),
        ],
    );
}

#[test]
fn payments() {
    let named = || ConfirmPaymentRequest { order_id: "o1".to_owned(), ..ConfirmPaymentRequest::default() };
    let confirm = |request| of(Body::ConfirmPayment(request));
    check(
        named,
        confirm,
        &[
            ("", |r| (r.order_id, r.payment_id) = (String::new(), "pay-o1".to_owned())),
            ("", |r| r.payment_id = "pay-o1".to_owned()),
            ("order_id", |r| r.payment_id = "pay-o2".to_owned()),
            ("payment_id", |r| r.payment_id = "o1".to_owned()),
            ("payment_id", |r| r.order_id.clear()),
            ("order_id", |r| r.order_id = "o/1".to_owned()),
            ("third_party_sn", |r| r.third_party_sn = "x".repeat(129)),
            ("amount.amount_minor", |r| r.amount = Some(Money::new(0, "CNY"))),
        ],
    );
    let refund = || RefundPaymentRequest { order_id: "o1".to_owned(), ..RefundPaymentRequest::default() };
    check(
        refund,
        |request| of(Body::RefundPayment(request)),
        &[
            ("payment_id", |r| r.order_id.clear()),
            ("amount.amount_minor", |r| r.amount = Some(Money::new(-5, "CNY"))),
            ("amount.currency", |r| r.amount = Some(Money::new(5, "YUAN"))),
            ("reason", |r| r.reason = "x".repeat(257)),
        ],
    );
    assert_eq!(of(Body::CancelPayment(Default::default())), ["payment_id"]);
    assert_eq!(of(Body::PayWithBalance(Default::default())), ["payment_id"]);
    assert_eq!(of(Body::SimulatePaymentSuccess(Default::default())), ["payment_id"]);
    assert_eq!(of(Body::SimulatePaymentFailure(Default::default())), ["payment_id"]);
    assert_eq!(fields(get_payment(&GetPaymentRequest::default())), ["payment_id"]);
}

#[test]
fn balances() {
    check::<AdjustBalanceRequest>(
        || AdjustBalanceRequest { user_id: 1, delta: Some(Money::new(-1, "CNY")) },
        |request| of(Body::AdjustBalance(request)),
        &[
            ("user_id", |r| r.user_id = 0),
            ("delta", |r| r.delta = None),
            ("delta.amount_minor", |r| r.delta = Some(Money::new(0, "CNY"))),
            ("", |r| r.delta = Some(Money::new(1_000_000_000_000, "CNY"))),
            ("", |r| r.delta = Some(Money::new(-1_000_000_000_000, "CNY"))),
            ("delta.amount_minor", |r| r.delta = Some(Money::new(1_000_000_000_001, "CNY"))),
            ("delta.amount_minor", |r| r.delta = Some(Money::new(i64::MIN, "CNY"))),
            ("delta.currency", |r| r.delta = Some(Money::new(1, "cny"))),
        ],
    );
    assert_eq!(fields(get_balance(&GetBalanceRequest::default())), ["user_id"]);
    assert_eq!(fields(get_balance(&GetBalanceRequest { user_id: 1 })), [""; 0]);
}

#[test]
fn tries() {
    let amount = Some(Money::new(1, "CNY"));
    check::<TryPaymentRequest>(
        || TryPaymentRequest { business_id: "b1".to_owned(), user_id: 1, amount: amount.clone(), timeout_seconds: 0 },
        |request| of(Body::TryPayment(request)),
        &[
            ("business_id", |r| r.business_id.clear()),
            ("business_id", |r| r.business_id = "x".repeat(65)),
            ("user_id", |r| r.user_id = 0),
            ("amount", |r| r.amount = None),
            ("", |r| r.amount = Some(Money::new(1_000_000_000_000, "CNY"))),
            ("amount.amount_minor", |r| r.amount = Some(Money::new(1_000_000_000_001, "CNY"))),
            ("amount.amount_minor", |r| r.amount = Some(Money::new(0, "CNY"))),
            ("amount.currency", |r| r.amount = Some(Money::new(1, ""))),
            ("", |r| r.timeout_seconds = 86_400),
            ("timeout_seconds", |r| r.timeout_seconds = 86_401),
        ],
    );
    for unnamed in [Body::ConfirmTriedPayment(Default::default()), Body::CancelTriedPayment(Default::default())] {
        assert_eq!(of(unnamed), ["business_id", "user_id"]);
    }
}

#[test]
fn cancelling() {
    assert_eq!(of(Body::ReleaseReserved(Default::default())), ["business_id"]);
    assert_eq!(of(Body::ConfirmSell(Default::default())), ["business_id"]);
    assert_eq!(of(Body::Reback(RebackRequest { business_id: "ü".to_owned() })), ["business_id"]);
    assert_eq!(of(Body::CancelOrder(Default::default())), ["order_id"]);
}

#[test]
fn broken_commands() {
    assert_eq!(fields(command(&Command::default(), None)), ["body"]);
    let lines = (0..200).map(|_| line(0, 0)).collect();
    assert_eq!(of(Body::SubmitOrder(SubmitOrderRequest { lines, ..order() })).len(), 20, "no answer is unbounded");
}

#[test]
fn keys() {
    let key = |key: &str| {
        let command = Command { idempotency_key: key.to_owned(), ..Body::SubmitOrder(order()).into() };
        fields(super::command(&command, None))
    };
    for good in ["", "k", &"ключ".repeat(8), &"x".repeat(64)] {
        assert_eq!(key(good), [""; 0], "{good}");
    }
    assert_eq!(key(&"x".repeat(65)), ["idempotency_key"]);
}

/// Done twice it would be wrong twice, so whoever may do it for the shop says which one it is.
#[test]
fn an_admin_changes_stock_and_money_under_a_key() {
    use OperatorKind::*;
    let refund = |amount| RefundPaymentRequest { order_id: "o1".to_owned(), amount, ..RefundPaymentRequest::default() };
    let amount = Money::new(1, "CNY");
    let moving = [
        Body::SetStock(SetStockRequest { goods_id: 1, on_hand: 1 }),
        Body::AdjustStock(AdjustStockRequest { goods_id: 1, delta: 1 }),
        Body::AdjustBalance(AdjustBalanceRequest { user_id: 1, delta: Some(amount.clone()) }),
        Body::RefundPayment(refund(Some(amount))),
    ];
    let others = [Body::RefundPayment(refund(None)), Body::SubmitOrder(order())];
    let given_by = |kind: Option<OperatorKind>, key: &str, body: &Body| {
        let command = Command { idempotency_key: key.to_owned(), ..body.clone().into() };
        let operator = kind.map(|kind| Operator { kind: kind.into(), user_id: 7, ..Operator::default() });
        fields(super::command(&command, operator.as_ref()))
    };
    for body in &moving {
        assert_eq!(given_by(Some(Admin), "", body), ["idempotency_key"], "{body:?}");
        assert_eq!(given_by(Some(Admin), "k", body), [""; 0], "{body:?}");
        // Users, providers, and whoever calls while the server runs without authentication.
        for kind in [Some(User), Some(Provider), None] {
            assert_eq!(given_by(kind, "", body), [""; 0], "{body:?}");
        }
    }
    for body in &others {
        assert_eq!(given_by(Some(Admin), "", body), [""; 0], "{body:?}");
    }
}

#[test]
fn reads() {
    assert_eq!(fields(order_id("")), ["order_id"]);
    assert_eq!(fields(order_id("o1")), [""; 0]);
    assert_eq!(fields(goods_id(0)), ["goods_id"]);
}
