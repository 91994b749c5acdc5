//! Processes that serve, and end with the test.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::tools::tool;

/// For what takes a moment: nothing but a bug lets it pass.
pub const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A process that does not outlive the test.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it, without the settings of emshop that the environment of the test may have.
    ///
    /// # Panics
    /// When there is no such program.
    pub fn start(command: &mut Command) -> Self {
        let set: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EMSHOP_") && !set.contains(name)) {
            command.env_remove(name);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let written = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let (send, lines) = channel();
        // Whatever it writes must not fill the pipe, and is worth reading when the test fails.
        thread::spawn(move || {
            written.for_each(|line| {
                eprintln!("{line}");
                let _ = send.send(line);
            });
        });
        Self { child, lines }
    }

    /// A nats-server with this configuration beside what it needs to be a test's own, and its address.
    ///
    /// # Panics
    /// When it does not start.
    pub fn nats_server(folder: &Path, configuration: &str) -> (Self, SocketAddr) {
        let (file, address) = (folder.join("nats.conf"), free_address());
        let store = folder.join("nats");
        let text = format!("listen: \"{address}\"\njetstream {{ store_dir: \"{}\" }}\n{configuration}", store.display());
        std::fs::write(&file, text).expect("a temporary file");
        let server = Self::start(Command::new(tool("nats-server")).arg("--config").arg(file));
        server.says("Server is ready");
        (server, address)
    }

    /// Waits for a line with this in it.
    ///
    /// # Panics
    /// When there is none.
    pub fn says(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("it does not say {text}"),
                Err(RecvTimeoutError::Disconnected) => panic!("it ends without {text}"),
            }
        }
    }

    /// The address in the field `listen` of the line of emshop's with this message.
    ///
    /// # Panics
    /// When it does not say so.
    pub fn listens(&self, message: &str) -> SocketAddr {
        let line: Value = serde_json::from_str(&self.says(&format!(r#""message":"{message}""#))).expect("JSON");
        line["listen"].as_str().and_then(|listen| listen.parse().ok()).unwrap_or_else(|| panic!("no address in {line}"))
    }

    /// Ends in order.
    ///
    /// # Panics
    /// When it has ended before.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).expect("it runs");
        self.child.wait().expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody listens on.
///
/// # Panics
/// When there is none.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// What the admin port at this address answers: its status, and the text.
///
/// # Panics
/// When nobody is there.
pub fn ask(admin: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(admin).expect("it listens");
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {admin}\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("headers and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in {head}"));
    (status, body.to_owned())
}

/// Waits until it is so.
///
/// # Panics
/// When it does not get so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(POLL);
    }
}
