//! Categories, brands, banners and what links them.

use emshop_core::goods::catalogue::{BANNERS_MAX, view_brand, view_category};
use emshop_proto::errors::Code;
use emshop_proto::v1::{Banner, Brand, Category, Command, Goods, outcome};

use crate::commands::*;
use crate::shop::*;

use Expected::{Done, Refused, Repeated};

/// Categories 1 > 2 > 3 and 4; brands 10 and 11; banner 20; category 3 carries brand 10. Goods 5 are in category 4 and of brand 11.
fn shop() -> Shop {
    let mut shop = Shop::new(1);
    let given = [
        create_category(category(1, 0)),
        create_category(category(2, 1)),
        create_category(category(3, 2)),
        create_category(category(4, 0)),
        create_brand(brand(10, "ten")),
        create_brand(brand(11, "eleven")),
        create_banner(banner(20, 1)),
        link_brand(3, 10),
        create_goods(Goods { category_id: 4, brand_id: 11, ..entry(5) }),
    ];
    shop.send(given).iter().for_each(assert_done);
    shop
}

fn check(table: impl IntoIterator<Item = (Command, Expected)>) {
    for (row, (command, expected)) in table.into_iter().enumerate() {
        let outcome = shop().send_one(command);
        assert_eq!(seen(&outcome), expected, "row {row}: {outcome:?}");
    }
}

fn stored(shop: &mut Shop, category_id: u64) -> Option<Category> {
    let place = shop.partitioner.of_catalogue();
    let state = &mut shop.logs[place.log as usize].replica.state;
    state.categories.get(&category_id).map(|row| view_category(category_id, row))
}

fn stored_brand(shop: &mut Shop, brand_id: u64) -> Option<Brand> {
    let place = shop.partitioner.of_catalogue();
    let state = &mut shop.logs[place.log as usize].replica.state;
    state.brands.get(&brand_id).map(|row| view_brand(brand_id, row))
}

#[test]
fn categories_by_table() {
    let renamed = |category_id, parent_id| Category { name: "renamed".to_owned(), ..category(category_id, parent_id) };
    check([
        (create_category(category(6, 2)), Done),
        (create_category(category(2, 1)), Repeated),
        (create_category(Category { level: 3, goods: 9, ..category(2, 1) }), Repeated),
        (create_category(category(2, 4)), Refused(Code::CategoryExists)),
        (create_category(renamed(2, 1)), Refused(Code::CategoryExists)),
        (create_category(Category { is_tab: true, ..category(2, 1) }), Refused(Code::CategoryExists)),
        (create_category(category(6, 99)), Refused(Code::CategoryNotFound)),
        (create_category(category(6, 6)), Refused(Code::CategoryNotFound)),
        (create_category(category(6, 3)), Refused(Code::CategoryLevelInvalid)),
        (update_category(category(2, 1)), Repeated),
        (update_category(renamed(2, 0)), Done),
        (update_category(category(99, 0)), Refused(Code::CategoryNotFound)),
        (delete_category(99), Refused(Code::CategoryNotFound)),
        (delete_category(1), Refused(Code::CategoryHasChildren)),
        (delete_category(4), Refused(Code::CategoryInUse)),
        (delete_category(3), Done),
    ]);
}

#[test]
fn a_category_keeps_its_place_and_counts() {
    let mut shop = shop();
    let changed = Category { parent_id: 4, level: 1, is_tab: true, url: "/tea".to_owned(), goods: 7, ..category(2, 1) };
    let expected = Category { parent_id: 1, level: 2, goods: 0, ..changed.clone() };
    assert_eq!(shop.send_one(update_category(changed)).result, Some(outcome::Result::Category(expected.clone())));
    assert_eq!(stored(&mut shop, 2), Some(expected));
    assert_eq!(stored(&mut shop, 4).expect("category 4").goods, 1);
    // From the leaf up: only what has nothing below it goes.
    let codes = [1, 2, 3, 2, 1].map(|category_id| refused(&shop.send_one(delete_category(category_id))));
    assert_eq!(codes, [Some(Code::CategoryHasChildren), Some(Code::CategoryHasChildren), None, None, None]);
    assert_done(&shop.send_one(delete_goods(5)));
    assert_done(&shop.send_one(delete_category(4)));
}

#[test]
fn brands_by_table() {
    let with_logo = |brand_id, name| Brand { logo: "/logo.png".to_owned(), ..brand(brand_id, name) };
    check([
        (create_brand(brand(12, "twelve")), Done),
        (create_brand(brand(10, "ten")), Repeated),
        (create_brand(Brand { goods: 9, ..brand(11, "eleven") }), Repeated),
        (create_brand(with_logo(10, "ten")), Refused(Code::BrandExists)),
        (create_brand(brand(10, "eleven")), Refused(Code::BrandExists)),
        (create_brand(brand(12, "ten")), Refused(Code::BrandNameTaken)),
        (create_brand(brand(12, "Ten")), Refused(Code::BrandNameTaken)),
        (update_brand(brand(10, "ten")), Repeated),
        (update_brand(with_logo(10, "ten")), Done),
        (update_brand(brand(10, "eleven")), Refused(Code::BrandNameTaken)),
        (update_brand(brand(99, "ten")), Refused(Code::BrandNotFound)),
        (delete_brand(99), Refused(Code::BrandNotFound)),
        (delete_brand(11), Refused(Code::BrandInUse)),
        (delete_brand(10), Done),
    ]);
}

/// The old system looked for a name among the first brand, or the first hundred. Here all are looked at.
#[test]
fn a_brand_name_is_unique_among_all() {
    let mut shop = Shop::new(1);
    let brands: [Command; 150] = std::array::from_fn(|at| create_brand(brand(at as u64 + 1, &format!("brand {at}"))));
    shop.send(brands).iter().for_each(assert_done);
    for at in [0, 1, 99, 149] {
        assert_refused(&shop.send_one(create_brand(brand(1_000, &format!("brand {at}")))), Code::BrandNameTaken);
    }
    assert_done(&shop.send_one(delete_brand(150)));
    assert_done(&shop.send_one(create_brand(brand(1_000, "brand 149"))));
    assert_refused(&shop.send_one(update_brand(brand(3, "brand 149"))), Code::BrandNameTaken);
}

#[test]
fn banners_by_table() {
    check([
        (create_banner(banner(21, -1)), Done),
        (create_banner(banner(20, 1)), Repeated),
        (create_banner(banner(20, 2)), Refused(Code::BannerExists)),
        (update_banner(banner(20, 1)), Repeated),
        (update_banner(banner(20, 2)), Done),
        (update_banner(banner(99, 1)), Refused(Code::BannerNotFound)),
        (delete_banner(20), Done),
        (delete_banner(99), Refused(Code::BannerNotFound)),
    ]);
    let mut shop = shop();
    let gone = Banner { index: 1, ..banner(20, 1) };
    assert_eq!(shop.send_one(delete_banner(20)).result, Some(outcome::Result::Banner(gone)));
    assert_refused(&shop.send_one(delete_banner(20)), Code::BannerNotFound);
}

#[test]
fn links_by_table() {
    check([
        (link_brand(3, 10), Repeated),
        (link_brand(3, 11), Done),
        (link_brand(99, 10), Refused(Code::CategoryNotFound)),
        (link_brand(3, 99), Refused(Code::BrandNotFound)),
        (unlink_brand(3, 10), Done),
        (unlink_brand(3, 11), Refused(Code::CategoryBrandNotFound)),
        (unlink_brand(99, 99), Refused(Code::CategoryBrandNotFound)),
    ]);
}

/// A link goes with either end; what comes under the same id later does not inherit it.
#[test]
fn links_go_with_their_ends() {
    for end in [delete_category(3), delete_brand(10)] {
        let mut shop = shop();
        assert_done(&shop.send_one(link_brand(4, 11)));
        assert_done(&shop.send_one(end));
        shop.send([create_category(category(3, 2)), create_brand(brand(10, "ten"))]);
        assert_refused(&shop.send_one(unlink_brand(3, 10)), Code::CategoryBrandNotFound);
        assert_done(&shop.send_one(unlink_brand(4, 11)));
    }
}

#[test]
fn there_is_room_for_so_many() {
    let mut shop = Shop::new(1);
    for first in (1..=BANNERS_MAX).step_by(100) {
        let banners: [Command; 100] = std::array::from_fn(|at| create_banner(banner(first + at as u64, 0)));
        shop.send(banners).iter().for_each(assert_done);
    }
    let more = || create_banner(banner(9_999, 0));
    assert_refused(&shop.send_one(more()), Code::CatalogueFull);
    assert_done(&shop.send_one(delete_banner(7)));
    assert_done(&shop.send_one(more()));
    assert_refused(&shop.send_one(create_banner(banner(7, 0))), Code::CatalogueFull);
}

#[test]
fn brands_count_their_goods() {
    let mut shop = shop();
    assert_eq!(stored_brand(&mut shop, 11), Some(Brand { goods: 1, ..brand(11, "eleven") }));
    assert_done(&shop.send_one(update_goods(Goods { brand_id: 10, ..entry(5) })));
    assert_eq!([10, 11].map(|brand_id| stored_brand(&mut shop, brand_id).expect("the brand").goods), [1, 0]);
    assert_refused(&shop.send_one(delete_brand(10)), Code::BrandInUse);
    assert_done(&shop.send_one(delete_brand(11)));
}
