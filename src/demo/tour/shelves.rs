//! The catalogue: categories, brand, goods, stock; found again by words in two languages.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use emshop_proto::errors::Code;
use emshop_proto::v1::{
    Banner, BatchSetOnSaleRequest, BatchSetStockRequest, Brand, Category, CreateBannerRequest, CreateBrandRequest,
    CreateCategoryRequest, CreateGoodsRequest, DeleteCategoryRequest, GetCategoryTreeRequest, Goods, LinkBrandRequest,
    ListGoodsRequest, SetStockRequest, SetStockThresholdRequest,
};
use tokio::time::{Instant, sleep};

use super::{Tour, refused, yuan};

/// Name, brief, price in fen.
const GOODS: [(&str, &str, i64); 12] = [
    ("西湖龙井 West Lake green tea", "明前绿茶, picked before the spring rain", 12_800),
    ("铁观音 Oolong tea", "安溪乌龙茶", 9_800),
    ("茉莉花茶 Jasmine tea", "scented green tea", 5_800),
    ("紫砂壶 Clay teapot", "宜兴手工茶壶", 39_900),
    ("盖碗 Gaiwan", "porcelain cup with a lid", 8_900),
    ("茶盘 Tea tray", "bamboo, 竹制", 15_900),
    ("茶刷 Tea brush", "for the tray", 1_900),
    ("公道杯 Sharing pitcher", "glass", 4_500),
    ("茶罐 Tea caddy", "keeps tea dry", 6_900),
    ("茶巾 Tea towel", "cotton", 990),
    ("滤网 Strainer", "stainless steel", 2_500),
    ("闻香杯 Aroma cup", "tall and thin", 3_200),
];

const ON_HAND: u64 = 20;
const LOW_THRESHOLD: u64 = 19;
/// How long the search may take to follow the events.
const FOUND_WITHIN: Duration = Duration::from_secs(10);
const FOUND_POLL: Duration = Duration::from_millis(50);

/// What the tour sells.
pub struct Shelf {
    pub goods_ids: Vec<u64>,
    /// The one of them that is off sale.
    pub off_sale_id: u64,
}

pub async fn fill(tour: &mut Tour) -> Result<Shelf> {
    let category_id = arrange(tour).await?;
    let shelf = put_goods(tour, category_id).await?;
    find(tour, &shelf, category_id).await?;
    Ok(shelf)
}

/// Three levels of categories, and a brand that the lowest carries.
async fn arrange(tour: &mut Tour) -> Result<u64> {
    let (food, tea, green) = (tour.id(1), tour.id(2), tour.id(3));
    let mut catalogue = tour.client.catalogue();
    for (category_id, parent_id, name) in [(food, 0, "食品 Food"), (tea, food, "茶 Tea"), (green, tea, "茶具茶叶 Tea and ware")]
    {
        let category = Category { category_id, parent_id, name: name.to_owned(), is_tab: parent_id == 0, ..Category::default() };
        catalogue.create_category(CreateCategoryRequest { category: Some(category) }).await?;
    }
    refused(catalogue.delete_category(DeleteCategoryRequest { category_id: food }).await, Code::CategoryHasChildren)?;
    let brand_id = tour.id(1);
    let brand = Brand { brand_id, name: format!("茗 {}", tour.number), ..Brand::default() };
    catalogue.create_brand(CreateBrandRequest { brand: Some(brand) }).await?;
    catalogue.link_brand(LinkBrandRequest { category_id: green, brand_id }).await?;
    let banner = Banner { banner_id: tour.id(1), image: "/tea.webp".to_owned(), url: "/tea".to_owned(), index: 1 };
    catalogue.create_banner(CreateBannerRequest { banner: Some(banner) }).await?;
    Ok(green)
}

async fn put_goods(tour: &mut Tour, category_id: u64) -> Result<Shelf> {
    let brand_id = tour.id(1);
    let goods_ids: Vec<u64> = (0..GOODS.len() as u64).map(|index| tour.id(index + 1)).collect();
    let mut service = tour.client.goods();
    for (goods_id, (name, brief, price_minor)) in goods_ids.iter().zip(GOODS) {
        let goods = Goods {
            goods_id: *goods_id,
            name: name.to_owned(),
            brief: brief.to_owned(),
            unit_price: Some(yuan(price_minor)),
            weight_grams: 300,
            category_id,
            brand_id,
            goods_sn: format!("sn-{goods_id}"),
            is_new: true,
            ..Goods::default()
        };
        service.create_goods(CreateGoodsRequest { goods: Some(goods) }).await?;
    }
    let entry = |goods_id: &u64| SetStockRequest { goods_id: *goods_id, on_hand: ON_HAND };
    let mut inventory = tour.client.inventory();
    inventory.batch_set_stock(BatchSetStockRequest { entries: goods_ids.iter().map(entry).collect() }).await?;
    let threshold = SetStockThresholdRequest { goods_id: goods_ids[0], low_threshold: LOW_THRESHOLD };
    inventory.set_stock_threshold(threshold).await?;
    let off_sale_id = *goods_ids.last().expect("there are goods");
    service.batch_set_on_sale(BatchSetOnSaleRequest { goods_ids: vec![off_sale_id], on_sale: false }).await?;
    let tree = tour.client.catalogue().get_category_tree(GetCategoryTreeRequest {}).await?.into_inner();
    let root = tree.roots.iter().find(|node| node.category.as_ref().is_some_and(|category| category.category_id == tour.id(1)));
    let below = root.context("the tree has the category")?.goods_below;
    ensure!(below == GOODS.len() as u64, "the category has {below} goods below it");
    tour.saw("catalogue", format!("{} goods in a category of level {}, one of them off sale", GOODS.len(), tree.max_depth));
    Ok(Shelf { goods_ids, off_sale_id })
}

async fn find(tour: &mut Tour, shelf: &Shelf, category_id: u64) -> Result<()> {
    let of_category = ListGoodsRequest { category_id, page_size: 100, ..ListGoodsRequest::default() };
    let on_sale = shelf.goods_ids.len() as u64 - 1;
    search(tour, of_category.clone(), on_sale).await?;
    let mut seen = Vec::new();
    for (keywords, hits) in [("绿茶", 1), ("green tea", 2), ("teapot", 1), ("茶壶", 1)] {
        search(tour, ListGoodsRequest { keywords: keywords.to_owned(), ..of_category.clone() }, hits).await?;
        seen.push(format!("{keywords}: {hits}"));
    }
    let cheap = ListGoodsRequest { price_max_minor: 5_000, ..of_category };
    search(tour, cheap, 4).await?;
    tour.saw("search", format!("{}, up to 50.00: 4", seen.join(", ")));
    Ok(())
}

/// Asks until the index has followed.
async fn search(tour: &Tour, request: ListGoodsRequest, hits: u64) -> Result<()> {
    let deadline = Instant::now() + FOUND_WITHIN;
    loop {
        let answer = tour.client.goods().list_goods(request.clone()).await?.into_inner();
        if answer.total == hits {
            return Ok(());
        }
        if Instant::now() > deadline {
            let names: Vec<_> = answer.goods.iter().map(|goods| goods.name.as_str()).collect();
            bail!("{request:?} finds {names:?}, not {hits}");
        }
        sleep(FOUND_POLL).await;
    }
}
