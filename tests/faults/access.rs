use emshop_proto::access::{Access, METHODS};
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::get_logistics_order_request::By;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::logistics_service_client::LogisticsServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::{
    CancelOrderRequest, CancelPaymentRequest, Command, CommandBatch, CompleteOrderRequest, ConfirmPaymentRequest,
    CreateGoodsRequest, GetLogisticsOrderRequest, GetOrderRequest, GetPaymentRequest, InspectRequest, ListOrdersRequest,
    ListTracksRequest, Operator, OperatorKind, PayWithBalanceRequest, RequestReturnRequest, SetStockRequest, SubmitOrderRequest,
    list_tracks_request, outcome,
};
use futures::stream;
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::accounts::{by, reason, token, under};
use crate::process::{Process, path};
use crate::shop::{goods, submit};

/// Who submits orders, as `shop::submit` has it.
const BUYER: u64 = 7;
const OTHER: u64 = 8;

fn told<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.expect_err("refused");
    (status.code(), reason(&status))
}

/// W39: anybody marked any payment paid, and read any parcel.
#[tokio::test(flavor = "multi_thread")]
async fn w39_orders_are_their_users_business() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--data", path(data.path())]);
    let channel = process.channel().await;
    let [buyer, other] = [BUYER, OTHER].map(|user_id| token(data.path(), user_id, "user"));
    let admin = token(data.path(), 1, "admin");
    let mut orders = OrderServiceClient::new(channel.clone());
    let mut payments = PaymentServiceClient::new(channel.clone());
    let mut parcels = LogisticsServiceClient::new(channel.clone());

    let create = CreateGoodsRequest { goods: Some(goods(1)) };
    let denied = (Code::PermissionDenied, "PERMISSION_DENIED".to_owned());
    let mut catalogue = GoodsServiceClient::new(channel.clone());
    assert_eq!(told(catalogue.create_goods(by(&buyer, create.clone())).await), denied);
    catalogue.create_goods(by(&admin, create)).await.expect("an admin may");
    let stock = SetStockRequest { goods_id: 1, on_hand: 10 };
    let mut inventory = InventoryServiceClient::new(channel.clone());
    assert_eq!(told(inventory.set_stock(by(&admin, stock)).await).1, "VALIDATION_FAILED", "stock is changed under a key");
    inventory.set_stock(under("k", by(&admin, stock))).await.expect("an admin may");

    assert_eq!(told(orders.submit_order(by(&other, submit("o", &[(1, 1)]))).await), denied);
    let without_user = SubmitOrderRequest { user_id: 0, ..submit("o", &[(1, 1)]) };
    assert_eq!(told(orders.submit_order(by(&buyer, without_user)).await).1, "VALIDATION_FAILED");
    orders.submit_order(by(&buyer, submit("o", &[(1, 1)]))).await.expect("one's own");

    let order_id = || "o".to_owned();
    let payment = || GetPaymentRequest { order_id: order_id(), ..GetPaymentRequest::default() };
    let parcel = || GetLogisticsOrderRequest { by: Some(By::OrderId(order_id())) };
    let cancel = |user_id| CancelOrderRequest { order_id: order_id(), user_id, ..CancelOrderRequest::default() };
    let cancel_payment = || CancelPaymentRequest { order_id: order_id(), ..CancelPaymentRequest::default() };
    let not_yours = (Code::PermissionDenied, "ORDER_NOT_YOURS".to_owned());
    let pay = || ConfirmPaymentRequest { order_id: order_id(), third_party_sn: "sn".to_owned(), ..Default::default() };
    assert_eq!(told(payments.confirm_payment(by(&buyer, pay())).await), denied, "not even one's own");
    payments.confirm_payment(by(&admin, pay())).await.expect("an admin may");

    let tracks = || ListTracksRequest { by: Some(list_tracks_request::By::OrderId(order_id())) };
    let with_balance = PayWithBalanceRequest { order_id: order_id(), ..PayWithBalanceRequest::default() };
    let refusals = [
        ("LogisticsService/GetLogisticsOrder", told(parcels.get_logistics_order(by(&other, parcel())).await)),
        ("LogisticsService/ListTracks", told(parcels.list_tracks(by(&other, tracks())).await)),
        ("OrderService/GetOrder", told(orders.get_order(by(&other, GetOrderRequest { order_id: order_id() })).await)),
        ("PaymentService/CancelPayment", told(payments.cancel_payment(by(&other, cancel_payment())).await)),
        ("PaymentService/GetPayment", told(payments.get_payment(by(&other, payment())).await)),
        ("PaymentService/PayWithBalance", told(payments.pay_with_balance(by(&other, with_balance)).await)),
    ];
    // All RPCs whose request says nothing of a user: only the engine can know.
    let by_order = METHODS.iter().filter(|method| method.access == Access::Self_ && method.user_id_field.is_none());
    assert_eq!(
        by_order.map(|method| method.path.trim_start_matches("/emshop.v1.")).collect::<Vec<_>>(),
        refusals.each_ref().map(|one| one.0)
    );
    for (rpc, refusal) in refusals {
        assert_eq!(refusal, not_yours, "{rpc}");
    }
    // And those where it may be left out.
    let complete = |user_id| CompleteOrderRequest { order_id: order_id(), user_id };
    let send_back = |user_id| RequestReturnRequest { order_id: order_id(), user_id, reason: "broken".to_owned() };
    for (user_id, refusal) in [(0, &not_yours), (OTHER, &not_yours), (BUYER, &denied)] {
        assert_eq!(told(orders.cancel_order(by(&other, cancel(user_id))).await), *refusal);
        assert_eq!(told(orders.complete_order(by(&other, complete(user_id))).await), *refusal);
        assert_eq!(told(orders.request_return(by(&other, send_back(user_id))).await), *refusal);
    }
    let list = |user_id| ListOrdersRequest { user_id, ..ListOrdersRequest::default() };
    assert_eq!(told(orders.list_orders(by(&other, list(BUYER))).await), denied);

    for token in [&buyer, &admin] {
        orders.get_order(by(token, GetOrderRequest { order_id: order_id() })).await.expect("one's own, or an admin");
        payments.get_payment(by(token, payment())).await.expect("one's own, or an admin");
        parcels.get_logistics_order(by(token, parcel())).await.expect("one's own, or an admin");
        assert_eq!(orders.list_orders(by(token, list(BUYER))).await.expect("one's own").get_ref().orders.len(), 1);
    }
    orders.cancel_order(by(&buyer, cancel(BUYER))).await.expect("one's own");

    // Who did what.
    let found = orders.get_order(by(&buyer, GetOrderRequest { order_id: order_id() })).await.expect("one's own").into_inner();
    let history = found.order.expect("an order").history;
    let operators: Vec<_> = history.iter().map(|change| change.operator).collect();
    let who = |kind: OperatorKind, user_id| Some(Operator { kind: kind.into(), user_id });
    assert_eq!(operators.first(), Some(&who(OperatorKind::User, BUYER)));
    assert!(operators.contains(&who(OperatorKind::Admin, 1)), "{operators:?}");
    assert_eq!(operators.last(), Some(&who(OperatorKind::User, BUYER)));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_for_admins() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--data", path(data.path())]);
    let channel = process.channel().await;
    let batch = || {
        let commands = vec![Command { tag: 1, ..Body::CreateGoods(CreateGoodsRequest { goods: Some(goods(1)) }).into() }];
        stream::iter([CommandBatch { commands }])
    };
    let user = token(data.path(), BUYER, "user");
    let refused = PipelineServiceClient::new(channel.clone()).submit(by(&user, batch())).await.map(drop);
    assert_eq!(told(refused), (Code::PermissionDenied, "PERMISSION_DENIED".to_owned()));
    let refused = PipelineServiceClient::new(channel.clone()).submit(batch()).await.map(drop);
    assert_eq!(told(refused), (Code::Unauthenticated, "AUTH_HEADER_MISSING".to_owned()));

    let admin = token(data.path(), 1, "admin");
    let outcomes = PipelineServiceClient::new(channel.clone()).submit(by(&admin, batch())).await.expect("an admin may");
    let answer = outcomes.into_inner().message().await.expect("an answer").expect("one batch");
    assert!(matches!(answer.outcomes[0].result, Some(outcome::Result::Goods(_))), "{answer:?}");
    AdminServiceClient::new(channel).inspect(by(&admin, InspectRequest {})).await.expect("an admin may");
}
