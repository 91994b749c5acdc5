use emshop_proto::internal::{query, query_reply};
use emshop_proto::v1::admin_service_server::AdminService;
use emshop_proto::v1::{InspectRequest, InspectResponse};
use tonic::{Request, Response, Status};

use crate::gateway::Gateway;
use crate::queries::unexpected;

#[tonic::async_trait]
impl AdminService for Gateway {
    async fn inspect(&self, _request: Request<InspectRequest>) -> Result<Response<InspectResponse>, Status> {
        let questions = (0..self.queries.partitioner.logs()).map(|log| (log, query::Body::Inspect(InspectRequest {})));
        let mut logs = Vec::new();
        for answer in self.queries.ask_all(questions).await? {
            match answer {
                query_reply::Body::Inspection(inspection) => logs.push(inspection),
                _ => return Err(unexpected("not an inspection")),
            }
        }
        Ok(Response::new(InspectResponse { logs }))
    }
}
