//! A store of images and containers that lasts as long as a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a container may take until it is healthy.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(250);
/// What is usual is more than a process may have that is in a container itself.
const LIMITS: &str = r#""nofile=4096:4096", "nproc=4096:4096""#;

/// Images, containers, volumes and networks, apart from those of the machine.
pub struct Store {
    folder: TempDir,
}

impl Store {
    pub fn new() -> Self {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let store = Self { folder };
        fs::write(store.path("storage.conf"), store.storage()).expect("a file");
        fs::write(store.path("containers.conf"), store.containers()).expect("a file");
        store
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn storage(&self) -> String {
        let root = self.folder.path().display();
        format!("[storage]\ndriver = \"overlay\"\ngraphroot = \"{root}/images\"\nrunroot = \"{root}/run\"\n")
    }

    /// runc goes with both generations of control groups, and netavark tells containers the names of the others. Neither needs systemd.
    fn containers(&self) -> String {
        let root = self.folder.path().display();
        format!(
            "[containers]\ndefault_ulimits = [{LIMITS}]\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\ntmp_dir = \"{root}/libpod\"\n\
             [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{root}/networks\"\n"
        )
    }

    /// A program that works on this store.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"));
        command.env("CONTAINERS_CONF", self.path("containers.conf"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let podman = self.command("podman").args(arguments).output();
        podman.expect("there is no podman: `scripts/tools containers` installs it")
    }

    /// What podman prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn podman(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert!(done.status.success(), "podman {}:\n{}", arguments.join(" "), said(&done));
        String::from_utf8(done.stdout).expect("a text").trim().to_owned()
    }

    /// What podman prints of something that it must fail at.
    ///
    /// # Panics
    /// When it does not.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert!(!done.status.success(), "podman {} was done:\n{}", arguments.join(" "), said(&done));
        said(&done)
    }

    pub fn inspect(&self, kind: &str, name: &str) -> Value {
        let text = self.podman(&[kind, "inspect", name]);
        serde_json::from_str::<Value>(&text).expect("JSON")[0].take()
    }

    /// Waits until the container's own check says that it is well.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_until_healthy(&self, container: &str) {
        let deadline = Instant::now() + PATIENCE;
        // Asked for here: by itself, podman asks with timers of systemd, which a build machine need not have.
        while !self.run(&["healthcheck", "run", container]).status.success() {
            assert!(Instant::now() < deadline, "{container} is not healthy:\n{}", said(&self.run(&["logs", container])));
            sleep(POLL);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.run(&["rm", "--force", "--all", "--time", "0"]);
        self.run(&["network", "prune", "--force"]);
        unmount(&self.path("images/overlay"));
    }
}

/// podman mounts that folder on itself. Whoever removes it must have undone that.
fn unmount(folder: &Path) {
    let _ = Command::new("umount").arg("--lazy").arg(folder).output();
}

fn said(done: &Output) -> String {
    [&done.stdout, &done.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}
