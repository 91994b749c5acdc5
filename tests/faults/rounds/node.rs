//! A process of a shop, which is started again and again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use emshop_log::jetstream::NatsServer;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::process::{PATIENCE, command, send};

const SERVING: &str = r#""message":"serving""#;
const POLL: Duration = Duration::from_millis(10);
/// A start waits for others, such as an ingress for the cluster, and says so after a minute.
const START_WAIT: Duration = PATIENCE.saturating_mul(2);

/// Why a process ended by itself, or that it does not get anywhere.
#[derive(Clone, Debug)]
pub struct Ended {
    pub name: String,
    pub status: Option<ExitStatus>,
    /// The last line that it wrote.
    pub reason: String,
}

enum Program {
    Emshop,
    NatsServer(PathBuf),
}

/// A process that is there or not.
pub struct Node {
    pub name: String,
    program: Program,
    arguments: Vec<String>,
    /// What it writes, over all its lives.
    output: PathBuf,
    /// Where that of this life begins.
    begun: u64,
    child: Option<Child>,
}

impl Node {
    pub fn emshop(name: &str, folder: &Path, flags: &[&str]) -> Self {
        let arguments = [&["serve", "--auth", "off"], flags].concat();
        Self::new(name, folder, Program::Emshop, arguments.into_iter().map(str::to_owned).collect())
    }

    /// With what its configuration in `store` says.
    pub fn nats_server(folder: &Path, store: &Path) -> Self {
        let binary = NatsServer::binary().expect("there is a nats-server");
        let config = store.join("nats-server.conf").to_str().expect("UTF-8").to_owned();
        Self::new("nats-server", folder, Program::NatsServer(binary), vec!["--config".to_owned(), config])
    }

    fn new(name: &str, folder: &Path, program: Program, arguments: Vec<String>) -> Self {
        let output = folder.join(format!("{name}.log"));
        Self { name: name.to_owned(), program, arguments, output, begun: 0, child: None }
    }

    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        let mut command = match &self.program {
            Program::Emshop => command(&self.arguments.iter().map(String::as_str).collect::<Vec<_>>()),
            Program::NatsServer(binary) => {
                let mut command = Command::new(binary);
                command.args(&self.arguments);
                command
            }
        };
        let output = File::options().create(true).append(true).open(&self.output).expect("a file for its output");
        self.begun = output.metadata().expect("it is there").len();
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        self.child = Some(command.spawn().expect("the binary runs"));
    }

    /// Returns when all of them serve.
    ///
    /// # Errors
    /// When one ends instead.
    pub async fn serving(nodes: &mut [&mut Self]) -> Result<(), Ended> {
        let deadline = Instant::now() + START_WAIT;
        loop {
            if let Some(ended) = nodes.iter_mut().find_map(|node| node.ended()) {
                return Err(ended);
            }
            let Some(slow) = nodes.iter().find(|node| !node.is_serving()) else { return Ok(()) };
            if Instant::now() > deadline {
                let reason = format!("neither serves nor ends: {}", slow.last_line());
                return Err(Ended { name: slow.name.clone(), status: None, reason });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub fn is_serving(&self) -> bool {
        let said = match self.program {
            Program::Emshop => SERVING,
            Program::NatsServer(_) => "Server is ready",
        };
        self.written().contains(said)
    }

    /// How it ended, when it has by itself.
    pub fn ended(&mut self) -> Option<Ended> {
        let status = self.child.as_mut()?.try_wait().expect("it can be asked")?;
        self.child = None;
        Some(Ended { name: self.name.clone(), status: Some(status), reason: self.last_line() })
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn signal(&self, signal: Signal) {
        send(self.pid().expect("it runs"), signal);
    }

    /// `kill -9`, when it runs; returns when it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    /// Ends it in order.
    pub async fn terminate(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::SIGTERM);
        self.end().await.status
    }

    /// How it ends by itself. It has to.
    pub async fn end(&mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.ended() {
                return ended;
            }
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            tokio::time::sleep(POLL).await;
        }
    }

    fn written(&self) -> String {
        let bytes = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.begun as usize..).unwrap_or_default()).into_owned()
    }

    fn last_line(&self) -> String {
        let written = self.written();
        let line = written.trim_end().lines().last().unwrap_or_default();
        let message = serde_json::from_str::<Value>(line).ok().and_then(|line| line["message"].as_str().map(str::to_owned));
        message.unwrap_or_else(|| line.trim_start_matches("error: ").to_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
