//! What waits, over all logs, and how an operator goes on with what is stuck.

use std::time::{SystemTime, UNIX_EPOCH};

use emshop_ingress::{Algorithm, Caller, Options, Tokens, new_key};
use emshop_proto::commands::call;
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::{ListWaitingRequest, OrderStatus, ResolveSagaRequest, Role, SagaResolution, WaitsFor};
use tonic::{Code, Request};

use crate::engine::WAITING;
use crate::shop::{PATIENCE, Shop, reason};

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_through_all_logs() {
    let shop = Shop::open(2, Options::default()).await;
    let mut admin = AdminServiceClient::new(shop.channel.clone());
    let all: Vec<_> = (0..2).flat_map(|log| (1..=WAITING).map(move |number| format!("{log}-{number}"))).collect();
    for page_size in [7, 10, 25, 49, 50, 0] {
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListWaitingRequest { page_size, page_token, ..ListWaitingRequest::default() };
            let page = admin.list_waiting(request).await.expect("a page").into_inner();
            seen.extend(page.orders.into_iter().map(|order| order.order_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, all, "{page_size} a page");
    }
    let elsewhere = ListWaitingRequest { page_token: "2.1".to_owned(), ..ListWaitingRequest::default() };
    let refused = admin.list_waiting(elsewhere).await.expect_err("there are two logs");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_is_long_and_what_is_stuck_is_told_at_once() {
    let shop = Shop::open(1, Options::default()).await;
    let mut admin = AdminServiceClient::new(shop.channel.clone());
    let mut first = async |longer_than_seconds, waits_for: WaitsFor| {
        let waits_for = waits_for.into();
        let request = ListWaitingRequest { longer_than_seconds, waits_for, page_size: 1, ..ListWaitingRequest::default() };
        let page = admin.list_waiting(request).await.expect("a page").into_inner();
        (page.orders[0].waits_for(), page.orders[0].since_ms)
    };
    let now_ms = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    assert_eq!(first(0, WaitsFor::Operator).await, (WaitsFor::Operator, i64::MAX));
    for (seconds, waits_for, waited_ms) in [(0, WaitsFor::Return, 604_800_000), (60, WaitsFor::Operator, 60_000)] {
        let before_ms = now_ms() - waited_ms;
        let (told, since_ms) = first(seconds, waits_for).await;
        assert!(told == waits_for && (before_ms..=now_ms() - waited_ms).contains(&since_ms), "{told:?} since {since_ms}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_goes_on_with_what_is_stuck_under_a_key() {
    let tokens = Tokens::new(Algorithm::EdDsa, &new_key(Algorithm::EdDsa), PATIENCE).expect("a new key");
    let shop = Shop::guarded(1, Options { tokens: tokens.clone(), ..Options::default() }).await;
    let mut orders = OrderServiceClient::new(shop.channel.clone());
    let resolution = SagaResolution::Retry.into();
    let request = || ResolveSagaRequest { order_id: "o".to_owned(), resolution, reason: "hold mended".to_owned(), version: 0 };
    let as_admin = |mut request: Request<ResolveSagaRequest>| {
        let token = tokens.sign(Caller { user_id: 9, role: Role::Admin }, None).token;
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
        request
    };
    let refused = orders.resolve_saga(as_admin(Request::new(request()))).await.expect_err("without a key");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));
    let done = orders.resolve_saga(as_admin(call("k", request()))).await.expect("resolved").into_inner();
    let order = done.order.expect("a receipt");
    assert_eq!((order.order_id.as_str(), order.status()), ("o", OrderStatus::Cancelled));
    shop.close().await;
}
