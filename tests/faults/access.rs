use emshop_proto::access::{METHODS, Owner};
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::get_logistics_order_request::By;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::logistics_service_client::LogisticsServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::user_operation_service_client::UserOperationServiceClient;
use emshop_proto::v1::{
    AddFavouriteRequest, Availability, BatchGetGoodsRequest, CancelOrderRequest, CancelPaymentRequest, Command, CommandBatch,
    CompleteOrderRequest, ConfirmPaymentRequest, CreateGoodsRequest, GetAvailabilityRequest, GetGoodsRequest,
    GetLogisticsOrderRequest, GetOrderRequest, GetPaymentRequest, GetStockRequest, Goods, InspectRequest, ListGoodsRequest,
    ListOrdersRequest, ListTracksRequest, Operator, OperatorKind, PayWithBalanceRequest, RequestReturnRequest, Role,
    SetStockRequest, SubmitOrderRequest, list_tracks_request, outcome,
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
    assert_eq!(
        told(orders.submit_order(by(&admin, without_user.clone())).await).1,
        "VALIDATION_FAILED",
        "an admin says for whom"
    );
    orders.submit_order(by(&buyer, without_user)).await.expect("one's own, without saying so");

    let order_id = || "o".to_owned();
    let payment = || GetPaymentRequest { order_id: order_id(), ..GetPaymentRequest::default() };
    let parcel = || GetLogisticsOrderRequest { by: Some(By::OrderId(order_id())) };
    let cancel = |user_id| CancelOrderRequest { order_id: order_id(), user_id, ..CancelOrderRequest::default() };
    let cancel_payment = || CancelPaymentRequest { order_id: order_id(), ..CancelPaymentRequest::default() };
    // One answer, whether there is such an order or not.
    let missing = |what: &str| (Code::NotFound, format!("{what}_NOT_FOUND"));
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
    let by_order = METHODS.iter().filter(|method| method.owner == Owner::Engine && method.user_id_field.is_none());
    assert_eq!(
        by_order.map(|method| method.path.trim_start_matches("/emshop.v1.")).collect::<Vec<_>>(),
        refusals.each_ref().map(|one| one.0)
    );
    let missed = ["LOGISTICS_ORDER", "LOGISTICS_ORDER", "ORDER", "PAYMENT", "PAYMENT", "PAYMENT"];
    for ((rpc, refusal), what) in refusals.into_iter().zip(missed) {
        assert_eq!(refusal, missing(what), "{rpc}");
    }
    let not_theirs = missing("ORDER");
    // And those where it may be left out.
    let complete = |user_id| CompleteOrderRequest { order_id: order_id(), user_id };
    let send_back = |user_id| RequestReturnRequest { order_id: order_id(), user_id, reason: "broken".to_owned() };
    for (user_id, refusal) in [(0, &not_theirs), (OTHER, &not_theirs), (BUYER, &denied)] {
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
    let operators: Vec<_> = history.iter().map(|change| change.operator.clone()).collect();
    let buyer = Some(Operator { kind: OperatorKind::User.into(), user_id: BUYER, ..Operator::default() });
    assert_eq!((operators.first(), operators.last()), (Some(&buyer), Some(&buyer)));
    let admin = Operator { kind: OperatorKind::Admin.into(), user_id: 1, role: Role::Admin.into(), ..Operator::default() };
    assert!(operators.contains(&Some(admin)), "{operators:?}");
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

/// What a shop prepares and what it sells was told to whoever asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_off_sale_and_what_was_sold_is_for_staff() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--data", path(data.path())]);
    let channel = process.channel().await;
    let [user, admin] = [(BUYER, "user"), (1, "admin")].map(|(user_id, role)| token(data.path(), user_id, role));
    let mut catalogue = GoodsServiceClient::new(channel.clone());
    let mut inventory = InventoryServiceClient::new(channel.clone());
    for (goods_id, on_sale) in [(1, true), (2, false)] {
        let goods = Some(Goods { on_sale: Some(on_sale), ..goods(goods_id) });
        catalogue.create_goods(by(&admin, CreateGoodsRequest { goods })).await.expect("an admin may");
        let stock = SetStockRequest { goods_id, on_hand: 1_000 };
        inventory.set_stock(under("k", by(&admin, stock))).await.expect("an admin may");
    }
    let mut orders = OrderServiceClient::new(channel.clone());
    orders.submit_order(by(&user, submit("o", &[(1, 2)]))).await.expect("one's own");
    let pay = ConfirmPaymentRequest { order_id: "o".to_owned(), third_party_sn: "sn".to_owned(), ..Default::default() };
    PaymentServiceClient::new(channel.clone()).confirm_payment(by(&admin, pay)).await.expect("an admin may");

    let get = |goods_id| GetGoodsRequest { goods_id };
    let off_sale = || ListGoodsRequest { include_off_sale: true, ..ListGoodsRequest::default() };
    let all = || BatchGetGoodsRequest { goods_ids: vec![1, 2, 3] };
    // Without a token, with one of a user, with one that is good for nothing.
    let requests = [None, Some(user.as_str()), Some("nonsense")];
    for token in requests {
        macro_rules! with {
            ($message:expr) => {
                token.map_or_else(|| tonic::Request::new($message), |token| by(token, $message))
            };
        }
        let seen = catalogue.get_goods(with!(get(1))).await.expect("on sale").into_inner().goods.expect("an entry");
        assert_eq!((seen.goods_id, seen.sold), (1, 0), "{token:?}");
        assert_eq!(told(catalogue.get_goods(with!(get(2))).await).1, "GOODS_NOT_FOUND", "{token:?}");
        let seen = catalogue.batch_get_goods(with!(all())).await.expect("what there is").into_inner();
        assert_eq!((seen.goods.len(), seen.unknown_goods_ids), (1, vec![2, 3]), "{token:?}");
        assert_eq!(told(catalogue.list_goods(with!(off_sale())).await).1, "PERMISSION_DENIED", "{token:?}");
        let asked = || GetAvailabilityRequest { goods_ids: vec![2, 1, 3] };
        let seen = inventory.get_availability(with!(asked())).await.expect("for everybody").into_inner();
        assert_eq!((seen.entries, seen.unknown_goods_ids), (vec![Availability { goods_id: 1, available: 100 }], vec![2, 3]));
    }
    // Nor by what an order or a favourite comes to: 3 is nothing at all.
    let mut favourites = UserOperationServiceClient::new(channel.clone());
    for goods_id in [2, 3] {
        let order_id = format!("of-{goods_id}");
        let refused = orders.submit_order(by(&user, submit(&order_id, &[(goods_id, 1)]))).await;
        assert_eq!(told(refused).1, "GOODS_NOT_FOUND", "{goods_id}");
        let order = orders.get_order(by(&user, GetOrderRequest { order_id })).await.expect("one's own").into_inner().order;
        let line = order.expect("an order").lines.remove(0);
        let price = line.unit_price.map_or(0, |price| price.amount_minor);
        assert_eq!((line.goods_name.as_str(), price), ("", 0), "{goods_id}");
        let favourite = AddFavouriteRequest { user_id: BUYER, goods_id };
        assert_eq!(told(favourites.add_favourite(by(&user, favourite)).await).1, "GOODS_NOT_FOUND", "{goods_id}");
    }
    assert_eq!(told(inventory.get_stock(by(&user, GetStockRequest { goods_id: 1 })).await).1, "PERMISSION_DENIED");

    let seen = catalogue.batch_get_goods(by(&admin, all())).await.expect("staff").into_inner();
    assert_eq!(seen.goods.iter().map(|goods| (goods.goods_id, goods.sold)).collect::<Vec<_>>(), [(1, 2), (2, 0)]);
    catalogue.list_goods(by(&admin, off_sale())).await.expect("staff");
    let stock = inventory.get_stock(by(&admin, GetStockRequest { goods_id: 1 })).await.expect("staff").into_inner().stock;
    assert_eq!(stock.map(|stock| (stock.available, stock.sold)), Some((998, 2)));
}
