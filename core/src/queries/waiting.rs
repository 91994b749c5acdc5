//! Orders that wait for somebody, and have for long.

use std::ops::ControlFlow;

use emshop_proto::internal::query_reply::Body as Answer;
use emshop_proto::internal::{OrderRow, WaitingOrders, WaitingQuery};
use emshop_proto::v1::{WaitingOrder, WaitsFor};

use super::LOOKED_AT_MAX;
use crate::order::waits;
use crate::replica::Replica;

/// Orders by ascending number. Those that are stuck have an index. Others are looked for among all orders, since an index of them would
/// cost each order rows, from its submission to its shipment, for a list that is seldom asked for; none is looked at that was submitted
/// too late to have waited so long.
pub fn page(replica: &Replica, query: &WaitingQuery) -> Answer {
    let mut page = Page { query, looked_at: 0, found: WaitingOrders::default() };
    let (orders, from) = (&replica.state.orders, query.after.saturating_add(1));
    if query.waits_for() == WaitsFor::Operator {
        replica
            .state
            .stuck_orders
            .scan(&from, |number, ()| orders.peek(number, |order| page.look(*number, order)).expect("a stuck order exists"));
    } else {
        let last = replica.state.counters.peek(&(), |counters| counters.orders).unwrap_or(0);
        for number in from..=last {
            let flow = orders.peek(&number, |order| page.look(number, order));
            if flow.expect("orders are numbered without gaps").is_break() {
                break;
            }
        }
    }
    Answer::Waiting(page.found)
}

struct Page<'q> {
    query: &'q WaitingQuery,
    looked_at: usize,
    found: WaitingOrders,
}

impl Page<'_> {
    fn look(&mut self, number: u64, order: &OrderRow) -> ControlFlow<()> {
        if order.created_at_ms > self.query.since_ms {
            return ControlFlow::Break(());
        }
        if self.found.orders.len() == self.query.limit as usize || self.looked_at == LOOKED_AT_MAX {
            // There are more: the next page goes on behind the last one looked at.
            self.found.after = number - 1;
            return ControlFlow::Break(());
        }
        self.looked_at += 1;
        let waiting = waits::waiting(order).filter(|waiting| self.is_wanted(waiting));
        self.found.orders.extend(waiting);
        ControlFlow::Continue(())
    }

    fn is_wanted(&self, waiting: &WaitingOrder) -> bool {
        let for_this = [WaitsFor::Unspecified, waiting.waits_for()].contains(&self.query.waits_for());
        for_this && waiting.since_ms <= self.query.since_ms
    }
}
