use emshop_proto::errors::Code;
use emshop_proto::internal::{GoodsQuery, query, query_reply};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::goods_service_server::GoodsService;
use emshop_proto::v1::{CreateGoodsRequest, CreateGoodsResponse, GetGoodsRequest, GetGoodsResponse};
use tonic::{Request, Response, Status};

use super::{accept, respond};
use crate::gateway::Gateway;
use crate::queries::unexpected;
use crate::{status, validate};

#[tonic::async_trait]
impl GoodsService for Gateway {
    async fn create_goods(&self, request: Request<CreateGoodsRequest>) -> Result<Response<CreateGoodsResponse>, Status> {
        respond!(self.dispatcher.call(request, Body::CreateGoods).await?, Goods, CreateGoodsResponse { goods })
    }

    async fn get_goods(&self, request: Request<GetGoodsRequest>) -> Result<Response<GetGoodsResponse>, Status> {
        let GetGoodsRequest { goods_id } = request.into_inner();
        accept(validate::goods_id(goods_id))?;
        let place = self.queries.partitioner.of_goods(goods_id);
        let question = query::Body::Goods(GoodsQuery { goods_ids: vec![goods_id] });
        match self.queries.ask(place.log, question).await? {
            query_reply::Body::Goods(entries) => match entries.goods.into_iter().next() {
                Some(goods) => Ok(Response::new(GetGoodsResponse { goods: Some(goods) })),
                None => Err(status::of_refusal(Code::GoodsNotFound.refusal())),
            },
            _ => Err(unexpected("not goods entries")),
        }
    }
}
