use emshop_ingress::Options;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::tcc_service_client::TccServiceClient;
use emshop_proto::v1::{
    BatchSetStockRequest, GoodsQuantity, ListStockChangesRequest, ListStocksRequest, SetStockRequest, TryStockRequest,
    set_stock_result,
};
use tonic::Code;
use tonic_types::StatusExt;

use crate::engine::GOODS_KNOWN;
use crate::shop::{Shop, reason};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_tells_what_became_of_each_entry() {
    let shop = Shop::open(2, Options::default()).await;
    let mut inventory = InventoryServiceClient::new(shop.channel.clone());
    let entry = |goods_id| SetStockRequest { goods_id, on_hand: goods_id % 5 };
    let entries: Vec<_> = (1..=40).rev().map(entry).collect();
    let results = inventory.batch_set_stock(BatchSetStockRequest { entries: entries.clone() }).await.expect("each by itself");
    let results = results.into_inner().results;
    assert_eq!(results.iter().map(|result| result.goods_id).collect::<Vec<_>>(), (1..=40).rev().collect::<Vec<_>>());
    for result in results {
        match result.result.expect("a result") {
            set_stock_result::Result::Stock(stock) => assert!(stock.goods_id == result.goods_id && stock.goods_id % 5 != 0),
            set_stock_result::Result::Refusal(refusal) => {
                assert_eq!((refusal.reason.as_str(), result.goods_id % 5), ("STOCK_BELOW_RESERVED", 0));
            }
        }
    }

    let commands = shop.commands();
    let mut broken = entries;
    broken[1].goods_id = 0;
    let broken = inventory.batch_set_stock(BatchSetStockRequest { entries: broken }).await.expect_err("one entry is broken");
    assert_eq!((broken.code(), reason(&broken).as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));
    assert_eq!(broken.get_details_bad_request().expect("BadRequest").field_violations[0].field, "entries[1].goods_id");
    assert_eq!(shop.commands(), commands, "nothing was written");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_listed_over_all_logs() {
    let shop = Shop::open(2, Options::default()).await;
    let mut inventory = InventoryServiceClient::new(shop.channel.clone());
    for (only_low, page_size) in [(false, 7), (false, 1000), (true, 3), (true, 0)] {
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListStocksRequest { page_size, page_token, only_low };
            let page = inventory.list_stocks(request).await.expect("a page").into_inner();
            seen.extend(page.stocks.iter().map(|stock| stock.goods_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
            assert_eq!(page.stocks.len(), page_size as usize, "a page is full unless it is the last one");
        }
        let all = (1..=GOODS_KNOWN).filter(|goods_id| !only_low || goods_id % 10 == 0);
        assert_eq!(seen, all.collect::<Vec<_>>(), "low {only_low}, {page_size} a page");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_name_who_caused_them() {
    let shop = Shop::open(2, Options::default()).await;
    let mut inventory = InventoryServiceClient::new(shop.channel.clone());
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListStockChangesRequest { goods_id: 1, page_size: 2, page_token };
        let page = inventory.list_stock_changes(request).await.expect("a page").into_inner();
        seen.extend(page.changes.into_iter().map(|change| (change.delta, change.order_id, change.business_id)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let seen: Vec<_> = seen.iter().map(|(delta, order, business)| (*delta, order.as_str(), business.as_str())).collect();
    let expected = [
        (5, "", "OWNER_KIND_RESERVATION-0-5"),
        (4, "OWNER_KIND_ORDER-0-4", ""),
        (3, "", "OWNER_KIND_RESERVATION-1-3"),
        (2, "OWNER_KIND_ORDER-1-2", ""),
        (1, "", ""),
    ];
    assert_eq!(seen, expected);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_is_a_reservation_with_a_time_out() {
    let shop = Shop::open(1, Options::default()).await;
    let mut tcc = TccServiceClient::new(shop.channel.clone());
    let lines = vec![GoodsQuantity { goods_id: 1, quantity: 2 }];
    let try_stock = |timeout_seconds| TryStockRequest { business_id: "b".to_owned(), lines: lines.clone(), timeout_seconds };
    for (timeout_seconds, expires_at_ms) in [(0, 35_000), (1, 1_000), (86_400, 86_400_000)] {
        let tried = tcc.try_stock(try_stock(timeout_seconds)).await.expect("tried").into_inner();
        assert_eq!(tried.reservation.expect("a reservation").expires_at_ms, expires_at_ms);
    }
    let refused = tcc.try_stock(try_stock(86_401)).await.expect_err("too long");
    assert_eq!(refused.get_details_bad_request().expect("BadRequest").field_violations[0].field, "timeout_seconds");
    shop.close().await;
}
