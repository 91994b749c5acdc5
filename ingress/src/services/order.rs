//! Orders, from their submission to their return.

use std::cmp::Reverse;

use emshop_proto::internal::{ListedOrder, OrderPlace, OrderQuery, Orders, UserOrdersQuery};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::order_service_server::OrderService;
use emshop_proto::v1::{
    CancelOrderRequest, CancelOrderResponse, CompleteOrderRequest, GetOrderRequest, GetOrderResponse, ListOrdersRequest,
    ListOrdersResponse, OrderResponse, RequestReturnRequest, ResolveReturnRequest, ResolveSagaRequest, SubmitOrderRequest,
    SubmitOrderResponse,
};
use tonic::{Request, Response, Status};

use super::{Gateway, accept, respond};
use crate::page_token::{self, Position};
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
        let viewer = access::viewer(request.extensions());
        let request = request.into_inner();
        accept(validate::list_orders(&request))?;
        let size = page_token::size(request.page_size, PAGE_SIZE_DEFAULT);
        let question = UserOrdersQuery {
            user_id: request.user_id,
            limit: size,
            after: Some(page_token::start(&request.page_token)).filter(|after| *after != OrderPlace::START),
            statuses: request.statuses,
            created_from_ms: request.created_from_ms,
            created_before_ms: request.created_before_ms,
        };
        let of_logs = self.queries.ask_everywhere_as(viewer, questions::UserOrders(question)).await?;
        Ok(Response::new(page(of_logs, size as usize)))
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

    async fn resolve_saga(&self, request: Request<ResolveSagaRequest>) -> Result<Response<OrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::ResolveSaga).await?;
        respond!(outcome, Order, OrderResponse { order })
    }
}

/// Ascending as lists go on.
fn in_list(place: &OrderPlace) -> (Reverse<i64>, u32, Reverse<u64>) {
    (Reverse(place.created_at_ms), place.log, Reverse(place.number))
}

/// The first `size` orders of what the logs gave, but none behind a place that a log has not looked beyond.
fn page(of_logs: Vec<Orders>, size: usize) -> ListOrdersResponse {
    let reached = of_logs.iter().filter_map(|of_log| of_log.reached).min_by_key(in_list);
    let listed = of_logs.into_iter().flat_map(|of_log| of_log.orders);
    let mut orders: Vec<_> = listed.filter_map(|ListedOrder { place, order }| Some((place?, order?))).collect();
    orders.sort_by_key(|(place, _)| in_list(place));
    let known = reached.map_or(orders.len(), |reached| orders.partition_point(|(place, _)| in_list(place) <= in_list(&reached)));
    let is_cut = orders.len() > size.min(known);
    orders.truncate(size.min(known));
    let last = orders.last().map(|(place, _)| *place).filter(|_| orders.len() == size);
    let end = if is_cut || reached.is_some() { last.or(reached) } else { None };
    ListOrdersResponse {
        orders: orders.into_iter().map(|(_, order)| order).collect(),
        next_page_token: end.map(|place| place.encode()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::Order;

    use super::*;

    fn orders(of_log: &[(i64, u32, u64)], reached: Option<(i64, u32, u64)>) -> Orders {
        let place = |(created_at_ms, log, number): (i64, u32, u64)| OrderPlace { created_at_ms, log, number };
        let listed = |at: &(i64, u32, u64)| {
            let order = Order { order_id: format!("{}.{}.{} ", at.0, at.1, at.2), ..Order::default() };
            ListedOrder { place: Some(place(*at)), order: Some(order) }
        };
        Orders { orders: of_log.iter().map(listed).collect(), reached: reached.map(place) }
    }

    #[test]
    fn pages_are_newest_first_over_all_logs_and_end_where_a_log_has_not_looked() {
        let ids = |of_logs: &[Orders], size| {
            let ListOrdersResponse { orders, next_page_token } = page(of_logs.to_vec(), size);
            (orders.into_iter().map(|order| order.order_id).collect::<String>(), next_page_token)
        };
        let told = |ids: &str, token: &str| (ids.to_owned(), token.to_owned());
        let whole = [orders(&[(4, 0, 9), (3, 0, 8), (3, 0, 7)], None), orders(&[(5, 1, 2), (3, 1, 1)], None)];
        assert_eq!(ids(&whole, 5), told("5.1.2 4.0.9 3.0.8 3.0.7 3.1.1 ", ""));
        assert_eq!(ids(&whole, 3), told("5.1.2 4.0.9 3.0.8 ", "3.0.8"));
        let full = [orders(&[(4, 0, 9), (3, 0, 8)], Some((3, 0, 8))), orders(&[(5, 1, 2), (2, 1, 1)], Some((2, 1, 1)))];
        assert_eq!(ids(&full, 2), told("5.1.2 4.0.9 ", "4.0.9"));
        assert_eq!(ids(&full, 9), told("5.1.2 4.0.9 3.0.8 ", "3.0.8"), "the first log may have more before 2.1.1");
        let seldom = [orders(&[], Some((3, 0, 4))), orders(&[(5, 1, 2)], None)];
        assert_eq!(ids(&seldom, 9), told("5.1.2 ", "3.0.4"));
        assert_eq!(ids(&seldom, 1), told("5.1.2 ", "5.1.2"));
        assert_eq!(ids(&[orders(&[], Some((3, 0, 4)))], 9), told("", "3.0.4"), "a page of nothing goes on");
        assert_eq!(ids(&[orders(&[], None)], 9), told("", ""));
    }
}
