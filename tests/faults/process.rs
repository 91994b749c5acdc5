//! Processes of the binary, which do not outlive the test.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use async_nats::Client;
use emshop_log::jetstream::{Access, Connection, User};
use emshop_proto::seal::{ClusterKey, KEY_BYTES};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::NamedTempFile;
use tonic::transport::{Channel, Endpoint};

/// For what takes milliseconds: nothing but a bug lets it pass.
pub const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// The binary, without what the environment of the test may set.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emshop"));
    for (name, _) in
        env::vars().filter(|(name, _)| name.starts_with("EMSHOP__") || ["EMSHOP_LOG", "EMSHOP_TOKEN"].contains(&name.as_str()))
    {
        command.env_remove(name);
    }
    command.args(arguments);
    // A test knows when it has no more to ask, and asks as often as it likes.
    // Nor do tests that run at the same time get into each other's way.
    let unhindered =
        ["ADMIN__LISTEN=off", "INGRESS__LEAVE_DELAY=0s", "RATES__ACCOUNTS_PER_ADDRESS=off", "RATES__ATTEMPTS_PER_MOBILE=off"];
    for (name, value) in unhindered.iter().filter_map(|setting| setting.split_once('=')) {
        command.env(format!("EMSHOP__{name}"), value);
    }
    if arguments.contains(&"--role") {
        command.env("EMSHOP__CLUSTER__KEY_FILE", shared_key());
    }
    command
}

/// The key of the cluster that has its data folder here.
pub fn cluster_key(data: &Path) -> ClusterKey {
    let text = fs::read_to_string(data.join("cluster.key")).expect("made with the cluster");
    ClusterKey::new(hex::decode(text.trim()).expect("hexadecimal digits").try_into().expect("32 bytes"))
}

/// The file of the key that processes share which are parts of one shop. Tests that run at the same time write the same.
pub fn shared_key() -> &'static Path {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(folder).expect("a folder for what tests leave");
        let mut file = NamedTempFile::new_in(folder).expect("a file that only its owner reads");
        file.write_all("5a".repeat(KEY_BYTES).as_bytes()).expect("room for a key");
        let path = folder.join("cluster.key");
        file.persist(&path).expect("a name for it");
        path
    });
    &FILE
}

/// The address of the nats-server that was started in this folder, with the password of a user.
pub fn nats_as(data: &Path, user: User) -> String {
    let text = |name: &str| fs::read_to_string(data.join("nats").join(name)).expect("written at its start");
    let (url, password) = (text("nats-server.url"), text(&format!("{}.password", user.name())));
    url.replace("nats://", &format!("nats://{}:{}@", user.name(), password.trim()))
}

/// A client of the nats-server at this address.
pub async fn nats_client(url: &str) -> Client {
    let access = Access::new(url, User::Operator).expect("an address");
    Connection::open(&access).await.expect("it lets us in").core().clone()
}

/// A process that serves.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    listen: Option<String>,
    pub nats: String,
}

impl Process {
    /// Everything in one process, with a nats-server of its own.
    pub fn all(data: &Path) -> Self {
        Self::serve(&["--data", path(data)])
    }

    /// Lets everybody in. Returns when it says that it serves.
    pub fn serve(flags: &[&str]) -> Self {
        Self::guarded(&[&["--auth", "off"], flags].concat())
    }

    /// As [`Process::serve`], but calls need a token unless the flags say otherwise.
    pub fn guarded(flags: &[&str]) -> Self {
        Starting::spawn(flags).serves()
    }

    /// Where its ingress listens.
    pub fn address(&self) -> &str {
        self.listen.as_ref().expect("it has an ingress")
    }

    pub async fn channel(&self) -> Channel {
        let address = self.address();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address").timeout(PATIENCE);
        endpoint.connect().await.expect("it serves")
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Waits for a line with this in it.
    pub fn says(&self, text: &str) -> String {
        self.lines.iter().find(|line| line.contains(text)).unwrap_or_else(|| panic!("it ends without {text}"))
    }

    /// All that it has written since it serves, and writes until it has ended.
    pub fn all_lines(mut self) -> Vec<String> {
        send(self.child.id(), Signal::SIGTERM);
        self.child.wait().expect("it ends");
        self.lines.iter().collect()
    }

    pub fn terminate(mut self) -> ExitStatus {
        send(self.child.id(), Signal::SIGTERM);
        self.child.wait().expect("it ends")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ends by itself.
    pub fn ends(mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// The process id of its nats-server.
    pub fn nats_pid(&self) -> u32 {
        *children(self.child.id()).first().expect("its nats-server runs")
    }
}

/// A process that does not serve yet.
pub struct Starting {
    child: Child,
    lines: Receiver<String>,
}

impl Starting {
    pub fn spawn(flags: &[&str]) -> Self {
        Self::spawn_with(flags, &[])
    }

    /// With more in its environment.
    pub fn spawn_with(flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], flags].concat();
        let mut command = command(&arguments);
        command.envs(environment.iter().copied()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let written = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let (send, lines) = channel();
        // Whatever it writes must not fill the pipe, and is worth reading when the test fails.
        let pass_on = move |line: String| {
            eprintln!("{line}");
            let _ = send.send(line);
        };
        thread::spawn(move || written.for_each(pass_on));
        Self { child, lines }
    }

    /// Waits for a line with this in it.
    pub fn says(&self, text: &str) -> String {
        self.lines.iter().find(|line| line.contains(text)).unwrap_or_else(|| panic!("it ends without {text}"))
    }

    /// All lines up to the one with this in it. Then it is killed.
    pub fn until_it_says(mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.contains(text)) {
            lines.push(self.lines.recv().unwrap_or_else(|_| panic!("it ends without {text}")));
        }
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        lines
    }

    pub fn serves(self) -> Process {
        let fields: Value = serde_json::from_str(&self.says(r#""message":"serving""#)).expect("JSON");
        let text = |name: &str| fields[name].as_str().map(str::to_owned);
        Process { listen: text("listen"), nats: text("nats").expect("an address"), child: self.child, lines: self.lines }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What is told to stop stands still when this returns: the signal is one thread's to notice, and until that one gets
/// its turn the others go on.
pub fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).expect("it runs");
    if signal == Signal::SIGSTOP {
        wait_until(pid, "stop", |state| state.is_none_or(|state| matches!(state, 'T' | 'Z')));
    }
}

/// Returns when the process has ended.
pub fn wait_until_gone(pid: u32) {
    // What has ended may stay as a zombie when nobody asks how.
    wait_until(pid, "end", |state| state.is_none_or(|state| state == 'Z'));
}

fn wait_until(pid: u32, what: &str, done: impl Fn(Option<char>) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done(stat(pid).map(|stat| stat.state)) {
        assert!(Instant::now() < deadline, "process {pid} does not {what}");
        thread::sleep(POLL);
    }
}

/// The process ids of those that a process started, and that run.
pub fn children(parent: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").expect("Linux").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent && stat.state != 'Z')).collect()
}

struct Stat {
    state: char,
    parent: u32,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything, a parenthesis as well.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some(Stat { state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}

/// A file that nobody else may read.
pub fn secret_file(path: &Path, text: &str) {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path).expect("a new file");
    file.write_all(text.as_bytes()).expect("there is room");
}
