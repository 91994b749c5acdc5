//! What a run found out, as one JSON object for programs; its `Display` is a table for people.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::assertion::{Assertion, Checked};
use crate::cost::Cost;
use crate::dial::Security;
use crate::popularity::Popularity;
use crate::readers::Reads;
use crate::schedule::Spacing;
use crate::series::Second;
use crate::settings::Auth;
use crate::tally::Tally;
use crate::verify::Verification;
use crate::workload::Kind;
use crate::{Load, Mode, Settings};

/// The JSON object of a run. Field names are what scripts read.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub generator_version: &'static str,
    /// As the server's header `server` tells it; null when it tells none.
    pub server_version: Option<String>,
    pub target: String,
    /// RFC 3339, when the first order began.
    pub started_at: String,
    pub workload: Kind,
    pub mode: Mode,
    pub tls: Security,
    /// Whose tokens the orders came with.
    pub auth: Auth,
    #[serde(rename = "loop")]
    pub discipline: Discipline,
    /// What precedes `duration_s`; its orders are in no other figure than these and `series`.
    pub warmup: Warmup,
    /// Orders begun; each of them was accepted or refused, or met an error.
    pub orders: u64,
    /// Orders that were accepted, a second: what a shop lives on. An order of `checkout` counts once, when it is paid.
    pub goodput_per_s: f64,
    /// Lines of those orders.
    pub lines_per_s: f64,
    /// Orders that were refused for lack of stock, a second.
    pub refused_per_s: f64,
    pub ok: u64,
    /// For lack of stock.
    pub refused: u64,
    /// Of those, the ones that cannot be right, because the stock was there. They are a difference.
    pub refused_wrongly: u64,
    /// Orders that met an error, and outcomes that belonged to no order.
    pub errors: u64,
    pub errors_by_code: BTreeMap<String, u64>,
    /// From the intended start (in a closed loop: the start) of a whole order to its last answer. An order without an answer, or that is
    /// told to come again, counts with at least the time-out.
    pub latency_ms: Percentiles,
    /// The same of accepted orders alone.
    pub accepted_latency_ms: Percentiles,
    /// How long the answer to one command might take.
    pub timeout_ms: f64,
    /// Orders a second that the schedule asked for, and how they follow each other; null in a closed loop.
    pub offered_per_s: Option<f64>,
    pub arrivals: Option<Spacing>,
    /// How late orders began by the schedule, for want of a free client or of time of the generator; null in a closed loop.
    pub lag_ms: Option<Percentiles>,
    /// Of callers who read beside the orders; null without any.
    pub reads: Option<ReadsReport>,
    /// From the end of the warm-up to the last answer.
    pub duration_s: f64,
    pub series: Vec<Second>,
    pub clients: usize,
    /// Most commands in a message; null without streams.
    pub batch: Option<usize>,
    /// Most orders under way on one stream; null without streams.
    pub window: Option<usize>,
    pub skus: usize,
    pub popularity: Popularity,
    pub users: u64,
    pub seed: u64,
    /// Begins the ids of all orders, and of the SKUs.
    pub run: u32,
    /// Threads of the generator, and cores of the machine that it ran on.
    pub generator_threads: usize,
    pub generator_cores: usize,
    pub cost: Cost,
    /// The state is exactly what the answers say.
    pub verified: bool,
    pub differences: Vec<String>,
    pub skus_verified: usize,
    /// So many of all orders were read back, and submitted once more; the stock shows the rest of them.
    pub orders_verified: usize,
    /// Orders that met an error, of which was found out afterwards what became of them.
    pub orders_resolved: usize,
    pub assertions: Vec<Checked>,
    /// Verified, no error that is not allowed, and all assertions hold.
    pub good: bool,
}

/// What a client does while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Discipline {
    Closed,
    Open,
}

/// Orders before the figures begin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Warmup {
    pub duration_s: f64,
    pub orders: u64,
    pub errors: u64,
}

/// What came of a run.
pub(crate) struct Measured {
    pub server_version: Option<String>,
    pub started_at: SystemTime,
    pub elapsed: Duration,
    pub tally: Tally,
    pub reads: Reads,
    pub cost: Cost,
    pub verification: Verification,
}

/// Pages of a user's orders that were read beside the load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReadsReport {
    pub readers: u16,
    pub pages_per_s: f64,
    pub errors: u64,
    pub latency_ms: Percentiles,
}

/// Milliseconds, of 3 digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Percentiles {
    /// Of a histogram of microseconds.
    fn new(histogram_us: &Histogram<u64>) -> Self {
        let at = |quantile| histogram_us.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram_us.max() as f64 / 1_000.0 }
    }
}

impl Report {
    pub(crate) fn new(settings: &Settings, load: &Load, measured: Measured) -> Self {
        let Measured { server_version, started_at, elapsed, tally, reads, cost, verification } = measured;
        let per_s = |count: u64| count as f64 / elapsed.as_secs_f64();
        let goodput_per_s = per_s(tally.ok);
        let on_streams = settings.mode == Mode::Stream;
        let errors = tally.errors();
        let mut report = Self {
            generator_version: env!("CARGO_PKG_VERSION"),
            server_version,
            target: settings.target.clone(),
            started_at: humantime::format_rfc3339_seconds(started_at).to_string(),
            workload: settings.workload,
            mode: settings.mode,
            tls: settings.tls.security(&settings.target),
            auth: settings.auth(),
            discipline: if settings.rate.is_some() { Discipline::Open } else { Discipline::Closed },
            warmup: Warmup {
                duration_s: settings.warmup.as_secs_f64(),
                orders: load.arrivals.taken() - tally.orders,
                errors: tally.warmup_errors,
            },
            orders: tally.orders,
            goodput_per_s: rounded(goodput_per_s),
            lines_per_s: rounded(goodput_per_s * load.workload.lines_per_order() as f64),
            refused_per_s: rounded(per_s(tally.refused)),
            ok: tally.ok,
            refused: tally.refused,
            refused_wrongly: tally.wrong_refusals.count,
            errors,
            errors_by_code: tally.errors,
            latency_ms: Percentiles::new(&tally.latency_us),
            accepted_latency_ms: Percentiles::new(&tally.accepted_latency_us),
            timeout_ms: load.timeout.as_secs_f64() * 1e3,
            offered_per_s: settings.rate,
            arrivals: settings.rate.map(|_| settings.arrivals),
            lag_ms: settings.rate.map(|_| Percentiles::new(&tally.lag_us)),
            reads: (settings.readers > 0).then(|| ReadsReport {
                readers: settings.readers,
                pages_per_s: rounded(per_s(reads.latency_us.len())),
                errors: reads.errors,
                latency_ms: Percentiles::new(&reads.latency_us),
            }),
            duration_s: elapsed.as_secs_f64(),
            series: load.series.seconds(),
            clients: settings.clients(),
            batch: on_streams.then_some(load.batch),
            window: on_streams.then_some(load.window),
            skus: load.workload.skus(),
            popularity: settings.popularity,
            users: settings.users,
            seed: settings.seed,
            run: load.workload.run(),
            generator_threads: settings.threads,
            generator_cores: std::thread::available_parallelism().map_or(1, usize::from),
            cost,
            verified: verification.differences.is_empty(),
            differences: verification.differences,
            skus_verified: verification.skus_read,
            orders_verified: verification.orders_read,
            orders_resolved: verification.orders_resolved,
            assertions: Vec::new(),
            good: false,
        };
        report.assertions = settings.assertions.iter().map(|assertion| assertion.check(&report)).collect();
        let errors_are_judged = settings.assertions.iter().any(Assertion::is_of_errors);
        // Those of the warm-up are in no figure, so in no assertion, but nobody allowed them either.
        let no_error = report.errors + report.warmup.errors == 0;
        let all_hold = report.assertions.iter().all(|checked| checked.holds);
        report.good = report.verified && all_hold && (no_error || errors_are_judged);
        report
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use futures::FutureExt;
    use serde_json::Value;

    use super::*;
    use crate::answer::{Answer, Failure};
    use crate::workload::Step;

    /// Of 90 accepted and 9 refused orders, with latencies of 1 ms to 99 ms, and one that met an error.
    fn report(arguments: &[&str], differences: Vec<String>) -> Report {
        let settings = Settings::parse_from([&["emshop-loadgen", "--orders", "100"], arguments].concat());
        let load = settings.load(settings.workload());
        let mut tally = Tally::new(load.workload.skus());
        for ms in 1..=100 {
            let arrival = load.arrivals.next().now_or_never().flatten().expect("it is due");
            let begun = tally.begin(&load, arrival, arrival.intended);
            let answer = match ms {
                1..=90 => Answer::Accepted { repeated: false },
                91..=99 => Answer::Refused,
                _ => Answer::Failed(Failure::new("grpc Unavailable")),
            };
            tally.end(&load, begun, Step::Submit, &answer, arrival.intended + Duration::from_millis(ms));
        }
        let verification = Verification { differences, ..Verification::default() };
        Report::new(
            &settings,
            &load,
            Measured {
                server_version: Some("shop/7".to_owned()),
                started_at: SystemTime::UNIX_EPOCH,
                elapsed: Duration::from_secs(2),
                tally,
                reads: Reads::new(),
                cost: Cost::default(),
                verification,
            },
        )
    }

    #[test]
    fn the_json_has_what_scripts_read() {
        let json = serde_json::to_value(report(&["--workload", "checkout", "--mode", "stream"], Vec::new())).unwrap();
        let expected = [
            ("/workload", Value::from("checkout")),
            ("/mode", Value::from("stream")),
            ("/tls", Value::from("none")),
            ("/auth", Value::from("none")),
            ("/generator_version", Value::from(env!("CARGO_PKG_VERSION"))),
            ("/server_version", Value::from("shop/7")),
            ("/loop", Value::from("closed")),
            ("/arrivals", Value::Null),
            ("/started_at", Value::from("1970-01-01T00:00:00Z")),
            ("/series/0/ok", Value::from(90)),
            ("/orders", Value::from(100)),
            ("/goodput_per_s", Value::from(45.0)),
            ("/lines_per_s", Value::from(90.0)),
            ("/refused_per_s", Value::from(4.5)),
            ("/ok", Value::from(90)),
            ("/refused", Value::from(9)),
            ("/refused_wrongly", Value::from(9)),
            ("/timeout_ms", Value::from(10_000.0)),
            ("/errors", Value::from(1)),
            ("/errors_by_code/grpc Unavailable", Value::from(1)),
            ("/batch", Value::from(256)),
            ("/offered_per_s", Value::Null),
            ("/verified", Value::from(true)),
        ];
        for (path, value) in expected {
            assert_eq!(json.pointer(path), Some(&value), "{path}");
        }
        // The order that met an error after 100 ms counts with the time-out.
        let all = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 10_000.0), ("max", 10_000.0)];
        let accepted = [("p50", 45.0), ("p90", 81.0), ("p99", 90.0), ("p999", 90.0), ("max", 90.0)];
        for (field, percentiles) in [("latency_ms", all), ("accepted_latency_ms", accepted)] {
            for (name, ms) in percentiles {
                let has = json[field][name].as_f64().unwrap();
                assert!((has - ms).abs() < ms / 500.0, "{field}/{name} is {has}");
            }
        }
    }

    #[test]
    fn a_difference_or_an_error_is_not_good() {
        let wrong = report(&[], vec!["goods 1: no stock entry".to_owned()]);
        assert!(!wrong.verified && !wrong.good);
        assert!(wrong.to_string().contains("NO, 1 differences"), "{wrong}");
        let failed = report(&[], Vec::new());
        assert!(failed.verified && !failed.good);
        assert!(failed.to_string().contains("1 × grpc Unavailable"), "{failed}");
    }

    #[test]
    fn an_assertion_that_does_not_hold_is_not_good() {
        let of = |assertions: &[&str]| {
            let arguments: Vec<_> = assertions.iter().flat_map(|assertion| ["--assert", assertion]).collect();
            let report = report(&arguments, Vec::new());
            (report.good, report.assertions.iter().map(|checked| checked.holds).collect::<Vec<_>>())
        };
        assert_eq!(of(&["errors=1"]), (true, vec![true]), "so many were allowed");
        assert_eq!(of(&["errors<=1", "p90<91ms", "goodput>=45", "refused=9"]), (true, vec![true; 4]));
        assert_eq!(of(&["errors=0"]), (false, vec![false]));
        assert_eq!(of(&["errors<9", "p90<90ms"]), (false, vec![true, false]));
        assert_eq!(of(&["p90<91ms"]), (false, vec![true]), "nobody allowed errors");
        let text = report(&["--assert", "goodput>50"], Vec::new()).to_string();
        assert!(text.contains("goodput>50: DOES NOT HOLD, it is 45"), "{text}");
    }
}
