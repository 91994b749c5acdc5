//! Where a command goes: the place of the aggregate that it is about. Ingress and engine must agree on it.

use std::fmt;

use crate::internal::{AccountCommand, account_command};
use crate::partitioner::{Partitioner, Place};
use crate::v1::command::Body;
use crate::v1::{Command, CreateGoodsRequest, ReserveStockRequest, SubmitOrderRequest, UpdateGoodsRequest};

/// What a command is about: the key that it is routed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// An order, its payment or its parcel.
    Order(&'a str),
    /// A SKU: its goods entry and its stock.
    Goods(u64),
    /// A reservation of an outside transaction manager.
    Business(&'a str),
    /// A user, and all that is theirs.
    User(u64),
    /// A category. One partition has the whole catalogue.
    Category(u64),
    /// A brand of the catalogue.
    Brand(u64),
    /// A banner of the catalogue.
    Banner(u64),
    /// That a category, the first one, carries a brand.
    Link(u64, u64),
    /// A one-time code.
    Code(&'a str),
}

impl Key<'_> {
    /// The log and partition of this key.
    pub fn place(&self, partitioner: &Partitioner) -> Place {
        match self {
            Key::Order(id) => partitioner.of_order(id),
            Key::Business(id) => partitioner.of_text(id),
            Key::Goods(id) => partitioner.of_goods(*id),
            Key::User(id) => partitioner.of_user(*id),
            Key::Category(_) | Key::Brand(_) | Key::Banner(_) | Key::Link(..) => partitioner.of_catalogue(),
            Key::Code(key) => partitioner.of_code(key),
        }
    }
}

/// The id alone: which kind of id it is, the kind of command says.
impl fmt::Display for Key<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Order(id) | Key::Business(id) | Key::Code(id) => formatter.write_str(id),
            Key::Goods(id) | Key::User(id) | Key::Category(id) | Key::Brand(id) | Key::Banner(id) => write!(formatter, "{id}"),
            Key::Link(category_id, brand_id) => write!(formatter, "{category_id}-{brand_id}"),
        }
    }
}

/// The key of a command whose payment and parcel requests name their order, as the ingress makes them.
pub fn key_of(body: &Body) -> Key<'_> {
    match body {
        Body::SubmitOrder(request) => Key::Order(&request.order_id),
        Body::CheckoutCart(request) => Key::Order(&request.order_id),
        Body::CancelOrder(request) => Key::Order(&request.order_id),
        Body::CompleteOrder(request) => Key::Order(&request.order_id),
        Body::RequestReturn(request) => Key::Order(&request.order_id),
        Body::ResolveReturn(request) => Key::Order(&request.order_id),
        Body::ResolveSaga(request) => Key::Order(&request.order_id),
        Body::ConfirmPayment(request) => Key::Order(&request.order_id),
        Body::PayWithBalance(request) => Key::Order(&request.order_id),
        Body::CancelPayment(request) => Key::Order(&request.order_id),
        Body::RefundPayment(request) => Key::Order(&request.order_id),
        Body::SimulatePaymentSuccess(request) => Key::Order(&request.order_id),
        Body::SimulatePaymentFailure(request) => Key::Order(&request.order_id),
        Body::CreateLogisticsOrder(request) => Key::Order(&request.order_id),
        Body::UpdateLogisticsStatus(request) => Key::Order(&request.order_id),
        Body::SimulateShipment(request) => Key::Order(&request.order_id),
        Body::SimulateDelivery(request) => Key::Order(&request.order_id),
        Body::CancelLogisticsOrder(request) => Key::Order(&request.order_id),
        Body::CreateGoods(request) => Key::Goods(request.goods.as_ref().map_or(0, |goods| goods.goods_id)),
        Body::UpdateGoods(request) => Key::Goods(request.goods.as_ref().map_or(0, |goods| goods.goods_id)),
        Body::DeleteGoods(request) => Key::Goods(request.goods_id),
        Body::SetOnSale(request) => Key::Goods(request.goods_id),
        Body::SetStock(request) => Key::Goods(request.goods_id),
        Body::AdjustStock(request) => Key::Goods(request.goods_id),
        Body::SetStockThreshold(request) => Key::Goods(request.goods_id),
        Body::ReserveStock(request) => Key::Business(&request.business_id),
        Body::ReleaseReserved(request) => Key::Business(&request.business_id),
        Body::ConfirmSell(request) => Key::Business(&request.business_id),
        Body::Reback(request) => Key::Business(&request.business_id),
        Body::CreateCategory(request) => Key::Category(request.category.as_ref().map_or(0, |category| category.category_id)),
        Body::UpdateCategory(request) => Key::Category(request.category.as_ref().map_or(0, |category| category.category_id)),
        Body::DeleteCategory(request) => Key::Category(request.category_id),
        Body::CreateBrand(request) => Key::Brand(request.brand.as_ref().map_or(0, |brand| brand.brand_id)),
        Body::UpdateBrand(request) => Key::Brand(request.brand.as_ref().map_or(0, |brand| brand.brand_id)),
        Body::DeleteBrand(request) => Key::Brand(request.brand_id),
        Body::CreateBanner(request) => Key::Banner(request.banner.as_ref().map_or(0, |banner| banner.banner_id)),
        Body::UpdateBanner(request) => Key::Banner(request.banner.as_ref().map_or(0, |banner| banner.banner_id)),
        Body::DeleteBanner(request) => Key::Banner(request.banner_id),
        Body::LinkBrand(request) => Key::Link(request.category_id, request.brand_id),
        Body::UnlinkBrand(request) => Key::Link(request.category_id, request.brand_id),
        Body::AddCartItem(request) => Key::User(request.user_id),
        Body::UpdateCartItem(request) => Key::User(request.user_id),
        Body::SelectCartItems(request) => Key::User(request.user_id),
        Body::RemoveCartItems(request) => Key::User(request.user_id),
        Body::ClearCart(request) => Key::User(request.user_id),
        Body::AddFavourite(request) => Key::User(request.user_id),
        Body::RemoveFavourite(request) => Key::User(request.user_id),
        Body::CreateAddress(request) => Key::User(request.user_id),
        Body::UpdateAddress(request) => Key::User(request.user_id),
        Body::DeleteAddress(request) => Key::User(request.user_id),
        Body::CreateMessage(request) => Key::User(request.user_id),
        Body::UpdateProfile(request) => Key::User(request.user_id),
        Body::SetUserStatus(request) => Key::User(request.user_id),
        Body::SetUserRole(request) => Key::User(request.user_id),
        Body::LogoutEverywhere(request) => Key::User(request.user_id),
        Body::AdjustBalance(request) => Key::User(request.user_id),
        Body::TryPayment(request) => Key::User(request.user_id),
        Body::ConfirmTriedPayment(request) => Key::User(request.user_id),
        Body::CancelTriedPayment(request) => Key::User(request.user_id),
    }
}

/// The key of a command that only an ingress makes.
pub fn key_of_account(body: &account_command::Body) -> Key<'_> {
    use account_command::Body;
    match body {
        Body::RegisterUser(command) => Key::User(command.user_id),
        Body::SetPassword(command) => Key::User(command.user_id),
        Body::DeleteUser(command) => Key::User(command.user_id),
        Body::IssueCode(command) => Key::Code(&command.key),
        Body::UseCode(command) => Key::Code(&command.key),
        Body::UseOnce(command) => Key::Code(&command.key),
        Body::OpenSession(command) => Key::User(command.user_id),
        Body::RefreshSession(command) => Key::User(command.user_id),
        Body::EndSession(command) => Key::User(command.user_id),
        Body::CreateServiceAccount(command) => Key::User(command.user_id),
    }
}

/// Tells `each` what new business needs besides what it is about: aggregates, perhaps of other logs, that it asks before it can come to its
/// end. What only ends something, such as a cancellation, goes on whatever it needs.
///
/// # Errors
/// The first that `each` gives.
pub fn asks<E>(body: &Body, mut each: impl FnMut(Key) -> Result<(), E>) -> Result<(), E> {
    match body {
        Body::SubmitOrder(SubmitOrderRequest { lines, .. }) | Body::ReserveStock(ReserveStockRequest { lines, .. }) => {
            lines.iter().try_for_each(|line| each(Key::Goods(line.goods_id)))
        }
        // What is in the cart only its user's log knows.
        Body::CheckoutCart(request) => each(Key::User(request.user_id)),
        Body::AddFavourite(request) => each(Key::Goods(request.goods_id)),
        Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) })
        | Body::UpdateGoods(UpdateGoodsRequest { goods: Some(goods) })
            if goods.category_id != 0 || goods.brand_id != 0 =>
        {
            each(if goods.category_id != 0 { Key::Category(goods.category_id) } else { Key::Brand(goods.brand_id) })
        }
        _ => Ok(()),
    }
}

/// As [`asks`], of a command that only an ingress makes.
///
/// # Errors
/// As [`asks`].
pub fn account_asks<E>(body: &account_command::Body, each: impl FnOnce(Key) -> Result<(), E>) -> Result<(), E> {
    match body {
        // Codes of a number live where it is known whose it is.
        account_command::Body::RegisterUser(command) => each(Key::Code(&command.mobile)),
        _ => Ok(()),
    }
}

/// The place of a command; `None` when it has no body.
pub fn place(partitioner: &Partitioner, command: &Command) -> Option<Place> {
    Some(key_of(command.body.as_ref()?).place(partitioner))
}

/// As [`place`], of a command that only an ingress makes.
pub fn place_of_account(partitioner: &Partitioner, command: &AccountCommand) -> Option<Place> {
    Some(key_of_account(command.body.as_ref()?).place(partitioner))
}
