//! Commands as short as a test wants them.

use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AdjustStockRequest, CancelOrderRequest, CancelPaymentRequest, Command, ConfirmPaymentRequest, ConfirmSellRequest,
    CreateGoodsRequest, Goods, GoodsQuantity, Money, PaymentMethod, RebackRequest, Receiver, RefundPaymentRequest,
    ReleaseReservedRequest, ReserveStockRequest, SetStockRequest, SimulatePaymentFailureRequest, SubmitOrderRequest,
};

pub const EXPIRES_IN_SECONDS: u32 = 900;
pub const USER: u64 = 7;

/// What makes a command about an order of its id.
pub type OnOrder = fn(&str) -> Command;

fn command(body: Body) -> Command {
    Command { tag: 0, body: Some(body) }
}

fn quantities(lines: &[(u64, u64)]) -> Vec<GoodsQuantity> {
    lines.iter().map(|&(goods_id, quantity)| GoodsQuantity { goods_id, quantity }).collect()
}

/// An acceptable order of `(goods, quantity)` lines.
pub fn order(order_id: &str, lines: &[(u64, u64)]) -> SubmitOrderRequest {
    SubmitOrderRequest {
        order_id: order_id.to_owned(),
        user_id: USER,
        lines: quantities(lines),
        address: "上海市浦东新区".to_owned(),
        receiver: Some(Receiver { name: "Li".to_owned(), phone: "1".to_owned() }),
        payment_method: PaymentMethod::Alipay.into(),
        expires_in_seconds: EXPIRES_IN_SECONDS,
        logistics_company: 1,
        ..SubmitOrderRequest::default()
    }
}

/// No company that carries parcels: such an order is refused after its payment.
pub fn order_without_carrier(order_id: &str, lines: &[(u64, u64)]) -> SubmitOrderRequest {
    SubmitOrderRequest { logistics_company: 99, ..order(order_id, lines) }
}

pub fn submit(request: SubmitOrderRequest) -> Command {
    command(Body::SubmitOrder(request))
}

pub fn cancel(order_id: &str) -> Command {
    command(Body::CancelOrder(CancelOrderRequest { order_id: order_id.to_owned(), user_id: 0 }))
}

pub fn confirm(order_id: &str) -> Command {
    confirm_with(order_id, "sn-1", None)
}

pub fn confirm_with(order_id: &str, third_party_sn: &str, amount: Option<Money>) -> Command {
    let (order_id, third_party_sn) = (order_id.to_owned(), third_party_sn.to_owned());
    command(Body::ConfirmPayment(ConfirmPaymentRequest { payment_id: String::new(), order_id, third_party_sn, amount }))
}

pub fn cancel_payment(order_id: &str) -> Command {
    command(Body::CancelPayment(CancelPaymentRequest { payment_id: String::new(), order_id: order_id.to_owned() }))
}

pub fn fail_payment(order_id: &str) -> Command {
    let order_id = order_id.to_owned();
    command(Body::SimulatePaymentFailure(SimulatePaymentFailureRequest { payment_id: String::new(), order_id }))
}

/// `amount_minor` 0 asks for all that is left.
pub fn refund(order_id: &str, amount_minor: i64, key: &str) -> Command {
    let amount = (amount_minor != 0).then(|| Money::new(amount_minor, "CNY"));
    let (order_id, idempotency_key) = (order_id.to_owned(), key.to_owned());
    command(Body::RefundPayment(RefundPaymentRequest { order_id, amount, idempotency_key, ..RefundPaymentRequest::default() }))
}

pub fn goods(goods_id: u64, price: Money) -> Command {
    let goods = Goods { goods_id, name: format!("goods {goods_id}"), unit_price: Some(price), weight_grams: 500 };
    command(Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) }))
}

pub fn set_stock(goods_id: u64, on_hand: u64, key: &str) -> Command {
    command(Body::SetStock(SetStockRequest { goods_id, on_hand, idempotency_key: key.to_owned() }))
}

pub fn adjust_stock(goods_id: u64, delta: i64, key: &str) -> Command {
    command(Body::AdjustStock(AdjustStockRequest { goods_id, delta, idempotency_key: key.to_owned() }))
}

pub fn reserve(business_id: &str, lines: &[(u64, u64)]) -> Command {
    command(Body::ReserveStock(ReserveStockRequest { business_id: business_id.to_owned(), lines: quantities(lines) }))
}

pub fn release(business_id: &str) -> Command {
    command(Body::ReleaseReserved(ReleaseReservedRequest { business_id: business_id.to_owned() }))
}

pub fn sell(business_id: &str) -> Command {
    command(Body::ConfirmSell(ConfirmSellRequest { business_id: business_id.to_owned() }))
}

pub fn reback(business_id: &str) -> Command {
    command(Body::Reback(RebackRequest { business_id: business_id.to_owned() }))
}
