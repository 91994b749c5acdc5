//! What is to be known of lists of stock on both sides of the log.

use std::cmp::Reverse;

use crate::v1::HotGoods;

/// How many hot SKUs are told at most.
pub const HOT_GOODS_MAX: usize = 20;

/// The hottest first. Of those that are as hot the order does not change from one look to the next.
pub fn hottest_first(goods: &mut [HotGoods]) {
    goods.sort_unstable_by_key(|goods| (Reverse(goods.asked), goods.goods_id));
}
