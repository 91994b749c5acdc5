//! A Debian that has booted: systemd, users and a network of its own, on a disk that goes with it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tempfile::TempDir;

use crate::made;

/// For what takes seconds: nothing but a bug lets it pass.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(200);

/// Where a machine finds what the test gives it.
pub const GIVEN: &str = "/given";

/// It is turned off when it is dropped.
pub struct Machine {
    container: Child,
    /// Process id of its systemd.
    init: u32,
    disk: TempDir,
}

impl Machine {
    /// Boots one that has this folder to read.
    ///
    /// # Panics
    /// When it cannot: `scripts/tools packages` installs what it takes, and none of it works without root.
    pub fn boot(given: &Path) -> Self {
        let disk = made::folder();
        let root = disk.path().join("root");
        fs::create_dir(&root).expect("a folder in it");
        let unpacked =
            as_root("tar").args(["--extract", "--numeric-owner", "--file"]).arg(archive()).arg("--directory").arg(&root).status();
        assert!(unpacked.is_ok_and(|status| status.success()), "no Debian: run scripts/tools packages");
        let mut nspawn = as_root("systemd-nspawn");
        nspawn.arg(format!("--machine=emshop-{}", std::process::id()));
        nspawn.args([
            "--quiet",
            "--boot",
            "--private-network",
            "--register=no",
            "--keep-unit",
            "--console=pipe",
            "--hostname=shop",
        ]);
        nspawn.arg("--directory").arg(&root).arg(format!("--bind-ro={}:{GIVEN}", given.display()));
        let container = nspawn.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("systemd-nspawn runs");
        let mut machine = Self { container, init: 0, disk };
        machine.init = wait_for("systemd", || descendant(machine.container.id(), "systemd"));
        machine.until("systemctl is-system-running | grep -E 'running|degraded'");
        machine
    }

    /// What a script of root's writes to its standard output.
    ///
    /// # Panics
    /// When one of its commands fails.
    pub fn run(&self, script: &str) -> String {
        let output = self.output(script);
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// Whether all commands of a script do what they should.
    pub fn does(&self, script: &str) -> bool {
        self.output(script).status.success()
    }

    /// Runs a script until all of its commands do what they should.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn until(&self, script: &str) {
        wait_for(script, || self.does(script).then_some(()));
    }

    fn output(&self, script: &str) -> Output {
        let mut command = as_root("nsenter");
        command.arg(format!("--target={}", self.init)).args(["--all", "--wd", "env", "--ignore-environment"]);
        command.args([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
            "LC_ALL=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive",
        ]);
        command.args(["sh", "-euc", script]).stdin(Stdio::null()).output().expect("nsenter runs")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.init != 0 {
            // Its first process ends, and all others with it.
            let _ = as_root("kill").args(["-KILL", &self.init.to_string()]).status();
        } else {
            let _ = self.container.kill();
        }
        let _ = self.container.wait();
        let _ = as_root("rm").arg("-rf").arg(self.disk.path().join("root")).status();
    }
}

/// A program that needs to be root's.
fn as_root(program: &str) -> Command {
    if fs::metadata("/proc/self").expect("Linux").uid() == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

/// As `scripts/tools packages` makes it.
fn archive() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| env::home_dir().expect("a user has a home").join(".cache"));
    cache.join("emshop/tools/bookworm.tar")
}

/// The process of this name that descends from another one.
fn descendant(of: u32, name: &str) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
    children.split_whitespace().filter_map(|child| child.parse().ok()).find_map(|child| {
        let is_it = fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|comm| comm.trim() == name);
        if is_it { Some(child) } else { descendant(child, name) }
    })
}

fn wait_for<T>(what: &str, found: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "this takes too long: {what}");
        thread::sleep(POLL);
    }
}
