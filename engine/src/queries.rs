//! Reads. They run between two turns, so all that one of them sees is as of one log position.

use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::{GoodsEntries, OrderRow, Orders, Query, QueryReply, UserOrdersQuery, query, query_reply};
use emshop_proto::v1::{BatchGetStockResponse, Order};

use crate::machine::state::UserOrder;
use crate::machine::{goods, stock, view};
use crate::turn::Replica;

/// Answers a query. `None` when the answer comes from the checkpoint thread.
pub fn answer(replica: &mut Replica, query: Query) -> Option<QueryReply> {
    use query_reply::Body;
    let body = match query.body {
        Some(query::Body::Order(query)) => match find(replica, &query.order_id) {
            Some(row) => Body::Order(view::order(row)),
            None => Body::Refusal(Code::OrderNotFound.refusal()),
        },
        Some(query::Body::Payment(query)) => match find(replica, &query.order_id) {
            Some(row) => Body::Payment(view::payment(row)),
            None => Body::Refusal(Code::PaymentNotFound.refusal()),
        },
        Some(query::Body::LogisticsOrder(query)) => match find(replica, &query.order_id).and_then(view::logistics_order) {
            Some(parcel) => Body::LogisticsOrder(parcel),
            None => Body::Refusal(Code::LogisticsOrderNotFound.refusal()),
        },
        Some(query::Body::UserOrders(query)) => Body::UserOrders(Orders { orders: user_orders(replica, &query) }),
        Some(query::Body::Stock(query)) => Body::Stock(stocks(replica, &query.goods_ids)),
        Some(query::Body::Goods(query)) => Body::Goods(goods_entries(replica, &query.goods_ids)),
        Some(query::Body::Inspect(_)) => return None,
        None => Body::Refusal(Code::ValidationFailed.refusal()),
    };
    Some(QueryReply { body: Some(body) })
}

fn find<'a>(replica: &'a mut Replica, order_id: &String) -> Option<&'a OrderRow> {
    let place = replica.partitioner().of_text(order_id);
    let state = &mut replica.partition(place).state;
    let number = *state.order_ids.get(order_id)?;
    state.orders.get(&number).map(Box::as_ref)
}

/// The newest orders of a user over all partitions, after the cursor.
fn user_orders(replica: &mut Replica, query: &UserOrdersQuery) -> Vec<Order> {
    let before = (query.before_ms, query.before_order_id.as_str());
    let is_after = |order: &Order| query.before_ms == 0 || (order.created_at_ms, order.order_id.as_str()) < before;
    let from_ms = if query.before_ms == 0 { i64::MAX } else { query.before_ms };
    let from = UserOrder { user_id: query.user_id, created_at_ms: from_ms, number: u64::MAX };
    let mut found = Vec::new();
    for partition in replica.partitions() {
        let state = &mut partition.state;
        let mut newest = Vec::new();
        // Orders of the same millisecond as the cursor may have to be passed over.
        state.user_orders.scan(&from, |index, ()| {
            let enough = newest.len() >= query.limit as usize && newest.last().is_some_and(|(_, ms)| *ms > index.created_at_ms);
            if index.user_id != query.user_id || (enough && index.created_at_ms < from_ms) {
                return ControlFlow::Break(());
            }
            newest.push((index.number, index.created_at_ms));
            ControlFlow::Continue(())
        });
        let orders = newest.iter().filter_map(|(number, _)| state.orders.get(number).map(|row| view::order(row)));
        found.extend(orders.filter(is_after));
    }
    found.sort_by(|a, b| (b.created_at_ms, &b.order_id).cmp(&(a.created_at_ms, &a.order_id)));
    found.truncate(query.limit as usize);
    found
}

fn stocks(replica: &mut Replica, goods_ids: &[u64]) -> BatchGetStockResponse {
    let mut response = BatchGetStockResponse::default();
    for goods_id in goods_ids {
        let place = replica.partitioner().of_goods(*goods_id);
        match replica.partition(place).state.stocks.get(goods_id) {
            Some(row) => response.stocks.push(stock::level(*goods_id, row)),
            None => response.unknown_goods_ids.push(*goods_id),
        }
    }
    response
}

fn goods_entries(replica: &mut Replica, goods_ids: &[u64]) -> GoodsEntries {
    let mut entries = GoodsEntries::default();
    for goods_id in goods_ids {
        let place = replica.partitioner().of_goods(*goods_id);
        entries.goods.extend(replica.partition(place).state.goods.get(goods_id).map(|row| goods::view(*goods_id, row)));
    }
    entries
}
