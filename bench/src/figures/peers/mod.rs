//! What people would take instead of emshop, with the same orders, the same promises and the client on the same cores.

mod postgres;
mod redis;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use emshop_loadgen::cost::{Cost, Meter};
use emshop_loadgen::workload::{Kind, Workload};
use emshop_proto::v1::SubmitOrderRequest;
use futures::future::try_join_all;
use hdrhistogram::Histogram;

use crate::results::{Run, Subject, Values};
use crate::settings::Settings;

/// 256 orders a call, and one.
pub const FIGURES: [&str; 2] = [BATCHES, CALLS];
const BATCHES: &str = "peer_batches";
const CALLS: &str = "peer_calls";

const BATCH: usize = 256;
/// As in emshop's own runs.
const SKUS: u64 = 10_000;
const USERS: u64 = 10_000;
const STOCK: u64 = 1_000_000_000;
const DURATION: Duration = Duration::from_secs(8);
const DURATION_QUICK: Duration = Duration::from_secs(2);

/// Another system.
pub trait Peer {
    fn subject(&self) -> Subject;

    /// Measures it once, from an empty database.
    fn measure(&mut self, settings: &Settings, figure: &'static str, round: u32) -> Result<Run>;
}

/// The peers, if they are asked for.
///
/// # Errors
/// When one is not installed.
pub fn all(settings: &Settings) -> Result<Vec<Box<dyn Peer>>> {
    if !settings.peers {
        return Ok(Vec::new());
    }
    Ok(vec![Box::new(postgres::Postgres::find()?), Box::new(redis::Redis::find()?)])
}

/// How orders reach a peer in one of [`FIGURES`].
#[derive(Clone, Copy)]
struct Plan {
    workload: Workload,
    /// Orders of a call.
    batch: usize,
    /// Connections, each with one call under way.
    callers: usize,
    duration: Duration,
}

impl Plan {
    fn new(settings: &Settings, figure: &str, callers_of_batches: usize, callers_of_calls: usize) -> Self {
        let (batch, callers) = if figure == BATCHES { (BATCH, callers_of_batches) } else { (1, callers_of_calls) };
        let duration = if settings.quick { DURATION_QUICK } else { DURATION };
        Self { workload: Workload::new(Kind::Submit, 1, 1, SKUS, USERS), batch, callers, duration }
    }

    /// What the setup must make: ids and prices of the goods.
    fn goods(&self) -> impl Iterator<Item = (u64, i64)> {
        self.workload.goods_ids().map(|goods_id| (goods_id, 100 + (goods_id % 9_900) as i64))
    }
}

/// A connection.
trait Caller {
    /// Returns how many of the orders are accepted.
    async fn submit(&mut self, orders: &[SubmitOrderRequest]) -> Result<usize>;
}

/// What is found in the database afterwards.
#[derive(Debug, PartialEq)]
struct Found {
    orders: u64,
    lines: u64,
    payments: u64,
    /// Units of all goods that orders took.
    reserved: u64,
}

/// What was answered.
struct Loaded {
    values: Values,
    expected: Found,
}

/// Drives load by all callers; `server` is its process.
async fn load(plan: Plan, callers: Vec<impl Caller>, server: u32) -> Result<Loaded> {
    let next = Cell::new(0);
    let latency_us = RefCell::new(Histogram::<u64>::new(3)?);
    let meter = Meter::start(Some(server))?;
    let begun = Instant::now();
    let (next, latencies) = (&next, &latency_us);
    let run = async |mut caller| -> Result<u64> {
        let mut units = 0;
        while begun.elapsed() < plan.duration {
            let numbers = next.get()..next.get() + plan.batch as u64;
            next.set(numbers.end);
            let orders: Vec<_> = numbers.map(|number| plan.workload.submit_order(number)).collect();
            let called = Instant::now();
            let accepted = Caller::submit(&mut caller, &orders).await?;
            latencies.borrow_mut().record(called.elapsed().as_micros() as u64)?;
            ensure!(accepted == orders.len(), "{} orders were refused", orders.len() - accepted);
            units += orders.iter().flat_map(|order| &order.lines).map(|line| line.quantity).sum::<u64>();
        }
        Ok(units)
    };
    let reserved = try_join_all(callers.into_iter().map(run)).await?.into_iter().sum();
    let (elapsed, orders) = (begun.elapsed(), next.get());
    let values = values(orders, elapsed, &latency_us.borrow(), &meter.stop(orders)?);
    Ok(Loaded { values, expected: Found { orders, lines: 2 * orders, payments: orders, reserved } })
}

fn values(orders: u64, elapsed: Duration, latency_us: &Histogram<u64>, cost: &Cost) -> Values {
    let ms = |quantile| latency_us.value_at_quantile(quantile) as f64 / 1e3;
    let server_us = cost.server.iter().map(|process| process.cpu.total_us).sum();
    let values = [
        ("orders_per_s", orders as f64 / elapsed.as_secs_f64()),
        ("p50_ms", ms(0.5)),
        ("p99_ms", ms(0.99)),
        ("generator_us", cost.generator.total_us),
        ("server_us", server_us),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Loaded {
    fn into_run(self, found: &Found, subject: String, figure: &str, round: u32) -> Result<Run> {
        ensure!(*found == self.expected, "the database has {found:?}, but was to have {:?}", self.expected);
        Ok(Run { subject, figure: figure.to_owned(), round, values: self.values, report: None })
    }
}

/// One thread, as the load generator of emshop has.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")
}
