//! The settings of a run, as given on the command line.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::Load;
use crate::assertion::Assertion;
use crate::dial::TlsFiles;
use crate::popularity::Popularity;
use crate::schedule::{Arrivals, Extent, Open, PACE_OF_CALLS, PACE_OF_STREAMS, Spacing};
use crate::series::Series;
use crate::shelf::Shelf;
use crate::token::{self, Credentials, Signer};
use crate::workload::{Kind, SKUS_MAX, Workload};

/// How orders reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One gRPC call for each command.
    Unary,
    /// Batches of commands on bidirectional streams.
    Stream,
}

/// Whose tokens the orders come with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Nobody's.
    None,
    /// An admin's, whom the server lets do anything for anybody.
    Admin,
    /// Each user's own.
    Users,
}

const UNARY_CLIENTS: usize = 100;
const STREAM_CLIENTS: usize = 4;
/// Two batches on their way to the server, two in it or on the way back.
const WINDOW_BATCHES: usize = 4;
/// Most users with tokens of their own: each has some 250 bytes of it in memory.
const TOKENS_MAX: u64 = 200_000;
/// When neither a duration nor a number of orders is given.
const DURATION: Duration = Duration::from_secs(10);

/// Loads an emshop server with orders, measures, and verifies afterwards that its state is exactly what it answered.
///
/// Exits with failure when the verification finds a difference, when an order met an error, or when an assertion does not hold. An order refused for lack of
/// stock is no error, but a difference when the stock was there.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "emshop-loadgen", version)]
pub struct Settings {
    /// Address of the server, http:// or https://.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051")]
    pub target: String,
    #[command(flatten)]
    pub tls: TlsFiles,
    /// Token of an admin, as `emshop token` makes it; needed neither with --key-file nor while authentication is off.
    #[arg(long, value_name = "TOKEN", env = "EMSHOP_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Key that the servers sign tokens with, `auth.key` in their data folder: then each user submits unary orders with a token of
    /// their own, and an admin's does the rest, streams too: those are for staff.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// What an order is: `submit` two lines; `checkout` the same, then paid; `flash` one unit of the one SKU.
    #[arg(long, value_enum, default_value = "submit")]
    pub workload: Kind,
    /// How orders reach the server.
    #[arg(long, value_enum, default_value = "unary")]
    pub mode: Mode,
    /// Concurrent unary callers, or streams [default: 100 callers, 4 streams].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clients: Option<u32>,
    /// Most commands in one message of a stream.
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub batch: u32,
    /// Orders under way at once on one stream [default: 4 batches].
    #[arg(long, value_name = "N")]
    pub window: Option<u32>,
    /// Orders begin for so long before --duration: they are verified, but in no figure. With --orders they are among those.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub warmup: Duration,
    /// For how long new orders begin, such as 30s [default: 10s, unless --orders is given].
    #[arg(long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// How many orders; with --duration, whichever ends first.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub orders: Option<u64>,
    /// Open loop: orders a second, whether the server keeps up or not. Without it the loop is closed: each client waits for answers.
    #[arg(long, value_name = "R")]
    pub rate: Option<f64>,
    /// How the orders of an open loop follow each other: `even`, or `poisson`, in bursts and gaps as customers come.
    #[arg(long, value_enum, default_value = "even", requires = "rate")]
    pub arrivals: Spacing,
    /// SKUs to choose from (`flash` has one).
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u64).range(2..=SKUS_MAX))]
    pub skus: u64,
    /// How often each SKU is asked for: `uniform`, or `zipf[:EXPONENT]`, a few much more often than the rest.
    #[arg(long, value_name = "KIND", default_value = "uniform")]
    pub popularity: Popularity,
    /// Users who order, in turn: 1 to this. A shop lets each have so many unpaid orders at a time (`shop.unpaid_orders_max`).
    #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,
    /// Callers who read the orders of user 1 meanwhile, page after page.
    #[arg(long, value_name = "N", default_value = "0")]
    pub readers: u16,
    /// Units of each SKU at the start.
    #[arg(long, value_name = "N", default_value = "1000000000", value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    pub stock: u64,
    /// Decides what the orders contain, and the times of `poisson`.
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Decides the ids of orders and SKUs, so that runs do not meet on one server [default: random].
    #[arg(long, value_name = "N")]
    pub run: Option<u32>,
    /// How long the answer to one command may take. An order without one, or that is told to come again, counts with at least as much.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// What must hold of the figures, such as p99<50ms, goodput>10000 or errors=0; may be given again. Otherwise the exit code says so.
    /// Of p50, p90, p99, p99.9, max (of the latency), goodput (a second), ok, refused and errors. One of errors allows so many,
    /// and whatever the warm-up met.
    #[arg(long = "assert", value_name = "ASSERTION")]
    pub assertions: Vec<Assertion>,
    /// Process id of the server, on this machine: then the report tells what it and the processes that it started cost.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Threads of the generator.
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub threads: usize,
    /// Prints nothing but one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("must be a whole number of 1 or more".to_owned()),
    }
}

impl Settings {
    /// Callers or streams.
    pub fn clients(&self) -> usize {
        let default = match self.mode {
            Mode::Unary => UNARY_CLIENTS,
            Mode::Stream => STREAM_CLIENTS,
        };
        self.clients.map_or(default, |clients| clients as usize)
    }

    /// What no single option can say of itself.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if let Some(rate) = self.rate {
            anyhow::ensure!(rate.is_finite() && rate > 0.0, "--rate must be above 0");
        }
        if self.auth() == Auth::Users {
            anyhow::ensure!(self.users <= TOKENS_MAX, "with --key-file there may be {TOKENS_MAX} --users, each with a token");
        }
        anyhow::ensure!(self.window() >= self.batch as usize, "--window must hold at least one --batch");
        Ok(())
    }

    /// Signs the tokens that are not given.
    pub(crate) fn credentials(&self) -> anyhow::Result<Credentials> {
        let signer = self.key_file.as_deref().map(Signer::new).transpose()?;
        let signed = signer.as_ref().map(Signer::admin).transpose()?;
        let admin = self.token.as_ref().or(signed.as_ref()).map(|token| token::authorization(token)).transpose()?;
        let users = match signer {
            Some(signer) if self.mode == Mode::Unary => signer.users(self.users)?,
            _ => Vec::new(),
        };
        Ok(Credentials { admin, users: users.into() })
    }

    pub(crate) fn auth(&self) -> Auth {
        match (&self.key_file, &self.token) {
            (Some(_), _) if self.mode == Mode::Unary => Auth::Users,
            (None, None) => Auth::None,
            _ => Auth::Admin,
        }
    }

    pub(crate) fn workload(&self) -> Workload {
        Workload::new(self.workload, self.run.unwrap_or_else(rand::random), self.seed, self.skus, self.users)
            .with(self.popularity)
    }

    /// Starts the clock of the run.
    pub(crate) fn load(&self, workload: Workload) -> Load {
        let pace = match self.mode {
            Mode::Unary => PACE_OF_CALLS,
            Mode::Stream => PACE_OF_STREAMS,
        };
        let open = self.rate.map(|rate| Open { rate, spacing: self.arrivals, seed: self.seed, pace });
        let arrivals = Arrivals::start(open, self.extent());
        let started = arrivals.started();
        Load {
            series: Series::new(started),
            counts_from: started + self.warmup,
            shelf: Shelf::new(workload.skus(), self.stock),
            workload,
            arrivals,
            timeout: self.timeout,
            batch: self.batch as usize,
            window: self.window(),
        }
    }

    fn window(&self) -> usize {
        self.window.map_or(WINDOW_BATCHES * self.batch as usize, |window| window as usize)
    }

    fn extent(&self) -> Extent {
        let duration = if self.orders.is_none() { self.duration.or(Some(DURATION)) } else { self.duration };
        Extent { orders: self.orders, duration: duration.map(|duration| self.warmup + duration) }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    fn settings(arguments: &str) -> Settings {
        Settings::parse_from(std::iter::once("emshop-loadgen").chain(arguments.split_whitespace()))
    }

    #[test]
    fn the_command_line() {
        Settings::command().debug_assert();
        let given = settings("--mode stream --workload flash --batch 100 --orders 5 --rate 2.5");
        assert_eq!((given.clients(), given.window()), (4, 400));
        assert_eq!(given.extent(), Extent { orders: Some(5), duration: None });
        assert_eq!(settings("").extent(), Extent { orders: None, duration: Some(DURATION) });
        assert_eq!(
            settings("--warmup 2s --duration 3s").extent(),
            Extent { orders: None, duration: Some(Duration::from_secs(5)) }
        );
        assert_eq!(settings("--clients 7").clients(), 7);
        let wrong = |arguments: &[&str]| {
            let error = Settings::try_parse_from([&["emshop-loadgen"], arguments].concat()).expect_err("it is none");
            error.to_string()
        };
        assert!(wrong(&["--assert", "p99<50"]).contains("a latency is compared with a time, such as 50ms"));
        assert!(wrong(&["--popularity", "zipf:0"]).contains("an exponent above 0"));
        assert!(wrong(&["--arrivals", "poisson"]).contains("--rate"), "a closed loop has no schedule");
        assert!(wrong(&["--tls-cert", "x"]).contains("--tls-key"), "a certificate needs its key");
        assert_eq!(settings("--key-file x").auth(), Auth::Users);
        assert_eq!(settings("--key-file x --mode stream").auth(), Auth::Admin);
        assert!(settings("--key-file x --users 200001").check().is_err());
        assert!(settings("--rate 0").check().is_err());
        assert!(settings("--window 10 --batch 11").check().is_err());
    }
}
