//! Stock, its history, and reservations.

use std::collections::{BTreeMap, HashMap, HashSet};

use emshop_proto::errors::Code;
use emshop_proto::internal::{
    GoodsQuery, HotGoodsQuery, OwnedStockChange, Owner, OwnerKind, OwnersQuery, PageQuery, StockChanges, StockChangesQuery,
    Stocks,
};
use emshop_proto::inventory::{HOT_GOODS_MAX, hottest_first};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::inventory_service_server::InventoryService;
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::{
    AdjustStockRequest, AdjustStockResponse, Availability, BatchGetStockRequest, BatchGetStockResponse, BatchSetStockRequest,
    BatchSetStockResponse, ConfirmSellRequest, ConfirmSellResponse, GetAvailabilityRequest, GetAvailabilityResponse,
    GetStockRequest, GetStockResponse, ListHotGoodsRequest, ListHotGoodsResponse, ListStockChangesRequest,
    ListStockChangesResponse, ListStocksRequest, ListStocksResponse, Outcome, RebackRequest, RebackResponse, Refusal,
    ReleaseReservedRequest, ReleaseReservedResponse, ReserveStockRequest, ReserveStockResponse, SetStockRequest,
    SetStockResponse, SetStockResult, SetStockThresholdRequest, SetStockThresholdResponse, StockChange, StockLevel,
    set_stock_result,
};
use tonic::{Request, Response, Status};

use super::{Gateway, accept, respond};
use crate::page_token;
use crate::queries::{questions, unexpected};
use crate::{status, validate};

const PAGE_SIZE_DEFAULT: u32 = 100;

/// How often the engines are asked for one page of low stock: each looks at a part of its entries only. A page that is not full then
/// still says where to go on.
const ROUNDS_MAX: usize = 16;

/// Of `PageQuery.filter`.
const ONLY_LOW: u32 = 1;

#[tonic::async_trait]
impl InventoryService for Gateway {
    async fn set_stock(&self, request: Request<SetStockRequest>) -> Result<Response<SetStockResponse>, Status> {
        respond!(self.dispatcher.call(request, Body::SetStock).await?, Stock, SetStockResponse { stock })
    }

    async fn adjust_stock(&self, request: Request<AdjustStockRequest>) -> Result<Response<AdjustStockResponse>, Status> {
        respond!(self.dispatcher.call(request, Body::AdjustStock).await?, Stock, AdjustStockResponse { stock })
    }

    async fn get_stock(&self, request: Request<GetStockRequest>) -> Result<Response<GetStockResponse>, Status> {
        let GetStockRequest { goods_id } = request.into_inner();
        accept(validate::goods_id(goods_id))?;
        match self.stocks(&[goods_id]).await?.remove(&goods_id) {
            Some(stock) => Ok(Response::new(GetStockResponse { stock: Some(stock) })),
            None => Err(status::of_refusal(Code::InventoryNotFound.refusal())),
        }
    }

    async fn batch_get_stock(&self, request: Request<BatchGetStockRequest>) -> Result<Response<BatchGetStockResponse>, Status> {
        let request = request.into_inner();
        accept(validate::inventory::stock_ids(&request.goods_ids))?;
        let known = self.stocks(&request.goods_ids).await?;
        let (found, unknown_goods_ids) = request.goods_ids.into_iter().partition::<Vec<_>, _>(|id| known.contains_key(id));
        let stocks = found.iter().map(|id| known[id]).collect();
        Ok(Response::new(BatchGetStockResponse { stocks, unknown_goods_ids }))
    }

    async fn get_availability(
        &self,
        request: Request<GetAvailabilityRequest>,
    ) -> Result<Response<GetAvailabilityResponse>, Status> {
        let GetAvailabilityRequest { goods_ids } = request.into_inner();
        accept(validate::inventory::stock_ids(&goods_ids))?;
        let known = self.availability(&goods_ids).await?;
        let entry = |goods_id: &u64| Some(Availability { goods_id: *goods_id, available: *known.get(goods_id)? });
        let entries = goods_ids.iter().filter_map(entry).collect();
        let unknown_goods_ids = goods_ids.iter().copied().filter(|goods_id| !known.contains_key(goods_id)).collect();
        Ok(Response::new(GetAvailabilityResponse { entries, unknown_goods_ids }))
    }

    async fn reserve_stock(&self, request: Request<ReserveStockRequest>) -> Result<Response<ReserveStockResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::ReserveStock).await?;
        respond!(outcome, Reservation, ReserveStockResponse { reservation })
    }

    async fn release_reserved(
        &self,
        request: Request<ReleaseReservedRequest>,
    ) -> Result<Response<ReleaseReservedResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::ReleaseReserved).await?;
        respond!(outcome, Reservation, ReleaseReservedResponse { reservation })
    }

    async fn confirm_sell(&self, request: Request<ConfirmSellRequest>) -> Result<Response<ConfirmSellResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::ConfirmSell).await?;
        respond!(outcome, Reservation, ConfirmSellResponse { reservation })
    }

    async fn reback(&self, request: Request<RebackRequest>) -> Result<Response<RebackResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::Reback).await?;
        respond!(outcome, Reservation, RebackResponse { reservation })
    }

    async fn batch_set_stock(&self, request: Request<BatchSetStockRequest>) -> Result<Response<BatchSetStockResponse>, Status> {
        accept(validate::inventory::batch_set_stock(request.get_ref()))?;
        let (metadata, extensions, BatchSetStockRequest { entries }) = request.into_parts();
        let goods_ids: Vec<_> = entries.iter().map(|entry| entry.goods_id).collect();
        let outcomes = self.dispatcher.call_each(&metadata, &extensions, entries.into_iter().map(Body::SetStock)).await?;
        let results = goods_ids.into_iter().zip(outcomes).map(|(goods_id, outcome)| set_stock_result(goods_id, outcome));
        Ok(Response::new(BatchSetStockResponse { results: results.collect::<Result<_, _>>()? }))
    }

    async fn set_stock_threshold(
        &self,
        request: Request<SetStockThresholdRequest>,
    ) -> Result<Response<SetStockThresholdResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::SetStockThreshold).await?;
        respond!(outcome, Stock, SetStockThresholdResponse { stock })
    }

    async fn list_stocks(&self, request: Request<ListStocksRequest>) -> Result<Response<ListStocksResponse>, Status> {
        let request = request.into_inner();
        accept(validate::inventory::list_stocks(&request))?;
        let size = page_token::size(request.page_size, PAGE_SIZE_DEFAULT) as usize;
        let [mut after] = page_token::start(&request.page_token);
        let mut stocks = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let found = self.stocks_after(after, size - stocks.len(), request.only_low).await?;
            stocks.extend(found.stocks);
            after = found.after;
            if after == 0 || stocks.len() == size {
                break;
            }
        }
        Ok(Response::new(ListStocksResponse { stocks, next_page_token: page_token::after(after) }))
    }

    async fn list_hot_goods(&self, request: Request<ListHotGoodsRequest>) -> Result<Response<ListHotGoodsResponse>, Status> {
        let request = request.into_inner();
        accept(validate::inventory::list_hot_goods(&request))?;
        let limit = if request.limit == 0 { HOT_GOODS_MAX } else { request.limit as usize };
        let of_logs = self.queries.ask_everywhere(questions::HotGoods(HotGoodsQuery {})).await?;
        let mut goods: Vec<_> = of_logs.into_iter().flat_map(|of_log| of_log.goods).collect();
        hottest_first(&mut goods);
        goods.truncate(limit);
        Ok(Response::new(ListHotGoodsResponse { goods }))
    }

    async fn list_stock_changes(
        &self,
        request: Request<ListStockChangesRequest>,
    ) -> Result<Response<ListStockChangesResponse>, Status> {
        let request = request.into_inner();
        accept(validate::inventory::list_stock_changes(&request))?;
        let [before_sequence] = page_token::start(&request.page_token);
        let limit = page_token::size(request.page_size, PAGE_SIZE_DEFAULT);
        let question = StockChangesQuery { goods_id: request.goods_id, limit, before_sequence };
        let log = self.queries.partitioner.of_goods(request.goods_id).log;
        let page = self.queries.ask(log, questions::StockChanges(question)).await?;
        let ids = self.ids_of(page.changes.iter().filter_map(|change| change.owner)).await?;
        Ok(Response::new(changes(page, &ids)))
    }
}

impl Gateway {
    /// The stock of those SKUs that have an entry, from all logs concerned.
    pub(super) async fn stocks(&self, goods_ids: &[u64]) -> Result<HashMap<u64, StockLevel>, Status> {
        let questions = by_log(goods_ids, self.queries.partitioner).into_iter();
        let questions = questions.map(|(log, goods_ids)| (log, questions::Stock(GoodsQuery { goods_ids })));
        let of_logs = self.queries.ask_all(questions).await?;
        Ok(of_logs.into_iter().flat_map(|of_log| of_log.stocks).map(|stock| (stock.goods_id, stock)).collect())
    }

    /// Free units of those SKUs that are on sale, as everybody may know them.
    pub(super) async fn availability(&self, goods_ids: &[u64]) -> Result<HashMap<u64, u64>, Status> {
        let questions = by_log(goods_ids, self.queries.partitioner).into_iter();
        let questions = questions.map(|(log, goods_ids)| (log, questions::Availability(GoodsQuery { goods_ids })));
        let of_logs = self.queries.ask_all(questions).await?;
        Ok(of_logs.into_iter().flat_map(|of_log| of_log.entries).map(|entry| (entry.goods_id, entry.available)).collect())
    }

    /// The next entries of all logs together.
    async fn stocks_after(&self, after: u64, limit: usize, only_low: bool) -> Result<Stocks, Status> {
        let filter = if only_low { ONLY_LOW } else { 0 };
        let question = PageQuery { limit: limit as u32, after, filter, ..PageQuery::default() };
        Ok(merge(self.queries.ask_everywhere(questions::Stocks(question)).await?, limit))
    }

    /// Ids of the orders and reservations that own something.
    async fn ids_of(&self, owners: impl Iterator<Item = Owner>) -> Result<HashMap<Owner, String>, Status> {
        let mut by_log = BTreeMap::<u32, Vec<Owner>>::new();
        for owner in owners.collect::<HashSet<_>>() {
            by_log.entry(owner.log).or_default().push(owner);
        }
        let questions = by_log.iter().map(|(log, owners)| (*log, questions::Owners(OwnersQuery { owners: owners.clone() })));
        let found = self.queries.ask_all(questions).await?;
        Ok(by_log.into_values().zip(found).flat_map(|(owners, found)| owners.into_iter().zip(found.ids)).collect())
    }
}

/// The lowest of what the logs gave, as far as all of them were looked through.
fn merge(of_logs: Vec<Stocks>, limit: usize) -> Stocks {
    let complete_through = of_logs.iter().map(|of_log| of_log.after).filter(|after| *after != 0).min();
    let mut stocks: Vec<_> = of_logs.into_iter().flat_map(|of_log| of_log.stocks).collect();
    stocks.retain(|stock| complete_through.is_none_or(|through| stock.goods_id <= through));
    stocks.sort_unstable_by_key(|stock| stock.goods_id);
    let more = stocks.len() > limit;
    stocks.truncate(limit);
    let after = if more { stocks.last().map(|last| last.goods_id) } else { complete_through };
    Stocks { stocks, after: after.unwrap_or_default() }
}

fn set_stock_result(goods_id: u64, outcome: Result<Outcome, Refusal>) -> Result<SetStockResult, Status> {
    let (repeated, result) = match outcome {
        Ok(Outcome { repeated, result: Some(OutcomeResult::Stock(stock)), .. }) => {
            (repeated, set_stock_result::Result::Stock(stock))
        }
        Ok(_) => return Err(unexpected("an outcome of another kind")),
        Err(refusal) => (false, set_stock_result::Result::Refusal(refusal)),
    };
    Ok(SetStockResult { goods_id, repeated, result: Some(result) })
}

/// A page of the history, with those named who caused it.
fn changes(page: StockChanges, ids: &HashMap<Owner, String>) -> ListStockChangesResponse {
    let named = |OwnedStockChange { change, owner }: OwnedStockChange| {
        let change = change.unwrap_or_default();
        let id = owner.and_then(|owner| ids.get(&owner)).cloned().unwrap_or_default();
        match owner.map(|owner| owner.kind()) {
            Some(OwnerKind::Order) => StockChange { order_id: id, ..change },
            Some(OwnerKind::Reservation) => StockChange { business_id: id, ..change },
            _ => change,
        }
    };
    let next_page_token = page_token::after(page.before_sequence);
    ListStockChangesResponse { changes: page.changes.into_iter().map(named).collect(), next_page_token }
}

pub(super) fn by_log(goods_ids: &[u64], partitioner: Partitioner) -> BTreeMap<u32, Vec<u64>> {
    let mut by_log = BTreeMap::<_, Vec<_>>::new();
    for goods_id in goods_ids {
        by_log.entry(partitioner.of_goods(*goods_id).log).or_default().push(*goods_id);
    }
    by_log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_all_logs_are_merged_as_far_as_all_were_looked_through() {
        let of_log = |goods_ids: &[u64], after| {
            let level = |goods_id: &u64| StockLevel { goods_id: *goods_id, ..StockLevel::default() };
            Stocks { stocks: goods_ids.iter().map(level).collect(), after }
        };
        let table = [
            ("nothing more", vec![of_log(&[1, 4], 0), of_log(&[2], 0)], 3, of_log(&[1, 2, 4], 0)),
            ("more in both", vec![of_log(&[1, 4], 4), of_log(&[2, 3], 3)], 2, of_log(&[1, 2], 2)),
            ("more in one", vec![of_log(&[5, 7, 9], 9), of_log(&[2], 0)], 3, of_log(&[2, 5, 7], 7)),
            ("a full page that may be the last", vec![of_log(&[1, 4], 0), of_log(&[2, 3], 0)], 4, of_log(&[1, 2, 3, 4], 0)),
            ("one log is looked through up to 6 only", vec![of_log(&[1], 6), of_log(&[5, 8], 0)], 9, of_log(&[1, 5], 6)),
            ("nothing up to 6", vec![of_log(&[], 6), of_log(&[8], 0)], 9, of_log(&[], 6)),
            ("nothing at all", vec![of_log(&[], 0), of_log(&[], 0)], 9, of_log(&[], 0)),
        ];
        for (name, of_logs, limit, expected) in table {
            assert_eq!(merge(of_logs, limit), expected, "{name}");
        }
    }
}
