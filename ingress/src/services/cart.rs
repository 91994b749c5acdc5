//! Carts, shown with the goods and stock of now.

use std::collections::HashMap;

use emshop_proto::internal::UserQuery;
use emshop_proto::money::total_minor;
use emshop_proto::v1::cart_service_server::CartService;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AddCartItemRequest, CartEntry, CartItem, CartResponse, CheckoutCartRequest, CheckoutCartResponse, ClearCartRequest, Goods,
    ListCartRequest, ListCartResponse, Money, RemoveCartItemsRequest, SelectCartItemsRequest, UpdateCartItemRequest,
};
use tonic::{Request, Response, Status};

use super::{Gateway, accept, respond};
use crate::queries::questions;
use crate::{access, validate};

#[tonic::async_trait]
impl CartService for Gateway {
    async fn add_cart_item(&self, request: Request<AddCartItemRequest>) -> Result<Response<CartResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::AddCartItem).await?;
        respond!(outcome, Cart, CartResponse { cart })
    }

    async fn update_cart_item(&self, request: Request<UpdateCartItemRequest>) -> Result<Response<CartResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::UpdateCartItem).await?;
        respond!(outcome, Cart, CartResponse { cart })
    }

    async fn select_cart_items(&self, request: Request<SelectCartItemsRequest>) -> Result<Response<CartResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::SelectCartItems).await?;
        respond!(outcome, Cart, CartResponse { cart })
    }

    async fn remove_cart_items(&self, request: Request<RemoveCartItemsRequest>) -> Result<Response<CartResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::RemoveCartItems).await?;
        respond!(outcome, Cart, CartResponse { cart })
    }

    async fn clear_cart(&self, request: Request<ClearCartRequest>) -> Result<Response<CartResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::ClearCart).await?;
        respond!(outcome, Cart, CartResponse { cart })
    }

    async fn list_cart(&self, request: Request<ListCartRequest>) -> Result<Response<ListCartResponse>, Status> {
        let is_staff = access::is_staff(request.extensions());
        let request = request.into_inner();
        accept(validate::list_cart(&request))?;
        let ListCartRequest { user_id } = request;
        let items = self.ask_of_user(user_id, questions::Cart(UserQuery { user_id })).await?.items;
        let goods_ids: Vec<u64> = items.iter().map(|item| item.goods_id).collect();
        let (goods, available) = tokio::try_join!(self.goods(&goods_ids, is_staff), self.availability(&goods_ids))?;
        Ok(Response::new(list(items, goods, &available)))
    }

    async fn checkout_cart(&self, request: Request<CheckoutCartRequest>) -> Result<Response<CheckoutCartResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CheckoutCart).await?;
        respond!(outcome, Order, CheckoutCartResponse { order })
    }
}

/// Items with what goods and stock say of them.
fn list(items: Vec<CartItem>, mut goods: HashMap<u64, Goods>, available: &HashMap<u64, u64>) -> ListCartResponse {
    let entry = |item: CartItem| {
        let Goods { name, front_image, unit_price, on_sale, .. } = goods.remove(&item.goods_id).unwrap_or_default();
        CartEntry {
            item: Some(item),
            goods_name: name,
            front_image,
            // An entry says whether it is on sale; what is not known is not.
            on_sale: on_sale.unwrap_or_default(),
            unit_price,
            available: available.get(&item.goods_id).copied().unwrap_or(0),
        }
    };
    let entries: Vec<_> = items.into_iter().map(entry).collect();
    ListCartResponse { selected_total: selected_total(&entries), entries }
}

fn selected_total(entries: &[CartEntry]) -> Option<Money> {
    let lines = entries.iter().filter(|entry| entry.on_sale);
    let lines = lines.filter_map(|entry| Some((entry.item.filter(|item| item.selected)?.quantity, entry.unit_price.as_ref()?)));
    let lines: Vec<_> = lines.collect();
    let (_, first) = lines.first()?;
    if lines.iter().any(|(_, price)| price.currency != first.currency) {
        return None;
    }
    let total = total_minor(lines.iter().map(|(quantity, price)| (price.amount_minor, *quantity)))?;
    Some(Money::new(total, &first.currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(goods_id: u64, quantity: u64, selected: bool) -> CartItem {
        CartItem { goods_id, quantity, selected, added_at_ms: 1 }
    }

    fn goods(goods_id: u64, price: Money, on_sale: bool) -> (u64, Goods) {
        let name = format!("goods {goods_id}");
        (goods_id, Goods { goods_id, name, unit_price: Some(price), on_sale: Some(on_sale), ..Goods::default() })
    }

    #[test]
    fn items_are_shown_with_prices_and_stock_of_now() {
        let items = vec![item(3, 1, true), item(1, 2, true), item(2, 1, true), item(9, 1, true)];
        let known = [
            goods(1, Money::new(1000, "CNY"), true),
            goods(2, Money::new(1, "CNY"), false),
            goods(3, Money::new(5, "CNY"), true),
        ];
        let list = list(items, HashMap::from(known), &HashMap::from([(1, 7)]));
        let shown: Vec<_> = list
            .entries
            .iter()
            .map(|entry| (entry.item.unwrap().goods_id, entry.goods_name.as_str(), entry.on_sale, entry.available))
            .collect();
        assert_eq!(shown, [(3, "goods 3", true, 0), (1, "goods 1", true, 7), (2, "goods 2", false, 0), (9, "", false, 0)]);
        assert_eq!(list.entries[1].unit_price, Some(Money::new(1000, "CNY")));
        assert_eq!(list.selected_total, Some(Money::new(2005, "CNY")));
    }

    #[test]
    fn the_total_is_right_or_not_told() {
        let total = |lines: &[(u64, bool, Money, bool)]| {
            let ids = || (1..).zip(lines);
            let items = ids().map(|(id, (quantity, selected, ..))| item(id, *quantity, *selected)).collect();
            let known = ids().map(|(id, (_, _, price, on_sale))| goods(id, price.clone(), *on_sale)).collect();
            list(items, known, &HashMap::new()).selected_total
        };
        let price = |amount| Money::new(amount, "CNY");
        assert_eq!(total(&[]), None);
        assert_eq!(total(&[(1, false, price(5), true), (1, true, price(5), false)]), None);
        assert_eq!(total(&[(2, true, price(5), true), (3, true, price(7), true)]), Some(price(31)));
        assert_eq!(total(&[(2, true, price(5), true), (3, false, Money::new(7, "EUR"), true)]), Some(price(10)));
        assert_eq!(total(&[(2, true, price(5), true), (3, true, Money::new(7, "EUR"), true)]), None);
        let largest = [(1_000_000, true, price(1_000_000_000_000), true), (1, true, price(1), true)];
        assert_eq!(total(&largest), Some(price(1_000_000_000_000_000_001)));
        assert_eq!(total(&vec![largest[0].clone(); 10]), None);
    }
}
