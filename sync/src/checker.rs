//! Runs tests under the model checker.

use std::env;
use std::str::FromStr;

pub use shuttle::future::{block_on, spawn};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, Runner};

/// Of each kind, for a test.
const SCHEDULES: usize = 10_000;
const SEED: u64 = 1;
/// How often a thread is held up at a point that was chosen before the run; most mistakes take no more than two.
const PREEMPTIONS_MAX: usize = 3;

/// For more than prost and tracing want.
const STACK_BYTES: usize = 256 * 1024;

/// Runs a test under schedules that are chosen by chance: in half of them at each point anew, in the others by priorities, so that some
/// thread is far behind. A failure prints its schedule; that alone is run when `HANDOFFS_SCHEDULE` has it. `HANDOFFS_SEED` and
/// `HANDOFFS_SCHEDULES` choose others, and how many.
pub fn check(test: fn()) {
    let (seed, schedules) = (setting("HANDOFFS_SEED", SEED), setting("HANDOFFS_SCHEDULES", SCHEDULES));
    if !replayed(test) {
        run(RandomScheduler::new_from_seed(seed, schedules), test);
        run(PctScheduler::new_from_seed(seed, PREEMPTIONS_MAX, schedules), test);
    }
}

/// Runs a test under each schedule that there is. It must be small, and leave nothing to chance.
pub fn all(test: fn()) {
    if !replayed(test) {
        let schedules = run(DfsScheduler::new(None, false), test);
        println!("{schedules} schedules");
    }
}

/// Which of so many things happens, by chance: a part of the schedule.
pub fn chance(things: usize) -> usize {
    thread_rng().gen_range(0..things)
}

fn replayed(test: fn()) -> bool {
    let schedule = env::var("HANDOFFS_SCHEDULE");
    schedule.is_ok_and(|schedule| run(ReplayScheduler::new_from_encoded(&schedule), test) > 0)
}

fn run(scheduler: impl Scheduler + 'static, test: fn()) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    // Of orders of memory that it does not know: see the document.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(test)
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}
