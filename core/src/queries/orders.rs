//! Orders, with their payments and parcels.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::query_reply::Body as Answer;
use emshop_proto::internal::{
    OrderNumberQuery, OrderQuery, OrderRow, Orders, Owner, OwnerKind, Owners, OwnersQuery, UserOrdersQuery,
};
use emshop_proto::v1::PaymentStatus;

use super::refused;
use crate::order::view;
use crate::order::{payment as payment_of, row as order_row};
use crate::replica::Replica;
use crate::state::State;
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

/// Shows the order, unless it belongs to somebody else than the user who asks; `missing` when there is none.
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
            return Some(refused(Code::OrderNotYours));
        }
        show(order)
    });
    shown.flatten().unwrap_or_else(|| refused(missing))
}

/// The newest orders of a user that the filters let through, after the cursor; and how many there are without it.
pub fn of_user(replica: &Replica, query: &UserOrdersQuery) -> Answer {
    let state = &replica.state;
    let mut wanted = Wanted { query, state, total: 0, newest: Vec::new() };
    wanted.scan();
    let found = wanted.newest.iter().filter_map(|index| state.orders.peek(&index.number, |row| view::order(row)));
    let mut orders: Vec<_> = found.collect();
    orders.sort_by(|a, b| (b.created_at_ms, &b.order_id).cmp(&(a.created_at_ms, &a.order_id)));
    orders.truncate(query.limit as usize);
    Answer::UserOrders(Orders { orders, total: wanted.total })
}

/// What there is for a list. The index alone tells times; rows are read for what it does not.
struct Wanted<'a> {
    query: &'a UserOrdersQuery,
    state: &'a State,
    total: u64,
    /// The newest after the cursor, and whatever is as old as the last of them: ids decide which of these comes first.
    newest: Vec<UserOrder>,
}

impl Wanted<'_> {
    fn scan(&mut self) {
        let UserOrdersQuery { user_id, created_from_ms, created_before_ms, .. } = *self.query;
        let newest_ms = if created_before_ms == 0 { i64::MAX } else { created_before_ms - 1 };
        let from = UserOrder { user_id, created_at_ms: newest_ms, number: u64::MAX };
        let state = self.state;
        state.order_index.of_user(&from, |index| {
            if index.created_at_ms < created_from_ms {
                return ControlFlow::Break(());
            }
            self.take(index);
            ControlFlow::Continue(())
        });
    }

    fn take(&mut self, index: UserOrder) {
        let query = self.query;
        if !query.statuses.is_empty() {
            let status = self.state.orders.peek(&index.number, |row| row.status);
            if !status.is_some_and(|status| query.statuses.contains(&status)) {
                return;
            }
        }
        self.total += 1;
        let full = self.newest.len() >= query.limit as usize;
        let among_last = self.newest.last().is_some_and(|last| last.created_at_ms == index.created_at_ms);
        if (!full || among_last) && self.is_after_cursor(index) {
            self.newest.push(index);
        }
    }

    fn is_after_cursor(&self, index: UserOrder) -> bool {
        let UserOrdersQuery { before_ms, before_order_id, .. } = self.query;
        match index.created_at_ms.cmp(before_ms) {
            _ if *before_ms == 0 => true,
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => {
                self.state.orders.peek(&index.number, |row| order_row::id(row) < before_order_id.as_str()).unwrap_or(false)
            }
        }
    }
}
