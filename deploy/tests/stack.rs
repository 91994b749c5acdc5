//! `scripts/stack`: Prometheus watches emshop there, by our rules, and whenever it is stopped nothing is left.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use emshop_deploy::{program, repository};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// For what takes some seconds on a machine that is at rest.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(200);

struct Stack {
    script: Child,
    folder: TempDir,
}

impl Stack {
    fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let programs = program("emshop").parent().expect("a folder").to_owned();
        let script = Command::new(repository().join("scripts/stack"))
            .arg(programs)
            .env("TMPDIR", folder.path())
            .stdout(File::create(folder.path().join("said")).expect("a file"))
            .stderr(File::create(folder.path().join("complained")).expect("a file"))
            .process_group(0)
            .spawn()
            .expect("the script is there");
        Self { script, folder }
    }

    fn said(&self) -> String {
        ["said", "complained"].map(|name| fs::read_to_string(self.folder.path().join(name)).expect("a file")).concat()
    }

    fn wait(&mut self, what: &str, mut is_so: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.said()) {
            assert!(self.script.try_wait().expect("it can be asked").is_none(), "it ended: {}", self.said());
            assert!(Instant::now() < deadline, "{what} does not come about: {}", self.said());
            sleep(POLL);
        }
    }

    /// As Ctrl-C does, or whoever ends a service.
    fn stop(mut self, signal: Signal) {
        kill(Pid::from_raw(self.script.id().cast_signed()), signal).expect("it runs");
        let status = self.script.wait().expect("it ends");
        assert!(status.success(), "{status}: {}", self.said());
        let left: Vec<_> = processes_of(self.folder.path());
        assert!(left.is_empty(), "still there: {left:#?}");
        let files: Vec<_> =
            fs::read_dir(self.folder.path()).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
        assert_eq!(files.len(), 2, "besides what it said: {files:?}");
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.script.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill(Pid::from_raw(self.script.id().cast_signed()), Signal::SIGTERM);
            let _ = self.script.wait();
        }
    }
}

/// Whatever was started with the folder as the one for temporary files.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("UTF-8");
    let processes = fs::read_dir("/proc").expect("it is Linux").filter_map(|entry| Some(entry.ok()?.path()));
    let of = |process: &Path, file: &str| {
        String::from_utf8_lossy(&fs::read(process.join(file)).unwrap_or_default()).replace('\0', " ")
    };
    let ours = processes.filter(|process| of(process, "environ").contains(&format!("TMPDIR={folder}")));
    ours.map(|process| of(&process, "cmdline")).filter(|command| !command.is_empty()).collect()
}

/// The address behind a name.
fn address(said: &str, name: &str) -> String {
    let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} has no line: {said}"));
    line.split_once("http://").expect("an address").1.split(['/', ' ']).next().expect("a text").to_owned()
}

/// `None` while it does not answer, or not with this.
fn get(address: &str, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

fn array<'a>(answer: &'a Value, place: &str) -> &'a [Value] {
    answer.pointer(place).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[test]
fn it_watches_a_shop_and_leaves_nothing() {
    let mut stack = Stack::start();
    stack.wait("the stack", |said| said.contains("Ctrl-C ends all of it."));
    let said = stack.said();
    let [prometheus, admin, api] = ["Prometheus", "admin port", "emshop "].map(|name| address(&said, name));
    stack.wait("the scrape of emshop", |_| {
        let answer = get(&prometheus, "/api/v1/targets").unwrap_or_default();
        let targets = array(&answer, "/data/activeTargets");
        targets.iter().any(|target| target["health"] == "up" && target["labels"]["instance"] == *admin)
    });
    stack.wait("the evaluation of the rules", |_| {
        let answer = get(&prometheus, "/api/v1/rules").unwrap_or_default();
        let rules: Vec<_> = array(&answer, "/data/groups").iter().flat_map(|group| array(group, "/rules")).collect();
        let kinds = ["recording", "alerting"].map(|kind| rules.iter().filter(|rule| rule["type"] == kind).count());
        kinds.iter().all(|count| *count > 10) && rules.iter().all(|rule| rule["health"] == "ok")
    });
    // Customers are there, so that the boards move.
    stack.wait("the orders", |_| {
        let query = "/api/v1/query?query=sum(increase(emshop_engine_commands_total%7Bkind=%22submit_order%22%7D%5B30s%5D))%3E20";
        !array(&get(&prometheus, query).unwrap_or_default(), "/data/result").is_empty()
    });
    assert!(said.contains("traces.log has what comes to http://127.0.0.1:"), "{said}");
    assert!(processes_of(stack.folder.path()).len() >= 6, "its programs can be told by their folder");
    stack.stop(Signal::SIGINT);
    for address in [prometheus, admin, api] {
        assert!(TcpStream::connect(&address).is_err(), "{address} is still open");
    }

    // In the middle of its start as well.
    let mut stack = Stack::start();
    let folder = stack.folder.path().to_owned();
    stack.wait("the start", |said| said.contains("Starting") && processes_of(&folder).len() > 3);
    stack.stop(Signal::SIGTERM);
}
