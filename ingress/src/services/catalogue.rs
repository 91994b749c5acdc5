//! Categories, brands and banners.

use std::collections::BTreeMap;

use emshop_proto::internal::{Catalogue, CatalogueKind, CatalogueQuery};
use emshop_proto::v1::catalogue_service_server::CatalogueService;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    BannerResponse, BrandResponse, Category, CategoryBrand, CategoryBrandResponse, CategoryResponse, CreateBannerRequest,
    CreateBrandRequest, CreateCategoryRequest, DeleteBannerRequest, DeleteBrandRequest, DeleteCategoryRequest,
    GetCategoryTreeRequest, GetCategoryTreeResponse, LinkBrandRequest, ListBannersRequest, ListBannersResponse,
    ListBrandsRequest, ListBrandsResponse, ListCategoriesRequest, ListCategoriesResponse, ListCategoryBrandsRequest,
    ListCategoryBrandsResponse, UnlinkBrandRequest, UpdateBannerRequest, UpdateBrandRequest, UpdateCategoryRequest,
};
use tonic::{Request, Response, Status};

use super::category_tree;
use super::{Gateway, accept, respond};
use crate::queries::questions;
use crate::{page_token, validate};

/// Rows that the engine is asked for at once. There are fewer banners than that.
const ROWS_PER_PAGE: usize = 2_000;
const BRANDS_PER_PAGE_DEFAULT: u32 = 100;

#[tonic::async_trait]
impl CatalogueService for Gateway {
    async fn create_category(&self, request: Request<CreateCategoryRequest>) -> Result<Response<CategoryResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CreateCategory).await?;
        respond!(outcome, Category, CategoryResponse { category })
    }

    async fn update_category(&self, request: Request<UpdateCategoryRequest>) -> Result<Response<CategoryResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::UpdateCategory).await?;
        respond!(outcome, Category, CategoryResponse { category })
    }

    async fn delete_category(&self, request: Request<DeleteCategoryRequest>) -> Result<Response<CategoryResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::DeleteCategory).await?;
        respond!(outcome, Category, CategoryResponse { category })
    }

    async fn list_categories(&self, request: Request<ListCategoriesRequest>) -> Result<Response<ListCategoriesResponse>, Status> {
        let request = request.into_inner();
        accept(validate::catalogue::list_categories(&request))?;
        let ListCategoriesRequest { level, parent_id } = request;
        Ok(Response::new(ListCategoriesResponse { categories: self.categories(level, parent_id).await? }))
    }

    async fn get_category_tree(
        &self,
        request: Request<GetCategoryTreeRequest>,
    ) -> Result<Response<GetCategoryTreeResponse>, Status> {
        let GetCategoryTreeRequest {} = request.into_inner();
        Ok(Response::new(category_tree::of(self.categories(0, 0).await?)))
    }

    async fn create_brand(&self, request: Request<CreateBrandRequest>) -> Result<Response<BrandResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CreateBrand).await?;
        respond!(outcome, Brand, BrandResponse { brand })
    }

    async fn update_brand(&self, request: Request<UpdateBrandRequest>) -> Result<Response<BrandResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::UpdateBrand).await?;
        respond!(outcome, Brand, BrandResponse { brand })
    }

    async fn delete_brand(&self, request: Request<DeleteBrandRequest>) -> Result<Response<BrandResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::DeleteBrand).await?;
        respond!(outcome, Brand, BrandResponse { brand })
    }

    async fn list_brands(&self, request: Request<ListBrandsRequest>) -> Result<Response<ListBrandsResponse>, Status> {
        let request = request.into_inner();
        accept(validate::catalogue::list_brands(&request))?;
        let size = page_token::size(request.page_size, BRANDS_PER_PAGE_DEFAULT);
        let [after] = page_token::start(&request.page_token);
        // One more than is shown tells whether there is a next page.
        let question = CatalogueQuery { after, limit: size + 1, ..of_kind(CatalogueKind::Brands) };
        let Catalogue { mut brands, total, .. } = self.catalogue(question).await?;
        let next_page_token = page_token::cut(&mut brands, size, |last| [last.brand_id]);
        Ok(Response::new(ListBrandsResponse { brands, next_page_token, total }))
    }

    async fn create_banner(&self, request: Request<CreateBannerRequest>) -> Result<Response<BannerResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CreateBanner).await?;
        respond!(outcome, Banner, BannerResponse { banner })
    }

    async fn update_banner(&self, request: Request<UpdateBannerRequest>) -> Result<Response<BannerResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::UpdateBanner).await?;
        respond!(outcome, Banner, BannerResponse { banner })
    }

    async fn delete_banner(&self, request: Request<DeleteBannerRequest>) -> Result<Response<BannerResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::DeleteBanner).await?;
        respond!(outcome, Banner, BannerResponse { banner })
    }

    async fn list_banners(&self, request: Request<ListBannersRequest>) -> Result<Response<ListBannersResponse>, Status> {
        let ListBannersRequest {} = request.into_inner();
        let mut banners = self.catalogue(of_kind(CatalogueKind::Banners)).await?.banners;
        banners.sort_by_key(|banner| (banner.index, banner.banner_id));
        Ok(Response::new(ListBannersResponse { banners }))
    }

    async fn link_brand(&self, request: Request<LinkBrandRequest>) -> Result<Response<CategoryBrandResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::LinkBrand).await?;
        respond!(outcome, CategoryBrand, CategoryBrandResponse { link })
    }

    async fn unlink_brand(&self, request: Request<UnlinkBrandRequest>) -> Result<Response<CategoryBrandResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::UnlinkBrand).await?;
        respond!(outcome, CategoryBrand, CategoryBrandResponse { link })
    }

    async fn list_category_brands(
        &self,
        request: Request<ListCategoryBrandsRequest>,
    ) -> Result<Response<ListCategoryBrandsResponse>, Status> {
        let ListCategoryBrandsRequest { category_id, brand_id } = request.into_inner();
        let (mut links, mut brands) = (Vec::<CategoryBrand>::new(), BTreeMap::new());
        loop {
            let last = links.last().copied().unwrap_or_default();
            let after =
                CatalogueQuery { after: last.category_id, after_brand_id: last.brand_id, ..of_kind(CatalogueKind::Links) };
            let page = self.catalogue(CatalogueQuery { category_id, brand_id, ..after }).await?;
            brands.extend(page.brands.into_iter().map(|brand| (brand.brand_id, brand)));
            let ended = page.links.len() < ROWS_PER_PAGE;
            links.extend(page.links);
            if ended {
                return Ok(Response::new(ListCategoryBrandsResponse { links, brands: brands.into_values().collect() }));
            }
        }
    }
}

impl Gateway {
    /// All categories by id: of one level unless that is 0, right below one category unless that is 0.
    pub(super) async fn categories(&self, level: u32, parent_id: u64) -> Result<Vec<Category>, Status> {
        let mut categories = Vec::<Category>::new();
        loop {
            let after = categories.last().map_or(0, |last| last.category_id);
            let question = CatalogueQuery { after, level, category_id: parent_id, ..of_kind(CatalogueKind::Categories) };
            let page = self.catalogue(question).await?.categories;
            let ended = page.len() < ROWS_PER_PAGE;
            categories.extend(page);
            if ended {
                return Ok(categories);
            }
        }
    }

    async fn catalogue(&self, question: CatalogueQuery) -> Result<Catalogue, Status> {
        let log = self.queries.partitioner.of_catalogue().log;
        self.queries.ask(log, questions::Catalogue(question)).await
    }
}

fn of_kind(kind: CatalogueKind) -> CatalogueQuery {
    CatalogueQuery { kind: kind.into(), limit: ROWS_PER_PAGE as u32, ..CatalogueQuery::default() }
}
