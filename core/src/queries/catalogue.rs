//! Goods, and what orders them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::query_reply::Body as Answer;
use emshop_proto::internal::{Catalogue, CatalogueKind, CatalogueQuery, GoodsEntries};
use emshop_proto::v1::CategoryBrand;

use super::refused;
use crate::goods;
use crate::goods::catalogue::{view_banner, view_brand, view_category};
use crate::replica::Replica;
use crate::state::State;
use crate::state::rows::CategoryBrands;
use crate::state::table::{Listed, Rows, Table};

/// Rows of one page. Of the longest there are, with a brand each, they stay below the 1 MiB of a reply.
const PAGE_ROWS_MAX: u32 = 2_000;

pub fn goods(replica: &Replica, goods_ids: &[u64]) -> Answer {
    let mut entries = GoodsEntries::default();
    for goods_id in goods_ids {
        entries.goods.extend(goods::view(&replica.state, *goods_id));
    }
    Answer::Goods(entries)
}

/// A page of one kind of what orders the goods.
pub fn page(replica: &mut Replica, query: &CatalogueQuery) -> Answer {
    let state = &mut replica.state;
    let (after, limit) = (query.after, query.limit.min(PAGE_ROWS_MAX) as usize);
    let counters = state.counters.get(&()).copied().unwrap_or_default();
    Answer::Catalogue(match query.kind() {
        CatalogueKind::Categories => {
            let level = |level| query.level == 0 || level == query.level;
            let parent = |parent_id| query.category_id == 0 || parent_id == query.category_id;
            let wanted = rows_after(&state.categories, &after, limit, |_, row| level(row.level) && parent(row.parent_id));
            let categories = wanted.iter().map(|(category_id, row)| view_category(*category_id, row)).collect();
            Catalogue { categories, total: counters.categories, ..Catalogue::default() }
        }
        CatalogueKind::Brands => {
            let rows = rows_after(&state.brands, &after, limit, |_, _| true);
            let brands = rows.iter().map(|(brand_id, row)| view_brand(*brand_id, row)).collect();
            Catalogue { brands, total: counters.brands, ..Catalogue::default() }
        }
        CatalogueKind::Banners => {
            let rows = rows_after(&state.banners, &after, limit, |_, _| true);
            let banners = rows.iter().map(|(banner_id, row)| view_banner(*banner_id, row)).collect();
            Catalogue { banners, total: counters.banners, ..Catalogue::default() }
        }
        CatalogueKind::Links => Catalogue { total: counters.category_brands, ..links(state, query, limit) },
        CatalogueKind::Unspecified => return refused(Code::ValidationFailed),
    })
}

/// Links with the brands that they name.
fn links(state: &mut State, query: &CatalogueQuery, limit: usize) -> Catalogue {
    let CatalogueQuery { category_id, brand_id, .. } = *query;
    // Links sort by category, so those of one lie together.
    let after = if query.after == 0 { (category_id, 0) } else { (query.after, query.after_brand_id) };
    let beyond = |link: &<CategoryBrands as Rows>::Key| category_id != 0 && link.0 != category_id;
    let mut links = Vec::new();
    state.category_brands.scan(&after, |link, ()| {
        if links.len() == limit || beyond(link) {
            return ControlFlow::Break(());
        }
        if *link != after && (brand_id == 0 || link.1 == brand_id) {
            links.push(CategoryBrand { category_id: link.0, brand_id: link.1 });
        }
        ControlFlow::Continue(())
    });
    let mut brands = BTreeMap::new();
    for link in &links {
        let row = state.brands.get(&link.brand_id).expect("the brand of a link is there");
        brands.entry(link.brand_id).or_insert_with(|| view_brand(link.brand_id, row));
    }
    Catalogue { links, brands: brands.into_values().collect(), ..Catalogue::default() }
}

/// The first rows behind a key that are wanted.
fn rows_after<R: Listed>(
    table: &Table<R>,
    after: &R::Key,
    limit: usize,
    wanted: impl Fn(&R::Key, &R::Value) -> bool,
) -> Vec<(R::Key, R::Value)> {
    let mut rows = Vec::new();
    table.scan(after, |key, row| {
        if rows.len() == limit {
            return ControlFlow::Break(());
        }
        if key != after && wanted(key, row) {
            rows.push((key.clone(), row.clone()));
        }
        ControlFlow::Continue(())
    });
    rows
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::entry::Entry;
    use crate::state::memory::MemoryStore;
    use emshop_proto::internal::{Envelope, QueryReply, Record, record};
    use emshop_proto::partitioner::Partitioner;
    use emshop_proto::v1::command::Body;
    use emshop_proto::v1::{
        Banner, Brand, Category, Command, CreateBannerRequest, CreateBrandRequest, CreateCategoryRequest, CreateGoodsRequest,
        Goods, LinkBrandRequest, Money,
    };
    use prost::Message;

    use super::*;

    /// What nats-server lets through.
    const REPLY_BYTES_MAX: usize = 1024 * 1024;

    /// A log that has carried out these commands.
    fn replica(commands: impl IntoIterator<Item = Body>) -> Replica {
        let store = Arc::new(MemoryStore::default()) as _;
        let mut replica = Replica::open(&store, "test", 0, Partitioner::new(1)).expect("an empty state");
        let record = |body| {
            let command = Command::from(body).encode_to_vec();
            let body = Some(record::Body::Command(command.into()));
            Record { body, ..Record::default() }
        };
        let records = commands.into_iter().map(record).collect();
        replica.turn(1, 1, Entry::read(Envelope { records, ..Envelope::default() }).expect("just made"));
        replica
    }

    fn ask(replica: &mut Replica, query: CatalogueQuery) -> Catalogue {
        let reply = QueryReply { body: Some(page(replica, &query)) };
        assert!(reply.encoded_len() < REPLY_BYTES_MAX, "{} bytes", reply.encoded_len());
        match reply.body {
            Some(Answer::Catalogue(page)) => page,
            other => panic!("{other:?}"),
        }
    }

    fn text(bytes: usize) -> String {
        "x".repeat(bytes)
    }

    /// As many as a page has and more, with the largest ids and the longest texts that the ingress lets through.
    #[test]
    fn pages_of_the_longest_rows_fit_into_a_reply() {
        let ids = || (0..2_001).map(|number| u64::MAX - 2_000 + number);
        let category =
            |category_id| Category { category_id, name: text(60), url: text(200), is_tab: true, ..Category::default() };
        let brand = |brand_id: u64| Brand { brand_id, name: format!("{brand_id:060}"), logo: text(200), ..Brand::default() };
        let banner = |banner_id| Banner { banner_id, image: text(200), url: text(200), index: -1 };
        let categories = ids().map(|id| Body::CreateCategory(CreateCategoryRequest { category: Some(category(id)) }));
        let brands = ids().map(|id| Body::CreateBrand(CreateBrandRequest { brand: Some(brand(id)) }));
        let banners = (1..=1_000).map(|id| Body::CreateBanner(CreateBannerRequest { banner: Some(banner(id)) }));
        let links = ids().map(|id| Body::LinkBrand(LinkBrandRequest { category_id: id, brand_id: id }));
        let mut replica = replica(categories.chain(brands).chain(banners).chain(links));

        use CatalogueKind::{Banners, Brands, Categories, Links};
        for kind in [Categories, Brands, Banners, Links] {
            let all = CatalogueQuery { kind: kind.into(), limit: u32::MAX, ..CatalogueQuery::default() };
            let first = ask(&mut replica, all);
            let sizes = [first.categories.len(), first.brands.len(), first.banners.len(), first.links.len()];
            let expected = match kind {
                Categories => [2_000, 0, 0, 0],
                Brands => [0, 2_000, 0, 0],
                Banners => [0, 0, 1_000, 0],
                _ => [0, 2_000, 0, 2_000],
            };
            assert_eq!((sizes, first.total), (expected, if kind == Banners { 1_000 } else { 2_001 }));
            let after = CatalogueQuery { after: u64::MAX - 1, after_brand_id: u64::MAX - 1, ..all };
            let last = ask(&mut replica, after);
            let rest = last.categories.len() + last.banners.len() + last.links.len().max(last.brands.len());
            assert_eq!(rest, usize::from(kind != Banners), "{kind:?}");
            let beyond = CatalogueQuery { after: u64::MAX, after_brand_id: u64::MAX, ..all };
            let nothing = ask(&mut replica, beyond);
            assert_eq!(nothing, Catalogue { total: first.total, ..Catalogue::default() });
        }
    }

    #[test]
    fn entries_of_the_longest_fit_into_a_reply() {
        let images = || vec![text(200); 20];
        let entry = |goods_id| Goods {
            goods_id,
            name: text(100),
            unit_price: Some(Money::new(1_000_000_000_000, "CNY")),
            market_price: Some(Money::new(1_000_000_000_000, "CNY")),
            weight_grams: 1_000_000,
            goods_sn: format!("{goods_id:050}"),
            brief: text(200),
            description: text(8_192),
            images: images(),
            description_images: images(),
            front_image: text(200),
            ..Goods::default()
        };
        // The ingress asks for so many at once.
        let goods_ids: Vec<u64> = (0..50).map(|number| u64::MAX - number).collect();
        let create = |goods_id: &u64| Body::CreateGoods(CreateGoodsRequest { goods: Some(entry(*goods_id)) });
        let replica = replica(goods_ids.iter().map(create));
        let reply = QueryReply { body: Some(goods(&replica, &goods_ids)) };
        assert!(reply.encoded_len() < REPLY_BYTES_MAX * 9 / 10, "{} bytes leave no room for counters", reply.encoded_len());
        assert!(matches!(reply.body, Some(Answer::Goods(entries)) if entries.goods.len() == 50));
    }

    #[test]
    fn filters_and_pages_go_together() {
        let category = |category_id, parent_id| {
            let category = Category { category_id, parent_id, name: text(1), ..Category::default() };
            Body::CreateCategory(CreateCategoryRequest { category: Some(category) })
        };
        let brand = |brand_id: u64| {
            let brand = Brand { brand_id, name: brand_id.to_string(), ..Brand::default() };
            Body::CreateBrand(CreateBrandRequest { brand: Some(brand) })
        };
        let link = |category_id, brand_id| Body::LinkBrand(LinkBrandRequest { category_id, brand_id });
        let links = [link(1, 11), link(1, 12), link(2, 11), link(2, 12), link(2, 13), link(4, 11)];
        let categories = [category(1, 0), category(2, 1), category(3, 1), category(4, 2), category(5, 0)];
        let mut replica = replica(categories.into_iter().chain([11, 12, 13].map(brand)).chain(links));

        let categories = |level, category_id| CatalogueQuery {
            kind: CatalogueKind::Categories.into(),
            limit: 2,
            level,
            category_id,
            ..CatalogueQuery::default()
        };
        let table: [(CatalogueQuery, &[u64]); 5] = [
            (categories(0, 0), &[1, 2, 3, 4, 5]),
            (categories(2, 0), &[2, 3]),
            (categories(0, 1), &[2, 3]),
            (categories(0, 2), &[4]),
            (categories(1, 2), &[]),
        ];
        for (query, expected) in table {
            let (mut found, mut after) = (Vec::new(), 0);
            loop {
                let page = ask(&mut replica, CatalogueQuery { after, ..query }).categories;
                found.extend(page.iter().map(|category| category.category_id));
                match page.last() {
                    Some(last) => after = last.category_id,
                    None => break,
                }
            }
            assert_eq!(found, expected, "{query:?}");
        }

        let links = |category_id, brand_id| CatalogueQuery {
            kind: CatalogueKind::Links.into(),
            limit: 2,
            category_id,
            brand_id,
            ..CatalogueQuery::default()
        };
        let table: [(CatalogueQuery, &[(u64, u64)]); 4] = [
            (links(0, 0), &[(1, 11), (1, 12), (2, 11), (2, 12), (2, 13), (4, 11)]),
            (links(2, 0), &[(2, 11), (2, 12), (2, 13)]),
            (links(0, 11), &[(1, 11), (2, 11), (4, 11)]),
            (links(3, 0), &[]),
        ];
        for (query, expected) in table {
            let (mut found, mut after) = (Vec::new(), (0, 0));
            loop {
                let page = ask(&mut replica, CatalogueQuery { after: after.0, after_brand_id: after.1, ..query });
                let named: Vec<_> = page.brands.iter().map(|brand| brand.brand_id).collect();
                assert!(page.links.iter().all(|link| named.contains(&link.brand_id)) && named.is_sorted());
                found.extend(page.links.iter().map(|link| (link.category_id, link.brand_id)));
                match page.links.last() {
                    Some(last) => after = (last.category_id, last.brand_id),
                    None => break,
                }
            }
            assert_eq!(found, expected, "{query:?}");
        }
    }
}
