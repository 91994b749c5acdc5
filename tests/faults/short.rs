//! Some rounds of faults with real processes, always the same. `make soak-real` goes on with others.

use emshop_simulator::coverage::Coverage;
use tempfile::TempDir;

use crate::rounds::plan::{Fault, Plan};
use crate::rounds::round;

/// They run side by side.
async fn rounds(seeds: std::ops::Range<u64>) {
    let faults: Vec<_> = Fault::ALL.iter().copied().filter(|fault| !fault.is_long()).collect();
    for seed in seeds {
        let plan = Plan::draw(seed, &faults);
        eprintln!("{plan}");
        let (folder, mut coverage) = (TempDir::new().unwrap(), Coverage::default());
        let again = format!("again: make soak-real ARGS='--seed {seed} --rounds 1 --short'");
        let wrongs = round::run(plan, folder.path(), &mut coverage).await;
        assert!(wrongs.is_empty(), "{wrongs:#?}\n{again}");
        eprintln!("{coverage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_in_rounds_1_to_4() {
    rounds(1..5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_in_rounds_5_to_8() {
    rounds(5..9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_in_rounds_9_to_12() {
    rounds(9..13).await;
}
