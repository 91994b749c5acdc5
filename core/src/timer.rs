//! What happens by itself when log time passes. A tick in the log fires what is due; the state says what that is.

use std::ops::ControlFlow;

use emshop_proto::internal::TimerRow;
use emshop_proto::v1::{CloseReason, OrderStatus, SagaStatus};

use crate::context::Turn;
use crate::idempotency;
use crate::order::{self, Case, route, steps};
use crate::state::State;
use crate::state::timers::{Timer, TimerKey, TimerKind};
use crate::stock::reservation;
use crate::user::{code, erasure, hold};

/// How long business ids of outside transaction managers are remembered once what they name has ended: by then nothing about it is on its way
/// any more.
pub const ENDED_KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Timers that one tick fires: a turn stays short, and the next tick goes on.
pub const FIRED_PER_TICK_MAX: usize = 4096;

/// When the first timer is due: to find it the store has to step over those that were removed, so it is remembered. A hint, not state.
#[derive(Debug)]
pub enum First {
    /// It is due then.
    Due(i64),
    /// It has to be looked for from then on.
    NotBefore(i64),
    /// There is no timer.
    None,
}

impl Default for First {
    fn default() -> Self {
        Self::NotBefore(0)
    }
}

/// Sets a timer.
pub(crate) fn set(state: &mut State, timer: &Timer) {
    let is_first = match state.first_timer {
        First::Due(first_ms) | First::NotBefore(first_ms) => timer.due_ms < first_ms,
        First::None => true,
    };
    if is_first {
        state.first_timer = First::Due(timer.due_ms);
    }
    let (key, number) = timer.place();
    let Some(number) = number else {
        return state.timers.insert(key, TimerRow::default());
    };
    let numbers = &mut state.timers.entry(&key).numbers;
    if let Err(place) = numbers.binary_search(&number) {
        numbers.insert(place, number);
    }
}

/// Removes a timer, if there is one.
pub(crate) fn remove(state: &mut State, timer: &Timer) {
    let (key, number) = timer.place();
    if let Some(number) = number {
        let Some(TimerRow { numbers }) = state.timers.change(&key) else { return };
        if let Ok(place) = numbers.binary_search(&number) {
            numbers.remove(place);
        }
        if !numbers.is_empty() {
            return;
        }
    }
    state.timers.remove(&key);
    if matches!(state.first_timer, First::Due(first_ms) if first_ms == key.due_ms) {
        state.first_timer = First::NotBefore(key.due_ms);
    }
}

/// Fires what is due at log time.
pub(crate) fn fire(turn: &mut Turn) {
    let mut to_erase = erasure::ROWS_PER_TICK_MAX;
    for timer in due(turn.state, turn.ctx.time_ms, FIRED_PER_TICK_MAX) {
        // What there is no room for in this tick stays due.
        if to_erase == 0 && matches!(timer.what, TimerKind::Erasure(_)) {
            continue;
        }
        remove(turn.state, &timer);
        match timer.what {
            TimerKind::OrderExpiry(number) => expire_order(turn, number),
            TimerKind::KeyExpiry(key) => idempotency::forget(turn, &key),
            TimerKind::OrderCompletion(number) => order::complete_by_itself(turn, number),
            TimerKind::ParcelStation(number) => route::arrive(turn, number),
            TimerKind::ReservationExpiry(number) => reservation::expire(turn, number),
            TimerKind::PaymentHoldExpiry(key) => hold::expire(turn, &key),
            TimerKind::CodeExpiry(key) => code::forget(turn, &key),
            TimerKind::Erasure(user_id) => erasure::go_on(turn, user_id, &mut to_erase),
        }
    }
}

/// When the next timer is due.
pub(crate) fn next_due_ms(state: &mut State) -> Option<i64> {
    if let First::NotBefore(first_ms) = state.first_timer {
        let mut found = First::None;
        state.timers.scan(&TimerKey::first(first_ms), |key, _| {
            found = First::Due(key.due_ms);
            ControlFlow::Break(())
        });
        state.first_timer = found;
    }
    match state.first_timer {
        First::Due(first_ms) => Some(first_ms),
        First::NotBefore(_) | First::None => None,
    }
}

fn due(state: &State, time_ms: i64, most: usize) -> Vec<Timer> {
    let mut due = Vec::new();
    let (First::Due(first_ms) | First::NotBefore(first_ms)) = state.first_timer else { return due };
    state.timers.scan(&TimerKey::first(first_ms), |key, row| {
        if key.due_ms > time_ms || due.len() >= most {
            return ControlFlow::Break(());
        }
        due.extend(key.timers(row));
        ControlFlow::Continue(())
    });
    due.truncate(most);
    due
}

/// An order whose saga waits for another log is closed when that ends, if it is still unpaid then. One that is stuck waits for an operator.
fn expire_order(turn: &mut Turn, number: u64) {
    let order = order::existing(turn.state, number);
    let saga = order::saga(order).status();
    if steps::is_running(saga) || saga == SagaStatus::Stuck {
        return;
    }
    assert_eq!(order.status(), OrderStatus::Pending, "order {} is not pending but had an expiry timer", order::row::id(order));
    Case::open(turn, number, |case| case.close(CloseReason::Expired, case.by(""), None));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::state::memory::MemoryStore;

    fn timer(due_ms: i64, number: u64) -> Timer {
        Timer { due_ms, what: TimerKind::OrderExpiry(number) }
    }

    proptest! {
        #[test]
        fn the_first_timer_is_known_whatever_came_and_went(
            actions in proptest::collection::vec((0..20_i64, 0..3_u64, 0..3_u8), 0..80),
        ) {
            let mut state = State::new(&(Arc::new(MemoryStore::default()) as _));
            let mut there = BTreeSet::new();
            for (due_ms, number, action) in actions {
                match action {
                    0 => {
                        set(&mut state, &timer(due_ms, number));
                        there.insert((due_ms, number));
                    }
                    1 => {
                        remove(&mut state, &timer(due_ms, number));
                        there.remove(&(due_ms, number));
                    }
                    _ => prop_assert_eq!(next_due_ms(&mut state), there.first().map(|(due_ms, _)| *due_ms)),
                }
                let expected: Vec<_> = there.range(..=(due_ms, u64::MAX)).map(|(due_ms, number)| timer(*due_ms, *number)).collect();
                prop_assert_eq!(due(&state, due_ms, 99), expected.clone());
                prop_assert_eq!(due(&state, due_ms, 2), expected.into_iter().take(2).collect::<Vec<_>>());
            }
        }
    }
}
