use std::collections::{BTreeMap, HashMap};

use emshop_proto::errors::Code;
use emshop_proto::internal::{GoodsQuery, query, query_reply};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::inventory_service_server::InventoryService;
use emshop_proto::v1::{
    AdjustStockRequest, AdjustStockResponse, BatchGetStockRequest, BatchGetStockResponse, ConfirmSellRequest,
    ConfirmSellResponse, GetStockRequest, GetStockResponse, RebackRequest, RebackResponse, ReleaseReservedRequest,
    ReleaseReservedResponse, ReserveStockRequest, ReserveStockResponse, SetStockRequest, SetStockResponse, StockLevel,
};
use tonic::{Request, Response, Status};

use super::{accept, respond};
use crate::gateway::Gateway;
use crate::queries::unexpected;
use crate::{status, validate};

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
        accept(validate::batch_get_stock(&request))?;
        let known = self.stocks(&request.goods_ids).await?;
        let (found, unknown_goods_ids) = request.goods_ids.into_iter().partition::<Vec<_>, _>(|id| known.contains_key(id));
        let stocks = found.iter().map(|id| known[id]).collect();
        Ok(Response::new(BatchGetStockResponse { stocks, unknown_goods_ids }))
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
}

impl Gateway {
    /// The stock of those SKUs that have an entry, from all logs concerned.
    async fn stocks(&self, goods_ids: &[u64]) -> Result<HashMap<u64, StockLevel>, Status> {
        let questions = by_log(goods_ids, self.queries.partitioner).into_iter();
        let questions = questions.map(|(log, goods_ids)| (log, query::Body::Stock(GoodsQuery { goods_ids })));
        let mut known = HashMap::with_capacity(goods_ids.len());
        for answer in self.queries.ask_all(questions).await? {
            match answer {
                query_reply::Body::Stock(of_log) => known.extend(of_log.stocks.into_iter().map(|stock| (stock.goods_id, stock))),
                _ => return Err(unexpected("not stock levels")),
            }
        }
        Ok(known)
    }
}

fn by_log(goods_ids: &[u64], partitioner: Partitioner) -> BTreeMap<u32, Vec<u64>> {
    let mut by_log = BTreeMap::<_, Vec<_>>::new();
    for goods_id in goods_ids {
        by_log.entry(partitioner.of_goods(*goods_id).log).or_default().push(*goods_id);
    }
    by_log
}
