//! Every metric. `docs/METRICS.md` is generated from this table.
//!
//! Names are as Prometheus wants them: a unit at the end, base units, `_total` for what is only counted up. A label is of a closed set, which the
//! code knows: never an id, nor what a client says, for each value of it costs memory until the process ends.

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// What kind of values it has.
    pub kind: Kind,
    /// What its values are told apart by.
    pub labels: &'static [&'static str],
    /// What a value means.
    pub meaning: &'static str,
}

/// What kind of values a metric has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Counts up, from 0 when the process starts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many values were at most this high.
    Histogram(&'static [f64]),
}

/// Of calls, some of which wait for a log and its engine.
const CALL: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Of records in an envelope.
const RECORDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];

macro_rules! catalogue {
    ($(($constant:ident, $kind:expr, $name:literal, [$($label:literal),*], $meaning:literal),)+) => {
        $(
            #[doc = $meaning]
            pub const $constant: Metric = {
                use Kind::*;
                Metric { name: $name, kind: $kind, labels: &[$($label),*], meaning: $meaning }
            };
        )+

        /// Every metric, in the order of the flow, and by which name the code knows it.
        pub const ALL: &[(Metric, &str)] = &[$(($constant, stringify!($constant)),)+];
    };
}

catalogue! {
    // The process.
    (BUILD_INFO, Gauge, "emshop_build_info", ["version", "commit", "rules", "format"], "Always 1; the labels say which build runs, by which rules it applies logs, and which format of clusters it knows."),
    (NATS_UP, Gauge, "emshop_nats_up", ["link"], "Whether nats-server is connected (1) or not (0), by each of the three connections of a process."),
    (NATS_RECONNECTS, Counter, "emshop_nats_reconnects_total", ["link"], "How often such a connection came about again after it was lost."),

    // From clients into the log.
    (CONNECTIONS, Gauge, "emshop_connections", [], "Connections of clients to the API."),
    (CONNECTIONS_REFUSED, Counter, "emshop_connections_refused_total", [], "Connections of clients that were turned away, because there were too many of them."),
    (RPC_SECONDS, Histogram(CALL), "emshop_rpc_seconds", ["method", "code"], "How long calls took, from their headers until their answer, or the end of it where it is a stream; one whose client went away is CANCELLED, and `other` is what is no method of ours, as health."),
    (RPC_STREAMS, Gauge, "emshop_rpc_streams", [], "Streams of commands that are open."),
    (RATE_LIMITED, Counter, "emshop_rate_limited_total", ["limit"], "Calls and attempts that were refused by a limit of `rates`, by its name there."),
    (UNDER_WAY, Gauge, "emshop_admission_under_way", ["log", "what"], "What is under way to a log: `reads`, those of many rows, which wait for their turn (`lists`), `calls` with a command, and commands of streams (`streamed`)."),
    (UNDER_WAY_MAX, Gauge, "emshop_admission_under_way_max", ["log", "what"], "The bound of it, beyond which reads, lists and calls are refused, and streams wait."),
    (UNDER_WAY_BYTES, Gauge, "emshop_admission_under_way_bytes", ["log", "what"], "Bytes of records under way to a log, those of `calls` and those of streams (`streamed`)."),
    (UNDER_WAY_BYTES_MAX, Gauge, "emshop_admission_under_way_max_bytes", ["log", "what"], "The bound of it."),
    (ENVELOPE_RECORDS, Histogram(RECORDS), "emshop_ingress_envelope_records", ["log"], "Records in the envelopes that an ingress appends to a log."),
    (LOG_OPEN, Gauge, "emshop_ingress_log_open", ["log"], "Whether an ingress finds that a log takes commands (1), or is full or takes nothing (0)."),
    (ENGINE_HEARD, Gauge, "emshop_ingress_engine_heard", ["log"], "Whether an ingress hears of the engine of a log (1) or not (0)."),
}

/// What is measured of each process on this system, by names that all programs share.
pub const OF_PROCESSES: &[&str] = &[
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
    "process_virtual_memory_bytes",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All labels that there are: each of a closed set.
    const LABELS: &[&str] = &["version", "commit", "rules", "format", "link", "method", "code", "limit", "log", "what"];

    #[test]
    fn names_are_given_once_and_as_prometheus_wants_them() {
        let mut names = BTreeSet::new();
        for (Metric { name, kind, labels, meaning }, _) in ALL {
            assert!(names.insert(name), "{name} is there twice");
            assert!(
                name.starts_with("emshop_") && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'),
                "{name}"
            );
            assert_eq!(
                *kind == Kind::Counter,
                name.ends_with("_total"),
                "{name}: counters end with _total, and nothing else does"
            );
            assert!(labels.iter().all(|label| LABELS.contains(label)), "{name} has a label that may have any value: {labels:?}");
            assert!(meaning.ends_with('.') && !meaning.contains('\n'), "{name} is explained by one sentence");
            for ending in ["_ms", "_milliseconds", "_kib", "_mib", "_count", "_sum", "_bucket"] {
                assert!(
                    !name.trim_end_matches("_total").ends_with(ending),
                    "{name} is in base units, and no part of another one"
                );
            }
        }
    }

    #[test]
    fn histograms_have_a_unit_and_buckets_that_ascend() {
        for (Metric { name, kind, .. }, _) in ALL {
            let Kind::Histogram(buckets) = kind else { continue };
            assert!(["_seconds", "_bytes", "_records"].iter().any(|unit| name.ends_with(unit)), "{name}");
            assert!(!buckets.is_empty() && buckets.len() <= 16 && buckets.is_sorted_by(|one, next| one < next), "{name}");
        }
    }
}
