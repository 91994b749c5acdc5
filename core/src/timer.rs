//! What happens by itself when log time passes. A tick in the log fires what is due; the state says what that is.

use std::ops::ControlFlow;

use emshop_proto::v1::{CloseReason, OrderStatus};

use crate::context::Turn;
use crate::order::{self, Case, route, steps};
use crate::state::State;
use crate::state::rows::{Timer, TimerKind};
use crate::stock::reservation;
use crate::user::{code, hold};

/// Timers that one tick fires: a turn stays short, and the next tick goes on.
pub const FIRED_PER_TICK_MAX: usize = 4096;

/// Fires what is due at log time.
pub fn fire(turn: &mut Turn) {
    for timer in due(turn.state, turn.ctx.time_ms, FIRED_PER_TICK_MAX) {
        turn.state.timers.remove(&timer);
        turn.state.no_timer_before_ms = timer.due_ms;
        match timer.what {
            TimerKind::OrderExpiry(number) => expire_order(turn, number),
            TimerKind::KeyExpiry(key) => turn.state.keys.remove(&key),
            TimerKind::OrderCompletion(number) => order::complete_by_itself(turn, number),
            TimerKind::ParcelStation(number) => route::arrive(turn, number),
            TimerKind::ReservationExpiry(number) => reservation::expire(turn, number),
            TimerKind::PaymentHoldExpiry(key) => hold::expire(turn, &key),
            TimerKind::CodeExpiry(key) => code::forget(turn, &key),
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

/// An order whose saga waits for another log is closed when that ends, if it is still unpaid then.
fn expire_order(turn: &mut Turn, number: u64) {
    let order = order::existing(turn.state, number);
    if steps::is_running(order::saga(order).status()) {
        return;
    }
    assert_eq!(order.status(), OrderStatus::Pending, "order {} is not pending but had an expiry timer", order.order_id);
    Case::open(turn, number, |case| case.close(CloseReason::Expired, case.by(""), None));
}

fn earliest(state: &State) -> Timer {
    Timer { due_ms: state.no_timer_before_ms, what: TimerKind::OrderExpiry(0) }
}
