//! An order from its payment to its completion, by the clock of a real process.

use std::time::{Duration, Instant};

use emshop_proto::v1::list_tracks_request::By;
use emshop_proto::v1::logistics_service_client::LogisticsServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::{
    CompleteOrderRequest, ConfirmPaymentRequest, GetLogisticsOrderRequest, ListOrdersRequest, ListTracksRequest, LogisticsStatus,
    OrderStatus, SimulateDeliveryRequest, SimulateShipmentRequest, get_logistics_order_request,
};
use tempfile::TempDir;

use crate::process::{PATIENCE, Process, path};
use crate::shop::{Shop, submit};

#[tokio::test(flavor = "multi_thread")]
async fn a_delivered_order_completes_after_a_kill_too() {
    let data = TempDir::new().unwrap();
    let process = Process::serve(&["--data", path(data.path()), "--logs", "2"]);
    let channel = process.channel().await;
    Shop::new(channel.clone()).stock_up(&[10]).await;
    let mut orders = OrderServiceClient::new(channel.clone());
    for number in 0..5 {
        orders.submit_order(submit(&format!("o{number}"), &[(1, 1)])).await.unwrap();
    }
    let confirm = ConfirmPaymentRequest { order_id: "o3".to_owned(), ..ConfirmPaymentRequest::default() };
    PaymentServiceClient::new(channel.clone()).confirm_payment(confirm).await.unwrap();

    let mut logistics = LogisticsServiceClient::new(channel.clone());
    let ship = SimulateShipmentRequest { logistics_id: "lg-o3".to_owned(), ..SimulateShipmentRequest::default() };
    let parcel = logistics.simulate_shipment(ship).await.unwrap().into_inner().logistics_order.unwrap();
    let by = get_logistics_order_request::By::TrackingNumber(parcel.tracking_number.clone());
    let found = logistics.get_logistics_order(GetLogisticsOrderRequest { by: Some(by) }).await.unwrap().into_inner();
    assert_eq!(found.logistics_order, Some(parcel.clone()));
    let complete = CompleteOrderRequest { order_id: "o3".to_owned(), user_id: 7 };
    let early = orders.complete_order(complete).await.unwrap_err();
    assert_eq!(early.code(), tonic::Code::FailedPrecondition);
    let deliver =
        SimulateDeliveryRequest { order_id: "o3".to_owned(), completes_after_seconds: 2, ..SimulateDeliveryRequest::default() };
    logistics.simulate_delivery(deliver).await.unwrap();
    process.kill();

    let process = Process::serve(&["--data", path(data.path())]);
    let channel = process.channel().await;
    let completed =
        ListOrdersRequest { user_id: 7, statuses: vec![OrderStatus::Completed.into()], ..ListOrdersRequest::default() };
    let deadline = Instant::now() + PATIENCE;
    let listed = loop {
        let page = OrderServiceClient::new(channel.clone()).list_orders(completed.clone()).await.unwrap().into_inner();
        if page.orders.len() == 1 {
            break page.orders;
        }
        assert!(Instant::now() < deadline, "it does not complete");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(listed.iter().map(|order| order.order_id.as_str()).collect::<Vec<_>>(), ["o3"]);
    let mut all = ListOrdersRequest { user_id: 7, page_size: 2, ..ListOrdersRequest::default() };
    let mut lengths = Vec::new();
    loop {
        let page = OrderServiceClient::new(channel.clone()).list_orders(all.clone()).await.unwrap().into_inner();
        lengths.push(page.orders.len());
        if page.next_page_token.is_empty() {
            break;
        }
        all.page_token = page.next_page_token;
    }
    assert_eq!(lengths, [2, 2, 1]);
    let tracks = ListTracksRequest { by: Some(By::TrackingNumber(parcel.tracking_number)) };
    let tracks = LogisticsServiceClient::new(channel.clone()).list_tracks(tracks).await.unwrap().into_inner().tracks;
    use LogisticsStatus::*;
    assert_eq!(tracks.iter().map(|track| track.status()).collect::<Vec<_>>(), [Pending, Shipped, Delivered]);
    Shop::new(channel).settled().await;
    assert!(process.terminate().success());
}
