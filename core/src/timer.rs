//! What happens by itself when log time passes. A tick in the log fires what is due; the state says what that is.

use std::ops::ControlFlow;

use emshop_proto::internal::Waiter;
use emshop_proto::v1::{CloseReason, OrderStatus};

use crate::context::Context;
use crate::effects::Effects;
use crate::order;
use crate::order::{payment, route, steps};
use crate::state::State;
use crate::state::rows::{Timer, TimerKind};
use crate::stock::reservation;
use crate::user::{code, hold};

/// Timers that one tick fires in one partition: a turn stays short, and the next tick goes on.
pub const FIRED_PER_TICK_MAX: usize = 512;

/// An order whose saga waits for another log when its time is up is looked at again after this.
const BUSY_RETRY_MS: i64 = 1000;

/// Fires what is due at the context's log time.
pub fn fire(state: &mut State, ctx: &Context, fx: &mut Effects) {
    for timer in due(state, ctx.time_ms, FIRED_PER_TICK_MAX) {
        state.timers.remove(&timer);
        state.no_timer_before_ms = timer.due_ms;
        match timer.what {
            TimerKind::OrderExpiry(number) => expire_order(state, ctx, number, fx),
            TimerKind::KeyExpiry(key) => state.keys.remove(&key),
            TimerKind::OrderCompletion(number) => order::complete_by_itself(state, ctx, number, fx),
            TimerKind::ParcelStation(number) => route::arrive(state, ctx, number, fx),
            TimerKind::ReservationExpiry(number) => reservation::expire(state, ctx, number, fx),
            TimerKind::PaymentHoldExpiry(hold) => hold::expire(state, ctx, &hold),
            TimerKind::CodeExpiry(key) => code::forget(state, ctx, &key),
        }
    }
}

/// When the next timer is due, asked at log time `time_ms`.
pub fn next_due_ms(state: &mut State, time_ms: i64) -> Option<i64> {
    let mut next = None;
    state.timers.scan(&earliest(state), |timer, ()| {
        next = Some(timer.due_ms);
        ControlFlow::Break(())
    });
    state.no_timer_before_ms = next.unwrap_or(time_ms).min(time_ms);
    next
}

fn due(state: &State, time_ms: i64, most: usize) -> Vec<Timer> {
    let mut due = Vec::new();
    state.timers.scan(&earliest(state), |timer, ()| {
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
    if steps::is_running(order::saga(order).status()) {
        let order = state.orders.change(&number).expect("an indexed order exists");
        payment::row(order).expiry_retry_ms = ctx.time_ms + BUSY_RETRY_MS;
        state.timers.insert(steps::expiry(order, number), ());
        return;
    }
    assert_eq!(order.status(), OrderStatus::Pending, "order {} is not pending but had an expiry timer", order.order_id);
    order::close(state, ctx, number, CloseReason::Expired, "", Waiter::default(), fx);
}

fn earliest(state: &State) -> Timer {
    Timer { due_ms: state.no_timer_before_ms, what: TimerKind::OrderExpiry(0) }
}
