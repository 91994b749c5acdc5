//! The way of a command below the model checker: what its threads and tasks hand to each other arrives once and whole, whichever of them goes
//! on when. See `emshop_sync`.

mod admission;
mod flow;
mod log;
mod sink;
mod waiters;

use std::sync::Arc;

use emshop_proto::v1::Outcome;
use emshop_sync::block_on;
use emshop_sync::tasks::sleep;

use crate::way::admission::{Admission, Budget, Limits, Room};
use crate::way::outcomes::Answer;

const COMMANDS_MAX: u32 = 100;
const BYTES_MAX: u32 = 1_000_000;

fn budget() -> Budget {
    Budget::new(COMMANDS_MAX, BYTES_MAX)
}

/// Room of which one part is that of one command.
fn room(budget: &Budget) -> Arc<Room> {
    Arc::new(budget.try_admit(1).expect("there is room"))
}

/// Returns when nobody has any room any more; never if some of it got lost.
fn wait_for_all_room(budget: &Budget) {
    block_on(budget.admit(COMMANDS_MAX as usize, BYTES_MAX as usize));
}

fn admission() -> Admission {
    Admission::new(Limits { reads: 1, calls: COMMANDS_MAX, streamed: COMMANDS_MAX, bytes: BYTES_MAX }, 1)
}

/// As [`wait_for_all_room`], of calls and streams.
async fn nobody_is_inside(admission: &Admission) {
    admission.stream(0, COMMANDS_MAX as usize, BYTES_MAX as usize).await;
    let mut calls = Vec::new();
    while calls.len() < COMMANDS_MAX as usize {
        match admission.call(0, (BYTES_MAX / COMMANDS_MAX) as usize) {
            Some(room) => calls.push(room),
            None => sleep(Default::default()).await,
        }
    }
}

/// The outcome of the command that is called by this number.
fn outcome(number: u64) -> Answer {
    Answer::made(Outcome { tag: number, ..Outcome::default() })
}
