//! What is measured, as given on the command line.

use std::path::PathBuf;

/// Measures emshop on this machine: starts servers, drives load at them, kills and restarts them, and writes what was seen.
///
/// Each server gets a folder of its own, a free port and its own nats-server, which syncs each write. Every run is verified.
#[derive(Debug, clap::Parser)]
#[command(name = "emshop-figures", version)]
pub struct Settings {
    /// Another build of emshop to take turns with
    #[arg(long, value_name = "EMSHOP")]
    pub against: Option<PathBuf>,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How often the long measurements are taken: millions of orders, starts, replay [default: as often as the rest]
    #[arg(long, value_name = "N")]
    pub long_rounds: Option<u32>,
    /// Minutes instead of an hour: short runs and 300,000 orders instead of 5 million, good enough to try a change
    #[arg(long)]
    pub quick: bool,
    /// Measure PostgreSQL and Redis as well
    #[arg(long)]
    pub peers: bool,
    /// Measure only these, such as submit,unary
    #[arg(long, value_name = "FIGURES", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Folder that the data folders are made in; its disk is what is measured [default: the system's temporary folder]
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub scratch: PathBuf,
    /// Folder of figures.json, figures.svg and BENCHMARKS.md
    #[arg(long, value_name = "DIR", default_value = "docs")]
    pub out: PathBuf,
    /// Measure nothing; write chart and table again from figures.json
    #[arg(long)]
    pub render: bool,
}

impl Settings {
    pub fn long_rounds(&self) -> u32 {
        self.long_rounds.map_or(self.rounds, |rounds| rounds.min(self.rounds))
    }

    pub fn wants(&self, figure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == figure)
    }
}
