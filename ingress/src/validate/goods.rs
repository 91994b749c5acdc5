//! Of goods.

use emshop_proto::v1::{
    BatchDeleteGoodsRequest, BatchGetGoodsRequest, BatchSetOnSaleRequest, CreateGoodsRequest, DeleteGoodsRequest, FieldViolation,
    Goods, GoodsSort, ListGoodsRequest, SetOnSaleRequest, UpdateGoodsRequest,
};
use emshop_search::RESULTS_MAX;

use super::fields::Check;
use super::{
    AMOUNT_MINOR_MAX, BATCH_GOODS_MAX, GOODS_NAME_BYTES_MAX, PAGE_SIZE_MAX, QUANTITY_MAX, URL_BYTES_MAX, WEIGHT_GRAMS_MAX,
};

const GOODS_SN_BYTES_MAX: usize = 50;
const BRIEF_BYTES_MAX: usize = 200;
const DESCRIPTION_BYTES_MAX: usize = 8_192;
/// Of each kind.
const IMAGES_MAX: usize = 20;
/// Entries of one BatchGetGoods, which may be long.
const BATCH_ENTRIES_MAX: usize = 100;
const KEYWORDS_BYTES_MAX: usize = 200;
/// Stands for 0 as the size of a page.
pub const LIST_PAGE_SIZE_DEFAULT: u32 = 20;

pub fn create_goods(check: &mut Check, request: &CreateGoodsRequest) {
    entry(check, request.goods.as_ref());
}

pub fn update_goods(check: &mut Check, request: &UpdateGoodsRequest) {
    entry(check, request.goods.as_ref());
}

pub fn delete_goods(check: &mut Check, request: &DeleteGoodsRequest) {
    check.numeric_id("goods_id", request.goods_id);
}

pub fn set_on_sale(check: &mut Check, request: &SetOnSaleRequest) {
    check.numeric_id("goods_id", request.goods_id);
}

pub fn batch_set_on_sale(request: &BatchSetOnSaleRequest) -> Vec<FieldViolation> {
    ids(&request.goods_ids, BATCH_GOODS_MAX)
}

pub fn batch_delete_goods(request: &BatchDeleteGoodsRequest) -> Vec<FieldViolation> {
    ids(&request.goods_ids, BATCH_GOODS_MAX)
}

pub fn batch_get_goods(request: &BatchGetGoodsRequest) -> Vec<FieldViolation> {
    ids(&request.goods_ids, BATCH_ENTRIES_MAX)
}

pub fn list_goods(request: &ListGoodsRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.text("keywords", &request.keywords, 0..=KEYWORDS_BYTES_MAX);
    check.number("price_min_minor", request.price_min_minor, 0..=AMOUNT_MINOR_MAX);
    check.number("price_max_minor", request.price_max_minor, 0..=AMOUNT_MINOR_MAX);
    check.require(
        request.price_max_minor <= 0 || request.price_min_minor <= request.price_max_minor,
        "price_max_minor",
        "must be price_min_minor or above",
    );
    check.require(GoodsSort::try_from(request.sort).is_ok(), "sort", "is not known");
    check.number("page_size", request.page_size, 0..=PAGE_SIZE_MAX);
    let page_size = if request.page_size == 0 { LIST_PAGE_SIZE_DEFAULT } else { request.page_size };
    check.require(
        u64::from(request.page) * u64::from(page_size) <= RESULTS_MAX as u64,
        "page",
        format_args!("page × page_size must be at most {RESULTS_MAX}"),
    );
    check.into_violations()
}

fn ids(goods_ids: &[u64], most: usize) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.number("goods_ids", goods_ids.len(), 1..=most);
    for (index, goods_id) in goods_ids.iter().enumerate().take(most) {
        check.numeric_id(format_args!("goods_ids[{index}]"), *goods_id);
    }
    check.into_violations()
}

fn entry(check: &mut Check, goods: Option<&Goods>) {
    let Some(goods) = goods else {
        return check.require(false, "goods", "is required");
    };
    check.numeric_id("goods.goods_id", goods.goods_id);
    check.words("goods.name", &goods.name, 1..=GOODS_NAME_BYTES_MAX);
    check.price("goods.unit_price", goods.unit_price.as_ref());
    check.number("goods.weight_grams", goods.weight_grams, 0..=WEIGHT_GRAMS_MAX);
    check.words("goods.goods_sn", &goods.goods_sn, 0..=GOODS_SN_BYTES_MAX);
    if let Some(market_price) = &goods.market_price {
        check.price("goods.market_price", Some(market_price));
        check.require(
            goods.unit_price.as_ref().is_none_or(|unit_price| unit_price.currency == market_price.currency),
            "goods.market_price.currency",
            "must be that of unit_price",
        );
    }
    check.words("goods.brief", &goods.brief, 0..=BRIEF_BYTES_MAX);
    check.prose("goods.description", &goods.description, 0..=DESCRIPTION_BYTES_MAX);
    images(check, "goods.images", &goods.images);
    images(check, "goods.description_images", &goods.description_images);
    check.number("goods.user_units_max", goods.user_units_max, 0..=QUANTITY_MAX);
    check.url("goods.front_image", &goods.front_image, 0..=URL_BYTES_MAX);
}

fn images(check: &mut Check, field: &str, urls: &[String]) {
    check.number(field, urls.len(), 0..=IMAGES_MAX);
    for (index, url) in urls.iter().enumerate().take(IMAGES_MAX) {
        check.url(format_args!("{field}[{index}]"), url, 1..=URL_BYTES_MAX);
    }
}
