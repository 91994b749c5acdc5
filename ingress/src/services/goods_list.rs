//! Lists of goods: found by the search index, shown as the engines have them now.

use std::collections::HashMap;
use std::iter::successors;
use std::time::Duration;

use emshop_proto::errors::Code;
use emshop_proto::v1::{Category, ListGoodsRequest, ListGoodsResponse};
use emshop_search::{Filter, Page, SearchError};
use tokio::time::timeout;
use tonic::{Request, Status};

use super::{Gateway, accept};
use crate::validate::goods::LIST_PAGE_SIZE_DEFAULT;
use crate::{access, deadline, page_token, refusals, status, validate};

/// The index lets wait only after a start, until it has caught up.
const INDEX_WAIT_MAX: Duration = Duration::from_secs(5);

impl Gateway {
    pub(super) async fn goods_list(&self, request: Request<ListGoodsRequest>) -> Result<ListGoodsResponse, Status> {
        let wait_max = deadline::wait(request.metadata(), INDEX_WAIT_MAX).unwrap_or(INDEX_WAIT_MAX);
        let is_staff = access::is_staff(request.extensions());
        let request = request.into_inner();
        accept(validate::goods::list_goods(&request))?;
        if request.include_off_sale && !is_staff {
            return Err(status::of_refusal(Code::PermissionDenied.refusal()));
        }
        let category_ids = match (request.category_id, request.only_tab) {
            (0, false) => None,
            (category_id, only_tab) => Some(below(&self.categories(0, 0).await?, category_id, only_tab)),
        };
        let Page { goods_ids, total } = match timeout(wait_max, self.search.list(filter(request, category_ids))).await {
            Ok(Ok(page)) => page,
            Ok(Err(SearchError::Stopped)) | Err(_) => return Err(status::of_refusal(refusals::unavailable())),
            Ok(Err(SearchError::Busy)) => return Err(status::of_refusal(refusals::overloaded())),
            Ok(Err(error)) => {
                tracing::error!(%error, "goods cannot be listed");
                return Err(status::of_refusal(Code::SearchFailed.refusal()));
            }
        };
        // What was deleted since, or put off sale, is missing.
        let mut known = self.goods(&goods_ids, is_staff).await?;
        Ok(ListGoodsResponse { goods: goods_ids.iter().filter_map(|goods_id| known.remove(goods_id)).collect(), total })
    }
}

/// Of a request that was found valid.
fn filter(request: ListGoodsRequest, category_ids: Option<Vec<u64>>) -> Filter {
    let limit = page_token::size(request.page_size, LIST_PAGE_SIZE_DEFAULT) as usize;
    Filter {
        sort: request.sort(),
        price_min_minor: (request.price_min_minor != 0).then_some(request.price_min_minor),
        price_max_minor: (request.price_max_minor != 0).then_some(request.price_max_minor),
        only_hot: request.only_hot,
        only_new: request.only_new,
        category_ids,
        brand_id: (request.brand_id != 0).then_some(request.brand_id),
        include_off_sale: request.include_off_sale,
        offset: (request.page.max(1) as usize - 1) * limit,
        limit,
        keywords: request.keywords,
    }
}

/// Those of the categories that are a category or below it, unless that is 0, and a tab or below one, if only these are wanted.
fn below(categories: &[Category], category_id: u64, only_tab: bool) -> Vec<u64> {
    let by_id: HashMap<u64, &Category> = categories.iter().map(|category| (category.category_id, category)).collect();
    let is_wanted = |category: &Category| {
        let line = || successors(Some(category), |category| by_id.get(&category.parent_id).copied());
        (category_id == 0 || line().any(|above| above.category_id == category_id))
            && (!only_tab || line().any(|above| above.is_tab))
    };
    categories.iter().filter(|category| is_wanted(category)).map(|category| category.category_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_taken_with_all_below_them() {
        let category = |(category_id, parent_id, is_tab)| Category { category_id, parent_id, is_tab, ..Category::default() };
        // The parent of the last one was not there yet when the list was read.
        let categories =
            [(1, 0, false), (2, 1, true), (3, 2, false), (4, 1, false), (5, 0, true), (6, 5, false), (7, 99, true)].map(category);
        let table: [(u64, bool, &[u64]); 8] = [
            (1, false, &[1, 2, 3, 4]),
            (2, false, &[2, 3]),
            (3, false, &[3]),
            (5, false, &[5, 6]),
            (98, false, &[]),
            (0, true, &[2, 3, 5, 6, 7]),
            (1, true, &[2, 3]),
            (4, true, &[]),
        ];
        for (category_id, only_tab, expected) in table {
            assert_eq!(below(&categories, category_id, only_tab), expected, "{category_id} {only_tab}");
        }
    }

    #[test]
    fn what_is_not_set_lets_everything_through() {
        let all = filter(ListGoodsRequest::default(), None);
        assert_eq!((all.offset, all.limit, all.price_min_minor, all.price_max_minor, all.brand_id), (0, 20, None, None, None));
        let page = filter(ListGoodsRequest { page: 3, page_size: 50, price_max_minor: 7, ..ListGoodsRequest::default() }, None);
        assert_eq!((page.offset, page.limit, page.price_max_minor), (100, 50, Some(7)));
    }
}
