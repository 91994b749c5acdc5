use std::fs;
use std::time::{Duration, Instant};

use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::{
    BatchGetGoodsRequest, CreateGoodsRequest, DeleteGoodsRequest, Goods, GoodsSort, ListGoodsRequest, Money, UpdateGoodsRequest,
};
use rand::Rng;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use crate::process::{PATIENCE, Process, path};

/// All of them fit on one page.
const GOODS: std::ops::RangeInclusive<u64> = 1..=60;
const ROUNDS: u32 = 3;
const WRITERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

type Shelf = GoodsServiceClient<Channel>;

/// Creates, changes and deletes goods until nobody answers any more.
async fn trade(mut shelf: Shelf) {
    loop {
        let (goods_id, choice, price) = {
            let mut random = rand::rng();
            (random.random_range(GOODS), random.random_range(0..10), random.random_range(1..1_000_000))
        };
        let goods = Goods {
            goods_id,
            name: format!("乌龙茶 oolong {price}"),
            unit_price: Some(Money::new(price, "CNY")),
            on_sale: Some(price % 4 != 0),
            ..Goods::default()
        };
        let answer = match choice {
            0..3 => shelf.create_goods(CreateGoodsRequest { goods: Some(goods) }).await.map(|_| ()),
            3..8 => shelf.update_goods(UpdateGoodsRequest { goods: Some(goods) }).await.map(|_| ()),
            _ => shelf.delete_goods(DeleteGoodsRequest { goods_id }).await.map(|_| ()),
        };
        if answer.is_err_and(|status| status.get_details_error_info().is_none()) {
            return;
        }
    }
}

async fn listed(shelf: &mut Shelf, request: ListGoodsRequest) -> Vec<u64> {
    let list = shelf.list_goods(ListGoodsRequest { page_size: 100, ..request }).await.expect("a list").into_inner();
    assert_eq!(list.goods.len() as u64, list.total, "nothing is found that is there no more");
    list.goods.iter().map(|goods| goods.goods_id).collect()
}

/// What the engines have is what is found, once the index has followed; returns how many there are.
async fn check(shelf: &mut Shelf) -> usize {
    let known = BatchGetGoodsRequest { goods_ids: GOODS.collect() };
    let mut known = shelf.batch_get_goods(known).await.expect("goods").into_inner().goods;
    let price = |goods: &Goods| goods.unit_price.as_ref().expect("a price").amount_minor;
    known.sort_by_key(|goods| (price(goods), goods.goods_id));
    let ids = |goods: &mut dyn Iterator<Item = &Goods>| goods.map(|goods| goods.goods_id).collect::<Vec<_>>();
    let by_price = ListGoodsRequest { sort: GoodsSort::PriceAscending.into(), ..ListGoodsRequest::default() };
    let all = ListGoodsRequest { include_off_sale: true, keywords: "Oolong".to_owned(), ..by_price.clone() };
    let deadline = Instant::now() + PATIENCE;
    while listed(shelf, all.clone()).await != ids(&mut known.iter())
        || listed(shelf, by_price.clone()).await != ids(&mut known.iter().filter(|goods| goods.on_sale()))
    {
        assert!(Instant::now() < deadline, "the index does not follow: {known:?}");
        tokio::time::sleep(PAUSE).await;
    }
    for goods in &known {
        let keywords = format!("{} 乌龙茶", price(goods));
        let itself = ListGoodsRequest { keywords, price_min_minor: price(goods), price_max_minor: price(goods), ..all.clone() };
        assert!(listed(shelf, itself).await.contains(&goods.goods_id), "{goods:?} is found by what it is now");
    }
    known.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_what_there_is_after_kills_and_without_the_folder() {
    let data = TempDir::new().unwrap();
    let flags = ["--logs", "2", "--data", path(data.path())];
    let mut process = Process::serve(&flags);
    for _ in 0..ROUNDS {
        let shelf = Shelf::new(process.channel().await);
        let traders: Vec<_> = (0..WRITERS).map(|_| tokio::spawn(trade(shelf.clone()))).collect();
        let moment = rand::rng().random_range(300..900);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        process.kill();
        for trader in traders {
            trader.await.expect("it ends by itself");
        }
        process = Process::serve(&flags);
        let there = check(&mut Shelf::new(process.channel().await)).await;
        assert!((1..GOODS.count()).contains(&there), "{there} of the goods are there");
    }
    assert_eq!(process.terminate().code(), Some(0));

    fs::remove_dir_all(data.path().join("search")).expect("it has an index");
    let process = Process::serve(&flags);
    check(&mut Shelf::new(process.channel().await)).await;
    assert_eq!(process.terminate().code(), Some(0));
}
