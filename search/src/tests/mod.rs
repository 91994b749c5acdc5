//! What is found, and that it is what the events say, however they come.

mod events;
mod folder;
mod listing;

use std::path::Path;

use emshop_proto::v1::{Goods, Money};

use crate::change::Change;
use crate::index::Index;

const CLUSTER: &str = "0123456789abcdef";

fn open(folder: &Path) -> Index {
    Index::open(folder, CLUSTER).expect("an index")
}

fn goods(goods_id: u64, name: &str) -> Goods {
    Goods { goods_id, name: name.to_owned(), unit_price: Some(Money::new(100, "CNY")), ..Goods::default() }
}

fn changed(number: u64, goods: Goods) -> Change {
    Change { goods_id: goods.goods_id, number, goods: Some(goods) }
}
