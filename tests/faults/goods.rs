use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::catalogue_service_client::CatalogueServiceClient;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::{
    BatchDeleteGoodsRequest, BatchGetGoodsRequest, BatchSetOnSaleRequest, Brand, Category, CreateBrandRequest,
    CreateCategoryRequest, CreateGoodsRequest, GetCategoryTreeRequest, Goods, LinkBrandRequest, ListCategoryBrandsRequest,
};
use tempfile::TempDir;
use tonic_types::StatusExt;

use crate::process::{Process, path};
use crate::shop::{Shop, goods, submit};

const GOODS: std::ops::RangeInclusive<u64> = 1..=60;

fn entry(goods_id: u64) -> Goods {
    Goods { category_id: 1 + goods_id % 3, brand_id: 1, goods_sn: format!("SN-{goods_id}"), ..goods(goods_id) }
}

/// Goods of two logs and the catalogue of one: what each counts is still right when all were killed in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_of_goods_in_two_logs_outlives_a_kill() {
    let data = TempDir::new().unwrap();
    let flags = ["--logs", "2", "--data", path(data.path())];
    let process = Process::serve(&flags);
    let channel = process.channel().await;
    let (mut catalogue, mut shelf) = (CatalogueServiceClient::new(channel.clone()), GoodsServiceClient::new(channel.clone()));
    for (category_id, parent_id) in [(1, 0), (2, 1), (3, 2)] {
        let category = Some(Category { category_id, parent_id, name: "tea".to_owned(), ..Category::default() });
        catalogue.create_category(CreateCategoryRequest { category }).await.expect("a category");
    }
    let brand = Some(Brand { brand_id: 1, name: "tea house".to_owned(), ..Brand::default() });
    catalogue.create_brand(CreateBrandRequest { brand }).await.expect("a brand");
    catalogue.link_brand(LinkBrandRequest { category_id: 3, brand_id: 1 }).await.expect("a link");
    let places: Vec<_> = GOODS.map(|goods_id| Partitioner::new(2).of_goods(goods_id).log).collect();
    assert!(places.contains(&0) && places.contains(&1));
    for goods_id in GOODS {
        shelf.create_goods(CreateGoodsRequest { goods: Some(entry(goods_id)) }).await.expect("goods");
    }
    process.kill();

    let process = Process::serve(&flags);
    let channel = process.channel().await;
    let (mut catalogue, mut shelf) = (CatalogueServiceClient::new(channel.clone()), GoodsServiceClient::new(channel.clone()));
    let again = shelf.create_goods(CreateGoodsRequest { goods: Some(entry(7)) }).await.expect("goods").into_inner();
    assert!(again.repeated);
    let taken = Goods { goods_sn: "SN-8".to_owned(), ..entry(1_000) };
    let taken = shelf.create_goods(CreateGoodsRequest { goods: Some(taken) }).await.expect_err("it is another's");
    assert_eq!(taken.get_details_error_info().expect("ErrorInfo").reason, "GOODS_SN_TAKEN");

    let off_sale = BatchSetOnSaleRequest { goods_ids: GOODS.collect(), on_sale: false };
    let results = shelf.batch_set_on_sale(off_sale).await.expect("a batch").into_inner().results;
    assert!(results.iter().all(|result| !result.repeated && result.refusal.is_none()), "{results:?}");
    let refused =
        OrderServiceClient::new(channel.clone()).submit_order(submit("o", &[(1, 1), (2, 1)])).await.expect_err("off sale");
    let told = refused.get_details_error_info().expect("ErrorInfo");
    assert_eq!((told.reason.as_str(), told.metadata["off_sale_goods_ids"].as_str()), ("GOODS_OFF_SALE", "1,2"));
    let gone = BatchDeleteGoodsRequest { goods_ids: (1..=30).collect() };
    let results = shelf.batch_delete_goods(gone).await.expect("a batch").into_inner().results;
    assert!(results.iter().all(|result| !result.repeated && result.refusal.is_none()), "{results:?}");

    let found = shelf.batch_get_goods(BatchGetGoodsRequest { goods_ids: GOODS.collect() }).await.expect("goods").into_inner();
    assert_eq!(found.unknown_goods_ids, (1..=30).collect::<Vec<_>>());
    assert!(found.goods.iter().all(|goods| goods.on_sale == Some(false) && goods.created_at_ms > 0));
    let tree = catalogue.get_category_tree(GetCategoryTreeRequest {}).await.expect("a tree").into_inner();
    assert_eq!((tree.total, tree.max_depth, tree.roots[0].goods_below), (3, 3, 30));
    let links = catalogue.list_category_brands(ListCategoryBrandsRequest::default()).await.expect("links").into_inner();
    assert_eq!((links.links.len(), links.brands[0].goods), (1, 30));
    // Inspecting recomputes every counter.
    Shop::new(channel).settled().await;
    assert_eq!(process.terminate().code(), Some(0));
}
