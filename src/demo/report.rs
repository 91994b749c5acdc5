//! What the demo tells at its end.

use std::env;
use std::net::SocketAddr;

use comfy_table::Table;
use console::style;
use emshop_proto::v1::SagaEvent;
use serde::Serialize;

use super::audit::{Check, Facts};
use super::catalogue;
use super::ledger::Ending;
use super::tour::Stop;
use crate::operate::print::money;
use crate::table;

const MS_PER_DAY: i64 = 86_400_000;

/// The demo's result in one JSON object.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Stops of the tour.
    tour: usize,
    orders: u64,
    completed: u64,
    /// Refused for lack of stock, or without parcel after the payment: all their steps were taken back.
    compensated: u64,
    /// By the customer, before or after payment, or because the payment failed.
    cancelled: u64,
    expired: u64,
    repeated: u64,
    stuck: u64,
    events: u64,
    /// "ok", or what is broken.
    invariants: String,
}

impl Summary {
    pub fn new(tour: usize, facts: &Facts, checks: &[Check]) -> Self {
        let count = |endings: &[Ending]| endings.iter().map(|ending| facts.ledger.count(*ending)).sum();
        let broken: Vec<&str> = checks.iter().flat_map(|check| &check.broken).map(String::as_str).collect();
        Self {
            tour,
            orders: facts.ledger.orders.len() as u64,
            completed: count(&[Ending::Completed]),
            compensated: count(&[Ending::RefusedForStock, Ending::ParcelFailed]),
            cancelled: count(&[Ending::Cancelled, Ending::CancelledPaid, Ending::PaymentFailed]),
            expired: count(&[Ending::Expired]),
            repeated: facts.visits.repeated,
            stuck: facts.stuck(),
            events: facts.events(),
            invariants: if broken.is_empty() { "ok".to_owned() } else { broken.join("; ") },
        }
    }

    /// Every invariant holds and nothing is stuck.
    pub fn is_good(&self) -> bool {
        self.invariants == "ok" && self.stuck == 0
    }
}

/// What was seen on the way through the services.
pub fn print_tour(stops: &[Stop]) {
    heading("A tour through every service");
    println!("  This server runs without authentication (auth.required: false), so the tour plays customer and admin alike.\n");
    for Stop { what, seen } in stops {
        println!("  {} {what:<15} {seen}", style("✓").green());
    }
    println!();
}

pub fn print(facts: &Facts, checks: &[Check]) {
    print_timeline(facts, Ending::Completed, "A completed order, step by step");
    print_timeline(facts, Ending::ParcelFailed, "An order whose parcel could not be created: paid, then all taken back");
    heading("What became of the orders");
    println!("{}", endings(facts).trim_fmt());
    heading("What became of the stock");
    println!("{}", stock(facts).trim_fmt());
    heading("Invariants over the whole state");
    for check in checks {
        print_check(check);
    }
    println!();
}

/// Says where the demo serves and what to try on it.
pub fn print_next_steps(address: SocketAddr, facts: &Facts) {
    let order_id = facts.ledger.of(Ending::Completed).next().map_or("", |order| &order.order_id);
    let goods_id = catalogue::plentiful_id(0);
    let order = format!(
        r#""order_id": "my-order", "user_id": 7, "lines": [{{"goods_id": {goods_id}, "quantity": 2}}], "address": "Shanghai", "#
    ) + r#""receiver": {"name": "Wang", "phone": "13800000000"}, "payment_method": "PAYMENT_METHOD_ALIPAY""#;
    let call = |method: &str, request: &str| println!("  grpcurl -plaintext -d '{{{request}}}' {address} emshop.v1.{method}");
    println!("{} http://{address} until Ctrl-C,", style("Serving on").bold());
    println!(
        "without authentication: whoever reaches it may do anything. `emshop serve` asks for tokens, unless it is told --auth off. Try:\n"
    );
    println!("  grpcurl -plaintext {address} list");
    call("OrderService/GetOrder", &format!(r#""order_id": "{order_id}""#));
    call("InventoryService/GetStock", &format!(r#""goods_id": {goods_id}"#));
    call("OrderService/SubmitOrder", &order);
    call("PaymentService/SimulatePaymentSuccess", r#""order_id": "my-order""#);
    println!("\n  {} inspect --target http://{address}", program("emshop"));
    println!("  {} --target http://{address} --workload submit --mode stream --duration 10s\n", program("emshop-loadgen"));
}

/// How to call a program that was built together with this one.
fn program(name: &str) -> String {
    let beside = env::current_exe().ok().map(|path| path.with_file_name(name)).filter(|path| path.exists());
    beside.map_or_else(|| name.to_owned(), |path| path.display().to_string())
}

fn heading(text: &str) {
    println!("\n{}", style(text).bold());
}

fn print_timeline(facts: &Facts, ending: Ending, title: &str) {
    let Some(order) = facts.ledger.of(ending).next() else { return };
    heading(&format!("{title}: {}, {}", order.order_id, money(order.total.as_ref())));
    let start_ms = order.timeline.first().map_or(0, |event| event.at_ms);
    for event in &order.timeline {
        println!("  {}  +{:>5} ms  {}", time_of_day(event.at_ms), event.at_ms - start_ms, step(event));
    }
}

fn step(event: &SagaEvent) -> String {
    match (event.compensation, event.refused_code) {
        (false, 0) => format!("{}  {}", style("→").green(), event.name),
        (false, code) => format!("{}  {} refused with {code}", style("✗").red(), event.name),
        (true, _) => format!("{}  {} (compensation)", style("←").yellow(), event.name),
    }
}

fn endings(facts: &Facts) -> Table {
    let ledger = &facts.ledger;
    let rows = [
        ("completed", ledger.count(Ending::Completed), "paid, stock sold, parcel created"),
        ("compensated", ledger.count(Ending::RefusedForStock), "too little stock: nothing stays reserved, nothing to pay"),
        ("compensated", ledger.count(Ending::ParcelFailed), "no such parcel company: refunded, stock back"),
        ("cancelled", ledger.count(Ending::Cancelled), "before payment: stock released"),
        ("cancelled", ledger.count(Ending::CancelledPaid), "after payment: refunded, stock back"),
        ("cancelled", ledger.count(Ending::PaymentFailed), "the payment failed: stock released"),
        ("expired", ledger.count(Ending::Expired), "never paid: the timer released the stock"),
        ("unfinished", ledger.count(Ending::Unfinished), "should not be"),
        ("repeated", facts.visits.repeated, "sent twice, carried out once"),
    ];
    let mut table = table::with_header(["outcome", "orders", "what it means"], [1]);
    for (outcome, orders, meaning) in rows.into_iter().filter(|(_, orders, _)| *orders > 0) {
        table.add_row([outcome.to_owned(), orders.to_string(), meaning.to_owned()]);
    }
    table
}

fn stock(facts: &Facts) -> Table {
    let mut table = table::with_header(["goods", "name", "received", "available", "reserved", "sold"], 2..6);
    for (goods, stock) in catalogue::goods().zip(&facts.stock) {
        let numbers = [stock.received, stock.available, stock.reserved, stock.sold].map(|units| units.to_string());
        table.add_row([goods.goods_id.to_string(), goods.name].into_iter().chain(numbers));
    }
    table
}

fn print_check(check: &Check) {
    match check.broken.as_slice() {
        [] => println!("  {} {}", style("✓").green(), check.says),
        broken => {
            println!("  {} {}", style("✗").red().bold(), check.says);
            broken.iter().for_each(|sentence| println!("      {sentence}"));
        }
    }
}

/// UTC.
fn time_of_day(at_ms: i64) -> String {
    let ms = at_ms.rem_euclid(MS_PER_DAY);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000)
}
