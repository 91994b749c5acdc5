//! Users' balances.

use emshop_proto::internal::UserQuery;
use emshop_proto::v1::balance_service_server::BalanceService;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{AdjustBalanceRequest, AdjustBalanceResponse, GetBalanceRequest, GetBalanceResponse};
use tonic::{Request, Response, Status};

use super::{Gateway, accept, respond};
use crate::queries::questions;
use crate::validate;

#[tonic::async_trait]
impl BalanceService for Gateway {
    async fn get_balance(&self, request: Request<GetBalanceRequest>) -> Result<Response<GetBalanceResponse>, Status> {
        let request = request.into_inner();
        accept(validate::get_balance(&request))?;
        let GetBalanceRequest { user_id } = request;
        let balance = self.ask_of_user(user_id, questions::Balance(UserQuery { user_id })).await?;
        Ok(Response::new(GetBalanceResponse { balance: Some(balance) }))
    }

    async fn adjust_balance(&self, request: Request<AdjustBalanceRequest>) -> Result<Response<AdjustBalanceResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::AdjustBalance).await?;
        respond!(outcome, Balance, AdjustBalanceResponse { balance })
    }
}
