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
use crate::order::payment as payment_of;
use crate::order::view;
use crate::replica::Replica;
use crate::state::State;
use crate::state::rows::UserOrder;

pub fn order(replica: &mut Replica, query: &OrderQuery, viewer: u64) -> Answer {
    match find(replica, &query.order_id, viewer, Code::OrderNotFound) {
        Ok(row) => Answer::Order(view::order(row)),
        Err(code) => refused(code),
    }
}

pub fn payment(replica: &mut Replica, query: &OrderQuery, viewer: u64) -> Answer {
    match find(replica, &query.order_id, viewer, Code::PaymentNotFound) {
        // An order whose cart gave nothing has none.
        Ok(row) if payment_of(row).status() == PaymentStatus::Unspecified => refused(Code::PaymentNotFound),
        Ok(row) => Answer::Payment(view::payment_with_log(row)),
        Err(code) => refused(code),
    }
}

pub fn logistics_order(replica: &mut Replica, query: &OrderQuery, viewer: u64) -> Answer {
    match find(replica, &query.order_id, viewer, Code::LogisticsOrderNotFound) {
        Ok(row) => view::logistics_order(row).map_or_else(|| refused(Code::LogisticsOrderNotFound), Answer::LogisticsOrder),
        Err(code) => refused(code),
    }
}

pub fn logistics_order_by_number(replica: &mut Replica, query: &OrderNumberQuery, viewer: u64) -> Answer {
    match find_by_number(replica, query, viewer) {
        Ok(row) => view::logistics_order(row).map_or_else(|| refused(Code::LogisticsOrderNotFound), Answer::LogisticsOrder),
        Err(code) => refused(code),
    }
}

pub fn tracks(replica: &mut Replica, query: &OrderQuery, viewer: u64) -> Answer {
    match find(replica, &query.order_id, viewer, Code::LogisticsOrderNotFound) {
        Ok(row) => view::tracks(row).map_or_else(|| refused(Code::LogisticsOrderNotFound), Answer::Tracks),
        Err(code) => refused(code),
    }
}

pub fn tracks_by_number(replica: &mut Replica, query: &OrderNumberQuery, viewer: u64) -> Answer {
    match find_by_number(replica, query, viewer) {
        Ok(row) => view::tracks(row).map_or_else(|| refused(Code::LogisticsOrderNotFound), Answer::Tracks),
        Err(code) => refused(code),
    }
}

/// Ids of orders and reservations by their numbers; empty where this log has none.
pub fn owners(replica: &mut Replica, query: &OwnersQuery) -> Answer {
    let log = replica.number();
    let partitions = replica.partitions();
    let id = |owner: &Owner| {
        let state = &partitions.get(owner.partition as usize).filter(|_| owner.log == log)?.state;
        match owner.kind() {
            OwnerKind::Order => state.orders.peek(&owner.number, |row| row.order_id.clone()),
            OwnerKind::Reservation => state.reservations.peek(&owner.number, |row| row.business_id.clone()),
            OwnerKind::Goods | OwnerKind::User | OwnerKind::Unspecified => None,
        }
    };
    Answer::Owners(Owners { ids: query.owners.iter().map(|owner| id(owner).unwrap_or_default()).collect() })
}

/// The order, unless it belongs to somebody else than the user who asks; `missing` when there is none.
fn find<'a>(replica: &'a mut Replica, order_id: &String, viewer: u64, missing: Code) -> Result<&'a OrderRow, Code> {
    let place = replica.partitioner().of_text(order_id);
    let state = &mut replica.partition(place).state;
    let number = state.order_ids.get(order_id).copied().ok_or(missing)?;
    let order = state.orders.get(&number).map(Box::as_ref).ok_or(missing)?;
    if viewer == 0 || viewer == order.user_id { Ok(order) } else { Err(Code::OrderNotYours) }
}

/// The order whose parcel has a tracking number, as [`find`].
fn find_by_number<'a>(replica: &'a mut Replica, query: &OrderNumberQuery, viewer: u64) -> Result<&'a OrderRow, Code> {
    let partition = replica.partitions().get_mut(query.partition as usize).ok_or(Code::LogisticsOrderNotFound)?;
    let order = partition.state.orders.get(&query.number).ok_or(Code::LogisticsOrderNotFound)?;
    let parcel = order.parcel.as_ref().filter(|parcel| parcel.tracking_number == query.tracking_number);
    parcel.ok_or(Code::LogisticsOrderNotFound)?;
    if viewer == 0 || viewer == order.user_id { Ok(order) } else { Err(Code::OrderNotYours) }
}

/// The newest orders of a user over all partitions that the filters let through, after the cursor; and how many there are without it.
pub fn of_user(replica: &mut Replica, query: &UserOrdersQuery) -> Answer {
    let (mut total, mut found) = (0, Vec::new());
    for partition in replica.partitions() {
        let state = &partition.state;
        let mut wanted = Wanted { query, state, total: 0, newest: Vec::new() };
        wanted.scan();
        total += wanted.total;
        found.extend(wanted.newest.iter().filter_map(|index| state.orders.peek(&index.number, |row| view::order(row))));
    }
    found.sort_by(|a, b| (b.created_at_ms, &b.order_id).cmp(&(a.created_at_ms, &a.order_id)));
    found.truncate(query.limit as usize);
    Answer::UserOrders(Orders { orders: found, total })
}

/// What one partition has for a list. The index alone tells times; rows are read for what it does not.
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
        state.user_orders.scan(&from, |index, ()| {
            if index.user_id != user_id || index.created_at_ms < created_from_ms {
                return ControlFlow::Break(());
            }
            self.take(*index);
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
            Ordering::Equal => self.state.orders.peek(&index.number, |row| row.order_id < *before_order_id).unwrap_or(false),
        }
    }
}
