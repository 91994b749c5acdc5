//! A fixed set of shops, some of each kind.

use std::thread;

use emshop_simulator::coverage::Coverage;
use emshop_simulator::plan::{Fault, Settings};
use emshop_simulator::run;

const SEEDS: u64 = 200;

/// Runs seeds side by side, and gives what they reached together.
fn run_seeds(seeds: std::ops::Range<u64>) -> Coverage {
    let half = seeds.start + (seeds.end - seeds.start) / 2;
    let run_all = |seeds: std::ops::Range<u64>| {
        let mut reached = Coverage::default();
        for seed in seeds {
            let settings = Settings::new(seed);
            let (result, coverage) = run(&settings);
            assert_eq!(
                result,
                Ok(()),
                "seed {seed}; again: cargo run --release -p emshop-simulator --bin simulate -- {settings}"
            );
            reached.add(&coverage);
        }
        reached
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| run_all(seeds.start..half));
        let mut reached = run_all(half..seeds.end);
        reached.add(&first.join().expect("nothing is wrong"));
        reached
    })
}

#[test]
fn no_history_breaks_the_shop() {
    let reached = run_seeds(1..1 + SEEDS);
    let faults: Vec<_> = reached.of("faults").map(|(name, _)| name).collect();
    let missing: Vec<_> = Fault::ALL.iter().filter(|fault| !faults.contains(&fault.name())).collect();
    assert!(missing.is_empty(), "faults that never struck: {missing:?}");
    let refusals = reached.of("refusals to start").count();
    assert!(refusals >= 5, "too few reasons to refuse a start were met:\n{reached}");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in [3, 40] {
        assert_eq!(run(&Settings::new(seed)), run(&Settings::new(seed)), "seed {seed}");
    }
}
