//! The parcel to the door, and back.

use anyhow::{Context, Result, ensure};
use emshop_proto::commands::call;
use emshop_proto::errors::Code;
use emshop_proto::v1::{
    CancelOrderRequest, GetBalanceRequest, GetLogisticsOrderRequest, GetOrderRequest, ListOrdersRequest, ListTracksRequest,
    Order, OrderStatus, RefundPaymentRequest, RequestReturnRequest, ResolveReturnRequest, SimulateDeliveryRequest,
    SimulateShipmentRequest, get_logistics_order_request, list_tracks_request,
};

use super::people::Customer;
use super::{Tour, amount, refused, yuan};

const PART_MINOR: i64 = 1_000;

pub async fn follow(tour: &mut Tour, customer: &Customer, order_id: &str) -> Result<()> {
    send(tour, order_id).await?;
    refund_part(tour, order_id).await?;
    send_back(tour, customer, order_id).await
}

async fn send(tour: &mut Tour, order_id: &str) -> Result<()> {
    let mut logistics = tour.client.logistics();
    let by = Some(get_logistics_order_request::By::OrderId(order_id.to_owned()));
    let parcel = logistics.get_logistics_order(GetLogisticsOrderRequest { by }).await?.into_inner().logistics_order;
    let parcel = parcel.context("a paid order has a parcel")?;
    let shipment =
        SimulateShipmentRequest { order_id: order_id.to_owned(), courier_name: "周小华".to_owned(), ..Default::default() };
    logistics.simulate_shipment(shipment).await?;
    let cancel = CancelOrderRequest { order_id: order_id.to_owned(), ..CancelOrderRequest::default() };
    refused(tour.client.orders().cancel_order(cancel).await, Code::OrderStatusInvalid)?;
    let delivery = SimulateDeliveryRequest { order_id: order_id.to_owned(), ..SimulateDeliveryRequest::default() };
    logistics.simulate_delivery(delivery).await?;
    let by = Some(list_tracks_request::By::TrackingNumber(parcel.tracking_number.clone()));
    let tracks = logistics.list_tracks(ListTracksRequest { by }).await?.into_inner().tracks;
    ensure!(tracks.len() == 3, "the parcel has {} tracks", tracks.len());
    let way: Vec<_> = tracks.iter().map(|track| track.description.as_str()).collect();
    let fees = format!("fee {} and insurance {}", amount(parcel.shipping_fee.as_ref()), amount(parcel.insurance_fee.as_ref()));
    tour.saw("parcel", format!("{}, {fees}: {}", parcel.tracking_number, way.join(" → ")));
    Ok(())
}

async fn refund_part(tour: &mut Tour, order_id: &str) -> Result<()> {
    let part = RefundPaymentRequest {
        order_id: order_id.to_owned(),
        amount: Some(yuan(PART_MINOR)),
        reason: "a scratch".to_owned(),
        ..RefundPaymentRequest::default()
    };
    let mut payments = tour.client.payments();
    payments.refund_payment(call("first", part.clone())).await?;
    ensure!(
        payments.refund_payment(call("first", part.clone())).await?.into_inner().repeated,
        "a refund sent again is no repeat"
    );
    let payment = payments.refund_payment(call("second", part)).await?.into_inner().payment.context("no payment")?;
    let refunded = payment.refunded.as_ref();
    ensure!(refunded == Some(&yuan(2 * PART_MINOR)), "two refunds are {refunded:?}");
    tour.saw("refunds", format!("two of {}, the first sent twice: {}", amount(Some(&yuan(PART_MINOR))), amount(refunded)));
    Ok(())
}

async fn send_back(tour: &mut Tour, customer: &Customer, order_id: &str) -> Result<()> {
    let mut orders = tour.client.orders();
    let user_id = customer.user_id;
    let back = RequestReturnRequest { order_id: order_id.to_owned(), user_id, reason: "not my taste".to_owned() };
    orders.request_return(back).await?;
    let accept = ResolveReturnRequest {
        order_id: order_id.to_owned(),
        accept: true,
        reason: "all there".to_owned(),
        ..Default::default()
    };
    orders.resolve_return(accept).await?;
    let order =
        orders.get_order(GetOrderRequest { order_id: order_id.to_owned() }).await?.into_inner().order.context("no order")?;
    ensure!(order.status() == OrderStatus::Returned, "the order is {:?}", order.status());
    tour.saw("return", statuses(&order));
    let balance = tour.client.balances().get_balance(GetBalanceRequest { user_id }).await?.into_inner().balance;
    let available = balance.and_then(|balance| balance.available);
    tour.saw("money back", format!("{} again", amount(available.as_ref())));
    let statuses = vec![OrderStatus::Returned.into()];
    let returned = ListOrdersRequest { user_id, statuses, ..ListOrdersRequest::default() };
    let (returned, all) = (
        orders.list_orders(returned).await?.into_inner().orders.len(),
        orders.list_orders(ListOrdersRequest { user_id, ..ListOrdersRequest::default() }).await?.into_inner().orders.len(),
    );
    ensure!((returned, all) == (1, 2), "{returned} of {all} orders were returned");
    tour.saw("orders", "2 of this customer: 1 refused at the checkout, 1 returned");
    Ok(())
}

/// The history in one line.
fn statuses(order: &Order) -> String {
    let name = |status: OrderStatus| status.as_str_name().trim_start_matches("ORDER_STATUS_").to_lowercase();
    let steps: Vec<_> = order.history.iter().map(|change| name(change.to())).collect();
    steps.join(" → ")
}
