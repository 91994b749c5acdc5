//! The command line of the load generator. See the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use emshop_loadgen::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let settings = Settings::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(settings.threads).enable_all().build()?;
    let report = runtime.block_on(emshop_loadgen::run(&settings))?;
    if settings.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    for checked in report.assertions.iter().filter(|checked| !checked.holds) {
        eprintln!("assertion: {checked}");
    }
    for difference in &report.differences {
        eprintln!("difference: {difference}");
    }
    Ok(if report.good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
