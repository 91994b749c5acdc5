//! What happens by itself when log time passes. A tick in the log fires what is due; the state says what that is.

use std::ops::ControlFlow;

use emshop_proto::internal::Waiter;
use emshop_proto::v1::{CloseReason, OrderStatus};

use super::effects::Effects;
use super::state::{State, Timer, TimerKind};
use super::{Context, order, order_saga};

/// Timers that one tick fires in one partition: a turn stays short, and the next tick goes on.
pub const FIRED_PER_TICK_MAX: usize = 512;

/// An order whose saga waits for another log when its time is up is looked at again after this.
const BUSY_RETRY_MS: i64 = 1000;

/// Fires what is due at the context's log time.
pub fn fire(state: &mut State, ctx: &Context, fx: &mut Effects) {
    for timer in due(state, ctx.time_ms, FIRED_PER_TICK_MAX) {
        state.timers.remove(&timer);
        match timer.what {
            TimerKind::OrderExpiry(number) => expire_order(state, ctx, number, fx),
            TimerKind::KeyExpiry(key) => state.keys.remove(&key),
        }
    }
}

/// When the next timer is due.
pub fn next_due_ms(state: &State) -> Option<i64> {
    let mut next = None;
    state.timers.scan(&earliest(), |timer, ()| {
        next = Some(timer.due_ms);
        ControlFlow::Break(())
    });
    next
}

fn due(state: &State, time_ms: i64, most: usize) -> Vec<Timer> {
    let mut due = Vec::new();
    state.timers.scan(&earliest(), |timer, ()| {
        if timer.due_ms > time_ms || due.len() == most {
            return ControlFlow::Break(());
        }
        due.push(timer.clone());
        ControlFlow::Continue(())
    });
    due
}

fn expire_order(state: &mut State, ctx: &Context, number: u64, fx: &mut Effects) {
    let order = order::existing(state, number);
    if order_saga::is_running(order::saga(order).status()) {
        let again = Timer { due_ms: ctx.time_ms + BUSY_RETRY_MS, what: TimerKind::OrderExpiry(number) };
        state.timers.insert(again, ());
        return;
    }
    assert_eq!(order.status(), OrderStatus::Pending, "order {} is not pending but had an expiry timer", order.order_id);
    order::close(state, ctx, number, CloseReason::Expired, Waiter::default(), fx);
}

fn earliest() -> Timer {
    Timer { due_ms: 0, what: TimerKind::OrderExpiry(0) }
}
