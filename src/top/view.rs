//! What is shown of a look: a page for a terminal, or a line.

use std::cmp::Reverse;
use std::fmt::Write;
use std::time::SystemTime;

use comfy_table::Table;
use console::style;

use super::rates::Between;
use super::scrape::HotGoods;
use crate::table;

/// Calls that have a line: those that come most often.
const METHODS: usize = 10;
/// Refusals likewise.
const REFUSALS: usize = 8;
/// SKUs likewise.
const GOODS: usize = 5;

const CALLS: &str = "emshop_rpc_seconds";
const CALLED: &str = "emshop_rpc_seconds_count";
const COMMANDS: &str = "emshop_engine_commands_total";
const REFUSED: &str = "emshop_engine_refusals_total";
const OUTCOMES: &str = "emshop_engine_outcomes_total";
const LAG: &str = "emshop_engine_lag_seconds";
const WAITING: &str = "emshop_events_waiting";
const SAGAS: &str = "emshop_sagas";

/// Commands that make an order.
const ORDERS: [&str; 2] = ["submit_order", "checkout_cart"];
/// How sagas stand that are on their way.
const RUNNING: [&str; 2] = ["running", "compensating"];

/// All of it.
pub fn page(between: &Between) -> String {
    let mut page = String::new();
    let parts = [
        ("Processes", processes(between)),
        ("Calls", calls(between)),
        ("Refused by the rules", refusals(between)),
        ("Asked for most, in the last one to two minutes", hot(between)),
        ("Logs", logs(between)),
    ];
    let _ = writeln!(page, "{}", summary(between));
    for (title, table) in parts.into_iter().filter(|(_, table)| !table.is_empty()) {
        let _ = write!(page, "\n{}\n{}\n", style(title).bold(), table.trim_fmt());
    }
    page
}

/// The same in a line of names and values.
pub fn line(between: &Between, now: SystemTime) -> String {
    let down = between.processes().iter().filter(|look| look.samples.is_err()).count();
    let (p50, p99) = (between.quantile(CALLS, None, 0.5), between.quantile(CALLS, None, 0.99));
    format!(
        "{} calls/s={:.1} p50_ms={} p99_ms={} orders/s={:.1} refused/s={:.1} lag_s={:.2} events_waiting={:.0} sagas_running={:.0} \
         sagas_stuck={:.0} processes_down={down}\n",
        humantime::format_rfc3339_seconds(now),
        between.rate(CALLED),
        milliseconds(p50),
        milliseconds(p99),
        orders(between),
        between.rate(REFUSED),
        highest(between, LAG),
        sum(between, WAITING),
        sagas(between, &RUNNING),
        sagas(between, &["stuck"]),
    )
}

fn summary(between: &Between) -> String {
    let stuck = sagas(between, &["stuck"]);
    let stuck = if stuck > 0.0 { style(format!("{stuck:.0} stuck")).red().bold() } else { style("0 stuck".to_owned()) };
    format!(
        "{:.1} orders/s, {:.1} refused/s, {:.1} calls/s; lag {:.2} s; {:.0} events waiting; sagas: {:.0} running, {stuck}",
        orders(between),
        between.rate(REFUSED),
        between.rate(CALLED),
        highest(between, LAG),
        sum(between, WAITING),
        sagas(between, &RUNNING),
    )
}

fn orders(between: &Between) -> f64 {
    let by_kind = between.rates_by(COMMANDS, "kind");
    ORDERS.iter().filter_map(|kind| by_kind.get(kind)).sum()
}

fn sagas(between: &Between, statuses: &[&str]) -> f64 {
    let by_status = between.gauges_by(SAGAS, "status");
    statuses.iter().filter_map(|status| by_status.get(status)).sum()
}

fn sum(between: &Between, name: &str) -> f64 {
    between.gauges_by(name, "").values().sum()
}

fn highest(between: &Between, name: &str) -> f64 {
    between.highest_by(name, "").values().copied().fold(0.0, f64::max)
}

fn processes(between: &Between) -> Table {
    let mut table = table::with_header(["process", "state"], []);
    for look in between.processes() {
        let state = match (&look.samples, look.reasons.trim()) {
            (Err(error), _) => style(format!("{error:#}")).red(),
            (Ok(_), "") => style("ready".to_owned()).green(),
            (Ok(_), reasons) => style(reasons.replace('\n', "; ")).yellow(),
        };
        table.add_row([look.address.clone(), state.to_string()]);
    }
    table
}

fn calls(between: &Between) -> Table {
    let mut table = table::with_header(["method", "calls/s", "p50 ms", "p99 ms"], 1..4);
    for (method, rate) in most(between.rates_by(CALLED, "method").into_iter().collect(), METHODS) {
        let of = |quantile| milliseconds(between.quantile(CALLS, Some(("method", method)), quantile));
        table.add_row([method.to_owned(), format!("{rate:.1}"), of(0.5), of(0.99)]);
    }
    table
}

fn refusals(between: &Between) -> Table {
    let mut table = table::with_header(["code", "refused/s"], [1]);
    for (code, rate) in most(between.rates_by(REFUSED, "code").into_iter().collect(), REFUSALS) {
        table.add_row([code.to_owned(), format!("{rate:.1}")]);
    }
    table
}

fn hot(between: &Between) -> Table {
    let mut hot: Vec<_> = between.processes().iter().flat_map(|look| &look.hot).collect();
    hot.sort_by_key(|goods| (Reverse(goods.asked), goods.goods_id));
    let mut table = table::with_header(["goods", "log", "asked", "short"], 0..4);
    for HotGoods { goods_id, log, asked, short } in hot.into_iter().take(GOODS) {
        table.add_row([goods_id.to_string(), log.to_string(), asked.to_string(), short.to_string()]);
    }
    table
}

fn logs(between: &Between) -> Table {
    const COLUMNS: [&str; 9] =
        ["log", "engine", "outcomes/s", "lag", "lag s", "events waiting", "outbox", "changed rows", "checkpoint s ago"];
    const GAUGES: [(&str, usize); 6] = [
        ("emshop_engine_lag_envelopes", 0),
        (LAG, 2),
        (WAITING, 0),
        ("emshop_engine_outbox_steps", 0),
        ("emshop_engine_changed_rows", 0),
        ("emshop_checkpoint_age_seconds", 1),
    ];
    let held = between.gauges_by("emshop_engine_lease_held", "log");
    let outcomes = between.rates_by(OUTCOMES, "log");
    let gauges = GAUGES.map(|(name, digits)| (between.gauges_by(name, "log"), digits));
    let mut numbers: Vec<_> = held.keys().copied().collect();
    numbers.sort_by_key(|log| log.parse::<u32>().unwrap_or(u32::MAX));
    let mut table = table::with_header(COLUMNS, [0, 2, 3, 4, 5, 6, 7, 8]);
    for log in numbers {
        let is_held = held.get(log).is_some_and(|held| *held > 0.0);
        let engine = if is_held { style("has it").green() } else { style("has it not").red() };
        let rate = outcomes.get(log).copied().unwrap_or_default();
        let gauges = gauges
            .iter()
            .map(|(by_log, digits)| by_log.get(log).map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}")));
        table.add_row([log.to_owned(), engine.to_string(), format!("{rate:.1}")].into_iter().chain(gauges));
    }
    table
}

/// The highest ones first, and no more than so many.
fn most(mut rates: Vec<(&str, f64)>, count: usize) -> Vec<(&str, f64)> {
    rates.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    rates.truncate(count);
    rates
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{:.1}", seconds * 1_000.0))
}
