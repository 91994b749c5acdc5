use emshop_proto::internal::{UserQuery, query, query_reply};
use emshop_proto::v1::balance_service_server::BalanceService;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{AdjustBalanceRequest, AdjustBalanceResponse, GetBalanceRequest, GetBalanceResponse};
use tonic::{Request, Response, Status};

use super::{accept, respond};
use crate::gateway::Gateway;
use crate::queries::unexpected;
use crate::validate;

#[tonic::async_trait]
impl BalanceService for Gateway {
    async fn get_balance(&self, request: Request<GetBalanceRequest>) -> Result<Response<GetBalanceResponse>, Status> {
        let request = request.into_inner();
        accept(validate::get_balance(&request))?;
        let GetBalanceRequest { user_id } = request;
        let place = self.queries.partitioner.of_user(user_id);
        match self.queries.ask(place.log, query::Body::Balance(UserQuery { user_id })).await? {
            query_reply::Body::Balance(balance) => Ok(Response::new(GetBalanceResponse { balance: Some(balance) })),
            _ => Err(unexpected("not a balance")),
        }
    }

    async fn adjust_balance(&self, request: Request<AdjustBalanceRequest>) -> Result<Response<AdjustBalanceResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::AdjustBalance).await?;
        respond!(outcome, Balance, AdjustBalanceResponse { balance })
    }
}
