use emshop_proto::v1::{Goods, GoodsSort, Money};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{changed, goods, open};
use crate::{Filter, Page};

fn with(goods: Goods, price_minor: i64, category_id: u64, brand_id: u64) -> Goods {
    Goods { unit_price: Some(Money::new(price_minor, "CNY")), category_id, brand_id, ..goods }
}

/// Created in the order of their ids, but for the last two, which are as old as each other.
fn shop() -> Vec<Goods> {
    let mut shop = vec![
        Goods { is_hot: true, brief: "Smartphone, 5G".into(), ..with(goods(1, "Apple iPhone 15 Pro Max 256GB"), 899_900, 11, 1) },
        Goods { is_new: true, ..with(goods(2, "苹果手机壳 iPhone15 硅胶"), 4_900, 12, 2) },
        Goods { is_hot: true, is_new: true, ..with(goods(3, "华为 Mate60 Pro 智能手机"), 699_900, 11, 3) },
        Goods {
            description: "Over-ear, with 30 hours of battery life. No phone needed.".into(),
            ..with(goods(4, "Sony WH-1000XM5 Wireless Noise-Cancelling Headphones"), 249_900, 13, 4)
        },
        with(goods(5, "索尼无线蓝牙耳机 WF-1000XM5 降噪"), 179_900, 13, 4),
        with(goods(6, "鞋子和服装收纳箱"), 9_900, 21, 0),
        with(goods(7, "日本和服"), 129_900, 22, 0),
        with(goods(8, "Women's Running Shoes"), 39_900, 23, 5),
        with(goods(9, "Men's T-Shirt, cotton"), 9_900, 22, 5),
        with(goods(10, "纯棉T恤 男女装"), 7_900, 22, 0),
        Goods { brief: "夏季新款".into(), ..with(goods(11, "红色连衣裙"), 19_900, 22, 0) },
        with(goods(12, "ＵＳＢ－Ｃ　充电线"), 1_900, 12, 2),
        with(goods(13, "Café crème, coffee beans 1kg"), 8_900, 0, 0),
        with(goods(14, "10,000mAh 充电宝"), 12_900, 12, 2),
        Goods { on_sale: Some(false), ..with(goods(15, "iPhone 14"), 499_900, 11, 1) },
        with(goods(16, "The Who: Live at Leeds (vinyl)"), 15_900, 0, 0),
        Goods { on_sale: Some(true), ..with(goods(17, "ワイヤレスマウス"), 5_900, 12, 0) },
        Goods {
            description: "杭研牌不锈钢真空杯，保温十二小时。".into(), ..with(goods(18, "保温杯"), 8_800, 0, 0)
        },
    ];
    for goods in &mut shop {
        goods.created_at_ms = 1_000 + goods.goods_id.min(17) as i64;
    }
    shop
}

fn keywords(keywords: &str) -> Filter {
    Filter { keywords: keywords.to_owned(), limit: 100, ..Filter::default() }
}

fn all() -> Filter {
    keywords("")
}

#[test]
fn goods_are_found() {
    let folder = TempDir::new().unwrap();
    let mut index = open(folder.path());
    index.apply(shop().into_iter().enumerate().map(|(number, goods)| changed(number as u64 + 1, goods)).collect(), 1).unwrap();
    let listing = index.listing();
    let any = [17, 18, 16, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    let cases: &[(Filter, &[u64])] = &[
        (all(), &any),
        (keywords("…！"), &any),
        // English: stems, any order, all words, in any field, the name before the rest.
        (keywords("iphone"), &[1, 2]),
        (keywords("HEADPHONE wireless"), &[4]),
        (keywords("shoe run"), &[8]),
        (keywords("running boots"), &[]),
        (keywords("smartphones"), &[1]),
        (keywords("batteries sony"), &[4]),
        (keywords("cafe creme"), &[13]),
        (keywords("the who"), &[16]),
        (keywords("the"), &[16]),
        (keywords("women"), &[8]),
        (keywords("womens"), &[8]),
        (keywords("tshirt"), &[9]),
        (keywords("t-shirts"), &[9]),
        // Numbers and models, however they are written.
        (keywords("WH-1000XM5"), &[4]),
        (keywords("wh1000xm5"), &[4]),
        (keywords("1000xm5"), &[4, 5]),
        (keywords("iphone15"), &[1, 2]),
        (keywords("iphone 15 pro"), &[1]),
        (keywords("1000"), &[4, 5]),
        (keywords("100"), &[]),
        (keywords("10000 mah"), &[14]),
        (keywords("usb-c"), &[12]),
        (keywords("USBC 充电"), &[12]),
        // Chinese: words of the dictionary, what it does not know as it is written, and both languages together.
        (keywords("手机"), &[2, 3]),
        (keywords("手机壳"), &[2]),
        (keywords("机壳"), &[2]),
        (keywords("华为手机"), &[3]),
        (keywords("华为mate60"), &[3]),
        (keywords("蓝牙耳机"), &[5]),
        (keywords("索尼 1000xm5"), &[5]),
        (keywords("和服"), &[7, 6]),
        (keywords("女装"), &[10]),
        (keywords("T恤"), &[10]),
        (keywords("夏季的裙子"), &[]),
        (keywords("夏季连衣裙"), &[11]),
        (keywords("杭研"), &[18]),
        (keywords("研杭"), &[]),
        (keywords("マウス"), &[17]),
        // No syntax.
        (keywords("name:iphone OR sony"), &[]),
        (keywords("+iphone -apple"), &[1]),
        (keywords("iphone*"), &[1, 2]),
        (keywords("\"pro iphone"), &[1]),
        // Filters.
        (Filter { include_off_sale: true, ..keywords("iphone") }, &[15, 1, 2]),
        (Filter { only_hot: true, ..all() }, &[3, 1]),
        (Filter { only_new: true, ..all() }, &[3, 2]),
        (Filter { only_new: true, only_hot: true, ..all() }, &[3]),
        (Filter { category_ids: Some(vec![13, 21, 99]), ..all() }, &[6, 5, 4]),
        (Filter { category_ids: Some(vec![0]), ..all() }, &[18, 16, 13]),
        (Filter { category_ids: Some(vec![]), ..all() }, &[]),
        (Filter { brand_id: Some(2), ..all() }, &[14, 12, 2]),
        (Filter { price_min_minor: Some(179_900), price_max_minor: Some(699_900), ..all() }, &[5, 4, 3]),
        (Filter { price_min_minor: Some(699_901), ..all() }, &[1]),
        (Filter { price_max_minor: Some(4_900), ..all() }, &[12, 2]),
        (Filter { price_max_minor: Some(1_000), price_min_minor: Some(2_000), ..all() }, &[]),
        (Filter { brand_id: Some(4), category_ids: Some(vec![13]), price_max_minor: Some(200_000), ..keywords("xm5") }, &[5]),
        // Sorts, equals by id.
        (Filter { sort: GoodsSort::Newest, ..keywords("iphone") }, &[2, 1]),
        (Filter { sort: GoodsSort::PriceAscending, price_max_minor: Some(9_900), ..all() }, &[12, 2, 17, 10, 18, 13, 6, 9]),
        (Filter { sort: GoodsSort::PriceDescending, price_max_minor: Some(9_900), ..all() }, &[6, 9, 13, 18, 10, 17, 2, 12]),
    ];
    for (filter, expected) in cases {
        let found = listing.list(filter).unwrap();
        assert_eq!(found, Page { goods_ids: expected.to_vec(), total: expected.len() as u64 }, "{filter:?}");
    }
}

#[test]
fn pages_join_up() {
    let folder = TempDir::new().unwrap();
    let mut index = open(folder.path());
    // All alike, in several segments.
    for commit in 0..5_u64 {
        let goods = (0..50).map(|number| changed(1, goods(1 + commit + 5 * number, "茶 tea")));
        index.apply(goods.collect(), commit + 1).unwrap();
    }
    let listing = index.listing();
    for sort in [GoodsSort::Unspecified, GoodsSort::Newest, GoodsSort::PriceAscending, GoodsSort::PriceDescending] {
        for keywords in ["", "tea"] {
            let page = |offset| {
                let filter = Filter { keywords: keywords.to_owned(), sort, offset, limit: 7, ..Filter::default() };
                let page = listing.list(&filter).unwrap();
                assert_eq!(page.total, 250);
                page.goods_ids
            };
            let pages: Vec<_> = (0..40).flat_map(|number| page(number * 7)).collect();
            assert_eq!(pages, (1..=250).collect::<Vec<_>>(), "{sort:?} {keywords}");
        }
    }
}

/// Parts of names, of many scripts, with what stands between them.
const PARTS: [&str; 40] = [
    "手机",
    "壳",
    "华为",
    "男女装",
    "和服",
    "的",
    "了",
    "二〇",
    "々",
    "丽",
    "𠀀",
    "龘",
    "红裙",
    "T恤",
    "Café",
    "cafe\u{301}",
    "WH",
    "1000",
    "xm5",
    "women",
    "’s",
    "'",
    "-",
    " ",
    "  ",
    ".",
    ",",
    "1,000",
    "，",
    "。",
    "（",
    "＋",
    "ｉＰｈｏｎｅ",
    "㎏",
    "ワイヤ",
    "ﾏｳｽ",
    "한국어",
    "ß",
    "İ",
    "🎁",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn whatever_has_words_is_found_by_its_own_name(
        names in vec(prop_oneof![vec(prop::sample::select(&PARTS[..]), 1..12).prop_map(|parts| parts.concat()), any::<String>()], 100),
    ) {
        let folder = TempDir::new().unwrap();
        let mut index = open(folder.path());
        index.apply((1..).zip(&names).map(|(goods_id, name)| changed(1, goods(goods_id, name))).collect(), 1).unwrap();
        let listing = index.listing();
        for (goods_id, name) in (1..).zip(&names) {
            let found = listing.list(&keywords(name)).unwrap();
            prop_assert!(found.goods_ids.contains(&goods_id), "{:?} is not found", name);
        }
    }
}
