//! Calls that are many commands or many reads: batches of goods, and lists of more than a reply holds.

use std::time::Duration;

use emshop_ingress::Options;
use emshop_proto::v1::catalogue_service_client::CatalogueServiceClient;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::{BatchGetGoodsRequest, BatchSetOnSaleRequest, GoodsResult, ListBrandsRequest, ListCategoryBrandsRequest};
use tonic::{Code, Request};

use crate::engine::{BRANDS, GOODS_KNOWN, SILENT_GOODS};
use crate::shop::{self, Shop, reason};

/// Each result as its goods with what became of them; nothing more where it was done for the first time.
fn told(results: &[GoodsResult]) -> Vec<String> {
    let told = |result: &GoodsResult| match &result.refusal {
        Some(refusal) => format!("{} {}", result.goods_id, refusal.reason),
        None if result.repeated => format!("{} again", result.goods_id),
        None => result.goods_id.to_string(),
    };
    results.iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_for_each_in_order() {
    let shop = Shop::open(2, Options::default()).await;
    let mut goods = GoodsServiceClient::new(shop.channel.clone());
    let goods_ids = vec![9, GOODS_KNOWN + 1, 3, 9, 1];
    let request = BatchSetOnSaleRequest { goods_ids, on_sale: false };
    let results = goods.batch_set_on_sale(request.clone()).await.expect("answered").into_inner().results;
    assert_eq!(told(&results), ["9", "101 GOODS_NOT_FOUND", "3", "9 again", "1"]);
    let results = goods.batch_set_on_sale(request).await.expect("answered").into_inner().results;
    assert_eq!(told(&results), ["9 again", "101 GOODS_NOT_FOUND", "3 again", "9 again", "1 again"]);

    // Of one that nobody answers the outcome is unknown, and the others do not wait for it any longer than the call does.
    let mut request = Request::new(BatchSetOnSaleRequest { goods_ids: vec![SILENT_GOODS, 1], on_sale: true });
    request.set_timeout(Duration::from_millis(500));
    let results = goods.batch_set_on_sale(request).await.expect("answered").into_inner().results;
    assert_eq!(told(&results), ["404 OUTCOME_UNKNOWN", "1"]);

    let commands = shop.commands();
    let broken = BatchSetOnSaleRequest { goods_ids: vec![1, 0], on_sale: true };
    let broken = goods.batch_set_on_sale(broken).await.expect_err("invalid");
    assert_eq!((broken.code(), reason(&broken).as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));
    assert_eq!(shop.commands(), commands);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_without_room_says_which_were_left_out() {
    let shop = Shop::open(1, Options { under_way: shop::calls(3), ..Options::default() }).await;
    let mut goods = GoodsServiceClient::new(shop.channel.clone());
    let request = BatchSetOnSaleRequest { goods_ids: (1..=100).collect(), on_sale: true };
    let results = goods.batch_set_on_sale(request).await.expect("answered").into_inner().results;
    let (left_out, done): (Vec<_>, Vec<_>) = told(&results).into_iter().partition(|result| result.ends_with(" OVERLOADED"));
    assert!(done.len() >= 3 && !left_out.is_empty(), "{done:?} done, {left_out:?} left out");
    assert!(done.iter().all(|result| result.parse::<u64>().is_ok()), "{done:?}");
    assert!(results.iter().filter_map(|result| result.refusal.as_ref()).all(|refusal| refusal.retry_after_ms > 0));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_come_in_the_order_asked_for_from_all_logs() {
    let shop = Shop::open(2, Options::default()).await;
    let mut goods = GoodsServiceClient::new(shop.channel.clone());
    let goods_ids: Vec<u64> = (1..=GOODS_KNOWN).rev().skip(1).chain([GOODS_KNOWN + 1]).collect();
    let answer =
        goods.batch_get_goods(BatchGetGoodsRequest { goods_ids: goods_ids.clone() }).await.expect("answered").into_inner();
    let found: Vec<_> = answer.goods.iter().map(|goods| goods.goods_id).collect();
    assert_eq!((found.as_slice(), answer.unknown_goods_ids.as_slice()), goods_ids.split_at(goods_ids.len() - 1));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_whole_however_long() {
    let shop = Shop::open(2, Options::default()).await;
    let mut catalogue = CatalogueServiceClient::new(shop.channel.clone());
    let mut brands = Vec::new();
    let mut request = ListBrandsRequest { page_size: 1_000, ..ListBrandsRequest::default() };
    loop {
        let page = catalogue.list_brands(request.clone()).await.expect("a page").into_inner();
        assert_eq!(page.total, BRANDS);
        brands.extend(page.brands.into_iter().map(|brand| brand.brand_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(brands, (1..=BRANDS).collect::<Vec<_>>());
    let last = ListBrandsRequest { page_size: 500, page_token: (BRANDS - 500).to_string() };
    let last = catalogue.list_brands(last).await.expect("a page").into_inner();
    assert_eq!((last.brands.len(), last.next_page_token.as_str()), (500, ""), "no page follows that would be empty");

    let all = catalogue.list_category_brands(ListCategoryBrandsRequest::default()).await.expect("links").into_inner();
    assert_eq!(all.links.iter().map(|link| link.brand_id).collect::<Vec<_>>(), brands);
    assert_eq!(all.brands.iter().map(|brand| brand.brand_id).collect::<Vec<_>>(), brands);
    shop.close().await;
}
