//! Entries of goods.

use std::collections::HashMap;

use emshop_proto::errors::Code;
use emshop_proto::internal::GoodsQuery;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::goods_service_server::GoodsService;
use emshop_proto::v1::{
    BatchDeleteGoodsRequest, BatchGetGoodsRequest, BatchGetGoodsResponse, BatchGoodsResponse, BatchSetOnSaleRequest,
    CreateGoodsRequest, DeleteGoodsRequest, GetGoodsRequest, GetGoodsResponse, Goods, GoodsResponse, GoodsResult,
    ListGoodsRequest, ListGoodsResponse, Outcome, Refusal, SetOnSaleRequest, UpdateGoodsRequest,
};
use tonic::{Request, Response, Status};

use super::inventory::by_log;
use super::{Gateway, accept, respond};
use crate::queries::questions;
use crate::{access, status, validate};

/// Entries asked for at once: fifty of the longest, at 17 KiB each, are still below the 1 MiB of a reply.
const ENTRIES_PER_REPLY_MAX: usize = 50;

#[tonic::async_trait]
impl GoodsService for Gateway {
    async fn create_goods(&self, request: Request<CreateGoodsRequest>) -> Result<Response<GoodsResponse>, Status> {
        respond!(self.dispatcher.call(request, Body::CreateGoods).await?, boxed Goods, GoodsResponse { goods })
    }

    async fn get_goods(&self, request: Request<GetGoodsRequest>) -> Result<Response<GetGoodsResponse>, Status> {
        let is_staff = access::is_staff(request.extensions());
        let GetGoodsRequest { goods_id } = request.into_inner();
        accept(validate::goods_id(goods_id))?;
        match self.goods(&[goods_id], is_staff).await?.remove(&goods_id) {
            Some(goods) => Ok(Response::new(GetGoodsResponse { goods: Some(goods) })),
            None => Err(status::of_refusal(Code::GoodsNotFound.refusal())),
        }
    }

    async fn update_goods(&self, request: Request<UpdateGoodsRequest>) -> Result<Response<GoodsResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::UpdateGoods).await?;
        respond!(outcome, boxed Goods, GoodsResponse { goods })
    }

    async fn delete_goods(&self, request: Request<DeleteGoodsRequest>) -> Result<Response<GoodsResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::DeleteGoods).await?;
        respond!(outcome, boxed Goods, GoodsResponse { goods })
    }

    async fn batch_set_on_sale(&self, request: Request<BatchSetOnSaleRequest>) -> Result<Response<BatchGoodsResponse>, Status> {
        accept(validate::goods::batch_set_on_sale(request.get_ref()))?;
        let (metadata, extensions, BatchSetOnSaleRequest { goods_ids, on_sale }) = request.into_parts();
        let set = |goods_id: &u64| Body::SetOnSale(SetOnSaleRequest { goods_id: *goods_id, on_sale });
        let results = self.dispatcher.call_each(&metadata, &extensions, goods_ids.iter().map(set)).await?;
        Ok(Response::new(results_of(&goods_ids, results)))
    }

    async fn batch_delete_goods(
        &self,
        request: Request<BatchDeleteGoodsRequest>,
    ) -> Result<Response<BatchGoodsResponse>, Status> {
        accept(validate::goods::batch_delete_goods(request.get_ref()))?;
        let (metadata, extensions, BatchDeleteGoodsRequest { goods_ids }) = request.into_parts();
        let delete = |goods_id: &u64| Body::DeleteGoods(DeleteGoodsRequest { goods_id: *goods_id });
        let results = self.dispatcher.call_each(&metadata, &extensions, goods_ids.iter().map(delete)).await?;
        Ok(Response::new(results_of(&goods_ids, results)))
    }

    async fn batch_get_goods(&self, request: Request<BatchGetGoodsRequest>) -> Result<Response<BatchGetGoodsResponse>, Status> {
        let is_staff = access::is_staff(request.extensions());
        let request = request.into_inner();
        accept(validate::goods::batch_get_goods(&request))?;
        let known = self.goods(&request.goods_ids, is_staff).await?;
        let (found, unknown_goods_ids) = request.goods_ids.into_iter().partition::<Vec<_>, _>(|id| known.contains_key(id));
        let goods = found.iter().map(|id| known[id].clone()).collect();
        Ok(Response::new(BatchGetGoodsResponse { goods, unknown_goods_ids }))
    }

    async fn list_goods(&self, request: Request<ListGoodsRequest>) -> Result<Response<ListGoodsResponse>, Status> {
        Ok(Response::new(self.goods_list(request).await?))
    }
}

impl Gateway {
    /// Those goods that have an entry, from all logs concerned, as staff or everybody else sees them.
    pub(super) async fn goods(&self, goods_ids: &[u64], is_staff: bool) -> Result<HashMap<u64, Goods>, Status> {
        let mut questions = Vec::new();
        for (log, goods_ids) in by_log(goods_ids, self.queries.partitioner) {
            let parts = goods_ids.chunks(ENTRIES_PER_REPLY_MAX).map(|part| GoodsQuery { goods_ids: part.to_vec() });
            questions.extend(parts.map(|part| (log, questions::Goods(part))));
        }
        let entries = self.queries.ask_all(questions).await?;
        let goods = entries.into_iter().flat_map(|entries| entries.goods);
        let goods = goods.filter_map(|goods| if is_staff { Some(goods) } else { public(goods) });
        Ok(goods.map(|goods| (goods.goods_id, goods)).collect())
    }
}

/// What everybody may see of an entry.
fn public(goods: Goods) -> Option<Goods> {
    (goods.on_sale == Some(true)).then_some(Goods { sold: 0, ..goods })
}

fn results_of(goods_ids: &[u64], results: Vec<Result<Outcome, Refusal>>) -> BatchGoodsResponse {
    let result = |(goods_id, result): (&u64, Result<Outcome, Refusal>)| match result {
        Ok(outcome) => GoodsResult { goods_id: *goods_id, repeated: outcome.repeated, refusal: None },
        Err(refusal) => GoodsResult { goods_id: *goods_id, repeated: false, refusal: Some(refusal) },
    };
    BatchGoodsResponse { results: goods_ids.iter().zip(results).map(result).collect() }
}
