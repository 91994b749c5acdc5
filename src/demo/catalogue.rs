//! The shop of the demo: a dozen goods, one of them scarce.

use anyhow::{Context, Result};
use emshop_proto::v1::{BatchGetStockRequest, CreateGoodsRequest, Goods, Money, SetStockRequest, StockLevel};

use super::client::Client;
use super::shopper::Run;

/// What the shop sells: id, name, price in fen, weight in grams. The ids are the demo's own.
const GOODS: [(u64, &str, i64, u64); 12] = [
    (880_001, "龙井绿茶 Longjing green tea, 100 g", 12_800, 120),
    (880_002, "普洱茶饼 Pu'er tea cake, 357 g", 26_800, 400),
    (880_003, "紫砂壶 Yixing clay teapot", 39_900, 650),
    (880_004, "景德镇瓷杯 Jingdezhen porcelain cup", 5_900, 210),
    (880_005, "真丝围巾 Silk scarf", 19_900, 90),
    (880_006, "羽毛球拍 Badminton racket", 45_900, 95),
    (880_007, "折叠伞 Folding umbrella", 8_900, 320),
    (880_008, "四川辣椒酱 Sichuan chilli sauce", 2_600, 280),
    (880_009, "机械键盘 Mechanical keyboard", 59_900, 980),
    (880_010, "毛笔套装 Calligraphy brushes", 13_900, 260),
    (880_011, "无线耳机 Wireless earphones", 29_900, 60),
    (SCARCE_ID, "限量版月饼礼盒 Mooncake gift box, limited edition", 16_800, 1_100),
];

/// Everybody wants it and there is too little of it.
pub const SCARCE_ID: u64 = 880_012;

/// Currency of all prices.
const CURRENCY: &str = "CNY";

pub fn goods() -> impl Iterator<Item = Goods> {
    GOODS.iter().map(|&(goods_id, name, price_minor, weight_grams)| Goods {
        goods_id,
        name: name.to_owned(),
        unit_price: Some(Money::new(price_minor, CURRENCY)),
        weight_grams,
        ..Goods::default()
    })
}

/// Goods of which there is enough for everybody.
pub fn plentiful_id(index: usize) -> u64 {
    GOODS[index % (GOODS.len() - 1)].0
}

/// Puts goods on the shelves and returns the stock of each as it was before: zeros in a new data folder.
pub async fn load(client: &Client, run: Run) -> Result<Vec<StockLevel>> {
    let before = stock(client).await?;
    for (goods, stock) in goods().zip(&before) {
        let goods_id = goods.goods_id;
        client.goods().create_goods(CreateGoodsRequest { goods: Some(goods) }).await.context("the catalogue is not accepted")?;
        let on_hand = stock.on_hand + run.units(goods_id);
        let delivery = SetStockRequest { goods_id, on_hand };
        client.inventory().set_stock(delivery).await.context("the stock is not accepted")?;
    }
    Ok(before)
}

/// Stock of all goods, in the order of the catalogue; zeros for what has no entry yet.
pub async fn stock(client: &Client) -> Result<Vec<StockLevel>> {
    let goods_ids = GOODS.map(|(goods_id, ..)| goods_id);
    let request = BatchGetStockRequest { goods_ids: goods_ids.to_vec() };
    let answer = client.inventory().batch_get_stock(request).await?.into_inner();
    let level = |goods_id| {
        let known = answer.stocks.iter().find(|stock| stock.goods_id == goods_id).copied();
        known.unwrap_or_else(|| StockLevel { goods_id, ..StockLevel::default() })
    };
    Ok(goods_ids.map(level).to_vec())
}
