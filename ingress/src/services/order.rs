//! Orders, from their submission to their return.

use std::cmp::Reverse;

use emshop_proto::internal::{OrderQuery, UserOrdersQuery};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::order_service_server::OrderService;
use emshop_proto::v1::{
    CancelOrderRequest, CancelOrderResponse, CompleteOrderRequest, GetOrderRequest, GetOrderResponse, ListOrdersRequest,
    ListOrdersResponse, Order, OrderResponse, RequestReturnRequest, ResolveReturnRequest, SubmitOrderRequest,
    SubmitOrderResponse,
};
use tonic::{Request, Response, Status};

use super::{Gateway, accept, respond};
use crate::page_token::{self, OrderPosition};
use crate::queries::questions;
use crate::{access, validate};

const PAGE_SIZE_DEFAULT: u32 = 20;

#[tonic::async_trait]
impl OrderService for Gateway {
    async fn submit_order(&self, request: Request<SubmitOrderRequest>) -> Result<Response<SubmitOrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::SubmitOrder).await?;
        respond!(outcome, Order, SubmitOrderResponse { order })
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        let viewer = access::viewer(request.extensions());
        let GetOrderRequest { order_id } = request.into_inner();
        accept(validate::order_id(&order_id))?;
        let place = self.queries.partitioner.of_order(&order_id);
        let order = self.queries.ask_as(viewer, place.log, questions::Order(OrderQuery { order_id })).await?;
        Ok(Response::new(GetOrderResponse { order: Some(order) }))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        let request = request.into_inner();
        accept(validate::list_orders(&request))?;
        let size = page_token::size(request.page_size, PAGE_SIZE_DEFAULT);
        let before: OrderPosition = page_token::start(&request.page_token);
        // One more than the page tells whether there is another page.
        let question = UserOrdersQuery {
            user_id: request.user_id,
            limit: size + 1,
            before_ms: before.created_at_ms,
            before_order_id: before.order_id,
            statuses: request.statuses,
            created_from_ms: request.created_from_ms,
            created_before_ms: request.created_before_ms,
        };
        let of_logs = self.queries.ask_everywhere(questions::UserOrders(question)).await?;
        let total = of_logs.iter().map(|of_log| of_log.total).sum();
        let orders = of_logs.into_iter().flat_map(|of_log| of_log.orders).collect();
        Ok(Response::new(page(orders, size, total)))
    }

    async fn cancel_order(&self, request: Request<CancelOrderRequest>) -> Result<Response<CancelOrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CancelOrder).await?;
        respond!(outcome, Order, CancelOrderResponse { order })
    }

    async fn complete_order(&self, request: Request<CompleteOrderRequest>) -> Result<Response<OrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CompleteOrder).await?;
        respond!(outcome, Order, OrderResponse { order })
    }

    async fn request_return(&self, request: Request<RequestReturnRequest>) -> Result<Response<OrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::RequestReturn).await?;
        respond!(outcome, Order, OrderResponse { order })
    }

    async fn resolve_return(&self, request: Request<ResolveReturnRequest>) -> Result<Response<OrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::ResolveReturn).await?;
        respond!(outcome, Order, OrderResponse { order })
    }
}

/// The newest `size` of what the logs gave, of `total` that they have.
fn page(mut orders: Vec<Order>, size: u32, total: u64) -> ListOrdersResponse {
    orders.sort_by(|a, b| Reverse((a.created_at_ms, &a.order_id)).cmp(&Reverse((b.created_at_ms, &b.order_id))));
    let position = |last: &Order| OrderPosition { created_at_ms: last.created_at_ms, order_id: last.order_id.clone() };
    let next_page_token = page_token::cut(&mut orders, size, position);
    ListOrdersResponse { orders, next_page_token, total }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_newest_first_over_all_logs() {
        let order = |created_at_ms, id: &str| Order { created_at_ms, order_id: id.to_owned(), ..Order::default() };
        let orders = vec![order(3, "c"), order(1, "a"), order(4, "x"), order(3, "d")];
        let ids = |page: &ListOrdersResponse| page.orders.iter().map(|order| order.order_id.clone()).collect::<String>();
        let first = page(orders.clone(), 3, 9);
        assert_eq!((ids(&first).as_str(), first.next_page_token.as_str(), first.total), ("xdc", "3.c", 9));
        let whole = page(orders, 4, 4);
        assert_eq!((ids(&whole).as_str(), whole.next_page_token.as_str()), ("xdca", ""));
        assert_eq!(page(Vec::new(), 4, 0), ListOrdersResponse::default());
    }
}
