//! Load for an emshop server over gRPC, and the proof that the server did what it answered.
//!
//! A run goes: [`setup`] (goods and stock of its own) → [`schedule`] (when the next order is due) → [`unary`] or [`stream`]
//! (how orders of the [`workload`] reach the server; [`readers`] beside them) → [`tally`] (what was answered) → [`verify`] (what the state says) →
//! [`report`]. What it costs the machine is in the report too ([`cost`]), and what it was like second by second ([`series`]).
//! A refusal is judged by what can have been held of the stock ([`shelf`]).
//!
//! The generator usually shares the machine with the server, so it is kept cheap: an order is a function of its number and
//! nothing is stored for it, neither a stream nor a caller needs a task per order, a call is bytes between those of others ([`call`]), and a
//! connection counts into one tally of its own.

pub mod answer;
pub mod assertion;
pub mod call;
pub mod caller;
pub mod connection;
pub mod cost;
pub mod dial;
pub mod encoder;
mod http2;
pub mod popularity;
pub mod progress;
pub mod readers;
pub mod report;
pub mod sample;
pub mod schedule;
pub mod series;
pub mod settings;
pub mod setup;
pub mod shelf;
pub mod stream;
mod table;
pub mod tally;
pub mod token;
pub mod unary;
pub mod verify;
pub mod workload;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use crate::connection::{Connection, Server};
use crate::cost::Meter;
use crate::progress::Progress;
use crate::readers::Readers;
use crate::report::Measured;
pub use crate::report::Report;
use crate::schedule::Arrivals;
use crate::series::Series;
pub use crate::settings::{Mode, Settings};
use crate::shelf::Shelf;
use crate::tally::Tally;
use crate::unary::Desk;
use crate::workload::Workload;

/// What all clients of a run share.
#[derive(Debug)]
pub struct Load {
    pub workload: Workload,
    pub arrivals: Arrivals,
    pub shelf: Shelf,
    pub series: Series,
    /// Orders of before are the warm-up: verified, but in no figure.
    pub counts_from: Instant,
    /// How long the answer to one command may take.
    pub timeout: Duration,
    /// Commands in one message of a stream.
    pub batch: usize,
    /// Orders under way at once on one stream.
    pub window: usize,
}

/// Sets up, loads, verifies and reports.
///
/// # Errors
/// When the run could not take place: the server cannot be reached, or the setup was refused. Whatever goes wrong later is
/// in the report.
pub async fn run(settings: &Settings) -> anyhow::Result<Report> {
    settings.check()?;
    let progress = Progress::new(settings.json);
    let server = Server::new(&settings.target, &settings.tls, settings.timeout, settings.credentials()?)?;
    let workload = settings.workload();
    progress.phase("creating goods and stock");
    let server_version =
        setup::run(&server, &workload, settings.stock).await.context("could not set up the goods and their stock")?;

    progress.phase("loading");
    let ways = connect(settings, &server).await?;
    let reading = server.connect().await?;
    let started_at = SystemTime::now();
    let load = Arc::new(settings.load(workload));
    let readers = Readers::start(&reading, settings.readers.into(), load.counts_from);
    let work = futures::future::try_join(carry_out(&load, ways), measure(&load, settings.server_pid));
    let (mut tally, (meter, before)) = progress.during(&load.arrivals, work).await?;
    let elapsed = load.counts_from.elapsed();
    let reads = readers.stop().await;
    let cost = meter.stop(load.arrivals.taken() - before)?;
    ensure!(tally.orders > 0, "the run was over before its warm-up, so no order is left for figures");

    progress.phase("verifying");
    let verification = verify::run(&server, &load, settings.stock, &mut tally).await?;
    progress.finish();
    let measured = Measured { server_version, started_at, elapsed, tally, reads, cost, verification };
    Ok(Report::new(settings, &load, measured))
}

/// Begins to look at what the run costs when the warm-up is over; says how many orders had begun until then.
async fn measure(load: &Load, server: Option<u32>) -> anyhow::Result<(Meter, u64)> {
    tokio::time::sleep_until(load.counts_from.into()).await;
    Ok((Meter::start(server)?, load.arrivals.taken()))
}

/// What orders reach the server by.
enum Way {
    Stream(Connection),
    /// With its callers.
    Calls(Box<Desk>),
}

/// Opens the connections before the clock starts.
async fn connect(settings: &Settings, server: &Server) -> anyhow::Result<Vec<Way>> {
    let mut ways = Vec::new();
    match settings.mode {
        Mode::Stream => {
            for _ in 0..settings.clients() {
                ways.push(Way::Stream(server.connect_for_streams().await?));
            }
        }
        Mode::Unary => {
            for callers in unary::callers_by_connection(settings.clients()) {
                ways.push(Way::Calls(Box::new(Desk::open(server.line(), callers).await?)));
            }
        }
    }
    Ok(ways)
}

/// Carries out every order of the run; returns what was answered.
async fn carry_out(load: &Arc<Load>, ways: Vec<Way>) -> anyhow::Result<Tally> {
    let mut running = JoinSet::new();
    for way in ways {
        let load = Arc::clone(load);
        match way {
            Way::Stream(connection) => running.spawn(stream::run(load, connection)),
            Way::Calls(desk) => running.spawn(unary::run(load, *desk)),
        };
    }
    let mut total = Tally::new(load.workload.skus());
    while let Some(tally) = running.join_next().await {
        total.add(tally?);
    }
    Ok(total)
}
