//! Runs simulated shops, and prints what is wrong and how to see it again.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use emshop_simulator::coverage::Coverage;
use emshop_simulator::plan::{Fault, Settings};
use emshop_simulator::{run, shrink};

/// Simulates whole shops with faults.
#[derive(Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long)]
    seed: u64,
    /// How many seeds from the first one on.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Goes on with the next seeds for so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Commands that clients give in each run.
    #[arg(long, default_value_t = Settings::COMMANDS)]
    commands: usize,
    /// Faults that may strike in each run.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    faults_max: usize,
    /// A fault that does not strike, such as engine-crash.
    #[arg(long, value_parser = fault)]
    without: Vec<Fault>,
    /// Prints what happens.
    #[arg(long)]
    trace: bool,
    /// Prints what was reached.
    #[arg(long)]
    coverage: bool,
}

fn fault(name: &str) -> Result<Fault, String> {
    let names = || Fault::ALL.map(Fault::name).join(", ");
    Fault::from_name(name).ok_or_else(|| format!("there are {}", names()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // What is wrong is told once, at the end.
    std::panic::set_hook(Box::new(|_| {}));
    let until = arguments.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let (mut coverage, mut runs) = (Coverage::default(), 0);
    for seed in arguments.seed.. {
        if until.map_or(runs >= arguments.seeds, |until| Instant::now() > until) {
            break;
        }
        let Arguments { commands, faults_max, trace, .. } = arguments;
        let settings = Settings { seed, commands, faults_max, without: arguments.without.clone(), trace };
        let (result, reached) = run(&settings);
        coverage.add(&reached);
        runs += 1;
        if let Err(wrong) = result {
            println!("seed {seed}: {wrong}");
            let smallest = shrink::shrink(Settings { trace: false, ..settings });
            let (result, _) = run(&smallest);
            println!("the smallest run that fails: {}", result.expect_err("it was tried"));
            println!("again: cargo run --release -p emshop-simulator --bin simulate -- {smallest}");
            return ExitCode::FAILURE;
        }
    }
    if arguments.coverage {
        print!("{coverage}");
    }
    println!("{runs} runs from seed {} on: nothing is wrong", arguments.seed);
    ExitCode::SUCCESS
}
