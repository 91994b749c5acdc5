use emshop_proto::ids;
use emshop_proto::internal::{OrderQuery, query, query_reply};
use emshop_proto::v1::get_logistics_order_request::By;
use emshop_proto::v1::logistics_service_server::LogisticsService;
use emshop_proto::v1::{GetLogisticsOrderRequest, GetLogisticsOrderResponse};
use tonic::{Request, Response, Status};

use super::accept;
use crate::gateway::Gateway;
use crate::queries::unexpected;
use crate::validate;

#[tonic::async_trait]
impl LogisticsService for Gateway {
    async fn get_logistics_order(
        &self,
        request: Request<GetLogisticsOrderRequest>,
    ) -> Result<Response<GetLogisticsOrderResponse>, Status> {
        let request = request.into_inner();
        accept(validate::get_logistics_order(&request))?;
        let order_id = match &request.by {
            Some(By::OrderId(id)) => id,
            Some(By::LogisticsId(id)) => ids::order_id_of_logistics(id).unwrap_or_default(),
            None => "",
        };
        let place = self.queries.partitioner.of_text(order_id);
        let question = query::Body::LogisticsOrder(OrderQuery { order_id: order_id.to_owned() });
        match self.queries.ask(place.log, question).await? {
            query_reply::Body::LogisticsOrder(order) => {
                Ok(Response::new(GetLogisticsOrderResponse { logistics_order: Some(order) }))
            }
            _ => Err(unexpected("not a logistics order")),
        }
    }
}
