//! The life of a server with millions of orders: its rate and memory as they grow, starts after `kill -9`, and the replay of its log.

use std::thread;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Bench;
use crate::generator::values;
use crate::results::{Run, Values};
use crate::server::Server;

pub const MILLIONS: &str = "millions";
pub const REPLAY: &str = "replay";
pub const ACCOUNT: &str = "account";

/// How often [`MILLIONS`] adds as many orders as [`orders`].
pub const MILLIONS_STEPS: u64 = 5;
const ORDERS: u64 = 1_000_000;
const ORDERS_QUICK: u64 = 60_000;
/// Of the account that is read.
const READERS: u32 = 4;
/// Longer than the state lags behind the log when nothing happens.
const QUIET: Duration = Duration::from_secs(8);

/// Orders of one step.
fn orders(bench: &Bench) -> u64 {
    if bench.settings.quick { ORDERS_QUICK } else { ORDERS }
}

fn load_of(orders: u64, run: u64) -> Vec<String> {
    let arguments = format!("--mode stream --workload submit --orders {orders} --run {run}");
    arguments.split(' ').map(str::to_owned).collect()
}

/// Orders by the million into one server, then two starts after `kill -9`.
pub fn millions(bench: &Bench, subject: &str, round: u32) -> anyhow::Result<Run> {
    let (program, orders) = (bench.program(subject), orders(bench));
    let folder = TempDir::new_in(&bench.settings.scratch)?;
    let server = Server::start(program, folder.path(), 1)?;
    let (mut seen, mut reports) = (Values::new(), Vec::new());
    for step in 1..=MILLIONS_STEPS {
        let report = bench.generator.run(&server, &load_of(orders, step))?;
        let of_step = values(&report);
        for (name, key) in [("orders_per_s", "orders_per_s"), ("memory_mb", "peak_memory_mb"), ("p99_ms", "p99_ms")] {
            seen.extend(of_step.get(key).map(|value| (format!("{name}_{step}"), *value)));
        }
        reports.push(report);
    }
    seen.insert("last_to_first".to_owned(), seen[&format!("orders_per_s_{MILLIONS_STEPS}")] / seen["orders_per_s_1"]);
    let last = &reports[reports.len() - 1];
    let memory = |index: usize| last.pointer(&format!("/cost/server/{index}/peak_memory_bytes")).and_then(Value::as_f64);
    seen.extend(memory(1).map(|bytes| ("nats_memory_mb".to_owned(), (bytes / 1e6).round())));
    thread::sleep(QUIET);
    server.kill()?;
    let server = Server::start(program, folder.path(), 1)?;
    seen.insert("start_with_little_s".to_owned(), server.start.as_secs_f64());
    bench.generator.load_and_kill(server, &load_of(orders / 4, MILLIONS_STEPS + 1))?;
    let server = Server::start(program, folder.path(), 1)?;
    seen.insert("start_with_much_s".to_owned(), server.start.as_secs_f64());
    server.stop()?;
    Ok(run(subject, MILLIONS, round, seen, Some(json!(reports))))
}

/// Two starts after `kill -9` with a million orders. Then the state is taken away, and a start has to make it again from the log; what
/// it lasts longer than one that has nothing to replay is the time of the engine alone.
pub fn replay(bench: &Bench, subject: &str, round: u32) -> anyhow::Result<Run> {
    let (program, orders) = (bench.program(subject), orders(bench));
    let folder = TempDir::new_in(&bench.settings.scratch)?;
    let start = || Server::start(program, folder.path(), 1);
    let mut seen = Values::new();
    bench.generator.load_and_kill(start()?, &load_of(orders, 1))?;
    let server = start()?;
    seen.insert("start_with_much_s".to_owned(), server.start.as_secs_f64());
    thread::sleep(QUIET);
    server.kill()?;
    let server = start()?;
    seen.insert("start_with_little_s".to_owned(), server.start.as_secs_f64());
    server.stop()?;
    let server = start()?;
    let nothing = server.start;
    seen.insert("start_with_nothing_s".to_owned(), nothing.as_secs_f64());
    server.stop()?;

    std::fs::remove_dir_all(folder.path().join("state"))?;
    let server = start()?;
    let everything = server.start;
    seen.insert("start_with_everything_s".to_owned(), everything.as_secs_f64());
    server.stop()?;
    ensure!(everything > nothing, "nothing was replayed");
    seen.insert("orders_per_s".to_owned(), orders as f64 / (everything - nothing).as_secs_f64());
    Ok(run(subject, REPLAY, round, seen, None))
}

/// What others notice of readers who list the orders of one user: with few orders, and with a million.
pub fn account(bench: &Bench, subject: &str, round: u32) -> anyhow::Result<Run> {
    let folder = TempDir::new_in(&bench.settings.scratch)?;
    let server = Server::start(bench.program(subject), folder.path(), 1)?;
    let duration = if bench.settings.quick { 2 } else { 8 };
    let beside = |run: u64| {
        let arguments = format!("--mode stream --workload submit --readers {READERS} --duration {duration}s --run {run}");
        arguments.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let (mut seen, mut reports) = (Values::new(), Vec::new());
    for (name, run) in [("few", 1), ("million", 3)] {
        if name == "million" {
            let users = ["--users".to_owned(), "1".to_owned()];
            bench.generator.run(&server, &[load_of(orders(bench), 2).as_slice(), &users].concat())?;
        }
        let report = bench.generator.run(&server, &beside(run))?;
        seen.extend(values(&report).into_iter().map(|(value, number)| (format!("{name}_{value}"), number)));
        reports.push(report);
    }
    server.stop()?;
    Ok(run(subject, ACCOUNT, round, seen, Some(json!(reports))))
}

fn run(subject: &str, figure: &str, round: u32, values: Values, report: Option<Value>) -> Run {
    Run { subject: subject.to_owned(), figure: figure.to_owned(), round, values, report }
}
