//! A real Prometheus that watches processes of a test.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant};

use emshop_testing::{read, root};
use regex::Regex;
use serde_json::Value;

use crate::deploy::{ALERTS, RULES};
use crate::process::{PATIENCE, path};

const POLL: Duration = Duration::from_millis(300);

/// A Prometheus, which does not outlive the test.
pub struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    /// Watches the processes at these addresses, once a second, by the rules of `deploy/`. `None` where it is not installed.
    pub fn start(folder: &Path, targets: &[&str]) -> Option<Self> {
        Self::by(folder, targets, &[RULES, ALERTS].map(|file| root().join(file)))
    }

    /// As [`Prometheus::start`], but alerts fire as soon as they are true: a test has no minutes to wait.
    pub fn hurried(folder: &Path, targets: &[&str]) -> Option<Self> {
        let hurried = Regex::new(r"(?m)^(\s+for: ).*$").expect("an expression").replace_all(&read(ALERTS), "${1}1s").into_owned();
        let alerts = folder.join("alerts.yml");
        fs::write(&alerts, hurried).expect("a temporary file");
        Self::by(folder, targets, &[root().join(RULES), alerts])
    }

    fn by(folder: &Path, targets: &[&str], rules: &[PathBuf]) -> Option<Self> {
        let rules: String = rules.iter().map(|file| format!("  - {}\n", path(file))).collect();
        let job = format!("  - job_name: emshop\n    static_configs:\n      - targets: {targets:?}\n");
        let times = "global: {scrape_interval: 1s, evaluation_interval: 1s}";
        let config = folder.join("prometheus.yml");
        fs::write(&config, format!("{times}\nrule_files:\n{rules}scrape_configs:\n{job}")).expect("a temporary file");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let address = free.to_string();
        let flags = [
            format!("--config.file={}", path(&config)),
            format!("--storage.tsdb.path={}", path(&folder.join("prometheus"))),
            format!("--web.listen-address={address}"),
            "--log.level=warn".to_owned(),
        ];
        match Program::new("prometheus").args(flags).stdin(Stdio::null()).spawn() {
            Ok(child) => Some(Self { child, address }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("there is no prometheus: `scripts/tools tests` installs it");
                None
            }
            Err(error) => panic!("prometheus: {error}"),
        }
    }

    /// `None` while it does not answer yet.
    fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        // An answer of HTTP 1.0 comes in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        serde_json::from_str(response.split_once("\r\n\r\n")?.1).ok()
    }

    /// The series that an expression gives now. `None` while nothing answers.
    ///
    /// # Panics
    /// When the expression is wrong.
    pub fn series(&self, expression: &str) -> Option<usize> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}"))?;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        Some(answer["data"]["result"].as_array().expect("a vector").len())
    }

    /// All rules and alerts, as they were evaluated last.
    pub fn rules(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/rules").expect("it answers");
        let groups = answer["data"]["groups"].as_array().expect("groups").iter();
        groups.flat_map(|group| group["rules"].as_array().expect("rules")).cloned().collect()
    }
}

impl Prometheus {
    /// Returns when so many processes answer it.
    pub async fn sees(&self, processes: usize) {
        self.until(&format!("{processes} processes"), || self.series("up == 1") == Some(processes)).await;
    }

    /// Returns when an alert fires.
    pub async fn fires(&self, alert: &str) {
        self.until(alert, || self.firing().contains(&alert.to_owned())).await;
    }

    /// Returns when it does not fire any more.
    pub async fn is_over(&self, alert: &str) {
        self.until(&format!("the end of {alert}"), || !self.firing().contains(&alert.to_owned())).await;
    }

    fn firing(&self) -> Vec<String> {
        let answer = self.get("/api/v1/alerts").expect("it answers");
        let alerts = answer["data"]["alerts"].as_array().expect("alerts").iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        firing.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect()
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "no {what}, but {:?}", self.firing());
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
