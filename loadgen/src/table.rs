//! The report of a run as a table for people.

use std::fmt;

use emshop_proto::errors::Code;

use crate::Mode;
use crate::cost::CpuPerOrder;
use crate::dial::Security;
use crate::report::{Discipline, Percentiles, ReadsReport, Report, Warmup};
use crate::settings::Auth;

/// What a run of many orders by few users meets.
const UNPAID: &str =
    "(shop.unpaid_orders_max of each user in each log, for 15 minutes: more --users, --workload checkout, or a higher limit)";

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(out, "{name:<11} {value}");
        row("workload", format!("{} by {}, {}", name(self.workload), name(self.mode), self.concurrency()))?;
        row("run", format!("{} (seed {}, {} SKUs, {}, {} users)", self.run, self.seed, self.skus, self.popularity, self.users))?;
        row("tokens", self.tokens().to_owned())?;
        row("TLS", self.security().to_owned())?;
        row("loop", self.discipline.meaning().to_owned())?;
        if let (Some(offered), Some(arrivals)) = (self.offered_per_s, self.arrivals) {
            row("offered", format!("{offered:.0} orders/s, {}", name(arrivals)))?;
        }
        let Warmup { duration_s, orders, errors } = self.warmup;
        if duration_s > 0.0 {
            row("warm-up", format!("{orders} orders in {duration_s} s, {errors} errors; in no figure below"))?;
        }
        row("orders", format!("{} in {:.2} s", self.orders, self.duration_s))?;
        row("goodput", format!("{:.0} orders/s, {:.0} lines/s", self.goodput_per_s, self.lines_per_s))?;
        row("ok", self.ok.to_string())?;
        row(
            "refused",
            format!("{} ({:.0} orders/s), {} of them wrongly", self.refused, self.refused_per_s, self.refused_wrongly),
        )?;
        row("errors", self.errors.to_string())?;
        for (code, count) in &self.errors_by_code {
            row("", format!("{count} × {code}"))?;
            if code == Code::UnpaidOrdersTooMany.name() {
                row("", UNPAID.to_owned())?;
            }
        }
        row("", Percentiles::HEADER.to_owned())?;
        row("latency ms", self.latency_ms.to_string())?;
        if self.ok != self.orders {
            row("of accepted", self.accepted_latency_ms.to_string())?;
        }
        if let Some(lag_ms) = self.lag_ms {
            row("lag ms", lag_ms.to_string())?;
        }
        if let Some(ReadsReport { readers, pages_per_s, errors, latency_ms }) = self.reads {
            row("reads", format!("{pages_per_s:.0} pages/s by {readers} readers, {errors} errors"))?;
            row("read ms", latency_ms.to_string())?;
        }
        for checked in &self.assertions {
            row("assertion", checked.to_string())?;
        }
        row("generator", format!("{} of {} cores", self.generator_threads, self.generator_cores))?;
        row("CPU", format!("generator {}", self.cost.generator))?;
        for process in &self.cost.server {
            let megabytes = process.peak_memory_bytes >> 20;
            row("", format!("{} {}, at most {megabytes} MiB", process.name, process.cpu))?;
        }
        row("verified", self.verdict())
    }
}

impl Report {
    fn concurrency(&self) -> String {
        match (self.batch, self.window) {
            (Some(batch), Some(window)) => {
                format!("{} streams, batches of {batch}, {window} orders under way on each", self.clients)
            }
            _ => format!("{} callers", self.clients),
        }
    }

    fn security(&self) -> &'static str {
        match self.tls {
            Security::None => "none",
            Security::Tls => "with the server's certificate",
            Security::Mutual => "with certificates of both sides",
        }
    }

    fn tokens(&self) -> &'static str {
        match (self.auth, self.mode) {
            (Auth::None, _) => "none: authentication is off",
            (Auth::Admin, Mode::Stream) => "an admin's: streams are for staff",
            (Auth::Admin, Mode::Unary) => {
                "an admin's: the server looks less closely at those calls than at a user's (--key-file)"
            }
            (Auth::Users, _) => "each user's own",
        }
    }

    fn verdict(&self) -> String {
        let looked_at =
            format!("{} SKUs, {} of {} orders", self.skus_verified, self.orders_verified, self.warmup.orders + self.orders);
        if self.verified {
            format!("yes: {looked_at}")
        } else {
            format!("NO, {} differences: {looked_at}", self.differences.len())
        }
    }
}

impl Percentiles {
    const HEADER: &str = "     p50       p90       p99     p99.9       max";
}

impl fmt::Display for Percentiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, p999, max } = self;
        write!(out, "{p50:8.3}  {p90:8.3}  {p99:8.3}  {p999:8.3}  {max:8.3}")
    }
}

impl fmt::Display for CpuPerOrder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} µs an order (user {}, system {})", self.total_us, self.user_us, self.system_us)
    }
}

/// As it is called on the command line.
fn name(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

impl Discipline {
    const fn meaning(self) -> &'static str {
        match self {
            Self::Closed => {
                "closed: each client waits for its answer, so latencies leave out what was not sent meanwhile (--rate does not)"
            }
            Self::Open => "open: orders come by a schedule, and latencies count from it",
        }
    }
}
