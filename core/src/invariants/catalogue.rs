//! What must hold between goods and catalogue, recomputed from the rows of one log.
//!
//! The catalogue's log knows its own goods only. They never wait for it, and of a cluster's only log they are all that there are, so there
//! every counter is exact; with more logs each is at least what its own goods say.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::state::keys::Kind;
use emshop_proto::internal::{BannerRow, BrandRow, CategoryRow, CountersRow, GoodsChangeRow, GoodsDetailRow, GoodsRow};
use emshop_proto::partitioner::Partitioner;
use prost::Message;

use crate::goods::catalogue::LEVELS;
use crate::state::rows::{Banners, Brands, Categories, CategoryBrands, GoodsChanges, GoodsDetails, GoodsRows, GoodsSns};
use crate::state::table::Rows;

/// Rows of goods and catalogue, as the scan over the state comes upon them.
#[derive(Default)]
pub struct Check {
    goods: HashSet<u64>,
    details: BTreeMap<u64, GoodsDetailRow>,
    changes: Vec<u64>,
    categories: BTreeMap<u64, CategoryRow>,
    brands: BTreeMap<u64, BrandRow>,
    links: Vec<(u64, u64)>,
    goods_sns: HashMap<String, u64>,
    banners: u64,
    /// Categories, brands, banners and links, as the counters have them.
    counters: [u64; 4],
}

impl Check {
    pub fn row(&mut self, kind: Kind, key: &[u8], value: &[u8]) {
        match kind {
            Kind::Goods => {
                let _: GoodsRow = read(value);
                self.goods.insert(GoodsRows::decode_key(key));
            }
            Kind::GoodsDetail => drop(self.details.insert(GoodsDetails::decode_key(key), kept(read(value)))),
            Kind::GoodsChange => {
                let _: GoodsChangeRow = read(value);
                self.changes.push(GoodsChanges::decode_key(key));
            }
            Kind::GoodsSn => drop(self.goods_sns.insert(GoodsSns::decode_key(key), read(value))),
            Kind::Category => drop(self.categories.insert(Categories::decode_key(key), read(value))),
            Kind::Brand => drop(self.brands.insert(Brands::decode_key(key), read(value))),
            Kind::Banner => {
                let _: (u64, BannerRow) = (Banners::decode_key(key), read(value));
                self.banners += 1;
            }
            Kind::CategoryBrand => self.links.push(CategoryBrands::decode_key(key)),
            Kind::Counters => {
                let CountersRow { categories, brands, banners, category_brands, .. } = read(value);
                let counters = self.counters.iter_mut().zip([categories, brands, banners, category_brands]);
                counters.for_each(|(sum, counter)| *sum += counter);
            }
            _ => {}
        }
    }

    /// Sentences about what does not hold in log `log`.
    pub fn finish(&self, log: u32, partitioner: &Partitioner) -> Vec<String> {
        let mut broken = Vec::new();
        for goods_id in self.details.keys().filter(|goods_id| !self.goods.contains(goods_id)) {
            broken.push(format!("goods {goods_id} have details, but no entry"));
        }
        if partitioner.of_catalogue().log == log {
            self.tree(&mut broken);
            self.links(&mut broken);
            self.references(partitioner.logs() == 1, &mut broken);
            let own = |goods_id: &u64| partitioner.of_goods(*goods_id).log == log;
            self.numbers(own, &mut broken);
            let rows = [self.categories.len() as u64, self.brands.len() as u64, self.banners, self.links.len() as u64];
            if self.counters != rows {
                broken
                    .push(format!("categories, brands, banners and links: {:?} counted, but there are {rows:?}", self.counters));
            }
            if !self.changes.is_empty() {
                broken.push(format!("goods {:?} wait for the catalogue, which is in their own log", self.changes));
            }
        }
        broken
    }

    fn tree(&self, broken: &mut Vec<String>) {
        let mut children: HashMap<u64, u64> = HashMap::new();
        for (category_id, row) in &self.categories {
            let above = if row.parent_id == 0 { Some(0) } else { self.categories.get(&row.parent_id).map(|parent| parent.level) };
            if above.map(|level| level + 1) != Some(row.level) || row.level > LEVELS {
                broken.push(format!("category {category_id} is at level {} below {} at {above:?}", row.level, row.parent_id));
            }
            *children.entry(row.parent_id).or_default() += 1;
        }
        for (category_id, row) in &self.categories {
            let found = children.get(category_id).copied().unwrap_or(0);
            if row.children != found {
                broken.push(format!("category {category_id} counts {} children, but has {found}", row.children));
            }
        }
        let names: HashSet<_> = self.brands.values().map(|row| &row.name).collect();
        if names.len() != self.brands.len() {
            broken.push("two brands have the same name".to_owned());
        }
    }

    fn links(&self, broken: &mut Vec<String>) {
        let whole = |(category_id, brand_id): &&(u64, u64)| {
            self.categories.contains_key(category_id) && self.brands.contains_key(brand_id)
        };
        for link in self.links.iter().filter(|link| !whole(link)) {
            broken.push(format!("the link {link:?} has a category or a brand that is not there"));
        }
    }

    /// `exact` when all goods are in this log.
    fn references(&self, exact: bool, broken: &mut Vec<String>) {
        let count = |reference: fn(&GoodsDetailRow) -> u64| {
            let mut counts: HashMap<u64, u64> = HashMap::new();
            self.details.values().map(reference).filter(|id| *id != 0).for_each(|id| *counts.entry(id).or_default() += 1);
            counts
        };
        let categories = self.categories.iter().map(|(id, row)| (*id, row.goods)).collect();
        let brands = self.brands.iter().map(|(id, row)| (*id, row.goods)).collect();
        for (what, counters, found) in
            [("category", categories, count(|row| row.category_id)), ("brand", brands, count(|row| row.brand_id))]
        {
            let counters: HashMap<u64, u64> = counters;
            let ids: HashSet<_> = counters.keys().chain(found.keys()).collect();
            for id in ids {
                let (counted, found) = (counters.get(id).copied(), found.get(id).copied().unwrap_or(0));
                let agrees = if exact { counted == Some(found) } else { counted.is_some_and(|counted| counted >= found) };
                if !agrees {
                    broken.push(format!("{what} {id} counts {counted:?} goods, but {found} of this log refer to it"));
                }
            }
        }
    }

    fn numbers(&self, own: impl Fn(&u64) -> bool, broken: &mut Vec<String>) {
        for (goods_id, row) in self.details.iter().filter(|(_, row)| !row.goods_sn.is_empty()) {
            if self.goods_sns.get(&row.goods_sn) != Some(goods_id) {
                broken.push(format!("goods {goods_id} have the number {}, which is not theirs", row.goods_sn));
            }
        }
        for (goods_sn, goods_id) in self.goods_sns.iter().filter(|(_, goods_id)| own(goods_id)) {
            if self.details.get(goods_id).is_none_or(|row| row.goods_sn != *goods_sn) {
                broken.push(format!("the number {goods_sn} is taken for goods {goods_id}, which do not have it"));
            }
        }
    }
}

/// What the check needs of a row: texts would fill the memory.
fn kept(row: GoodsDetailRow) -> GoodsDetailRow {
    let GoodsDetailRow { category_id, brand_id, goods_sn, .. } = row;
    GoodsDetailRow { category_id, brand_id, goods_sn, ..GoodsDetailRow::default() }
}

fn read<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).unwrap_or_else(|error| panic!("a row of the state cannot be decoded: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goods 1 in category 12 below 11, of brand 21, which 12 carries; one log.
    fn good() -> Check {
        let category =
            |parent_id, level, goods, children| CategoryRow { parent_id, level, goods, children, ..CategoryRow::default() };
        let brand = |name: &str, goods| BrandRow { name: name.to_owned(), goods, ..BrandRow::default() };
        let detail = GoodsDetailRow { category_id: 12, brand_id: 21, goods_sn: "sn".to_owned(), ..GoodsDetailRow::default() };
        Check {
            goods: HashSet::from([1, 2]),
            details: BTreeMap::from([(1, detail), (2, GoodsDetailRow::default())]),
            categories: BTreeMap::from([(11, category(0, 1, 0, 1)), (12, category(11, 2, 1, 0))]),
            brands: BTreeMap::from([(21, brand("a", 1)), (22, brand("b", 0))]),
            links: vec![(12, 21)],
            goods_sns: HashMap::from([("sn".to_owned(), 1)]),
            counters: [2, 2, 1, 1],
            banners: 1,
            changes: Vec::new(),
        }
    }

    type Break = fn(&mut Check);

    #[test]
    fn what_does_not_hold_is_told() {
        let table: [(&str, Break); 16] = [
            ("goods 1 have details, but no entry", |c| c.goods = HashSet::from([2])),
            ("category 11 counts 2 children", |c| c.categories.get_mut(&11).unwrap().children = 2),
            ("category 12 is at level 3", |c| c.categories.get_mut(&12).unwrap().level = 3),
            ("category 12 is at level 2 below 13", |c| c.categories.get_mut(&12).unwrap().parent_id = 13),
            ("category 12 counts Some(2) goods", |c| c.categories.get_mut(&12).unwrap().goods = 2),
            ("category 11 counts Some(1) goods", |c| c.categories.get_mut(&11).unwrap().goods = 1),
            ("category 99 counts None goods", |c| c.details.get_mut(&2).unwrap().category_id = 99),
            ("brand 21 counts Some(0) goods", |c| c.brands.get_mut(&21).unwrap().goods = 0),
            ("brand 22 counts Some(0) goods", |c| c.details.get_mut(&2).unwrap().brand_id = 22),
            ("two brands have the same name", |c| c.brands.get_mut(&22).unwrap().name = "a".to_owned()),
            ("the link (12, 99)", |c| c.links[0] = (12, 99)),
            ("the link (99, 21)", |c| c.links[0] = (99, 21)),
            ("goods 1 have the number sn", |c| c.goods_sns = HashMap::from([("sn".to_owned(), 2)])),
            ("the number more is taken for goods 2", |c| c.goods_sns.extend([("more".to_owned(), 2)])),
            ("[2, 2, 1, 1] counted", |c| c.banners = 2),
            ("goods [7] wait", |c| c.changes.push(7)),
        ];
        let one_log = Partitioner::new(1);
        assert_eq!(good().finish(0, &one_log), [""; 0]);
        for (sentence, break_it) in table {
            let mut check = good();
            break_it(&mut check);
            let told = check.finish(0, &one_log);
            assert!(told.iter().any(|told| told.contains(sentence)), "{sentence}: {told:?}");
        }
    }

    #[test]
    fn goods_of_other_logs_may_be_what_is_counted() {
        let two_logs = Partitioner::new(2);
        let log = two_logs.of_catalogue().log;
        let mut check = good();
        check.categories.get_mut(&12).expect("category 12").goods = 5;
        assert_eq!(check.finish(log, &two_logs), [""; 0]);
        check.categories.get_mut(&12).expect("category 12").goods = 0;
        assert_eq!(check.finish(log, &two_logs).len(), 1);
    }
}
