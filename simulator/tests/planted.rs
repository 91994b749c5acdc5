//! Mistakes that were made on purpose are found, each within so many seeds.

use std::thread;

use emshop_core::planted::{Bug, plant};
use emshop_simulator::plan::Settings;
use emshop_simulator::run;

/// The first seed by which a mistake is found, and how it shows.
fn found_by(bug: Bug, seeds_max: u64) -> Option<(u64, String)> {
    plant(Some(bug));
    let found = (1..=seeds_max).find_map(|seed| Some((seed, run(&Settings::new(seed)).0.err()?)));
    plant(None);
    found
}

#[test]
fn each_planted_bug_is_found_within_its_number_of_seeds() {
    std::panic::set_hook(Box::new(|_| {}));
    let seeds_max = |bug| match bug {
        Bug::FreedTwice | Bug::KeyDroppedEarly | Bug::TimeFromTheWall => 10,
        Bug::OtherBodyAnswered | Bug::LeaseIgnored | Bug::GapIgnored | Bug::TombstoneLeftOut => 30,
        Bug::AheadFollowed | Bug::ForgottenOnce => 30,
        Bug::CheckpointBeforeEvents | Bug::TrimmedOneTooFar | Bug::NewerRulesApplied => 150,
    };
    let find = |bug| (bug, found_by(bug, seeds_max(bug)));
    let found: Vec<_> = thread::scope(|scope| {
        let halves = Bug::ALL.chunks(Bug::ALL.len().div_ceil(2));
        let halves: Vec<_> = halves.map(|half| scope.spawn(move || half.iter().copied().map(find).collect::<Vec<_>>())).collect();
        halves.into_iter().flat_map(|half| half.join().expect("runs do not panic")).collect()
    });
    for (bug, found) in &found {
        match found {
            Some((seed, wrong)) => eprintln!("{bug:?}: found by seed {seed} of {}: {wrong}", seeds_max(*bug)),
            None => eprintln!("{bug:?}: not found by {} seeds", seeds_max(*bug)),
        }
    }
    let missed: Vec<_> = found.iter().filter(|(_, found)| found.is_none()).map(|(bug, _)| bug).collect();
    assert!(missed.is_empty(), "{missed:?} were not found");
    assert_eq!(found_by_nobody(), None, "without a mistake nothing is wrong");
}

fn found_by_nobody() -> Option<u64> {
    (1..=50).find(|seed| run(&Settings::new(*seed)).0.is_err())
}
