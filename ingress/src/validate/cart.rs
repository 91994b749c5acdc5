//! Of carts.

use std::ops::RangeInclusive;

use emshop_proto::v1::{
    AddCartItemRequest, ClearCartRequest, FieldViolation, ListCartRequest, RemoveCartItemsRequest, SelectCartItemsRequest,
    UpdateCartItemRequest,
};

use super::QUANTITY_MAX;
use super::fields::Check;

/// SKUs that one command names.
const GOODS_MAX: usize = 1_000;

pub fn add_cart_item(check: &mut Check, request: &AddCartItemRequest) {
    check.numeric_id("user_id", request.user_id);
    check.numeric_id("goods_id", request.goods_id);
    check.number("quantity", request.quantity, 1..=QUANTITY_MAX);
}

pub fn update_cart_item(check: &mut Check, request: &UpdateCartItemRequest) {
    check.numeric_id("user_id", request.user_id);
    check.numeric_id("goods_id", request.goods_id);
    match request.quantity {
        Some(quantity) => check.number("quantity", quantity, 1..=QUANTITY_MAX),
        None => check.require(request.selected.is_some(), "quantity", "quantity or selected is required"),
    }
}

pub fn select_cart_items(check: &mut Check, request: &SelectCartItemsRequest) {
    check.numeric_id("user_id", request.user_id);
    goods_ids(check, &request.goods_ids, 0..=GOODS_MAX);
}

pub fn remove_cart_items(check: &mut Check, request: &RemoveCartItemsRequest) {
    check.numeric_id("user_id", request.user_id);
    goods_ids(check, &request.goods_ids, 1..=GOODS_MAX);
}

pub fn clear_cart(check: &mut Check, request: &ClearCartRequest) {
    check.numeric_id("user_id", request.user_id);
}

pub fn list_cart(request: &ListCartRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("user_id", request.user_id);
    check.into_violations()
}

fn goods_ids(check: &mut Check, goods_ids: &[u64], allowed: RangeInclusive<usize>) {
    check.number("goods_ids", goods_ids.len(), allowed);
    for (index, goods_id) in goods_ids.iter().enumerate().take(GOODS_MAX) {
        check.numeric_id(format_args!("goods_ids[{index}]"), *goods_id);
    }
}
