//! Lists of goods: the index finds them, the engines say what they are now.

use async_nats::jetstream;
use emshop_ingress::Options;
use emshop_log::jetstream::{Connection, User};
use emshop_proto::events::EventType;
use emshop_proto::subjects;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::{Event, EventBatch, Goods, GoodsSort, ListGoodsRequest, Money, event};
use prost::Message;
use tonic::Code;

use crate::engine::GOODS_KNOWN;
use crate::shop::{Shop, reason, retry_delay};

/// What the relay of log 0 would publish of goods, as they were created, and waits until they can be found.
async fn created(shop: &Shop, goods: impl IntoIterator<Item = Goods>) {
    let numbered = (1..).zip(goods);
    let events =
        numbered.map(|(number, goods)| Event { number, body: Some(event::Body::Goods(Box::new(goods))), ..Event::default() });
    let r#type = EventType::GoodsCreated.name().to_owned();
    let batch = EventBatch { r#type, events: events.collect(), ..EventBatch::default() };
    let connection = Connection::open(&shop.server.access(User::Shop).expect("its password")).await.expect("a connection");
    let jetstream = jetstream::new(connection.publish().clone());
    let subject = shop.epoch.publishing(&subjects::event(EventType::GoodsCreated.name(), 0));
    let published = jetstream.publish(subject, batch.encode_to_vec().into()).await.expect("published").await;
    shop.search.caught_up(published.expect("acknowledged").sequence).await.expect("it is indexed");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_what_is_found_as_it_is_now() {
    let shop = Shop::open(2, Options::default()).await;
    let mut service = GoodsServiceClient::new(shop.channel.clone());
    let nothing = service.list_goods(ListGoodsRequest::default()).await.expect("a list").into_inner();
    assert_eq!((nothing.goods.len(), nothing.total), (0, 0));

    // By category: 1, with 2 and 4 below, of which 2 is a tab, with 3 below it.
    let in_categories = [(10, 1), (20, 2), (30, 3), (31, 3), (40, 4), (50, 0), (GOODS_KNOWN + 1, 3)];
    let entry = |(goods_id, category_id)| {
        let unit_price = Some(Money::new(goods_id as i64, "CNY"));
        Goods { goods_id, category_id, unit_price, name: "乌龙茶 Oolong".to_owned(), ..Goods::default() }
    };
    created(&shop, in_categories.map(entry)).await;
    let by_price = || ListGoodsRequest { sort: GoodsSort::PriceAscending.into(), ..ListGoodsRequest::default() };
    let cases: [(ListGoodsRequest, &[u64], u64); 9] = [
        // The engine has the last one no more.
        (by_price(), &[10, 20, 30, 31, 40, 50], 7),
        (ListGoodsRequest { keywords: "oolong 乌龙茶".to_owned(), price_max_minor: 30, ..by_price() }, &[10, 20, 30], 3),
        (ListGoodsRequest { page_size: 3, page: 2, ..by_price() }, &[31, 40, 50], 7),
        (ListGoodsRequest { page_size: 3, page: 4, ..by_price() }, &[], 7),
        (ListGoodsRequest { category_id: 1, ..by_price() }, &[10, 20, 30, 31, 40], 6),
        (ListGoodsRequest { category_id: 2, price_max_minor: 99, ..by_price() }, &[20, 30, 31], 3),
        (ListGoodsRequest { only_tab: true, price_max_minor: 99, ..by_price() }, &[20, 30, 31], 3),
        (ListGoodsRequest { category_id: 4, only_tab: true, ..by_price() }, &[], 0),
        (ListGoodsRequest { category_id: 99, ..by_price() }, &[], 0),
    ];
    for (request, expected, total) in cases {
        let list = service.list_goods(request.clone()).await.expect("a list").into_inner();
        assert_eq!(list.goods.iter().map(|goods| goods.goods_id).collect::<Vec<_>>(), expected, "{request:?}");
        assert_eq!(list.total, total, "{request:?}");
        assert!(list.goods.iter().all(|goods| goods.sold == goods.goods_id), "counts come from the engine");
    }
    let invalid = service.list_goods(ListGoodsRequest { page_size: 101, ..by_price() }).await.expect_err("invalid");
    assert_eq!((invalid.code(), reason(&invalid).as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));

    shop.search.stop().await;
    let away = service.list_goods(by_price()).await.expect_err("the index may miss goods");
    assert_eq!((away.code(), reason(&away).as_str()), (Code::Unavailable, "SERVICE_UNAVAILABLE"));
    assert!(retry_delay(&away).is_some());
    shop.close().await;
}
