use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::commands::call;
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::cart_service_client::CartServiceClient;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::user_operation_service_client::UserOperationServiceClient;
use emshop_proto::v1::{
    AddCartItemRequest, AddFavouriteRequest, Address, CheckoutCartRequest, CreateAddressRequest, CreateMessageRequest,
    GetFavouriteRequest, GetGoodsRequest, ListAddressesRequest, ListFavouritesRequest, ListMessagesRequest, MessageKind, Money,
    OrderStatus, RemoveFavouriteRequest, SelectCartItemsRequest, UserMessage,
};
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt;

use crate::process::{Process, nats_as, path};
use crate::shop::{Answer, Shop, Way, keyed, price, submit};

const USER: u64 = 7;
const MOMENT: Duration = Duration::from_millis(500);

fn add(user_id: u64, goods_id: u64, quantity: u64) -> AddCartItemRequest {
    AddCartItemRequest { user_id, goods_id, quantity }
}

/// To somewhere, or to an address of the user's.
fn checkout(order_id: &str, user_id: u64, address_id: u64) -> CheckoutCartRequest {
    let somewhere = Some(submit("", &[])).filter(|_| address_id == 0).unwrap_or_default();
    CheckoutCartRequest {
        order_id: order_id.to_owned(),
        user_id,
        address_id,
        address: somewhere.address,
        receiver: somewhere.receiver,
        payment_method: submit("", &[]).payment_method,
        ..CheckoutCartRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_of_more_than_ten_becomes_an_order_that_outlives_the_process() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let channel = process.channel().await;
    let shop = Shop::new(channel.clone());
    shop.stock_up(&[10; 12]).await;
    let (mut carts, mut users) = (CartServiceClient::new(channel.clone()), UserOperationServiceClient::new(channel));

    let address = Address {
        province: "上海市".to_owned(),
        city: "上海市".to_owned(),
        district: "浦东新区".to_owned(),
        street: "世纪大道 1 号".to_owned(),
        receiver_name: "Wang".to_owned(),
        receiver_phone: "13800000000".to_owned(),
        ..Address::default()
    };
    let address = CreateAddressRequest { user_id: USER, address: Some(address) };
    let address = users.create_address(address).await.expect("an address").into_inner().address.expect("an address");
    assert!(address.is_default);
    for goods_id in 1..=12 {
        carts.add_cart_item(add(USER, goods_id, 2)).await.expect("it has room");
    }
    carts
        .select_cart_items(SelectCartItemsRequest { user_id: USER, goods_ids: vec![12], selected: false })
        .await
        .expect("it is there");
    let cart = shop.cart(USER).await;
    let total = Some(Money::new((1..=11).map(|goods_id| 2 * price(goods_id)).sum::<i64>(), "CNY"));
    assert_eq!((cart.entries.len(), &cart.selected_total), (12, &total));
    let newest = &cart.entries[0];
    assert_eq!((newest.goods_name.as_str(), newest.on_sale, newest.available), ("goods 12", true, 10));

    let dear = CheckoutCartRequest { expected_total: Some(Money::new(1, "CNY")), ..checkout("dear", USER, address.address_id) };
    let refused = carts.checkout_cart(dear).await.expect_err("another total");
    assert_eq!(refused.get_details_error_info().expect("details").reason, "PRICE_CHANGED");
    assert_eq!(shop.cart(USER).await, cart, "it is as it was");

    let request = CheckoutCartRequest { expected_total: total, ..checkout("", USER, address.address_id) };
    let accepted = carts.checkout_cart(call("k", request.clone())).await.expect("an order").into_inner();
    assert!(!accepted.repeated);
    process.kill();

    let process = Process::all(data.path());
    let channel = process.channel().await;
    let (shop, mut carts) = (Shop::new(channel.clone()), CartServiceClient::new(channel));
    let again = carts.checkout_cart(call("k", request)).await.expect("the same order").into_inner();
    assert_eq!((again.order.as_ref(), again.repeated), (accepted.order.as_ref(), true));
    let left: Vec<_> = shop.cart(USER).await.entries.iter().map(|entry| entry.item.expect("an item").goods_id).collect();
    assert_eq!(left, [12]);
    let order_id = accepted.order.expect("a receipt").order_id;
    let order = shop.orders(vec![order_id]).await.remove(0);
    assert_eq!((order.status(), order.lines.len()), (OrderStatus::Pending, 11));
    assert_eq!(order.address, "上海市 上海市 浦东新区 世纪大道 1 号");
    let nothing = carts.checkout_cart(checkout("second", USER, 0)).await.expect_err("nothing is selected");
    assert_eq!(
        (nothing.code(), nothing.get_details_error_info().expect("details").reason.as_str()),
        (Code::FailedPrecondition, "NO_GOODS_SELECTED")
    );
    shop.settled().await;
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_keeps_is_listed_page_by_page() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let channel = process.channel().await;
    let shop = Shop::new(channel.clone());
    shop.stock_up(&[1; 5]).await;
    let mut users = UserOperationServiceClient::new(channel.clone());

    for goods_id in 1..=5 {
        let answer =
            users.add_favourite(AddFavouriteRequest { user_id: USER, goods_id }).await.expect("a favourite").into_inner();
        assert!(!answer.repeated);
    }
    assert!(users.add_favourite(AddFavouriteRequest { user_id: USER, goods_id: 5 }).await.expect("one").into_inner().repeated);
    let unknown = users.add_favourite(AddFavouriteRequest { user_id: USER, goods_id: 9 }).await.expect_err("no such goods");
    assert_eq!(unknown.get_details_error_info().expect("details").reason, "GOODS_NOT_FOUND");
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListFavouritesRequest { user_id: USER, page_size: 2, page_token };
        let page = users.list_favourites(request).await.expect("a page").into_inner();
        assert_eq!(page.total, 5);
        found.extend(page.favourites.iter().map(|favourite| favourite.goods_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4, 5]);
    users.remove_favourite(RemoveFavouriteRequest { user_id: USER, goods_id: 4 }).await.expect("it was one");
    let none = users.get_favourite(GetFavouriteRequest { user_id: USER, goods_id: 4 }).await.expect_err("it is none any more");
    assert_eq!(none.get_details_error_info().expect("details").reason, "FAVOURITE_NOT_FOUND");
    let mut goods = GoodsServiceClient::new(channel);
    let mut counted = async |goods_id| {
        let goods = goods.get_goods(GetGoodsRequest { goods_id }).await.expect("goods").into_inner().goods;
        goods.expect("goods").favourites
    };
    assert_eq!((counted(4).await, counted(5).await), (0, 1));

    let address = |street: &str, is_default| Address {
        province: "Shanghai".to_owned(),
        city: "Shanghai".to_owned(),
        street: street.to_owned(),
        receiver_name: "Wang".to_owned(),
        receiver_phone: "1".to_owned(),
        is_default,
        ..Address::default()
    };
    for (street, is_default) in [("one", false), ("two", true), ("three", false)] {
        let address = Some(address(street, is_default));
        users.create_address(CreateAddressRequest { user_id: USER, address }).await.expect("an address");
    }
    let mut streets = Vec::new();
    loop {
        let request = ListAddressesRequest { user_id: USER, page_size: 1, page_token };
        let page = users.list_addresses(request).await.expect("a page").into_inner();
        streets.extend(page.addresses.into_iter().map(|address| address.street));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(streets, ["two", "three", "one"]);

    for (subject, kind) in [("a", MessageKind::Complaint), ("b", MessageKind::Wanted), ("c", MessageKind::Complaint)] {
        let message =
            UserMessage { kind: kind.into(), subject: subject.to_owned(), text: "text".to_owned(), ..Default::default() };
        let request = CreateMessageRequest { user_id: USER, message: Some(message) };
        users.create_message(request).await.expect("a message");
    }
    let request = ListMessagesRequest { user_id: USER, kind: MessageKind::Complaint.into(), page_size: 1, page_token };
    let first = users.list_messages(request.clone()).await.expect("a page").into_inner();
    assert_eq!(first.messages[0].subject, "c");
    let second = ListMessagesRequest { page_token: first.next_page_token, ..request };
    let second = users.list_messages(second).await.expect("a page").into_inner();
    assert_eq!((second.messages[0].subject.as_str(), second.next_page_token.as_str()), ("a", ""));
    shop.settled().await;
    assert_eq!(process.terminate().code(), Some(0));
}

/// What users must find in their carts, and what their orders hold of each SKU.
#[derive(Default)]
struct Expected {
    carts: BTreeMap<u64, BTreeMap<u64, u64>>,
    ordered: BTreeMap<u64, u64>,
    accepted: u64,
    refused: u64,
}

const USERS: std::ops::RangeInclusive<u64> = 1..=16;
const GOODS: u64 = 8;
/// Of each of them: enough for a few rounds.
const UNITS: u64 = 30;

impl Expected {
    /// Everyone puts two SKUs into their cart and checks out; who is refused keeps them for the next round.
    async fn round(&mut self, shop: &Shop, round: u64) {
        let way = if round.is_multiple_of(2) { Way::Unary } else { Way::Stream };
        let mut adds = Vec::new();
        for user_id in USERS {
            for (goods_id, quantity) in [((user_id + round) % GOODS + 1, 3), ((user_id + 3 * round + 1) % GOODS + 1, 2)] {
                let key = format!("{round}-{goods_id}-{quantity}");
                adds.push(keyed(&key, Body::AddCartItem(add(user_id, goods_id, quantity))));
                *self.carts.entry(user_id).or_default().entry(goods_id).or_default() += quantity;
            }
        }
        let answers = shop.find_out(way, adds).await;
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Done { .. })), "{answers:?}");
        let checkouts = USERS.map(|user_id| Body::CheckoutCart(checkout(&format!("c-{user_id}-{round}"), user_id, 0)).into());
        for (user_id, answer) in USERS.zip(shop.find_out(way, checkouts.collect()).await) {
            match answer {
                Answer::Done { .. } => {
                    let lines = self.carts.remove(&user_id).expect("it had items");
                    lines.into_iter().for_each(|(goods_id, quantity)| *self.ordered.entry(goods_id).or_default() += quantity);
                    self.accepted += 1;
                }
                Answer::Refused { reason, .. } => {
                    assert_eq!(reason, "STOCK_INSUFFICIENT_FOR_RESERVATION");
                    self.refused += 1;
                }
                Answer::Unknown(_) => unreachable!("it was found out"),
            }
        }
    }
}

fn engine(nats: &str, own: &str, data: &TempDir) -> Process {
    let data = data.path().join(own);
    Process::serve(&["--role", "engine", "--logs", "2", "--own", own, "--nats", nats, "--data", path(&data)])
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_in_the_cart_or_in_an_order_although_engines_are_killed() {
    let data = TempDir::new().unwrap();
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    let url = nats_as(data.path(), User::Engine);
    let (first, second) = (engine(&url, "0", &data), engine(&url, "1", &data));
    let ingress_data = data.path().join("ingress");
    let ingress = Process::serve(&[
        "--role",
        "ingress",
        "--logs",
        "2",
        "--nats",
        &nats_as(data.path(), User::Ingress),
        "--data",
        path(&ingress_data),
    ]);
    let shop = Shop::new(ingress.channel().await);
    let partitioner = Partitioner::new(2);
    assert!(USERS.map(|user_id| partitioner.of_user(user_id).log).any(|log| log == 1), "users live in both logs");
    shop.stock_up(&[UNITS; GOODS as usize]).await;

    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (shop, stop) = (shop.clone(), Arc::clone(&stop));
        async move {
            let (mut expected, mut round) = (Expected::default(), 0);
            while !stop.load(Ordering::Relaxed) {
                expected.round(&shop, round).await;
                round += 1;
            }
            expected
        }
    });
    tokio::time::sleep(MOMENT).await;
    second.kill();
    let second = engine(&url, "1", &data);
    tokio::time::sleep(MOMENT).await;
    first.kill();
    let first = engine(&url, "0", &data);
    tokio::time::sleep(MOMENT).await;
    stop.store(true, Ordering::Relaxed);
    let mut expected = load.await.expect("every answer was found out");

    shop.settled().await;
    eprintln!("{} accepted, {} refused", expected.accepted, expected.refused);
    assert!(expected.accepted > 0 && expected.refused > 0);
    for user_id in USERS {
        let items = shop.cart(user_id).await.entries.into_iter().map(|entry| entry.item.expect("an item"));
        let found: BTreeMap<u64, u64> = items.map(|item| (item.goods_id, item.quantity)).collect();
        assert_eq!(found, expected.carts.remove(&user_id).unwrap_or_default(), "of user {user_id}");
    }
    for stock in shop.stocks((1..=GOODS).collect()).await {
        let reserved = expected.ordered.get(&stock.goods_id).copied().unwrap_or_default();
        assert_eq!((stock.reserved, stock.available), (reserved, UNITS - reserved), "of goods {}", stock.goods_id);
    }
    for process in [ingress, first, second] {
        assert_eq!(process.terminate().code(), Some(0));
    }
    nats.stop().await;
}
