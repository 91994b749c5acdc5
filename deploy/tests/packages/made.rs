//! What scripts make of the programs that this test was built with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use emshop_deploy::{program, repository};
use tempfile::TempDir;

/// They write to one place.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A folder that goes with its test, on the disk of the target folder.
pub fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// Runs a script, and moves the files that it names into a folder of the test.
///
/// # Panics
/// When it fails.
pub fn by(script: &str, to: &Path) -> Vec<PathBuf> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let output = command(script).output().expect("it runs");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}: {}", text(&output.stderr));
    let made = text(&output.stdout);
    let moved = |from: &str| {
        let to = to.join(Path::new(from).file_name().expect("a file"));
        std::fs::rename(from, &to).unwrap_or_else(|error| panic!("{from}: {error}"));
        to
    };
    made.lines().map(moved).collect()
}

/// A script of the repository, in the target folder of this test.
pub fn command(script: &str) -> Command {
    let programs = program("emshop");
    let target = programs.ancestors().nth(2).expect("programs are in the target folder");
    let mut command = Command::new(repository().join("scripts").join(script));
    command.env("CARGO_TARGET_DIR", target);
    command
}
