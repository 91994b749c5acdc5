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
    ResolveReturnRequest, ResolveSagaRequest, SagaResolution, SelectCartItemsRequest, SetOnSaleRequest, SetStockRequest,
    SetStockThresholdRequest, SimulateDeliveryRequest, SimulatePaymentFailureRequest, SimulatePaymentSuccessRequest,
    SimulateShipmentRequest, SubmitOrderRequest, TryPaymentRequest, UnlinkBrandRequest, UpdateAddressRequest,
    UpdateBannerRequest, UpdateBrandRequest, UpdateCartItemRequest, UpdateCategoryRequest, UpdateGoodsRequest,
    UpdateLogisticsStatusRequest, UserMessage,
};

pub const EXPIRES_IN_SECONDS: u32 = 900;
pub const TRY_SECONDS: u32 = 35;
pub const USER: u64 = 7;

/// What makes a command about an order of its id.
pub type OnOrder = fn(&str) -> Command;

/// The command under a key.
pub fn keyed(key: &str, command: impl Into<Command>) -> Command {
    Command { idempotency_key: key.to_owned(), ..command.into() }
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
    Body::SubmitOrder(request).into()
}

pub fn cancel(order_id: &str) -> Command {
    Body::CancelOrder(CancelOrderRequest { order_id: order_id.to_owned(), ..CancelOrderRequest::default() }).into()
}

pub fn confirm(order_id: &str) -> Command {
    confirm_with(order_id, "sn-1", None)
}

pub fn confirm_with(order_id: &str, third_party_sn: &str, amount: Option<Money>) -> Command {
    let (order_id, third_party_sn) = (order_id.to_owned(), third_party_sn.to_owned());
    Body::ConfirmPayment(ConfirmPaymentRequest { payment_id: String::new(), order_id, third_party_sn, amount }).into()
}

pub fn simulate_success(order_id: &str) -> Command {
    let order_id = order_id.to_owned();
    Body::SimulatePaymentSuccess(SimulatePaymentSuccessRequest { order_id, ..SimulatePaymentSuccessRequest::default() }).into()
}

/// An order that its user pays from their balance.
pub fn order_by_balance(order_id: &str, user_id: u64, lines: &[(u64, u64)]) -> SubmitOrderRequest {
    SubmitOrderRequest { user_id, payment_method: PaymentMethod::Balance.into(), ..order(order_id, lines) }
}

pub fn pay_with_balance(order_id: &str) -> Command {
    Body::PayWithBalance(PayWithBalanceRequest { payment_id: String::new(), order_id: order_id.to_owned() }).into()
}

pub fn adjust_balance(user_id: u64, delta_minor: i64, key: &str) -> Command {
    adjust_balance_in("CNY", user_id, delta_minor, key)
}

pub fn adjust_balance_in(currency: &str, user_id: u64, delta_minor: i64, key: &str) -> Command {
    let delta = Some(Money::new(delta_minor, currency));
    keyed(key, Body::AdjustBalance(AdjustBalanceRequest { user_id, delta }))
}

/// With the time-out that the ingress fills in.
pub fn try_payment(user_id: u64, business_id: &str, amount_minor: i64) -> Command {
    try_payment_in("CNY", user_id, business_id, amount_minor)
}

pub fn try_payment_in(currency: &str, user_id: u64, business_id: &str, amount_minor: i64) -> Command {
    let (business_id, amount) = (business_id.to_owned(), Some(Money::new(amount_minor, currency)));
    Body::TryPayment(TryPaymentRequest { business_id, user_id, amount, timeout_seconds: TRY_SECONDS }).into()
}

pub fn confirm_tried(user_id: u64, business_id: &str) -> Command {
    Body::ConfirmTriedPayment(ConfirmTriedPaymentRequest { business_id: business_id.to_owned(), user_id }).into()
}

pub fn cancel_tried(user_id: u64, business_id: &str) -> Command {
    Body::CancelTriedPayment(CancelTriedPaymentRequest { business_id: business_id.to_owned(), user_id }).into()
}

pub fn cancel_payment(order_id: &str) -> Command {
    Body::CancelPayment(CancelPaymentRequest { payment_id: String::new(), order_id: order_id.to_owned() }).into()
}

pub fn fail_payment(order_id: &str) -> Command {
    let order_id = order_id.to_owned();
    Body::SimulatePaymentFailure(SimulatePaymentFailureRequest { payment_id: String::new(), order_id }).into()
}

/// `amount_minor` 0 asks for all that is left.
pub fn refund(order_id: &str, amount_minor: i64, key: &str) -> Command {
    let amount = (amount_minor != 0).then(|| Money::new(amount_minor, "CNY"));
    let order_id = order_id.to_owned();
    keyed(key, Body::RefundPayment(RefundPaymentRequest { order_id, amount, ..RefundPaymentRequest::default() }))
}

pub fn complete(order_id: &str) -> Command {
    Body::CompleteOrder(CompleteOrderRequest { order_id: order_id.to_owned(), user_id: USER }).into()
}

pub fn request_return(order_id: &str) -> Command {
    let (order_id, reason) = (order_id.to_owned(), "broken".to_owned());
    Body::RequestReturn(RequestReturnRequest { order_id, user_id: 0, reason }).into()
}

pub fn accept_return(order_id: &str) -> Command {
    resolve_return(ResolveReturnRequest { order_id: order_id.to_owned(), accept: true, ..ResolveReturnRequest::default() })
}

pub fn decline_return(order_id: &str) -> Command {
    let (order_id, reason) = (order_id.to_owned(), "worn".to_owned());
    resolve_return(ResolveReturnRequest { order_id, reason, ..ResolveReturnRequest::default() })
}

pub fn resolve_saga(order_id: &str, resolution: SagaResolution, version: u32, key: &str) -> Command {
    let (order_id, reason) = (order_id.to_owned(), "looked at".to_owned());
    keyed(key, Body::ResolveSaga(ResolveSagaRequest { order_id, resolution: resolution.into(), reason, version }))
}

pub fn resolve_return(request: ResolveReturnRequest) -> Command {
    Body::ResolveReturn(request).into()
}

/// Another parcel, like the first one.
pub fn create_parcel(order_id: &str) -> Command {
    create_parcel_with(CreateLogisticsOrderRequest { order_id: order_id.to_owned(), ..CreateLogisticsOrderRequest::default() })
}

pub fn create_parcel_with(request: CreateLogisticsOrderRequest) -> Command {
    Body::CreateLogisticsOrder(request).into()
}

pub fn move_parcel(order_id: &str, status: LogisticsStatus) -> Command {
    let (order_id, status) = (order_id.to_owned(), status.into());
    update_parcel(UpdateLogisticsStatusRequest { order_id, status, ..UpdateLogisticsStatusRequest::default() })
}

pub fn update_parcel(request: UpdateLogisticsStatusRequest) -> Command {
    Body::UpdateLogisticsStatus(request).into()
}

pub fn ship(order_id: &str) -> Command {
    ship_by(order_id, "")
}

pub fn ship_by(order_id: &str, courier_name: &str) -> Command {
    let (order_id, courier_name) = (order_id.to_owned(), courier_name.to_owned());
    Body::SimulateShipment(SimulateShipmentRequest { order_id, courier_name, ..SimulateShipmentRequest::default() }).into()
}

pub fn deliver(order_id: &str) -> Command {
    deliver_with(SimulateDeliveryRequest { order_id: order_id.to_owned(), ..SimulateDeliveryRequest::default() })
}

pub fn deliver_with(request: SimulateDeliveryRequest) -> Command {
    Body::SimulateDelivery(request).into()
}

pub fn cancel_parcel(order_id: &str) -> Command {
    let (order_id, reason) = (order_id.to_owned(), "wrong box".to_owned());
    Body::CancelLogisticsOrder(CancelLogisticsOrderRequest { order_id, reason, ..CancelLogisticsOrderRequest::default() }).into()
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
    Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) }).into()
}

pub fn update_goods(goods: Goods) -> Command {
    Body::UpdateGoods(UpdateGoodsRequest { goods: Some(goods) }).into()
}

pub fn delete_goods(goods_id: u64) -> Command {
    Body::DeleteGoods(DeleteGoodsRequest { goods_id }).into()
}

pub fn set_on_sale(goods_id: u64, on_sale: bool) -> Command {
    Body::SetOnSale(SetOnSaleRequest { goods_id, on_sale }).into()
}

/// A category; of level 1 when its parent is 0.
pub fn category(category_id: u64, parent_id: u64) -> Category {
    Category { category_id, parent_id, name: format!("category {category_id}"), ..Category::default() }
}

pub fn create_category(category: Category) -> Command {
    Body::CreateCategory(CreateCategoryRequest { category: Some(category) }).into()
}

pub fn update_category(category: Category) -> Command {
    Body::UpdateCategory(UpdateCategoryRequest { category: Some(category) }).into()
}

pub fn delete_category(category_id: u64) -> Command {
    Body::DeleteCategory(DeleteCategoryRequest { category_id }).into()
}

pub fn brand(brand_id: u64, name: &str) -> Brand {
    Brand { brand_id, name: name.to_owned(), ..Brand::default() }
}

pub fn create_brand(brand: Brand) -> Command {
    Body::CreateBrand(CreateBrandRequest { brand: Some(brand) }).into()
}

pub fn update_brand(brand: Brand) -> Command {
    Body::UpdateBrand(UpdateBrandRequest { brand: Some(brand) }).into()
}

pub fn delete_brand(brand_id: u64) -> Command {
    Body::DeleteBrand(DeleteBrandRequest { brand_id }).into()
}

pub fn banner(banner_id: u64, index: i32) -> Banner {
    Banner { banner_id, image: "/banner.png".to_owned(), url: "/sale".to_owned(), index }
}

pub fn create_banner(banner: Banner) -> Command {
    Body::CreateBanner(CreateBannerRequest { banner: Some(banner) }).into()
}

pub fn update_banner(banner: Banner) -> Command {
    Body::UpdateBanner(UpdateBannerRequest { banner: Some(banner) }).into()
}

pub fn delete_banner(banner_id: u64) -> Command {
    Body::DeleteBanner(DeleteBannerRequest { banner_id }).into()
}

pub fn link_brand(category_id: u64, brand_id: u64) -> Command {
    Body::LinkBrand(LinkBrandRequest { category_id, brand_id }).into()
}

pub fn unlink_brand(category_id: u64, brand_id: u64) -> Command {
    Body::UnlinkBrand(UnlinkBrandRequest { category_id, brand_id }).into()
}

pub fn set_stock(goods_id: u64, on_hand: u64, key: &str) -> Command {
    keyed(key, Body::SetStock(SetStockRequest { goods_id, on_hand }))
}

pub fn adjust_stock(goods_id: u64, delta: i64, key: &str) -> Command {
    keyed(key, Body::AdjustStock(AdjustStockRequest { goods_id, delta }))
}

pub fn set_threshold(goods_id: u64, low_threshold: u64) -> Command {
    Body::SetStockThreshold(SetStockThresholdRequest { goods_id, low_threshold }).into()
}

pub fn reserve(business_id: &str, lines: &[(u64, u64)]) -> Command {
    reserve_within(business_id, lines, 0)
}

/// To be confirmed within this time.
pub fn reserve_within(business_id: &str, lines: &[(u64, u64)], expires_in_seconds: u32) -> Command {
    let (business_id, lines) = (business_id.to_owned(), quantities(lines));
    Body::ReserveStock(ReserveStockRequest { business_id, lines, expires_in_seconds }).into()
}

pub fn release(business_id: &str) -> Command {
    Body::ReleaseReserved(ReleaseReservedRequest { business_id: business_id.to_owned() }).into()
}

pub fn sell(business_id: &str) -> Command {
    Body::ConfirmSell(ConfirmSellRequest { business_id: business_id.to_owned() }).into()
}

pub fn reback(business_id: &str) -> Command {
    Body::Reback(RebackRequest { business_id: business_id.to_owned() }).into()
}

pub fn add_to_cart(user_id: u64, goods_id: u64, quantity: u64, key: &str) -> Command {
    keyed(key, Body::AddCartItem(AddCartItemRequest { user_id, goods_id, quantity }))
}

pub fn update_cart(user_id: u64, goods_id: u64, quantity: Option<u64>, selected: Option<bool>) -> Command {
    Body::UpdateCartItem(UpdateCartItemRequest { user_id, goods_id, quantity, selected }).into()
}

/// All of them when `goods_ids` is empty.
pub fn select(user_id: u64, goods_ids: &[u64], selected: bool) -> Command {
    Body::SelectCartItems(SelectCartItemsRequest { user_id, goods_ids: goods_ids.to_vec(), selected }).into()
}

pub fn remove_from_cart(user_id: u64, goods_ids: &[u64]) -> Command {
    Body::RemoveCartItems(RemoveCartItemsRequest { user_id, goods_ids: goods_ids.to_vec() }).into()
}

pub fn clear_cart(user_id: u64) -> Command {
    Body::ClearCart(ClearCartRequest { user_id }).into()
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
    Body::CheckoutCart(request).into()
}

pub fn add_favourite(user_id: u64, goods_id: u64) -> Command {
    Body::AddFavourite(AddFavouriteRequest { user_id, goods_id }).into()
}

pub fn remove_favourite(user_id: u64, goods_id: u64) -> Command {
    Body::RemoveFavourite(RemoveFavouriteRequest { user_id, goods_id }).into()
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
    keyed(key, Body::CreateAddress(CreateAddressRequest { user_id, address: Some(address) }))
}

pub fn update_address(user_id: u64, address: Address) -> Command {
    Body::UpdateAddress(UpdateAddressRequest { user_id, address: Some(address) }).into()
}

pub fn delete_address(user_id: u64, address_id: u64) -> Command {
    Body::DeleteAddress(DeleteAddressRequest { user_id, address_id }).into()
}

pub fn create_message(user_id: u64, kind: MessageKind, text: &str, key: &str) -> Command {
    let message = UserMessage { kind: kind.into(), text: text.to_owned(), ..UserMessage::default() };
    keyed(key, Body::CreateMessage(CreateMessageRequest { user_id, message: Some(message) }))
}
