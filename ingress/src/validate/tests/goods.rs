use emshop_proto::v1::{
    BatchDeleteGoodsRequest, BatchGetGoodsRequest, BatchSetOnSaleRequest, CreateGoodsRequest, DeleteGoodsRequest, Goods,
    GoodsSort, ListGoodsRequest, Money, SetOnSaleRequest, UpdateGoodsRequest,
};

use super::super::goods::{batch_delete_goods, batch_get_goods, batch_set_on_sale, list_goods};
use super::*;

fn goods() -> Goods {
    Goods { goods_id: 1, name: "tea".to_owned(), unit_price: Some(Money::new(1, "CNY")), ..Goods::default() }
}

const ENTRIES: &[(&str, Change<Goods>)] = &[
    ("goods.goods_id", |g| g.goods_id = 0),
    ("goods.name", |g| g.name.clear()),
    ("", |g| g.name = "茶".repeat(33)),
    ("goods.name", |g| g.name = "茶".repeat(34)),
    ("goods.unit_price", |g| g.unit_price = None),
    ("", |g| g.unit_price = Some(Money::new(1_000_000_000_000, "CNY"))),
    ("goods.unit_price.amount_minor", |g| g.unit_price = Some(Money::new(1_000_000_000_001, "CNY"))),
    ("goods.unit_price.amount_minor", |g| g.unit_price = Some(Money::new(0, "CNY"))),
    ("goods.unit_price.amount_minor", |g| g.unit_price = Some(Money::new(-1, "CNY"))),
    ("goods.unit_price.currency", |g| g.unit_price = Some(Money::new(1, "Cny"))),
    ("", |g| g.weight_grams = 1_000_000),
    ("goods.weight_grams", |g| g.weight_grams = 1_000_001),
    ("", |g| g.goods_sn = "x".repeat(50)),
    ("goods.goods_sn", |g| g.goods_sn = "x".repeat(51)),
    ("", |g| g.market_price = Some(Money::new(1_000_000_000_000, "CNY"))),
    ("goods.market_price.amount_minor", |g| g.market_price = Some(Money::new(0, "CNY"))),
    ("goods.market_price.currency", |g| g.market_price = Some(Money::new(1, "EUR"))),
    ("", |g| g.brief = "x".repeat(200)),
    ("goods.brief", |g| g.brief = "x".repeat(201)),
    ("", |g| g.description = "x".repeat(8_192)),
    ("goods.description", |g| g.description = "x".repeat(8_193)),
    ("", |g| g.images = vec!["https://emshop.example/a.png".to_owned(); 20]),
    ("goods.images", |g| g.images = vec!["a.png".to_owned(); 21]),
    ("goods.images[1]", |g| g.images = vec!["a.png".to_owned(), String::new()]),
    ("goods.description_images", |g| g.description_images = vec!["a.png".to_owned(); 21]),
    ("goods.description_images[0]", |g| g.description_images = vec!["ftp://emshop.example".to_owned()]),
    ("", |g| g.front_image = format!("/{}", "x".repeat(199))),
    ("goods.front_image", |g| g.front_image = format!("/{}", "x".repeat(200))),
];

#[test]
fn entries() {
    check(goods, |goods| of(Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) })), ENTRIES);
    check(goods, |goods| of(Body::UpdateGoods(UpdateGoodsRequest { goods: Some(goods) })), ENTRIES);
    assert_eq!(of(Body::CreateGoods(CreateGoodsRequest::default())), ["goods"]);
    assert_eq!(of(Body::UpdateGoods(UpdateGoodsRequest::default())), ["goods"]);
    assert_eq!(of(Body::DeleteGoods(DeleteGoodsRequest::default())), ["goods_id"]);
    assert_eq!(of(Body::SetOnSale(SetOnSaleRequest::default())), ["goods_id"]);
}

#[test]
fn batches() {
    let set = |goods_ids| fields(batch_set_on_sale(&BatchSetOnSaleRequest { goods_ids, on_sale: true }));
    let delete = |goods_ids| fields(batch_delete_goods(&BatchDeleteGoodsRequest { goods_ids }));
    let get = |goods_ids| fields(batch_get_goods(&BatchGetGoodsRequest { goods_ids }));
    check_ids(set, 1_000);
    check_ids(delete, 1_000);
    check_ids(get, 100);
}

fn check_ids(batch: impl Fn(Vec<u64>) -> Vec<String>, most: usize) {
    assert_eq!(batch(vec![1; most]), [""; 0]);
    assert_eq!(batch(vec![1; most + 1]), ["goods_ids"]);
    assert_eq!(batch(Vec::new()), ["goods_ids"]);
    assert_eq!(batch(vec![1, 0]), ["goods_ids[1]"]);
}

#[test]
fn urls() {
    let good = [
        "http://a",
        "https://emshop.example:8080/a/b.png?size=1:2#top",
        "HTTPS://emshop.example",
        "/images/茶.png",
        "images/tea.png",
        "tea.png?at=12:30",
        "?page=http://a",
    ];
    let bad = [
        "javascript:alert(1)",
        "JavaScript://%0aalert(1)",
        "data:image/png;base64,AAAA",
        "ftp://emshop.example/a.png",
        "http://",
        "http:///a.png",
        "http:a.png",
        "//elsewhere.example/a.png",
        "/\\elsewhere.example",
        "/a b.png",
        " /a.png",
        "/a\n.png",
        "/a\u{0}.png",
    ];
    let of_image = |url: &str| {
        let goods = Goods { front_image: url.to_owned(), ..goods() };
        of(Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) }))
    };
    good.iter().for_each(|url| assert_eq!(of_image(url), [""; 0], "{url}"));
    bad.iter().for_each(|url| assert_eq!(of_image(url), ["goods.front_image"], "{url}"));
}

#[test]
fn lists() {
    check(
        ListGoodsRequest::default,
        |request| fields(list_goods(&request)),
        &[
            ("", |r| r.keywords = "x".repeat(200)),
            ("keywords", |r| r.keywords = "x".repeat(201)),
            ("price_min_minor", |r| r.price_min_minor = -1),
            ("", |r| r.price_min_minor = 1_000_000_000_000),
            ("price_min_minor", |r| r.price_min_minor = 1_000_000_000_001),
            ("price_max_minor", |r| r.price_max_minor = -1),
            ("price_max_minor", |r| r.price_max_minor = 1_000_000_000_001),
            ("", |r| (r.price_min_minor, r.price_max_minor) = (5, 5)),
            ("price_max_minor", |r| (r.price_min_minor, r.price_max_minor) = (6, 5)),
            ("", |r| r.set_sort(GoodsSort::PriceDescending)),
            ("sort", |r| r.sort = 9),
            ("", |r| (r.page_size, r.page) = (100, 100)),
            ("page_size", |r| r.page_size = 101),
            ("page", |r| (r.page_size, r.page) = (100, 101)),
            ("", |r| r.page = 500),
            ("page", |r| r.page = 501),
            ("page", |r| r.page = u32::MAX),
        ],
    );
}
