//! What a request must look like before anything is written: the limits that the API states, field by field.
//!
//! Whether a command makes sense in the state of things is the engine's to say.

mod fields;
#[cfg(test)]
mod tests;

use emshop_proto::ids;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::get_logistics_order_request::By;
use emshop_proto::v1::{
    AdjustStockRequest, BatchGetStockRequest, Command, ConfirmPaymentRequest, CreateGoodsRequest, FieldViolation,
    GetLogisticsOrderRequest, GetPaymentRequest, ListOrdersRequest, PaymentMethod, RefundPaymentRequest, ReserveStockRequest,
    SetStockRequest, ShippingMethod, SimulatePaymentSuccessRequest, SubmitOrderRequest, SubmitWait,
};

use self::fields::Check;
use crate::page_token;

/// Lines of an order or of a reservation.
const LINES_MAX: usize = 200;
/// Units of one SKU in an order or in a reservation.
const QUANTITY_MAX: u64 = 1_000_000;
const KEY_BYTES_MAX: usize = 64;
const ADDRESS_BYTES_MAX: usize = 256;
const RECEIVER_NAME_BYTES_MAX: usize = 64;
const RECEIVER_PHONE_BYTES_MAX: usize = 32;
const GOODS_NAME_BYTES_MAX: usize = 100;
const THIRD_PARTY_SN_BYTES_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 256;
/// A day; 0 stands for the default.
const EXPIRES_IN_SECONDS_MAX: u32 = 86_400;
/// Highest price of one unit.
const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;
const WEIGHT_GRAMS_MAX: u64 = 1_000_000;
/// Units that a SKU may hold.
const STOCK_MAX: u64 = 1_000_000_000_000;
const STOCK_DELTA_MAX: i64 = 1_000_000_000_000;
/// SKUs of one BatchGetStock.
const BATCH_GOODS_MAX: usize = 1_000;
const PAGE_SIZE_MAX: u32 = 100;

/// Of a command, by whichever way it came; empty when it is acceptable.
pub fn command(command: &Command) -> Vec<FieldViolation> {
    let mut check = Check::default();
    match &command.body {
        None => check.require(false, "body", "is required: it says what to do"),
        Some(Body::SubmitOrder(request)) => submit_order(&mut check, request),
        Some(Body::CancelOrder(request)) => check.id("order_id", &request.order_id),
        Some(Body::ConfirmPayment(request)) => confirm_payment(&mut check, request),
        Some(Body::CancelPayment(request)) => check.payment(&request.payment_id, &request.order_id),
        Some(Body::RefundPayment(request)) => refund_payment(&mut check, request),
        Some(Body::SimulatePaymentSuccess(request)) => simulate_payment_success(&mut check, request),
        Some(Body::SimulatePaymentFailure(request)) => check.payment(&request.payment_id, &request.order_id),
        Some(Body::CreateGoods(request)) => create_goods(&mut check, request),
        Some(Body::SetStock(request)) => set_stock(&mut check, request),
        Some(Body::AdjustStock(request)) => adjust_stock(&mut check, request),
        Some(Body::ReserveStock(request)) => reserve_stock(&mut check, request),
        Some(Body::ReleaseReserved(request)) => check.id("business_id", &request.business_id),
        Some(Body::ConfirmSell(request)) => check.id("business_id", &request.business_id),
        Some(Body::Reback(request)) => check.id("business_id", &request.business_id),
    }
    check.into_violations()
}

fn submit_order(check: &mut Check, request: &SubmitOrderRequest) {
    if !request.order_id.is_empty() {
        check.id("order_id", &request.order_id);
    }
    check.idempotency_key(&request.idempotency_key);
    check.numeric_id("user_id", request.user_id);
    check.lines(&request.lines);
    check.text("address", &request.address, 1..=ADDRESS_BYTES_MAX);
    check.receiver(request.receiver.as_ref());
    let method = PaymentMethod::try_from(request.payment_method);
    check.require(
        matches!(method, Ok(method) if method != PaymentMethod::Unspecified),
        "payment_method",
        "must be one of the payment methods",
    );
    check.number("expires_in_seconds", request.expires_in_seconds, 0..=EXPIRES_IN_SECONDS_MAX);
    check.amount("expected_total", request.expected_total.as_ref());
    check.require(SubmitWait::try_from(request.wait).is_ok(), "wait", "is not known");
    check.require(ShippingMethod::try_from(request.shipping_method).is_ok(), "shipping_method", "is not known");
}

fn confirm_payment(check: &mut Check, request: &ConfirmPaymentRequest) {
    check.payment(&request.payment_id, &request.order_id);
    check.text("third_party_sn", &request.third_party_sn, 0..=THIRD_PARTY_SN_BYTES_MAX);
    check.amount("amount", request.amount.as_ref());
}

fn refund_payment(check: &mut Check, request: &RefundPaymentRequest) {
    check.payment(&request.payment_id, &request.order_id);
    check.amount("amount", request.amount.as_ref());
    check.text("reason", &request.reason, 0..=REASON_BYTES_MAX);
    check.idempotency_key(&request.idempotency_key);
}

fn simulate_payment_success(check: &mut Check, request: &SimulatePaymentSuccessRequest) {
    check.payment(&request.payment_id, &request.order_id);
    check.text("third_party_sn", &request.third_party_sn, 0..=THIRD_PARTY_SN_BYTES_MAX);
}

fn create_goods(check: &mut Check, request: &CreateGoodsRequest) {
    let Some(goods) = &request.goods else {
        return check.require(false, "goods", "is required");
    };
    check.numeric_id("goods.goods_id", goods.goods_id);
    check.text("goods.name", &goods.name, 1..=GOODS_NAME_BYTES_MAX);
    check.price("goods.unit_price", goods.unit_price.as_ref());
    check.number("goods.weight_grams", goods.weight_grams, 0..=WEIGHT_GRAMS_MAX);
}

fn set_stock(check: &mut Check, request: &SetStockRequest) {
    check.numeric_id("goods_id", request.goods_id);
    check.number("on_hand", request.on_hand, 0..=STOCK_MAX);
    check.idempotency_key(&request.idempotency_key);
}

fn adjust_stock(check: &mut Check, request: &AdjustStockRequest) {
    check.numeric_id("goods_id", request.goods_id);
    check.require(request.delta != 0, "delta", "must not be 0");
    check.number("delta", request.delta, -STOCK_DELTA_MAX..=STOCK_DELTA_MAX);
    check.idempotency_key(&request.idempotency_key);
}

fn reserve_stock(check: &mut Check, request: &ReserveStockRequest) {
    check.id("business_id", &request.business_id);
    check.lines(&request.lines);
}

/// Of a read that names one order.
pub fn order_id(order_id: &str) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.id("order_id", order_id);
    check.into_violations()
}

/// Of a read that names one SKU.
pub fn goods_id(goods_id: u64) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("goods_id", goods_id);
    check.into_violations()
}

pub fn get_payment(request: &GetPaymentRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.payment(&request.payment_id, &request.order_id);
    check.into_violations()
}

pub fn get_logistics_order(request: &GetLogisticsOrderRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    match &request.by {
        Some(By::OrderId(id)) => check.id("order_id", id),
        Some(By::LogisticsId(id)) => {
            check.require(ids::order_id_of_logistics(id).is_some(), "logistics_id", "is not the id of a logistics order");
        }
        None => check.require(false, "by", "order_id or logistics_id is required"),
    }
    check.into_violations()
}

pub fn batch_get_stock(request: &BatchGetStockRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.number("goods_ids", request.goods_ids.len(), 1..=BATCH_GOODS_MAX);
    for (index, goods_id) in request.goods_ids.iter().enumerate().take(BATCH_GOODS_MAX) {
        check.numeric_id(format_args!("goods_ids[{index}]"), *goods_id);
    }
    check.into_violations()
}

pub fn list_orders(request: &ListOrdersRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("user_id", request.user_id);
    check.number("page_size", request.page_size, 0..=PAGE_SIZE_MAX);
    check.require(
        request.page_token.is_empty() || page_token::decode(&request.page_token).is_some(),
        "page_token",
        "is not one that a previous page gave",
    );
    check.into_violations()
}
