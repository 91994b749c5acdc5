//! The machine that figures come from.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::results::Spread;

const SYNCS: usize = 300;
/// About an envelope of the log.
const SYNC_BYTES: usize = 16 << 10;

#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gb: f64,
    pub kernel: String,
    pub nats_server: String,
    pub rustc: String,
    /// Of an append of 16 KiB and `fdatasync`.
    pub fsync: Fsync,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Fsync {
    pub least_ms: f64,
    pub median_ms: f64,
    pub most_ms: f64,
}

impl Machine {
    /// Looks at the machine; `scratch` is on the disk that counts.
    pub fn look(scratch: &Path) -> anyhow::Result<Self> {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let kilobytes: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gb: (kilobytes / 1e5).round() / 10.0,
            kernel: said_by("uname", &["-sr"]),
            nats_server: said_by("nats-server", &["--version"]),
            rustc: said_by("rustc", &["--version"]),
            fsync: Fsync::measure(scratch).context("the time of a sync cannot be measured")?,
        })
    }
}

impl Fsync {
    fn measure(scratch: &Path) -> anyhow::Result<Self> {
        let mut file = tempfile::tempfile_in(scratch)?;
        let mut sync = || {
            file.write_all(&[7; SYNC_BYTES])?;
            let started = Instant::now();
            file.sync_data()?;
            Ok(started.elapsed().as_secs_f64() * 1e3)
        };
        let seen: std::io::Result<Vec<_>> = (0..SYNCS).map(|_| sync()).collect();
        let Spread { median, least, most } = Spread::of(seen?).context("nothing was measured")?;
        let rounded = |ms: f64| (ms * 1e3).round() / 1e3;
        Ok(Self { least_ms: rounded(least), median_ms: rounded(median), most_ms: rounded(most) })
    }
}

/// The first line that a program prints; empty when there is no such program.
pub fn said_by(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
