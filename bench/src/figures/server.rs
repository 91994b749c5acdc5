//! A running `emshop serve`, in a folder that outlives it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// A replay of millions of orders is in it.
const START_MAX: Duration = Duration::from_secs(600);
const STOP_MAX: Duration = Duration::from_secs(60);
/// Lines kept to tell why a server did not start.
const LINES_KEPT: usize = 5;

pub struct Server {
    process: Child,
    /// Where its API is.
    pub target: String,
    /// What tokens are signed with.
    pub key_file: PathBuf,
    /// From the start of the process until it served.
    pub start: Duration,
}

impl Server {
    /// Starts `emshop` over the folder `data`; returns when it serves.
    pub fn start(emshop: &Path, data: &Path, logs: u32) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut process = Command::new(emshop)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--auth",
                "on",
                "--nats-sync",
                "always",
                "--logs",
                &logs.to_string(),
                "--data",
            ])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", emshop.display()))?;
        let lines = lines_of(process.stderr.take().context("it has a stderr")?);
        match serving(&lines) {
            Ok(listen) => {
                let (target, key_file) = (format!("http://{listen}"), data.join("auth.key"));
                Ok(Self { process, target, key_file, start: started.elapsed() })
            }
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(error)
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Stops it in order.
    pub fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM)?;
        let begun = Instant::now();
        while self.process.try_wait()?.is_none() {
            if begun.elapsed() > STOP_MAX {
                bail!("the server does not end within {STOP_MAX:?}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// `kill -9`. Its nats-server ends by itself.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads on until the end, so that the server never waits for a reader.
fn lines_of(stderr: ChildStderr) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

/// Waits for the line that says where the server listens.
fn serving(lines: &Receiver<String>) -> anyhow::Result<String> {
    let deadline = Instant::now() + START_MAX;
    let mut last = Vec::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let fields: Value = serde_json::from_str(&line).unwrap_or_default();
                if fields["message"] == "serving" {
                    return Ok(fields["listen"].as_str().context("the server does not say where it listens")?.to_owned());
                }
                last.push(line);
            }
            Err(RecvTimeoutError::Timeout) => bail!("the server does not serve within {START_MAX:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                let from = last.len().saturating_sub(LINES_KEPT);
                bail!("the server did not start: {}", last[from..].join(" | "));
            }
        }
    }
}
