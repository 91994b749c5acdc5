use std::time::{Duration, Instant};

use emshop_ingress::Options;
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::get_logistics_order_request::By;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::logistics_service_client::LogisticsServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::{
    AdjustStockRequest, BatchGetStockRequest, CalculateShippingFeeRequest, GetGoodsRequest, GetLogisticsOrderRequest,
    GetOrderRequest, GetPaymentRequest, GetStockRequest, GoodsQuantity, InspectRequest, ListCompaniesRequest,
    ListCouriersRequest, ListOrdersRequest, ListShippingMethodsRequest, ListTracksRequest, Money, OrderStatus,
    SubmitOrderRequest, SubmitWait, list_tracks_request,
};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServiceResponse};
use tonic_types::StatusExt;

use crate::engine::{GOODS_KNOWN, SHORT_USER, SILENT_USER};
use crate::shop::{self, Shop, Way, order, reason, retry_delay, until};

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_answered_and_repeats_are_told() {
    for way in Way::BOTH {
        let shop = Shop::answered(way, 2, Options::default()).await;
        let mut orders = shop.orders();
        let first = orders.submit_order(order("o1", 1)).await.expect("accepted").into_inner();
        let receipt = first.order.as_ref().expect("a receipt");
        assert_eq!((receipt.order_id.as_str(), receipt.payment_id.as_str(), first.repeated), ("o1", "pay-o1", false));
        let again = orders.submit_order(order("o1", 1)).await.expect("accepted").into_inner();
        assert!(again.repeated);
        assert_eq!((again.order, again.position), (first.order, first.position));
        let other = SubmitOrderRequest { lines: vec![GoodsQuantity { goods_id: 1, quantity: 3 }], ..order("o1", 1) };
        let reused = orders.submit_order(other).await.expect_err("another body");
        assert_eq!((reused.code(), reason(&reused).as_str()), (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"));

        // Nobody answers this user's orders, but their acceptance is the log's to say.
        let accepted = SubmitOrderRequest { wait: SubmitWait::Accepted.into(), ..order("", SILENT_USER) };
        let accepted = orders.submit_order(accepted).await.expect("accepted").into_inner();
        let receipt = accepted.order.expect("a receipt");
        assert_eq!((receipt.status(), receipt.total), (OrderStatus::Pending, None));
        assert!(accepted.position.expect("a position").sequence > 0 && !receipt.order_id.is_empty());

        let mut inventory = InventoryServiceClient::new(shop.channel.clone());
        let adjust = AdjustStockRequest { goods_id: 5, delta: 1 };
        assert_eq!(inventory.adjust_stock(adjust).await.expect("adjusted").into_inner().stock.expect("stock").goods_id, 5);
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_their_details_and_invalid_calls_write_nothing() {
    let shop = Shop::open(1, Options::default()).await;
    let mut orders = shop.orders();
    let short = orders.submit_order(order("o1", SHORT_USER)).await.expect_err("short");
    assert_eq!((short.code(), reason(&short).as_str()), (Code::FailedPrecondition, "STOCK_INSUFFICIENT"));
    let metadata = short.get_details_error_info().expect("ErrorInfo").metadata;
    assert_eq!((metadata["short.7"].as_str(), metadata["order_id"].as_str()), ("requested 5, available 2", "o1"));

    let commands = shop.commands();
    let invalid = SubmitOrderRequest { user_id: 0, lines: Vec::new(), ..order("o2", 1) };
    let invalid = orders.submit_order(invalid).await.expect_err("invalid");
    assert_eq!((invalid.code(), reason(&invalid).as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));
    let violations = invalid.get_details_bad_request().expect("BadRequest").field_violations;
    assert_eq!(violations.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), ["user_id", "lines"]);
    let missing = orders.get_order(GetOrderRequest { order_id: "o2".to_owned() }).await.expect_err("missing");
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "ORDER_NOT_FOUND"));
    assert_eq!(shop.commands(), commands);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_ask_all_logs_concerned() {
    let shop = Shop::open(2, Options::default()).await;
    let mut orders = shop.orders();
    orders.submit_order(order("o1", 1)).await.expect("accepted");
    let found = orders.get_order(GetOrderRequest { order_id: "o1".to_owned() }).await.expect("found").into_inner();
    assert_eq!(found.order.expect("an order").order_id, "o1");

    let mut seen = Vec::new();
    let mut request = ListOrdersRequest { user_id: 3, page_size: 7, ..ListOrdersRequest::default() };
    loop {
        let page = orders.list_orders(request.clone()).await.expect("a page").into_inner();
        seen.extend(page.orders.into_iter().map(|order| (order.created_at_ms, order.order_id)));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let all = (1..=10).rev().flat_map(|at_ms| [(at_ms, "3-0".to_owned()), (at_ms, "3-1".to_owned())]);
    assert_eq!(seen, all.collect::<Vec<_>>(), "newest first over both logs, each once");

    let mut inventory = InventoryServiceClient::new(shop.channel.clone());
    let goods_ids = vec![9, GOODS_KNOWN + 1, 3, 1, 2];
    let stocks = inventory.batch_get_stock(BatchGetStockRequest { goods_ids }).await.expect("stocks").into_inner();
    assert_eq!(stocks.stocks.iter().map(|stock| stock.goods_id).collect::<Vec<_>>(), [9, 3, 1, 2]);
    assert_eq!(stocks.unknown_goods_ids, [GOODS_KNOWN + 1]);

    let goods_id = GOODS_KNOWN + 1;
    let payment = GetPaymentRequest { payment_id: "pay-o9".to_owned(), ..GetPaymentRequest::default() };
    let parcel = GetLogisticsOrderRequest { by: Some(By::LogisticsId("lg-o9".to_owned())) };
    let missing = [
        inventory.get_stock(GetStockRequest { goods_id }).await.map(drop),
        GoodsServiceClient::new(shop.channel.clone()).get_goods(GetGoodsRequest { goods_id }).await.map(drop),
        PaymentServiceClient::new(shop.channel.clone()).get_payment(payment).await.map(drop),
        LogisticsServiceClient::new(shop.channel.clone()).get_logistics_order(parcel).await.map(drop),
    ];
    let reasons = missing.map(|result| reason(&result.expect_err("missing")));
    assert_eq!(reasons, ["INVENTORY_NOT_FOUND", "GOODS_NOT_FOUND", "PAYMENT_NOT_FOUND", "LOGISTICS_ORDER_NOT_FOUND"]);

    let inspected = AdminServiceClient::new(shop.channel.clone()).inspect(InspectRequest {}).await.expect("inspected");
    assert_eq!(inspected.into_inner().logs.iter().map(|log| log.log).collect::<Vec<_>>(), [0, 1]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tracking_numbers_lead_to_the_log_of_their_order() {
    let shop = Shop::open(2, Options::default()).await;
    let mut logistics = LogisticsServiceClient::new(shop.channel.clone());
    // (3 × 256 + 200) × 10, of a partition that log 1 has
    let number = || "SF000000009680".to_owned();
    let request = GetLogisticsOrderRequest { by: Some(By::TrackingNumber(number())) };
    let parcel = logistics.get_logistics_order(request).await.expect("found").into_inner().logistics_order.expect("a parcel");
    assert_eq!((parcel.tracking_number.as_str(), parcel.remark.as_str()), (number().as_str(), "order 3 in log 1"));
    let request = ListTracksRequest { by: Some(list_tracks_request::By::TrackingNumber(number())) };
    let tracks = logistics.list_tracks(request).await.expect("found").into_inner();
    assert_eq!(tracks.logistics_order, Some(parcel));
    let unknown = GetLogisticsOrderRequest { by: Some(By::TrackingNumber("SF1".to_owned())) };
    let missing = logistics.get_logistics_order(unknown).await.expect_err("no such number");
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "LOGISTICS_ORDER_NOT_FOUND"));

    let companies = logistics.list_companies(ListCompaniesRequest {}).await.expect("companies").into_inner().companies;
    assert_eq!((companies.len(), companies[4].code.as_str()), (7, "SF"));
    let methods = logistics.list_shipping_methods(ListShippingMethodsRequest {}).await.expect("methods").into_inner().methods;
    assert_eq!(methods.iter().map(|method| method.delivery_hours).collect::<Vec<_>>(), [72, 24, 120, 48]);
    let couriers = ListCouriersRequest { company: 8, ..ListCouriersRequest::default() };
    let unknown = logistics.list_couriers(couriers).await.expect_err("no such company");
    assert_eq!(reason(&unknown), "LOGISTICS_COMPANY_NOT_SUPPORTED");
    let fee = CalculateShippingFeeRequest { receiver_address: "上海市".to_owned(), ..CalculateShippingFeeRequest::default() };
    let fee = logistics.calculate_shipping_fee(fee).await.expect("a fee").into_inner();
    assert_eq!((fee.total_fee, fee.estimated_days), (Some(Money::new(900, "CNY")), 3));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_means_unknown_and_says_what_to_ask_with() {
    for way in Way::BOTH {
        let shop = Shop::answered(way, 1, Options { outcome_wait_max: Duration::from_millis(600), ..Options::default() }).await;
        let mut orders = shop.orders();
        for (timeout, at_least_ms) in [(Some(Duration::from_millis(300)), 250), (None, 550)] {
            let mut request = Request::new(order("o1", SILENT_USER));
            if let Some(timeout) = timeout {
                request.set_timeout(timeout);
            }
            let asked = Instant::now();
            let unknown = orders.submit_order(request).await.expect_err("nobody answers");
            assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::DeadlineExceeded, "OUTCOME_UNKNOWN"));
            assert_eq!(unknown.get_details_error_info().expect("ErrorInfo").metadata["order_id"], "o1");
            assert!(asked.elapsed() >= Duration::from_millis(at_least_ms), "{:?}", asked.elapsed());
        }
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_calls_are_told_to_come_back() {
    let options = Options { under_way: shop::calls(2), outcome_wait_max: Duration::from_millis(500), ..Options::default() };
    let shop = Shop::open(1, options).await;
    let silent: Vec<_> = ["o1", "o2"]
        .map(|order_id| {
            let mut orders = shop.orders();
            tokio::spawn(async move { orders.submit_order(order(order_id, SILENT_USER)).await })
        })
        .into();
    until(async || shop.commands() == 2).await;
    let overloaded = shop.orders().submit_order(order("o3", 1)).await.expect_err("too many");
    assert_eq!((overloaded.code(), reason(&overloaded).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert!(retry_delay(&overloaded).expect("RetryInfo") > Duration::ZERO);
    for call in silent {
        call.await.expect("a call").expect_err("nobody answers");
    }
    // The waiters' room is free when they have waited long enough.
    until(async || shop.orders().submit_order(order("o3", 1)).await.is_ok()).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_are_served() {
    let shop = Shop::open(1, Options { reflection: true, ..Options::default() }).await;
    for service in ["", "emshop.v1.OrderService", "emshop.v1.PipelineService"] {
        let mut health = HealthClient::new(shop.channel.clone());
        until(async || {
            let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await;
            answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
        })
        .await;
    }
    let request = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest { message_request: Some(request), ..ServerReflectionRequest::default() };
    let mut reflection = ServerReflectionClient::new(shop.channel.clone());
    let answers = reflection.server_reflection_info(tokio_stream::once(request)).await.expect("reflection");
    let answer = answers.into_inner().message().await.expect("an answer").expect("one answer");
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else { panic!("{answer:?}") };
    let names: Vec<_> = listed.service.into_iter().map(|ServiceResponse { name }| name).collect();
    assert_eq!(names.len(), 13, "{names:?}");
    // What is inside is nobody's business.
    for (name, is_known) in [("emshop.v1.Order", true), ("emshop.internal.v1.Credentials", false)] {
        let request = MessageRequest::FileContainingSymbol(name.to_owned());
        let request = ServerReflectionRequest { message_request: Some(request), ..ServerReflectionRequest::default() };
        let answers = reflection.server_reflection_info(tokio_stream::once(request)).await.expect("reflection");
        let answer = answers.into_inner().message().await.ok().flatten().and_then(|answer| answer.message_response);
        assert_eq!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), is_known, "{name}: {answer:?}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_is_there_only_where_it_is_wanted() {
    let shop = Shop::open(1, Options::default()).await;
    let mut reflection = ServerReflectionClient::new(shop.channel.clone());
    let refused = reflection.server_reflection_info(tokio_stream::empty()).await.map(drop).expect_err("not there");
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
    shop.close().await;
}
