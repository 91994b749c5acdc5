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

use crate::way::admission::{Admission, Room};
use crate::way::outcomes::Answer;

const COMMANDS_MAX: u32 = 100;
const BYTES_MAX: u32 = 1_000_000;

fn admission() -> Admission {
    Admission::new(COMMANDS_MAX, BYTES_MAX)
}

/// Room of which one part is that of one command.
fn room(admission: &Admission) -> Arc<Room> {
    Arc::new(admission.try_admit(1).expect("there is room"))
}

/// Returns when nobody has any room any more; never if some of it got lost.
fn wait_for_all_room(admission: &Admission) {
    block_on(admission.admit(COMMANDS_MAX as usize, BYTES_MAX as usize));
}

/// The outcome of the command that is called by this number.
fn outcome(number: u64) -> Answer {
    Answer::made(Outcome { tag: number, ..Outcome::default() })
}
