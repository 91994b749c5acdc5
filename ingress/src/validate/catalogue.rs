//! Of categories, brands and banners.

use emshop_proto::v1::{
    Banner, Brand, Category, CreateBannerRequest, CreateBrandRequest, CreateCategoryRequest, DeleteBannerRequest,
    DeleteBrandRequest, DeleteCategoryRequest, FieldViolation, LinkBrandRequest, ListBrandsRequest, ListCategoriesRequest,
    UnlinkBrandRequest, UpdateBannerRequest, UpdateBrandRequest, UpdateCategoryRequest,
};

use super::URL_BYTES_MAX;
use super::fields::{Check, one_form};

/// Of categories and of brands.
const NAME_BYTES_MAX: usize = 60;
const LEVELS: u32 = 3;
const BRANDS_PER_PAGE_MAX: u32 = 1_000;

pub fn create_category(check: &mut Check, request: &CreateCategoryRequest) {
    category(check, request.category.as_ref());
}

pub fn update_category(check: &mut Check, request: &UpdateCategoryRequest) {
    category(check, request.category.as_ref());
}

pub fn delete_category(check: &mut Check, request: &DeleteCategoryRequest) {
    check.numeric_id("category_id", request.category_id);
}

pub fn create_brand(check: &mut Check, request: &CreateBrandRequest) {
    brand(check, request.brand.as_ref());
}

pub fn update_brand(check: &mut Check, request: &UpdateBrandRequest) {
    brand(check, request.brand.as_ref());
}

pub fn delete_brand(check: &mut Check, request: &DeleteBrandRequest) {
    check.numeric_id("brand_id", request.brand_id);
}

pub fn create_banner(check: &mut Check, request: &CreateBannerRequest) {
    banner(check, request.banner.as_ref());
}

pub fn update_banner(check: &mut Check, request: &UpdateBannerRequest) {
    banner(check, request.banner.as_ref());
}

pub fn delete_banner(check: &mut Check, request: &DeleteBannerRequest) {
    check.numeric_id("banner_id", request.banner_id);
}

pub fn link_brand(check: &mut Check, request: &LinkBrandRequest) {
    check.numeric_id("category_id", request.category_id);
    check.numeric_id("brand_id", request.brand_id);
}

pub fn unlink_brand(check: &mut Check, request: &UnlinkBrandRequest) {
    check.numeric_id("category_id", request.category_id);
    check.numeric_id("brand_id", request.brand_id);
}

pub fn list_categories(request: &ListCategoriesRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.number("level", request.level, 0..=LEVELS);
    check.into_violations()
}

pub fn list_brands(request: &ListBrandsRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.page::<[u64; 1]>(request.page_size, BRANDS_PER_PAGE_MAX, &request.page_token);
    check.into_violations()
}

fn category(check: &mut Check, category: Option<&Category>) {
    let Some(category) = category else {
        return check.require(false, "category", "is required");
    };
    check.numeric_id("category.category_id", category.category_id);
    check.words("category.name", &one_form(&category.name), 1..=NAME_BYTES_MAX);
    check.url("category.url", &category.url, 0..=URL_BYTES_MAX);
}

fn brand(check: &mut Check, brand: Option<&Brand>) {
    let Some(brand) = brand else {
        return check.require(false, "brand", "is required");
    };
    check.numeric_id("brand.brand_id", brand.brand_id);
    check.words("brand.name", &one_form(&brand.name), 1..=NAME_BYTES_MAX);
    check.url("brand.logo", &brand.logo, 0..=URL_BYTES_MAX);
}

fn banner(check: &mut Check, banner: Option<&Banner>) {
    let Some(banner) = banner else {
        return check.require(false, "banner", "is required");
    };
    check.numeric_id("banner.banner_id", banner.banner_id);
    check.url("banner.image", &banner.image, 1..=URL_BYTES_MAX);
    check.url("banner.url", &banner.url, 1..=URL_BYTES_MAX);
}
