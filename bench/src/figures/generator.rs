//! Runs of the load generator, in a process of its own so that its cost is its own.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::results::Values;
use crate::server::Server;

/// What it says on stderr when the last order is answered.
const LOADED: &str = "verifying";

pub struct Generator {
    pub program: PathBuf,
}

impl Generator {
    /// Loads the server; returns the report of a run that was verified.
    pub fn run(&self, server: &Server, arguments: &[String]) -> anyhow::Result<Value> {
        let output = self.command(server, arguments).arg("--json").output().context("the load generator cannot be started")?;
        let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
            bail!("the load generator failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        };
        ensure!(report["verified"] == true, "not verified: {}", report["differences"]);
        ensure!(report["errors"] == 0, "orders met errors: {}", report["errors_by_code"]);
        ensure!(matches!(report["reads"]["errors"].as_u64(), None | Some(0)), "readers met errors");
        Ok(report)
    }

    /// Loads the server and kills it as soon as the last order is answered.
    pub fn load_and_kill(&self, server: Server, arguments: &[String]) -> anyhow::Result<()> {
        let mut process = self.command(&server, arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let lines = BufReader::new(process.stderr.take().context("it has a stderr")?).lines();
        let loaded = lines.map_while(Result::ok).any(|line| line == LOADED);
        server.kill()?;
        process.kill()?;
        process.wait()?;
        ensure!(loaded, "the load generator did not come to its end");
        Ok(())
    }

    fn command(&self, server: &Server, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--target", &server.target, "--server-pid", &server.pid().to_string()]);
        command.arg("--key-file").arg(&server.key_file).args(arguments);
        command
    }
}

/// The numbers of a report that tables show.
pub fn values(report: &Value) -> Values {
    let paths = [
        ("orders_per_s", "/goodput_per_s"),
        ("p50_ms", "/latency_ms/p50"),
        ("p99_ms", "/latency_ms/p99"),
        ("p999_ms", "/latency_ms/p999"),
        ("offered_per_s", "/offered_per_s"),
        ("reads_per_s", "/reads/pages_per_s"),
        ("read_p50_ms", "/reads/latency_ms/p50"),
        ("read_p99_ms", "/reads/latency_ms/p99"),
        ("generator_us", "/cost/generator/total_us"),
        ("server_us", "/cost/server/0/cpu/total_us"),
        ("nats_us", "/cost/server/1/cpu/total_us"),
    ];
    let number = |(name, path): (&str, &str)| Some((name.to_owned(), report.pointer(path)?.as_f64()?));
    let mut values: Values = paths.into_iter().filter_map(number).collect();
    if let Some(bytes) = report.pointer("/cost/server/0/peak_memory_bytes").and_then(Value::as_f64) {
        values.insert("peak_memory_mb".to_owned(), (bytes / 1e6).round());
    }
    values
}
