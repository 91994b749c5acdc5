//! `emshop demo`: a shop with customers, from an empty folder to checked books.
//!
//! Reading order: [`tour`] (one customer through every service), then many orders at once: [`catalogue`] (what is sold), [`shopper`] (what customers do), [`ledger`] (what became of it, read back),
//! [`audit`] (does it add up), [`report`] (what is printed).

mod audit;
mod catalogue;
mod client;
mod ledger;
mod phones;
mod report;
mod shopper;
mod tour;

use std::fmt::Write;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use emshop_proto::v1::{InspectRequest, StockLevel};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::cli::DemoFlags;
use crate::config::{Shared, Sources};
use crate::exit::ExitCode;
use crate::serve::serve_while;
use crate::{EXIT_BROKEN, EXIT_INTERRUPTED};
use audit::Facts;
use client::Client;
use ledger::Ledger;
use phones::Phones;
use report::Summary;
use shopper::{Run, Visit};

/// Orders under way at the same time.
const SHOPPERS: usize = 64;

/// How often a wait shows that it is alive.
const SPINNER_TICK: Duration = Duration::from_millis(100);

/// Starts everything, drives the orders, reports, and serves on when all is well.
pub async fn run(flags: &DemoFlags, sources: &Sources) -> Result<ExitCode> {
    let phones = Arc::new(Phones::start().await?);
    let sources = sources.with(&phones.overrides())?;
    let settings = sources.settings(&Shared::new())?;
    let mut all_well = None;
    serve_while(&settings, &sources, async |address| {
        let address = address.expect("a demo serves the API");
        let good = perform(flags, address, &phones).await?;
        all_well = Some(good);
        if good && !flags.once {
            pending::<()>().await;
        }
        Ok(())
    })
    .await?;
    Ok(match all_well {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::from(EXIT_BROKEN),
        None => ExitCode::from(EXIT_INTERRUPTED),
    })
}

/// Returns whether all invariants hold and nothing is stuck.
async fn perform(flags: &DemoFlags, address: SocketAddr, phones: &Arc<Phones>) -> Result<bool> {
    let client = Client::connect(address).await?;
    let number = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let run = Run { number, orders: flags.orders as usize };
    let stops = tour::take(&client, phones, number).await?;
    report::print_tour(&stops);
    let stock_before = catalogue::load(&client, run).await?;
    let visits = shop_all(&client, run).await?;
    let facts = settle(&client, run, visits, stock_before).await?;

    let checks = facts.checks();
    let summary = Summary::new(stops.len(), &facts, &checks);
    report::print(&facts, &checks);
    if !flags.once && summary.is_good() {
        report::print_next_steps(address, &facts);
    }
    if flags.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(summary.is_good())
}

async fn shop_all(client: &Client, run: Run) -> Result<Visit> {
    let style = ProgressStyle::with_template("  {bar:40.green} {pos:>6}/{len} orders  {rate}")?.with_key(
        "rate",
        |state: &ProgressState, text: &mut dyn Write| {
            let _ = write!(text, "{:.0}/s", state.per_sec());
        },
    );
    let bar = ProgressBar::new(run.orders as u64).with_style(style);
    let visits = stream::iter(0..run.orders)
        .map(|index| tokio::spawn(shopper::shop(client.clone(), run, index)))
        .buffer_unordered(SHOPPERS)
        .map(|visit| visit?)
        .inspect_ok(|_| bar.inc(1))
        .try_fold(Visit::default(), async |sum, visit| Ok(sum + visit))
        .await;
    bar.finish();
    visits
}

/// Waits until the last order has ended and reads everything back.
async fn settle(client: &Client, run: Run, visits: Visit, stock_before: Vec<StockLevel>) -> Result<Facts> {
    let spinner = ProgressBar::new_spinner().with_message("waiting for unpaid orders to expire");
    spinner.enable_steady_tick(SPINNER_TICK);
    let ledger = Ledger::settled(client, run).await?;
    let logs = client.admin().inspect(InspectRequest {}).await?.into_inner().logs;
    let stock = catalogue::stock(client).await?;
    spinner.finish_and_clear();
    Ok(Facts { run, visits, ledger, stock_before, stock, logs })
}
