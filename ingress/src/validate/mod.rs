//! What a request must look like before anything is written: the limits that the API states, field by field.
//!
//! Whether a command makes sense in the state of things is the engine's to say.

pub mod admin;
mod cart;
pub mod catalogue;
mod fields;
pub mod goods;
pub mod inventory;
pub mod logistics;
mod order;
mod payment;
mod tcc;
#[cfg(test)]
mod tests;
pub mod user;
mod user_operation;

use emshop_proto::v1::command::Body;
use emshop_proto::v1::{Command, FieldViolation, Operator, OperatorKind};

pub use self::cart::list_cart;
use self::fields::Check;
pub use self::fields::one_form;
pub use self::logistics::{calculate_shipping_fee, list_couriers};
pub use self::order::list_orders;
pub use self::payment::{get_balance, get_payment};
pub use self::user_operation::{get_favourite, list_addresses, list_favourites, list_messages};

/// Lines of an order or of a reservation.
const LINES_MAX: usize = 200;
/// Units of one SKU in an order or in a reservation.
const QUANTITY_MAX: u64 = 1_000_000;
const ADDRESS_BYTES_MAX: usize = 256;
const RECEIVER_NAME_BYTES_MAX: usize = 64;
const RECEIVER_PHONE_BYTES_MAX: usize = 32;
const GOODS_NAME_BYTES_MAX: usize = 100;
/// SKUs of one call, unless it says otherwise.
const BATCH_GOODS_MAX: usize = 1_000;
const URL_BYTES_MAX: usize = 200;
const REASON_BYTES_MAX: usize = 256;
/// A day; 0 stands for the default.
const EXPIRES_IN_SECONDS_MAX: u32 = 86_400;
/// Highest price of one unit.
const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;
const WEIGHT_GRAMS_MAX: u64 = 1_000_000;
const PAGE_SIZE_MAX: u32 = 100;

/// Of a command, by whichever way it came and whoever gives it; empty when it is acceptable.
pub fn command(command: &Command, operator: Option<&Operator>) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.idempotency_key(&command.idempotency_key);
    let by_admin = operator.is_some_and(|operator| operator.kind() == OperatorKind::Admin);
    if by_admin && command.body.as_ref().is_some_and(moves_an_amount) {
        let description = "is required of an admin who changes stock or money: the metadata idempotency-key of a call";
        check.require(!command.idempotency_key.is_empty(), "idempotency_key", description);
    }
    match &command.body {
        None => check.require(false, "body", "is required: it says what to do"),
        Some(Body::SubmitOrder(request)) => order::submit_order(&mut check, request),
        Some(Body::CancelOrder(request)) => order::cancel_order(&mut check, request),
        Some(Body::ConfirmPayment(request)) => payment::confirm_payment(&mut check, request),
        Some(Body::CancelPayment(request)) => check.payment(&request.payment_id, &request.order_id),
        Some(Body::RefundPayment(request)) => payment::refund_payment(&mut check, request),
        Some(Body::SimulatePaymentSuccess(request)) => payment::simulate_payment_success(&mut check, request),
        Some(Body::SimulatePaymentFailure(request)) => check.payment(&request.payment_id, &request.order_id),
        Some(Body::CreateGoods(request)) => goods::create_goods(&mut check, request),
        Some(Body::SetStock(request)) => inventory::set_stock(&mut check, request),
        Some(Body::AdjustStock(request)) => inventory::adjust_stock(&mut check, request),
        Some(Body::ReserveStock(request)) => inventory::reserve_stock(&mut check, request),
        Some(Body::ReleaseReserved(request)) => check.id("business_id", &request.business_id),
        Some(Body::ConfirmSell(request)) => check.id("business_id", &request.business_id),
        Some(Body::Reback(request)) => check.id("business_id", &request.business_id),
        Some(Body::CheckoutCart(request)) => order::checkout_cart(&mut check, request),
        Some(Body::CompleteOrder(request)) => order::complete_order(&mut check, request),
        Some(Body::RequestReturn(request)) => order::request_return(&mut check, request),
        Some(Body::ResolveReturn(request)) => order::resolve_return(&mut check, request),
        Some(Body::ResolveSaga(request)) => order::resolve_saga(&mut check, request),
        Some(Body::PayWithBalance(request)) => payment::pay_with_balance(&mut check, request),
        Some(Body::AdjustBalance(request)) => payment::adjust_balance(&mut check, request),
        Some(Body::CreateLogisticsOrder(request)) => logistics::create_logistics_order(&mut check, request),
        Some(Body::UpdateLogisticsStatus(request)) => logistics::update_logistics_status(&mut check, request),
        Some(Body::SimulateShipment(request)) => logistics::simulate_shipment(&mut check, request),
        Some(Body::SimulateDelivery(request)) => logistics::simulate_delivery(&mut check, request),
        Some(Body::CancelLogisticsOrder(request)) => logistics::cancel_logistics_order(&mut check, request),
        Some(Body::UpdateGoods(request)) => goods::update_goods(&mut check, request),
        Some(Body::DeleteGoods(request)) => goods::delete_goods(&mut check, request),
        Some(Body::SetOnSale(request)) => goods::set_on_sale(&mut check, request),
        Some(Body::SetStockThreshold(request)) => inventory::set_stock_threshold(&mut check, request),
        Some(Body::CreateCategory(request)) => catalogue::create_category(&mut check, request),
        Some(Body::UpdateCategory(request)) => catalogue::update_category(&mut check, request),
        Some(Body::DeleteCategory(request)) => catalogue::delete_category(&mut check, request),
        Some(Body::CreateBrand(request)) => catalogue::create_brand(&mut check, request),
        Some(Body::UpdateBrand(request)) => catalogue::update_brand(&mut check, request),
        Some(Body::DeleteBrand(request)) => catalogue::delete_brand(&mut check, request),
        Some(Body::CreateBanner(request)) => catalogue::create_banner(&mut check, request),
        Some(Body::UpdateBanner(request)) => catalogue::update_banner(&mut check, request),
        Some(Body::DeleteBanner(request)) => catalogue::delete_banner(&mut check, request),
        Some(Body::LinkBrand(request)) => catalogue::link_brand(&mut check, request),
        Some(Body::UnlinkBrand(request)) => catalogue::unlink_brand(&mut check, request),
        Some(Body::AddCartItem(request)) => cart::add_cart_item(&mut check, request),
        Some(Body::UpdateCartItem(request)) => cart::update_cart_item(&mut check, request),
        Some(Body::SelectCartItems(request)) => cart::select_cart_items(&mut check, request),
        Some(Body::RemoveCartItems(request)) => cart::remove_cart_items(&mut check, request),
        Some(Body::ClearCart(request)) => cart::clear_cart(&mut check, request),
        Some(Body::AddFavourite(request)) => user_operation::add_favourite(&mut check, request),
        Some(Body::RemoveFavourite(request)) => user_operation::remove_favourite(&mut check, request),
        Some(Body::CreateAddress(request)) => user_operation::create_address(&mut check, request),
        Some(Body::UpdateAddress(request)) => user_operation::update_address(&mut check, request),
        Some(Body::DeleteAddress(request)) => user_operation::delete_address(&mut check, request),
        Some(Body::CreateMessage(request)) => user_operation::create_message(&mut check, request),
        Some(Body::UpdateProfile(request)) => user::update_profile(&mut check, request),
        Some(Body::SetUserStatus(request)) => user::set_user_status(&mut check, request),
        Some(Body::SetUserRole(request)) => user::set_user_role(&mut check, request),
        Some(Body::LogoutEverywhere(request)) => check.numeric_id("user_id", request.user_id),
        Some(Body::TryPayment(request)) => tcc::try_payment(&mut check, request),
        Some(Body::ConfirmTriedPayment(request)) => tcc::confirm_tried_payment(&mut check, request),
        Some(Body::CancelTriedPayment(request)) => tcc::cancel_tried_payment(&mut check, request),
    }
    check.into_violations()
}

/// Done twice by mistake, it would be wrong twice, and nothing but a key tells.
fn moves_an_amount(body: &Body) -> bool {
    match body {
        Body::SetStock(_) | Body::AdjustStock(_) | Body::AdjustBalance(_) | Body::ResolveSaga(_) => true,
        Body::RefundPayment(request) => request.amount.is_some(),
        _ => false,
    }
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
