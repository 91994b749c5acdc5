//! From the cart to a paid order.

use anyhow::{Context, Result, ensure};
use emshop_proto::errors::Code;
use emshop_proto::v1::{
    AddCartItemRequest, AddFavouriteRequest, AdjustBalanceRequest, CartEntry, CheckoutCartRequest, GetBalanceRequest,
    GetGoodsRequest, ListCartRequest, PayWithBalanceRequest, PaymentMethod, SelectCartItemsRequest,
};

use super::people::Customer;
use super::shelves::Shelf;
use super::{Tour, amount, refused, yuan};

const DEPOSIT_MINOR: i64 = 200_000;

/// Returns the id of the paid order.
pub async fn shop(tour: &mut Tour, customer: &Customer, shelf: &Shelf) -> Result<String> {
    like(tour, customer, shelf).await?;
    fill_cart(tour, customer, shelf).await?;
    let order_id = check_out(tour, customer, shelf).await?;
    pay(tour, customer, &order_id).await?;
    Ok(order_id)
}

async fn like(tour: &mut Tour, customer: &Customer, shelf: &Shelf) -> Result<()> {
    let goods_id = shelf.goods_ids[0];
    let favourite = AddFavouriteRequest { user_id: customer.user_id, goods_id };
    tour.client.user_operations().add_favourite(favourite).await?;
    let goods = tour.client.goods().get_goods(GetGoodsRequest { goods_id }).await?.into_inner().goods.context("no goods")?;
    ensure!(goods.favourites == 1, "the goods count {} favourites", goods.favourites);
    Ok(())
}

async fn fill_cart(tour: &mut Tour, customer: &Customer, shelf: &Shelf) -> Result<()> {
    let user_id = customer.user_id;
    for goods_id in &shelf.goods_ids {
        let item = AddCartItemRequest { user_id, goods_id: *goods_id, quantity: 1 };
        tour.client.carts().add_cart_item(item).await?;
    }
    let more = AddCartItemRequest { user_id, goods_id: shelf.goods_ids[0], quantity: 1 };
    tour.client.carts().add_cart_item(more).await?;
    let entries = cart(tour, customer).await?;
    let units: u64 = entries.iter().filter_map(|entry| entry.item.as_ref()).map(|item| item.quantity).sum();
    ensure!(entries.len() == shelf.goods_ids.len(), "the cart has {} entries", entries.len());
    tour.saw("cart", format!("{} SKUs, {units} units, with prices and stock of now", entries.len()));
    Ok(())
}

async fn check_out(tour: &mut Tour, customer: &Customer, shelf: &Shelf) -> Result<String> {
    let user_id = customer.user_id;
    let mut carts = tour.client.carts();
    let request = |name: &str| CheckoutCartRequest {
        order_id: format!("tour-{}-{name}", tour.number),
        user_id,
        address_id: customer.address_id,
        payment_method: PaymentMethod::Balance.into(),
        insured: true,
        ..CheckoutCartRequest::default()
    };
    let (first, second) = (request("1"), request("2"));
    refused(carts.checkout_cart(first).await, Code::GoodsOffSale)?;
    let kept = cart(tour, customer).await?.len();
    ensure!(kept == shelf.goods_ids.len(), "a refused checkout leaves {kept} entries in the cart");
    let without = SelectCartItemsRequest { user_id, goods_ids: vec![shelf.off_sale_id], selected: false };
    carts.select_cart_items(without).await?;
    let order = carts.checkout_cart(second).await?.into_inner().order.context("no order")?;
    let left: Vec<_> = cart(tour, customer).await?.into_iter().filter_map(|entry| Some(entry.item?.goods_id)).collect();
    ensure!(left == [shelf.off_sale_id], "the cart still has {left:?}");
    let lines = shelf.goods_ids.len() - 1;
    tour.saw(
        "checkout",
        format!(
            "refused with something off sale: cart untouched; without it: {lines} lines, {} due",
            amount(order.total.as_ref())
        ),
    );
    Ok(order.order_id)
}

async fn pay(tour: &mut Tour, customer: &Customer, order_id: &str) -> Result<()> {
    let payment = PayWithBalanceRequest { order_id: order_id.to_owned(), ..PayWithBalanceRequest::default() };
    let mut payments = tour.client.payments();
    refused(payments.pay_with_balance(payment.clone()).await, Code::BalanceInsufficient)?;
    let user_id = customer.user_id;
    let deposit = AdjustBalanceRequest { user_id, delta: Some(yuan(DEPOSIT_MINOR)) };
    tour.client.balances().adjust_balance(deposit).await?;
    payments.pay_with_balance(payment).await?;
    let left =
        tour.client.balances().get_balance(GetBalanceRequest { user_id }).await?.into_inner().balance.context("no balance")?;
    let seen = format!(
        "refused without money; after a deposit of {} paid, {} left",
        amount(Some(&yuan(DEPOSIT_MINOR))),
        amount(left.available.as_ref())
    );
    tour.saw("balance", seen);
    Ok(())
}

async fn cart(tour: &Tour, customer: &Customer) -> Result<Vec<CartEntry>> {
    let request = ListCartRequest { user_id: customer.user_id };
    Ok(tour.client.carts().list_cart(request).await?.into_inner().entries)
}
