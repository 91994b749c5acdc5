//! Goods entries: what orders take their prices from.

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::GoodsRow;
use emshop_proto::v1::{CreateGoodsRequest, Goods, GoodsCreated, Money, event, outcome};

use super::effects::{Answer, Effects};
use super::state::State;

pub fn create(state: &mut State, request: &CreateGoodsRequest, fx: &mut Effects) -> Answer {
    let goods = request.goods.clone().unwrap_or_default();
    let price = goods.unit_price.clone().unwrap_or_default();
    let row = GoodsRow {
        name: goods.name.clone(),
        currency: price.currency.clone(),
        unit_price_minor: price.amount_minor,
        weight_grams: goods.weight_grams,
    };
    match state.goods.get(&goods.goods_id) {
        Some(existing) if *existing == row => return Answer::new(outcome::Result::Goods(goods)).repeated(),
        Some(_) => return Code::GoodsExists.into(),
        None => {}
    }
    state.goods.insert(goods.goods_id, row);
    let created = GoodsCreated { goods_id: goods.goods_id, name: goods.name.clone(), unit_price: Some(price) };
    fx.event(EventType::GoodsCreated, event::Body::Goods(created));
    Answer::new(outcome::Result::Goods(goods))
}

pub fn view(goods_id: u64, row: &GoodsRow) -> Goods {
    Goods {
        goods_id,
        name: row.name.clone(),
        unit_price: Some(Money::new(row.unit_price_minor, &row.currency)),
        weight_grams: row.weight_grams,
    }
}
