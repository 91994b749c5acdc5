//! The smallest run that still fails: fewer kinds of faults, fewer faults, fewer commands.

use crate::plan::{Fault, Settings};
use crate::run;

/// Makes settings that fail smaller as long as they still fail.
pub fn shrink(mut failing: Settings) -> Settings {
    let fails = |settings: &Settings| run(settings).0.is_err();
    for fault in Fault::ALL {
        if !failing.without.contains(&fault) {
            let mut fewer = failing.clone();
            fewer.without.push(fault);
            if fails(&fewer) {
                failing = fewer;
            }
        }
    }
    for faults_max in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55] {
        let fewer = Settings { faults_max, ..failing.clone() };
        if faults_max < failing.faults_max && fails(&fewer) {
            failing = fewer;
            break;
        }
    }
    let mut step = failing.commands / 2;
    while step > 0 {
        let fewer = Settings { commands: failing.commands - step, ..failing.clone() };
        if fewer.commands > 0 && fails(&fewer) {
            failing = fewer;
            step = step.min(failing.commands / 2);
        } else {
            step /= 2;
        }
    }
    failing
}
