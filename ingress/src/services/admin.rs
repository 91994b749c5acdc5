//! What operators ask of the whole shop.

use emshop_proto::v1::admin_service_server::AdminService;
use emshop_proto::v1::{InspectRequest, InspectResponse};
use tonic::{Request, Response, Status};

use super::Gateway;
use crate::queries::questions;

#[tonic::async_trait]
impl AdminService for Gateway {
    async fn inspect(&self, _request: Request<InspectRequest>) -> Result<Response<InspectResponse>, Status> {
        let logs = self.queries.ask_everywhere(questions::Inspect(InspectRequest {})).await?;
        Ok(Response::new(InspectResponse { logs }))
    }
}
