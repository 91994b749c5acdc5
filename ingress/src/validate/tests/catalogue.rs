use emshop_proto::v1::{
    Banner, Brand, Category, CreateBannerRequest, CreateBrandRequest, CreateCategoryRequest, LinkBrandRequest, ListBrandsRequest,
    ListCategoriesRequest, UnlinkBrandRequest, UpdateBannerRequest, UpdateBrandRequest, UpdateCategoryRequest,
};

use super::super::catalogue::{list_brands, list_categories};
use super::*;

const CATEGORIES: &[(&str, Change<Category>)] = &[
    ("category.category_id", |c| c.category_id = 0),
    ("category.name", |c| c.name.clear()),
    ("", |c| c.name = "茶".repeat(20)),
    ("category.name", |c| c.name = "茶".repeat(21)),
    ("", |c| (c.parent_id, c.level) = (7, 99)),
    ("", |c| c.url = "x".repeat(200)),
    ("category.url", |c| c.url = "x".repeat(201)),
    ("category.url", |c| c.url = "javascript:alert(1)".to_owned()),
];

#[test]
fn categories() {
    let good = || Category { category_id: 1, name: "tea".to_owned(), ..Category::default() };
    check(good, |c| of(Body::CreateCategory(CreateCategoryRequest { category: Some(c) })), CATEGORIES);
    check(good, |c| of(Body::UpdateCategory(UpdateCategoryRequest { category: Some(c) })), CATEGORIES);
    assert_eq!(of(Body::CreateCategory(Default::default())), ["category"]);
    assert_eq!(of(Body::UpdateCategory(Default::default())), ["category"]);
    assert_eq!(of(Body::DeleteCategory(Default::default())), ["category_id"]);
}

const BRANDS: &[(&str, Change<Brand>)] = &[
    ("brand.brand_id", |b| b.brand_id = 0),
    ("brand.name", |b| b.name.clear()),
    ("brand.name", |b| b.name = "x".repeat(61)),
    ("", |b| b.logo = "/logo.png".to_owned()),
    ("brand.logo", |b| b.logo = "x".repeat(201)),
    ("brand.logo", |b| b.logo = "a b".to_owned()),
];

#[test]
fn brands() {
    let good = || Brand { brand_id: 1, name: "Longjing".to_owned(), ..Brand::default() };
    check(good, |b| of(Body::CreateBrand(CreateBrandRequest { brand: Some(b) })), BRANDS);
    check(good, |b| of(Body::UpdateBrand(UpdateBrandRequest { brand: Some(b) })), BRANDS);
    assert_eq!(of(Body::CreateBrand(Default::default())), ["brand"]);
    assert_eq!(of(Body::UpdateBrand(Default::default())), ["brand"]);
    assert_eq!(of(Body::DeleteBrand(Default::default())), ["brand_id"]);
}

const BANNERS: &[(&str, Change<Banner>)] = &[
    ("banner.banner_id", |b| b.banner_id = 0),
    ("banner.image", |b| b.image.clear()),
    ("banner.image", |b| b.image = "x".repeat(201)),
    ("banner.url", |b| b.url.clear()),
    ("banner.url", |b| b.url = "mailto:a@b".to_owned()),
    ("", |b| b.index = i32::MIN),
];

#[test]
fn banners() {
    let good = || Banner { banner_id: 1, image: "/a.png".to_owned(), url: "/sale".to_owned(), index: 0 };
    check(good, |b| of(Body::CreateBanner(CreateBannerRequest { banner: Some(b) })), BANNERS);
    check(good, |b| of(Body::UpdateBanner(UpdateBannerRequest { banner: Some(b) })), BANNERS);
    assert_eq!(of(Body::CreateBanner(Default::default())), ["banner"]);
    assert_eq!(of(Body::UpdateBanner(Default::default())), ["banner"]);
    assert_eq!(of(Body::DeleteBanner(Default::default())), ["banner_id"]);
}

#[test]
fn links() {
    assert_eq!(of(Body::LinkBrand(LinkBrandRequest { category_id: 1, brand_id: 0 })), ["brand_id"]);
    assert_eq!(of(Body::LinkBrand(LinkBrandRequest { category_id: 0, brand_id: 1 })), ["category_id"]);
    assert_eq!(of(Body::UnlinkBrand(UnlinkBrandRequest::default())), ["category_id", "brand_id"]);
}

#[test]
fn lists() {
    let of_level = |level| fields(list_categories(&ListCategoriesRequest { level, parent_id: 0 }));
    assert_eq!((of_level(3), of_level(4)), (vec![], vec!["level".to_owned()]));
    check(
        ListBrandsRequest::default,
        |request| fields(list_brands(&request)),
        &[
            ("", |r| r.page_size = 1_000),
            ("page_size", |r| r.page_size = 1_001),
            ("", |r| r.page_token = "18446744073709551615".to_owned()),
            ("page_token", |r| r.page_token = "18446744073709551616".to_owned()),
            ("page_token", |r| r.page_token = "0".to_owned()),
            ("page_token", |r| r.page_token = "-1".to_owned()),
            ("page_token", |r| r.page_token = "+1".to_owned()),
            ("page_token", |r| r.page_token = "01".to_owned()),
        ],
    );
}
