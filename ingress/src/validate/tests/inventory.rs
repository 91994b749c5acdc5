use emshop_proto::v1::{
    AdjustStockRequest, BatchSetStockRequest, ListStockChangesRequest, ListStocksRequest, ReserveStockRequest, SetStockRequest,
    SetStockThresholdRequest, TryStockRequest,
};

use super::super::inventory::*;
use super::{Body, check, fields, line, of};

fn entry(goods_id: u64) -> SetStockRequest {
    SetStockRequest { goods_id, on_hand: 0 }
}

#[test]
fn stock() {
    check::<SetStockRequest>(
        || entry(1),
        |request| of(Body::SetStock(request)),
        &[("goods_id", |r| r.goods_id = 0), ("", |r| r.on_hand = 1_000_000_000_000), ("on_hand", |r| r.on_hand = u64::MAX)],
    );
    check::<AdjustStockRequest>(
        || AdjustStockRequest { goods_id: 1, delta: -1 },
        |request| of(Body::AdjustStock(request)),
        &[
            ("goods_id", |r| r.goods_id = 0),
            ("delta", |r| r.delta = 0),
            ("", |r| r.delta = -1_000_000_000_000),
            ("delta", |r| r.delta = 1_000_000_000_001),
            ("delta", |r| r.delta = i64::MIN),
        ],
    );
    check::<SetStockThresholdRequest>(
        || SetStockThresholdRequest { goods_id: 1, low_threshold: 0 },
        |request| of(Body::SetStockThreshold(request)),
        &[
            ("goods_id", |r| r.goods_id = 0),
            ("", |r| r.low_threshold = 1_000_000_000_000),
            ("low_threshold", |r| r.low_threshold = 1_000_000_000_001),
        ],
    );
}

#[test]
fn batches() {
    let get = |goods_ids: Vec<u64>| fields(stock_ids(&goods_ids));
    assert_eq!(get(Vec::new()), ["goods_ids"]);
    assert_eq!(get(vec![1; 1_001]), ["goods_ids"]);
    assert_eq!(get(vec![1, 0]), ["goods_ids[1]"]);
    check::<BatchSetStockRequest>(
        || BatchSetStockRequest { entries: vec![entry(1), entry(2)] },
        |request| fields(batch_set_stock(&request)),
        &[
            ("entries", |r| r.entries.clear()),
            ("", |r| r.entries = (1..=1_000).map(entry).collect()),
            ("entries", |r| r.entries = (1..=1_001).map(entry).collect()),
            ("entries[1].goods_id", |r| r.entries[1].goods_id = 0),
            ("entries[0].on_hand", |r| r.entries[0].on_hand = 1_000_000_000_001),
            ("entries[1].goods_id", |r| r.entries[1].goods_id = 1),
        ],
    );
    let broken = BatchSetStockRequest { entries: vec![SetStockRequest::default(); 1_000] };
    assert_eq!(batch_set_stock(&broken).len(), 20, "no answer is unbounded");
}

#[test]
fn reservations_and_tries() {
    check::<ReserveStockRequest>(
        || ReserveStockRequest { business_id: "b1".to_owned(), lines: vec![line(1, 1)], expires_in_seconds: 0 },
        |request| of(Body::ReserveStock(request)),
        &[
            ("business_id", |r| r.business_id.clear()),
            ("lines", |r| r.lines.clear()),
            ("lines[0].quantity", |r| r.lines[0].quantity = 0),
            ("", |r| r.expires_in_seconds = 86_400),
            ("expires_in_seconds", |r| r.expires_in_seconds = 86_401),
        ],
    );
    check::<TryStockRequest>(
        || TryStockRequest { business_id: "b1".to_owned(), lines: vec![line(1, 1)], timeout_seconds: 0 },
        |request| fields(try_stock(&request)),
        &[
            ("business_id", |r| r.business_id = "b/1".to_owned()),
            ("lines", |r| r.lines.clear()),
            ("lines", |r| r.lines = (1..=201).map(|id| line(id, 1)).collect()),
            ("lines[0].goods_id", |r| r.lines[0].goods_id = 0),
            ("", |r| r.timeout_seconds = 86_400),
            ("timeout_seconds", |r| r.timeout_seconds = 86_401),
        ],
    );
}

#[test]
fn lists() {
    check::<ListStocksRequest>(
        ListStocksRequest::default,
        |request| fields(list_stocks(&request)),
        &[
            ("", |r| r.page_size = 1_000),
            ("page_size", |r| r.page_size = 1_001),
            ("", |r| r.page_token = "17".to_owned()),
            ("page_token", |r| r.page_token = "0".to_owned()),
            ("page_token", |r| r.page_token = "x".to_owned()),
        ],
    );
    check::<ListStockChangesRequest>(
        || ListStockChangesRequest { goods_id: 1, ..ListStockChangesRequest::default() },
        |request| fields(list_stock_changes(&request)),
        &[
            ("goods_id", |r| r.goods_id = 0),
            ("", |r| r.page_size = 1_000),
            ("page_size", |r| r.page_size = 1_001),
            ("", |r| r.page_token = "17".to_owned()),
            ("page_token", |r| r.page_token = "-17".to_owned()),
        ],
    );
}
