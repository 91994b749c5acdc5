//! Runs rounds of faults over real processes, and prints what they met: `make soak-real`.

#![allow(dead_code, reason = "the tests use more of what is shared")]

mod model;
mod process;
mod rounds;
mod shop;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use emshop_simulator::coverage::Coverage;
use futures::{FutureExt, StreamExt, stream};
use tempfile::TempDir;

use crate::model::Wrong;
use crate::rounds::plan::{Fault, Plan};
use crate::rounds::round;

/// Runs shops of real processes, with faults.
#[derive(Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// The first seed. Each round has one, and the next round the next one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Goes on for so many minutes.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// So many rounds instead.
    #[arg(long)]
    rounds: Option<u64>,
    /// Rounds at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// No faults that take minutes: what `make test` runs.
    #[arg(long)]
    short: bool,
    /// Only these faults, such as kill-engine,older-store.
    #[arg(long, value_delimiter = ',', value_parser = fault)]
    only: Vec<Fault>,
    /// Lists the faults.
    #[arg(long)]
    list: bool,
    /// Where rounds have their folders; that of one which fails stays.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
}

impl Arguments {
    fn again(&self, seed: u64) -> String {
        let only: Vec<_> = self.only.iter().map(|fault| fault.name()).collect();
        let only = if only.is_empty() { String::new() } else { format!(" --only {}", only.join(",")) };
        format!("make soak-real ARGS='--seed {seed} --rounds 1{only}'")
    }
}

fn fault(name: &str) -> Result<Fault, String> {
    let names = || Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ");
    Fault::ALL.iter().copied().find(|fault| fault.name() == name).ok_or_else(|| format!("there are {}", names()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        Fault::ALL.iter().for_each(|fault| println!("{}", fault.name()));
        return ExitCode::SUCCESS;
    }
    let until = Instant::now() + Duration::from_secs(60 * arguments.minutes);
    let goes_on = |seed: &u64| arguments.rounds.map_or(Instant::now() < until, |rounds| *seed < arguments.seed + rounds);
    let seeds = stream::iter((arguments.seed..).take_while(goes_on));
    let mut rounds = seeds.map(|seed| round(seed, &arguments)).buffer_unordered(arguments.jobs);
    let (mut total, mut failed) = (Coverage::default(), false);
    while let Some((coverage, wrongs)) = rounds.next().await {
        total.add(&coverage);
        failed |= !wrongs.is_empty();
    }
    print!("{total}");
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn round(seed: u64, arguments: &Arguments) -> (Coverage, Vec<Wrong>) {
    let mut faults = if arguments.only.is_empty() { Fault::ALL.to_vec() } else { arguments.only.clone() };
    faults.retain(|fault| !(arguments.short && fault.is_long()));
    let plan = Plan::draw(seed, &faults);
    let (name, mut coverage) = (plan.to_string(), Coverage::default());
    let folder = TempDir::with_prefix_in("emshop-soak-", &arguments.folder).expect("a folder for rounds");
    let result = AssertUnwindSafe(round::run(plan, folder.path(), &mut coverage)).catch_unwind().await;
    let wrongs = result.unwrap_or_else(|panic| vec![Wrong::Other(text(&*panic))]);
    for (name, count) in [
        ("rounds", 1),
        ("lost", wrongs.iter().filter(|wrong| matches!(wrong, Wrong::Lost(_))).count()),
        ("doubled", wrongs.iter().filter(|wrong| matches!(wrong, Wrong::Doubled(_))).count()),
        ("other wrongs", wrongs.iter().filter(|wrong| matches!(wrong, Wrong::Other(_))).count()),
    ] {
        coverage.count_many("ledger", name, count as u64);
    }
    if wrongs.is_empty() {
        println!("{name}: right");
    } else {
        println!("{name}: WRONG\n{wrongs:#?}\nagain: {}\nkept: {}", arguments.again(seed), folder.keep().display());
    }
    (coverage, wrongs)
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
