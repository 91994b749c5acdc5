//! Orders, with their payments and parcels.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::query_reply::Body as Answer;
use emshop_proto::internal::{
    ListedOrder, OrderNumberQuery, OrderPlace, OrderQuery, OrderRow, Orders, Owner, OwnerKind, Owners, OwnersQuery,
    UserOrdersQuery,
};
use emshop_proto::v1::PaymentStatus;
use prost::Message as _;

use super::{LIST_BYTES_MAX, LOOKED_AT_MAX, refused};
use crate::order::view;
use crate::order::{payment as payment_of, row as order_row};
use crate::replica::Replica;
use crate::state::order_index::UserOrder;

pub fn order(replica: &Replica, query: &OrderQuery, viewer: u64) -> Answer {
    show(replica, &query.order_id, viewer, Code::OrderNotFound, |row| Some(Answer::Order(view::order(row))))
}

pub fn payment(replica: &Replica, query: &OrderQuery, viewer: u64) -> Answer {
    show(replica, &query.order_id, viewer, Code::PaymentNotFound, |row| {
        // An order whose cart gave nothing has none.
        let is_there = payment_of(row).status() != PaymentStatus::Unspecified;
        is_there.then(|| Answer::Payment(view::payment_with_log(row)))
    })
}

pub fn logistics_order(replica: &Replica, query: &OrderQuery, viewer: u64) -> Answer {
    show(replica, &query.order_id, viewer, Code::LogisticsOrderNotFound, parcel)
}

pub fn logistics_order_by_number(replica: &Replica, query: &OrderNumberQuery, viewer: u64) -> Answer {
    show_parcel(replica, query, viewer, parcel)
}

pub fn tracks(replica: &Replica, query: &OrderQuery, viewer: u64) -> Answer {
    show(replica, &query.order_id, viewer, Code::LogisticsOrderNotFound, |row| view::tracks(row).map(Answer::Tracks))
}

pub fn tracks_by_number(replica: &Replica, query: &OrderNumberQuery, viewer: u64) -> Answer {
    show_parcel(replica, query, viewer, |row| view::tracks(row).map(Answer::Tracks))
}

fn parcel(row: &OrderRow) -> Option<Answer> {
    view::logistics_order(row).map(Answer::LogisticsOrder)
}

/// Shows the order whose parcel has a tracking number.
fn show_parcel(replica: &Replica, query: &OrderNumberQuery, viewer: u64, show: fn(&OrderRow) -> Option<Answer>) -> Answer {
    let has_number = |row: &OrderRow| row.parcel.as_ref().is_some_and(|parcel| parcel.tracking_number == query.tracking_number);
    let missing = Code::LogisticsOrderNotFound;
    match replica.state.orders.peek(&query.number, |row| has_number(row)) {
        Some(true) => show_number(replica, query.number, viewer, missing, show),
        _ => refused(missing),
    }
}

/// Ids of orders and reservations by their numbers; empty where this log has none.
pub fn owners(replica: &Replica, query: &OwnersQuery) -> Answer {
    let (log, state) = (replica.number(), &replica.state);
    let id = |owner: &Owner| match owner.kind() {
        _ if owner.log != log => None,
        OwnerKind::Order => state.orders.peek(&owner.number, |row| order_row::id(row).to_owned()),
        OwnerKind::Reservation => state.reservations.peek(&owner.number, |row| row.business_id.clone()),
        OwnerKind::Goods | OwnerKind::User | OwnerKind::Unspecified => None,
    };
    Answer::Owners(Owners { ids: query.owners.iter().map(|owner| id(owner).unwrap_or_default()).collect() })
}

/// Shows the order; `missing` when there is none, or it belongs to somebody else than the user who asks: they learn nothing of it.
fn show(
    replica: &Replica,
    order_id: &String,
    viewer: u64,
    missing: Code,
    show: impl FnOnce(&OrderRow) -> Option<Answer>,
) -> Answer {
    match replica.state.order_number(order_id) {
        Some(number) => show_number(replica, number, viewer, missing, |row| {
            // The index knows hashes.
            if order_row::id(row) == order_id { show(row) } else { None }
        }),
        None => refused(missing),
    }
}

/// As [`show`], by the order's number in this log.
fn show_number(
    replica: &Replica,
    number: u64,
    viewer: u64,
    missing: Code,
    show: impl FnOnce(&OrderRow) -> Option<Answer>,
) -> Answer {
    let shown = replica.state.orders.peek(&number, |order| {
        if viewer != 0 && viewer != order.user_id {
            return None;
        }
        show(order)
    });
    shown.flatten().unwrap_or_else(|| refused(missing))
}

/// The newest orders of a user that the filters let through, after the place where the previous page ended.
pub fn of_user(replica: &Replica, query: &UserOrdersQuery) -> Answer {
    let (mut orders, mut last, mut looked_at, mut bytes, mut goes_on) = (Vec::new(), None, 0, 0, false);
    let state = &replica.state;
    state.order_index.of_user(&first_place(query, replica.number()), |index| {
        if index.created_at_ms < query.created_from_ms {
            return ControlFlow::Break(());
        }
        if orders.len() == query.limit as usize || looked_at == LOOKED_AT_MAX || bytes > LIST_BYTES_MAX {
            goes_on = true;
            return ControlFlow::Break(());
        }
        let place = OrderPlace { created_at_ms: index.created_at_ms, log: replica.number(), number: index.number };
        let is_wanted = |row: &OrderRow| query.statuses.is_empty() || query.statuses.contains(&row.status);
        let order = state.orders.peek(&index.number, |row| is_wanted(row).then(|| view::order(row))).flatten();
        if let Some(order) = order {
            bytes += order.encoded_len();
            orders.push(ListedOrder { place: Some(place), order: Some(order) });
        }
        (last, looked_at) = (Some(place), looked_at + 1);
        ControlFlow::Continue(())
    });
    Answer::UserOrders(Orders { orders, reached: last.filter(|_| goes_on) })
}

/// Where this log's part of a page begins.
fn first_place(query: &UserOrdersQuery, log: u32) -> UserOrder {
    let newest_ms = if query.created_before_ms == 0 { i64::MAX } else { query.created_before_ms.saturating_sub(1) };
    let at = |created_at_ms, number| UserOrder { user_id: query.user_id, created_at_ms, number };
    let Some(after) = query.after.filter(|after| after.created_at_ms <= newest_ms) else { return at(newest_ms, u64::MAX) };
    match log.cmp(&after.log) {
        Ordering::Less => at(after.created_at_ms.saturating_sub(1), u64::MAX),
        Ordering::Equal => at(after.created_at_ms, after.number.saturating_sub(1)),
        Ordering::Greater => at(after.created_at_ms, u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_log_goes_on_behind_the_last_order_of_the_page() {
        let after = Some(OrderPlace { created_at_ms: 50, log: 1, number: 7 });
        let first = |log, created_before_ms| {
            let query = UserOrdersQuery { user_id: 3, after, created_before_ms, ..UserOrdersQuery::default() };
            let UserOrder { user_id: 3, created_at_ms, number } = first_place(&query, log) else { panic!("another user") };
            (created_at_ms, number)
        };
        assert_eq!([0, 1, 2].map(|log| first(log, 0)), [(49, u64::MAX), (50, 6), (50, u64::MAX)]);
        assert_eq!([0, 1, 2].map(|log| first(log, 40)), [(39, u64::MAX); 3], "the page before had other filters");
    }
}
