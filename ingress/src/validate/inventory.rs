//! Of stock, and of its reservations.

use std::collections::HashSet;

use emshop_proto::inventory::HOT_GOODS_MAX;
use emshop_proto::v1::{
    AdjustStockRequest, BatchSetStockRequest, FieldViolation, ListHotGoodsRequest, ListStockChangesRequest, ListStocksRequest,
    ReserveStockRequest, SetStockRequest, SetStockThresholdRequest, TryStockRequest,
};

use super::BATCH_GOODS_MAX;
use super::EXPIRES_IN_SECONDS_MAX;
use super::fields::Check;

/// Units that a SKU may hold.
const STOCK_MAX: u64 = 1_000_000_000_000;
const STOCK_DELTA_MAX: i64 = 1_000_000_000_000;
const PAGE_SIZE_MAX: u32 = 1_000;

pub fn set_stock(check: &mut Check, request: &SetStockRequest) {
    check.numeric_id("goods_id", request.goods_id);
    check.number("on_hand", request.on_hand, 0..=STOCK_MAX);
}

pub fn adjust_stock(check: &mut Check, request: &AdjustStockRequest) {
    check.numeric_id("goods_id", request.goods_id);
    check.require(request.delta != 0, "delta", "must not be 0");
    check.number("delta", request.delta, -STOCK_DELTA_MAX..=STOCK_DELTA_MAX);
}

pub fn set_stock_threshold(check: &mut Check, request: &SetStockThresholdRequest) {
    check.numeric_id("goods_id", request.goods_id);
    check.number("low_threshold", request.low_threshold, 0..=STOCK_MAX);
}

pub fn reserve_stock(check: &mut Check, request: &ReserveStockRequest) {
    check.id("business_id", &request.business_id);
    check.lines(&request.lines);
    check.number("expires_in_seconds", request.expires_in_seconds, 0..=EXPIRES_IN_SECONDS_MAX);
}

/// It becomes a ReserveStock, but is told of its own fields.
pub fn try_stock(request: &TryStockRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.id("business_id", &request.business_id);
    check.lines(&request.lines);
    check.number("timeout_seconds", request.timeout_seconds, 0..=EXPIRES_IN_SECONDS_MAX);
    check.into_violations()
}

pub fn stock_ids(goods_ids: &[u64]) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.number("goods_ids", goods_ids.len(), 1..=BATCH_GOODS_MAX);
    for (index, goods_id) in goods_ids.iter().enumerate().take(BATCH_GOODS_MAX) {
        check.numeric_id(format_args!("goods_ids[{index}]"), *goods_id);
    }
    check.into_violations()
}

pub fn batch_set_stock(request: &BatchSetStockRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.number("entries", request.entries.len(), 1..=BATCH_GOODS_MAX);
    let mut goods_ids = HashSet::new();
    for (index, entry) in request.entries.iter().enumerate().take(BATCH_GOODS_MAX) {
        let mut of_entry = Check::default();
        set_stock(&mut of_entry, entry);
        for FieldViolation { field, description } in of_entry.into_violations() {
            check.require(false, format_args!("entries[{index}].{field}"), description);
        }
        // Two of one SKU would meet under the call's key.
        check.require(goods_ids.insert(entry.goods_id), format_args!("entries[{index}].goods_id"), "is of another entry already");
    }
    check.into_violations()
}

pub fn list_stocks(request: &ListStocksRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.page::<[u64; 1]>(request.page_size, PAGE_SIZE_MAX, &request.page_token);
    check.into_violations()
}

pub fn list_hot_goods(request: &ListHotGoodsRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.number("limit", request.limit, 0..=HOT_GOODS_MAX as u32);
    check.into_violations()
}

pub fn list_stock_changes(request: &ListStockChangesRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("goods_id", request.goods_id);
    check.page::<[u64; 1]>(request.page_size, PAGE_SIZE_MAX, &request.page_token);
    check.into_violations()
}
