use emshop_proto::v1::cart_service_client::CartServiceClient;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::user_operation_service_client::UserOperationServiceClient;
use emshop_proto::v1::{
    AddCartItemRequest, AdjustStockRequest, BatchGetStockRequest, CheckoutCartRequest, Command, CommandBatch,
    ConfirmPaymentRequest, CreateAddressRequest, CreateGoodsRequest, CreateMessageRequest, GetOrderRequest, Goods, GoodsQuantity,
    ListCartRequest, ListFavouritesRequest, ListMessagesRequest, ListOrdersRequest, Money, RemoveCartItemsRequest,
    ReserveStockRequest, SetStockRequest, SubmitOrderRequest, outcome,
};
use futures::stream;
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt;

use crate::process::{Process, command, path, wait_until_gone};
use crate::shop::{Shop, goods, submit};

fn good() -> SubmitOrderRequest {
    submit("good", &[(1, 1)])
}

/// Submits that are broken, with the field that is told.
fn broken_orders() -> Vec<(&'static str, SubmitOrderRequest)> {
    let lines = |count: u64| (1..=count).map(|goods_id| GoodsQuantity { goods_id, quantity: 1 }).collect();
    let total = |amount_minor, currency: &str| Some(Money { amount_minor, currency: currency.to_owned() });
    vec![
        ("lines", submit("o", &[])),
        ("lines", SubmitOrderRequest { lines: lines(201), ..good() }),
        ("lines", submit("o", &[(1, 600_000), (1, 600_000)])),
        ("lines[1].quantity", submit("o", &[(1, 1), (2, 0)])),
        ("lines[0].quantity", submit("o", &[(1, 1_000_001)])),
        ("lines[0].quantity", submit("o", &[(1, u64::MAX), (1, u64::MAX)])),
        ("lines[0].goods_id", submit("o", &[(0, 1)])),
        ("order_id", submit("no spaces", &[(1, 1)])),
        ("order_id", submit(&"x".repeat(65), &[(1, 1)])),
        ("user_id", SubmitOrderRequest { user_id: 0, ..good() }),
        ("address", SubmitOrderRequest { address: String::new(), ..good() }),
        ("address", SubmitOrderRequest { address: "x".repeat(257), ..good() }),
        ("receiver", SubmitOrderRequest { receiver: None, ..good() }),
        ("payment_method", SubmitOrderRequest { payment_method: 0, ..good() }),
        ("payment_method", SubmitOrderRequest { payment_method: 99, ..good() }),
        ("expires_in_seconds", SubmitOrderRequest { expires_in_seconds: 86_401, ..good() }),
        ("expected_total.currency", SubmitOrderRequest { expected_total: total(101, "yuan"), ..good() }),
        ("expected_total.amount_minor", SubmitOrderRequest { expected_total: total(-1, "CNY"), ..good() }),
        ("wait", SubmitOrderRequest { wait: 9, ..good() }),
        ("shipping_method", SubmitOrderRequest { shipping_method: 9, ..good() }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_requests_are_told_field_by_field_and_write_nothing() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let channel = process.channel().await;
    let shop = Shop::new(channel.clone());
    shop.stock_up(&[10, 10]).await;
    let before = shop.settled().await;

    let (mut orders, mut payments) = (OrderServiceClient::new(channel.clone()), PaymentServiceClient::new(channel.clone()));
    let (mut inventory, mut catalogue) = (InventoryServiceClient::new(channel.clone()), GoodsServiceClient::new(channel.clone()));
    let mut answers = Vec::new();
    for (field, request) in broken_orders() {
        answers.push((field, orders.submit_order(request).await.err()));
    }
    macro_rules! call {
        ($field:literal, $client:ident.$method:ident($request:expr)) => {
            answers.push(($field, $client.$method($request).await.err()))
        };
    }
    let free = Some(Money { amount_minor: 0, currency: "CNY".to_owned() });
    let reserve = |business_id: &str, quantity| ReserveStockRequest {
        business_id: business_id.to_owned(),
        lines: vec![GoodsQuantity { goods_id: 1, quantity }],
        expires_in_seconds: 0,
    };
    call!("order_id", orders.get_order(GetOrderRequest { order_id: "?".to_owned() }));
    call!("user_id", orders.list_orders(ListOrdersRequest::default()));
    call!("page_token", orders.list_orders(ListOrdersRequest { user_id: 7, page_token: "?".to_owned(), ..Default::default() }));
    call!("payment_id", payments.confirm_payment(ConfirmPaymentRequest::default()));
    call!("payment_id", payments.confirm_payment(ConfirmPaymentRequest { payment_id: "?".to_owned(), ..Default::default() }));
    call!("goods_id", inventory.set_stock(SetStockRequest { goods_id: 0, on_hand: 1 }));
    call!("on_hand", inventory.set_stock(SetStockRequest { goods_id: 1, on_hand: u64::MAX }));
    call!("delta", inventory.adjust_stock(AdjustStockRequest { goods_id: 1, delta: 0 }));
    call!("delta", inventory.adjust_stock(AdjustStockRequest { goods_id: 1, delta: i64::MIN }));
    call!("business_id", inventory.reserve_stock(reserve("", 1)));
    call!("lines[0].quantity", inventory.reserve_stock(reserve("b", 0)));
    call!("goods_ids", inventory.batch_get_stock(BatchGetStockRequest { goods_ids: vec![1; 1_001] }));
    call!("goods", catalogue.create_goods(CreateGoodsRequest { goods: None }));
    call!("goods.name", catalogue.create_goods(CreateGoodsRequest { goods: Some(Goods { name: "x".repeat(101), ..goods(3) }) }));
    call!("goods.unit_price", catalogue.create_goods(CreateGoodsRequest { goods: Some(Goods { unit_price: None, ..goods(3) }) }));
    call!(
        "goods.unit_price.amount_minor",
        catalogue.create_goods(CreateGoodsRequest { goods: Some(Goods { unit_price: free, ..goods(3) }) })
    );

    let mut carts = CartServiceClient::new(channel.clone());
    let mut users = UserOperationServiceClient::new(channel.clone());
    let item = AddCartItemRequest { user_id: 7, goods_id: 1, quantity: 1 };
    call!("quantity", carts.add_cart_item(AddCartItemRequest { quantity: u64::MAX, ..item }));
    call!("goods_id", carts.add_cart_item(AddCartItemRequest { goods_id: 0, ..item }));
    call!("user_id", carts.list_cart(ListCartRequest { user_id: 0 }));
    call!("goods_ids", carts.remove_cart_items(RemoveCartItemsRequest { user_id: 7, goods_ids: vec![1; 1_001] }));
    call!("receiver", carts.checkout_cart(CheckoutCartRequest { user_id: 7, payment_method: 1, ..Default::default() }));
    call!("address", users.create_address(CreateAddressRequest { user_id: 7, address: None }));
    call!("message", users.create_message(CreateMessageRequest { user_id: 7, message: None }));
    call!("page_size", users.list_messages(ListMessagesRequest { user_id: 7, page_size: 101, ..Default::default() }));
    call!(
        "page_token",
        users.list_favourites(ListFavouritesRequest { user_id: 7, page_token: "?".to_owned(), ..Default::default() })
    );

    for (field, status) in answers {
        let status = status.unwrap_or_else(|| panic!("{field} was accepted"));
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        let told = status.get_details_bad_request().expect("BadRequest").field_violations;
        assert!(told.iter().any(|violation| violation.field == field), "{field} is missing in {told:?}");
    }
    assert_eq!(shop.settled().await, before, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_after_a_broken_command_and_an_empty_batch() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let channel = process.channel().await;
    Shop::new(channel.clone()).stock_up(&[10]).await;

    let order = |tag, order_id: &str, quantity| {
        let body = Body::SubmitOrder(submit(order_id, &[(1, quantity)]));
        Command { tag, ..body.into() }
    };
    let nothing = |tag| Command { tag, ..Command::default() };
    let batches = [
        vec![order(1, "first", 1), order(2, "no spaces", 1), nothing(3), order(4, "zero", 0), order(5, "second", 1)],
        vec![],
        vec![order(6, "third", 1), order(7, "too many", 1)],
    ];
    let batches = stream::iter(batches.map(|commands| CommandBatch { commands }));
    let mut outcomes = PipelineServiceClient::new(channel).submit(batches).await.expect("a stream").into_inner();
    let (mut accepted, mut refused) = (Vec::new(), 0);
    while let Some(batch) = outcomes.message().await.expect("the stream goes on") {
        for outcome in batch.outcomes {
            match outcome.result.expect("a result") {
                outcome::Result::Refusal(refusal) => {
                    assert_eq!(refusal.reason, "VALIDATION_FAILED");
                    assert!(!refusal.violations.is_empty(), "{refusal:?}");
                    refused += 1;
                }
                _ => accepted.push(outcome.tag),
            }
        }
    }
    accepted.sort_unstable();
    assert_eq!((accepted, refused), (vec![1, 5, 6], 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_a_process_ends_with_it() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let second = command(&["serve", "--listen", "127.0.0.1:0", "--data", path(data.path())]).output().expect("the binary runs");
    assert_eq!(second.status.code(), Some(1), "one process has the folder");
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"), "{second:?}");
    let nats = process.nats_pid();
    assert_eq!(process.terminate().code(), Some(0));
    wait_until_gone(nats);

    let process = Process::all(data.path());
    let nats = process.nats_pid();
    process.kill();
    wait_until_gone(nats);
}
