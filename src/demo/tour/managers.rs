//! Transaction managers that run elsewhere, and what the books of a SKU say of all this.

use anyhow::{Context, Result, ensure};
use emshop_proto::errors::Code;
use emshop_proto::v1::{
    ConfirmSellRequest, ConfirmTriedPaymentRequest, GoodsQuantity, ListStockChangesRequest, PaymentHoldStatus,
    ReleaseReservedRequest, ReservationStatus, StockCause, TryPaymentRequest, TryStockRequest,
};

use super::people::Customer;
use super::shelves::Shelf;
use super::{Tour, amount, refused, yuan};

const HELD_MINOR: i64 = 5_000;

pub async fn visit(tour: &mut Tour, customer: &Customer, shelf: &Shelf) -> Result<()> {
    try_stock(tour, shelf).await?;
    try_payment(tour, customer).await?;
    read_books(tour, shelf).await
}

async fn try_stock(tour: &mut Tour, shelf: &Shelf) -> Result<()> {
    let lines = vec![GoodsQuantity { goods_id: shelf.goods_ids[0], quantity: 2 }];
    let of = |name: &str| format!("tour-{}-{name}", tour.number);
    let try_stock = |business_id: String| TryStockRequest { business_id, lines: lines.clone(), ..TryStockRequest::default() };
    let mut tcc = tour.client.tcc();
    tcc.try_stock(try_stock(of("sold"))).await?;
    let sold = tcc.confirm_stock(ConfirmSellRequest { business_id: of("sold") }).await?.into_inner().reservation;
    ensure!(sold.is_some_and(|sold| sold.status() == ReservationStatus::Sold), "a confirmed try is not sold");
    tcc.cancel_stock(ReleaseReservedRequest { business_id: of("late") }).await.context("an empty cancel fails")?;
    refused(tcc.try_stock(try_stock(of("late"))).await, Code::StockReservationReleased)?;
    tour.saw("TCC on stock", "tried and confirmed; an empty cancel succeeds, and its late try is refused");
    Ok(())
}

async fn try_payment(tour: &mut Tour, customer: &Customer) -> Result<()> {
    let (user_id, business_id) = (customer.user_id, format!("tour-{}-held", tour.number));
    let mut tcc = tour.client.tcc();
    let amount_held = Some(yuan(HELD_MINOR));
    let try_payment = TryPaymentRequest { business_id: business_id.clone(), user_id, amount: amount_held, timeout_seconds: 0 };
    tcc.try_payment(try_payment).await?;
    let confirm = ConfirmTriedPaymentRequest { business_id, user_id };
    let hold = tcc.confirm_tried_payment(confirm).await?.into_inner().hold.context("no hold")?;
    ensure!(hold.status() == PaymentHoldStatus::Confirmed, "the hold is {:?}", hold.status());
    tour.saw("TCC on payment", format!("{} frozen, then taken", amount(Some(&yuan(HELD_MINOR)))));
    Ok(())
}

async fn read_books(tour: &mut Tour, shelf: &Shelf) -> Result<()> {
    let request = ListStockChangesRequest { goods_id: shelf.goods_ids[0], ..ListStockChangesRequest::default() };
    let mut changes = tour.client.inventory().list_stock_changes(request).await?.into_inner().changes;
    changes.reverse();
    let name = |cause: StockCause| cause.as_str_name().trim_start_matches("STOCK_CAUSE_").to_lowercase();
    let told: Vec<_> = changes.iter().map(|change| format!("{} {:+}", name(change.cause()), change.delta)).collect();
    let causes: Vec<_> = changes.iter().map(|change| change.cause()).collect();
    use StockCause::{Reback, Release, Reserve, Sell, Set};
    // Put on the shelf; the order that came back; the confirmed try. The refused checkout held units only where its goods are in two logs.
    let refused_in_parts = [Set, Reserve, Release, Reserve, Sell, Reback, Reserve, Sell];
    let expected = causes == [Set, Reserve, Sell, Reback, Reserve, Sell] || causes == refused_in_parts;
    ensure!(expected, "the history says {told:?}");
    tour.saw("stock history", told.join(", "));
    Ok(())
}
