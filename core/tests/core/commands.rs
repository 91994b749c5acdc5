//! Commands as short as a test wants them.

use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AddCartItemRequest, AddFavouriteRequest, Address, AdjustBalanceRequest, AdjustStockRequest, Banner, Brand,
    CancelLogisticsOrderRequest, CancelOrderRequest, CancelPaymentRequest, CancelTriedPaymentRequest, Category,
    CheckoutCartRequest, ClearCartRequest, Command, CompleteOrderRequest, ConfirmPaymentRequest, ConfirmSellRequest,
    ConfirmTriedPaymentRequest, CreateAddressRequest, CreateBannerRequest, CreateBrandRequest, CreateCategoryRequest,
    CreateGoodsRequest, CreateLogisticsOrderRequest, CreateMessageRequest, DeleteAddressRequest, DeleteBannerRequest,
    DeleteBrandRequest, DeleteCategoryRequest, DeleteGoodsRequest, Goods, GoodsQuantity, LinkBrandRequest, LogisticsStatus,
    MessageKind, Money, PayWithBalanceRequest, PaymentMethod, RebackRequest, Receiver, RefundPaymentRequest,
    ReleaseReservedRequest, RemoveCartItemsRequest, RemoveFavouriteRequest, RequestReturnRequest, ReserveStockRequest,
    ResolveReturnRequest, SelectCartItemsRequest, SetOnSaleRequest, SetStockRequest, SetStockThresholdRequest,
    SimulateDeliveryRequest, SimulatePaymentFailureRequest, SimulatePaymentSuccessRequest, SimulateShipmentRequest,
    SubmitOrderRequest, TryPaymentRequest, UnlinkBrandRequest, UpdateAddressRequest, UpdateBannerRequest, UpdateBrandRequest,
    UpdateCartItemRequest, UpdateCategoryRequest, UpdateGoodsRequest, UpdateLogisticsStatusRequest, UserMessage,
};

pub const EXPIRES_IN_SECONDS: u32 = 900;
pub const TRY_SECONDS: u32 = 35;
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
    command(Body::CancelOrder(CancelOrderRequest { order_id: order_id.to_owned(), ..CancelOrderRequest::default() }))
}

pub fn confirm(order_id: &str) -> Command {
    confirm_with(order_id, "sn-1", None)
}

pub fn confirm_with(order_id: &str, third_party_sn: &str, amount: Option<Money>) -> Command {
    let (order_id, third_party_sn) = (order_id.to_owned(), third_party_sn.to_owned());
    command(Body::ConfirmPayment(ConfirmPaymentRequest { payment_id: String::new(), order_id, third_party_sn, amount }))
}

pub fn simulate_success(order_id: &str) -> Command {
    let order_id = order_id.to_owned();
    command(Body::SimulatePaymentSuccess(SimulatePaymentSuccessRequest { order_id, ..SimulatePaymentSuccessRequest::default() }))
}

/// An order that its user pays from their balance.
pub fn order_by_balance(order_id: &str, user_id: u64, lines: &[(u64, u64)]) -> SubmitOrderRequest {
    SubmitOrderRequest { user_id, payment_method: PaymentMethod::Balance.into(), ..order(order_id, lines) }
}

pub fn pay_with_balance(order_id: &str) -> Command {
    command(Body::PayWithBalance(PayWithBalanceRequest { payment_id: String::new(), order_id: order_id.to_owned() }))
}

pub fn adjust_balance(user_id: u64, delta_minor: i64, key: &str) -> Command {
    adjust_balance_in("CNY", user_id, delta_minor, key)
}

pub fn adjust_balance_in(currency: &str, user_id: u64, delta_minor: i64, key: &str) -> Command {
    let delta = Some(Money::new(delta_minor, currency));
    command(Body::AdjustBalance(AdjustBalanceRequest { user_id, delta, idempotency_key: key.to_owned() }))
}

/// With the time-out that the ingress fills in.
pub fn try_payment(user_id: u64, business_id: &str, amount_minor: i64) -> Command {
    try_payment_in("CNY", user_id, business_id, amount_minor)
}

pub fn try_payment_in(currency: &str, user_id: u64, business_id: &str, amount_minor: i64) -> Command {
    let (business_id, amount) = (business_id.to_owned(), Some(Money::new(amount_minor, currency)));
    command(Body::TryPayment(TryPaymentRequest { business_id, user_id, amount, timeout_seconds: TRY_SECONDS }))
}

pub fn confirm_tried(user_id: u64, business_id: &str) -> Command {
    command(Body::ConfirmTriedPayment(ConfirmTriedPaymentRequest { business_id: business_id.to_owned(), user_id }))
}

pub fn cancel_tried(user_id: u64, business_id: &str) -> Command {
    command(Body::CancelTriedPayment(CancelTriedPaymentRequest { business_id: business_id.to_owned(), user_id }))
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

pub fn complete(order_id: &str) -> Command {
    command(Body::CompleteOrder(CompleteOrderRequest { order_id: order_id.to_owned(), user_id: USER }))
}

pub fn request_return(order_id: &str) -> Command {
    let (order_id, reason) = (order_id.to_owned(), "broken".to_owned());
    command(Body::RequestReturn(RequestReturnRequest { order_id, user_id: 0, reason }))
}

pub fn accept_return(order_id: &str) -> Command {
    resolve_return(ResolveReturnRequest { order_id: order_id.to_owned(), accept: true, ..ResolveReturnRequest::default() })
}

pub fn decline_return(order_id: &str) -> Command {
    let (order_id, reason) = (order_id.to_owned(), "worn".to_owned());
    resolve_return(ResolveReturnRequest { order_id, reason, ..ResolveReturnRequest::default() })
}

pub fn resolve_return(request: ResolveReturnRequest) -> Command {
    command(Body::ResolveReturn(request))
}

/// Another parcel, like the first one.
pub fn create_parcel(order_id: &str) -> Command {
    create_parcel_with(CreateLogisticsOrderRequest { order_id: order_id.to_owned(), ..CreateLogisticsOrderRequest::default() })
}

pub fn create_parcel_with(request: CreateLogisticsOrderRequest) -> Command {
    command(Body::CreateLogisticsOrder(request))
}

pub fn move_parcel(order_id: &str, status: LogisticsStatus) -> Command {
    let (order_id, status) = (order_id.to_owned(), status.into());
    update_parcel(UpdateLogisticsStatusRequest { order_id, status, ..UpdateLogisticsStatusRequest::default() })
}

pub fn update_parcel(request: UpdateLogisticsStatusRequest) -> Command {
    command(Body::UpdateLogisticsStatus(request))
}

pub fn ship(order_id: &str) -> Command {
    ship_by(order_id, "")
}

pub fn ship_by(order_id: &str, courier_name: &str) -> Command {
    let (order_id, courier_name) = (order_id.to_owned(), courier_name.to_owned());
    command(Body::SimulateShipment(SimulateShipmentRequest { order_id, courier_name, ..SimulateShipmentRequest::default() }))
}

pub fn deliver(order_id: &str) -> Command {
    deliver_with(SimulateDeliveryRequest { order_id: order_id.to_owned(), ..SimulateDeliveryRequest::default() })
}

pub fn deliver_with(request: SimulateDeliveryRequest) -> Command {
    command(Body::SimulateDelivery(request))
}

pub fn cancel_parcel(order_id: &str) -> Command {
    let (order_id, reason) = (order_id.to_owned(), "wrong box".to_owned());
    command(Body::CancelLogisticsOrder(CancelLogisticsOrderRequest {
        order_id,
        reason,
        ..CancelLogisticsOrderRequest::default()
    }))
}

pub fn goods(goods_id: u64, price: Money) -> Command {
    create_goods(Goods { unit_price: Some(price), ..entry(goods_id) })
}

/// A goods entry of the least that one needs.
pub fn entry(goods_id: u64) -> Goods {
    let unit_price = Some(Money::new(1000, "CNY"));
    Goods { goods_id, name: format!("goods {goods_id}"), unit_price, weight_grams: 500, ..Goods::default() }
}

pub fn create_goods(goods: Goods) -> Command {
    command(Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) }))
}

pub fn update_goods(goods: Goods) -> Command {
    command(Body::UpdateGoods(UpdateGoodsRequest { goods: Some(goods) }))
}

pub fn delete_goods(goods_id: u64) -> Command {
    command(Body::DeleteGoods(DeleteGoodsRequest { goods_id }))
}

pub fn set_on_sale(goods_id: u64, on_sale: bool) -> Command {
    command(Body::SetOnSale(SetOnSaleRequest { goods_id, on_sale }))
}

/// A category; of level 1 when its parent is 0.
pub fn category(category_id: u64, parent_id: u64) -> Category {
    Category { category_id, parent_id, name: format!("category {category_id}"), ..Category::default() }
}

pub fn create_category(category: Category) -> Command {
    command(Body::CreateCategory(CreateCategoryRequest { category: Some(category) }))
}

pub fn update_category(category: Category) -> Command {
    command(Body::UpdateCategory(UpdateCategoryRequest { category: Some(category) }))
}

pub fn delete_category(category_id: u64) -> Command {
    command(Body::DeleteCategory(DeleteCategoryRequest { category_id }))
}

pub fn brand(brand_id: u64, name: &str) -> Brand {
    Brand { brand_id, name: name.to_owned(), ..Brand::default() }
}

pub fn create_brand(brand: Brand) -> Command {
    command(Body::CreateBrand(CreateBrandRequest { brand: Some(brand) }))
}

pub fn update_brand(brand: Brand) -> Command {
    command(Body::UpdateBrand(UpdateBrandRequest { brand: Some(brand) }))
}

pub fn delete_brand(brand_id: u64) -> Command {
    command(Body::DeleteBrand(DeleteBrandRequest { brand_id }))
}

pub fn banner(banner_id: u64, index: i32) -> Banner {
    Banner { banner_id, image: "/banner.png".to_owned(), url: "/sale".to_owned(), index }
}

pub fn create_banner(banner: Banner) -> Command {
    command(Body::CreateBanner(CreateBannerRequest { banner: Some(banner) }))
}

pub fn update_banner(banner: Banner) -> Command {
    command(Body::UpdateBanner(UpdateBannerRequest { banner: Some(banner) }))
}

pub fn delete_banner(banner_id: u64) -> Command {
    command(Body::DeleteBanner(DeleteBannerRequest { banner_id }))
}

pub fn link_brand(category_id: u64, brand_id: u64) -> Command {
    command(Body::LinkBrand(LinkBrandRequest { category_id, brand_id }))
}

pub fn unlink_brand(category_id: u64, brand_id: u64) -> Command {
    command(Body::UnlinkBrand(UnlinkBrandRequest { category_id, brand_id }))
}

pub fn set_stock(goods_id: u64, on_hand: u64, key: &str) -> Command {
    command(Body::SetStock(SetStockRequest { goods_id, on_hand, idempotency_key: key.to_owned() }))
}

pub fn adjust_stock(goods_id: u64, delta: i64, key: &str) -> Command {
    command(Body::AdjustStock(AdjustStockRequest { goods_id, delta, idempotency_key: key.to_owned() }))
}

pub fn set_threshold(goods_id: u64, low_threshold: u64) -> Command {
    command(Body::SetStockThreshold(SetStockThresholdRequest { goods_id, low_threshold }))
}

pub fn reserve(business_id: &str, lines: &[(u64, u64)]) -> Command {
    reserve_within(business_id, lines, 0)
}

/// To be confirmed within this time.
pub fn reserve_within(business_id: &str, lines: &[(u64, u64)], expires_in_seconds: u32) -> Command {
    let (business_id, lines) = (business_id.to_owned(), quantities(lines));
    command(Body::ReserveStock(ReserveStockRequest { business_id, lines, expires_in_seconds }))
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

pub fn add_to_cart(user_id: u64, goods_id: u64, quantity: u64, key: &str) -> Command {
    command(Body::AddCartItem(AddCartItemRequest { user_id, goods_id, quantity, idempotency_key: key.to_owned() }))
}

pub fn update_cart(user_id: u64, goods_id: u64, quantity: Option<u64>, selected: Option<bool>) -> Command {
    command(Body::UpdateCartItem(UpdateCartItemRequest { user_id, goods_id, quantity, selected }))
}

/// All of them when `goods_ids` is empty.
pub fn select(user_id: u64, goods_ids: &[u64], selected: bool) -> Command {
    command(Body::SelectCartItems(SelectCartItemsRequest { user_id, goods_ids: goods_ids.to_vec(), selected }))
}

pub fn remove_from_cart(user_id: u64, goods_ids: &[u64]) -> Command {
    command(Body::RemoveCartItems(RemoveCartItemsRequest { user_id, goods_ids: goods_ids.to_vec() }))
}

pub fn clear_cart(user_id: u64) -> Command {
    command(Body::ClearCart(ClearCartRequest { user_id }))
}

/// An acceptable order of what a user has selected.
pub fn cart_order(order_id: &str, user_id: u64) -> CheckoutCartRequest {
    let SubmitOrderRequest { order_id, address, receiver, payment_method, expires_in_seconds, logistics_company, .. } =
        order(order_id, &[]);
    CheckoutCartRequest {
        order_id,
        user_id,
        address,
        receiver,
        payment_method,
        expires_in_seconds,
        logistics_company,
        ..CheckoutCartRequest::default()
    }
}

pub fn checkout(request: CheckoutCartRequest) -> Command {
    command(Body::CheckoutCart(request))
}

pub fn add_favourite(user_id: u64, goods_id: u64) -> Command {
    command(Body::AddFavourite(AddFavouriteRequest { user_id, goods_id }))
}

pub fn remove_favourite(user_id: u64, goods_id: u64) -> Command {
    command(Body::RemoveFavourite(RemoveFavouriteRequest { user_id, goods_id }))
}

/// In Shanghai, without a district.
pub fn address(street: &str, is_default: bool) -> Address {
    Address {
        province: "上海市".to_owned(),
        city: "上海市".to_owned(),
        street: street.to_owned(),
        receiver_name: "Wang".to_owned(),
        receiver_phone: "2".to_owned(),
        is_default,
        ..Address::default()
    }
}

pub fn create_address(user_id: u64, address: Address, key: &str) -> Command {
    let idempotency_key = key.to_owned();
    command(Body::CreateAddress(CreateAddressRequest { user_id, address: Some(address), idempotency_key }))
}

pub fn update_address(user_id: u64, address: Address) -> Command {
    command(Body::UpdateAddress(UpdateAddressRequest { user_id, address: Some(address) }))
}

pub fn delete_address(user_id: u64, address_id: u64) -> Command {
    command(Body::DeleteAddress(DeleteAddressRequest { user_id, address_id }))
}

pub fn create_message(user_id: u64, kind: MessageKind, text: &str, key: &str) -> Command {
    let message = UserMessage { kind: kind.into(), text: text.to_owned(), ..UserMessage::default() };
    command(Body::CreateMessage(CreateMessageRequest { user_id, message: Some(message), idempotency_key: key.to_owned() }))
}
