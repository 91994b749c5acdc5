//! Whenever a process is killed, the store has whole checkpoints, and all that were said to be committed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use emshop_state::RocksStore;

use crate::{commit, generation, whole_generation};

const ROUNDS: u64 = 24;
const FOLDER_VARIABLE: &str = "EMSHOP_TEST_STATE";
const HELPER: &str = "kill::commits_until_it_is_killed";

#[test]
fn a_kill_leaves_whole_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..ROUNDS {
        // From before the first commit is done to some commits later; behind the first one in every other round, however slow the disk is.
        let acknowledged = run_and_kill(folder.path(), Duration::from_millis(round * 13 % 97), round % 2 == 1);
        let store = RocksStore::open(folder.path()).unwrap();
        let found = whole_generation(&store);
        let least = acknowledged.unwrap_or(last);
        assert!((least..=least + 1).contains(&found), "{found} is there after {least} was acknowledged");
        assert_eq!(fs::read_dir(folder.path().join("staging")).unwrap().count(), 0);
        last = found;
    }
    assert!(last >= ROUNDS / 2, "commits were made");
}

/// Kills the helper so long after it began, or after its first commit. The last generation that it said was committed.
fn run_and_kill(folder: &Path, time: Duration, after_commit: bool) -> Option<u64> {
    let mut helper = Command::new(env::current_exe().unwrap());
    helper.args([HELPER, "--exact", "--ignored", "--nocapture"]).env(FOLDER_VARIABLE, folder);
    let mut helper = helper.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(helper.stdout.take().unwrap()).lines();
    // The harness says other things before.
    lines.find(|line| line.as_ref().is_ok_and(|line| line.ends_with("opened"))).expect("a helper that opens the store").unwrap();
    let mut commits = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("committed ")?.parse().ok());
    let first = if after_commit { commits.next() } else { None };
    thread::sleep(time);
    helper.kill().unwrap();
    helper.wait().unwrap();
    commits.last().or(first)
}

#[test]
#[ignore = "the process that the test above kills"]
fn commits_until_it_is_killed() {
    let folder = PathBuf::from(env::var_os(FOLDER_VARIABLE).expect("started by the test"));
    let store = RocksStore::open(&folder).unwrap();
    println!("opened");
    for number in whole_generation(&store) + 1.. {
        commit(&store, generation(number));
        println!("committed {number}");
    }
}
