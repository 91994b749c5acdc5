//! What happens by itself when log time passes. A tick in the log fires what is due; the state says what that is.

use std::ops::ControlFlow;

use emshop_proto::v1::{CloseReason, OrderStatus, SagaStatus};

use crate::context::Turn;
use crate::order::{self, Case, route, steps};
use crate::state::State;
use crate::state::rows::{Timer, TimerKind};
use crate::stock::reservation;
use crate::user::{code, hold};

/// Timers that one tick fires: a turn stays short, and the next tick goes on.
pub const FIRED_PER_TICK_MAX: usize = 4096;

/// Which timer is the first: to find it the store has to step over those that were removed, so it is remembered. A hint, not state.
#[derive(Debug)]
pub enum First {
    Known(Timer),
    /// It is not before this one.
    NotBefore(Timer),
    None,
}

impl Default for First {
    fn default() -> Self {
        Self::NotBefore(Timer { due_ms: 0, what: TimerKind::OrderExpiry(0) })
    }
}

/// Sets a timer.
pub fn set(state: &mut State, timer: Timer) {
    note(state, &timer);
    state.timers.insert(timer, ());
}

/// As [`set`], of a timer that was never set before: if it goes again before a checkpoint, the store never hears of it.
pub fn set_new(state: &mut State, timer: Timer) {
    note(state, &timer);
    state.timers.insert_new(timer, ());
}

fn note(state: &mut State, timer: &Timer) {
    let is_first = match &state.first_timer {
        First::Known(first) | First::NotBefore(first) => timer < first,
        First::None => true,
    };
    if is_first {
        state.first_timer = First::Known(timer.clone());
    }
}

pub fn remove(state: &mut State, timer: &Timer) {
    state.timers.remove(timer);
    if matches!(&state.first_timer, First::Known(first) if first == timer) {
        state.first_timer = First::NotBefore(timer.clone());
    }
}

/// Fires what is due at log time.
pub fn fire(turn: &mut Turn) {
    for timer in due(turn.state, turn.ctx.time_ms, FIRED_PER_TICK_MAX) {
        remove(turn.state, &timer);
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

/// When the next timer is due.
pub fn next_due_ms(state: &mut State) -> Option<i64> {
    if let First::NotBefore(timer) = &state.first_timer {
        let mut found = First::None;
        state.timers.scan(timer, |timer, ()| {
            found = First::Known(timer.clone());
            ControlFlow::Break(())
        });
        state.first_timer = found;
    }
    match &state.first_timer {
        First::Known(first) => Some(first.due_ms),
        First::NotBefore(_) | First::None => None,
    }
}

fn due(state: &State, time_ms: i64, most: usize) -> Vec<Timer> {
    let mut due = Vec::new();
    let (First::Known(first) | First::NotBefore(first)) = &state.first_timer else { return due };
    state.timers.scan(first, |timer, ()| {
        if timer.due_ms > time_ms || due.len() == most {
            return ControlFlow::Break(());
        }
        due.push(timer.clone());
        ControlFlow::Continue(())
    });
    due
}

/// An order whose saga waits for another log is closed when that ends, if it is still unpaid then. One that is stuck waits for an operator.
fn expire_order(turn: &mut Turn, number: u64) {
    let order = order::existing(turn.state, number);
    let saga = order::saga(order).status();
    if steps::is_running(saga) || saga == SagaStatus::Stuck {
        return;
    }
    assert_eq!(order.status(), OrderStatus::Pending, "order {} is not pending but had an expiry timer", order.order_id);
    Case::open(turn, number, |case| case.close(CloseReason::Expired, case.by(""), None));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::state::memory::MemoryStore;

    fn timer(due_ms: i64) -> Timer {
        Timer { due_ms, what: TimerKind::OrderExpiry(1) }
    }

    proptest! {
        #[test]
        fn the_first_timer_is_known_whatever_came_and_went(actions in proptest::collection::vec((0..20_i64, 0..3_u8), 0..80)) {
            let mut state = State::new(&(Arc::new(MemoryStore::default()) as _));
            let mut there = BTreeSet::new();
            for (due_ms, action) in actions {
                match action {
                    0 => {
                        set(&mut state, timer(due_ms));
                        there.insert(due_ms);
                    }
                    1 => {
                        remove(&mut state, &timer(due_ms));
                        there.remove(&due_ms);
                    }
                    _ => prop_assert_eq!(next_due_ms(&mut state), there.first().copied()),
                }
                let expected: Vec<i64> = there.range(..=due_ms).copied().collect();
                prop_assert_eq!(due(&state, due_ms, 99).iter().map(|timer| timer.due_ms).collect::<Vec<_>>(), expected);
            }
        }
    }
}
