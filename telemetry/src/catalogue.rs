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
/// Of appends to a log, each of which is synced to a disk.
const APPEND: &[f64] = &[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Of turns, and of questions between them.
const TURN: &[f64] = &[0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0];
/// Of what goes to a disk as a whole, and waits for it.
const WRITE: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Of sagas, which may wait for other logs and for operators.
const SAGA: &[f64] = &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0, 3_600.0];
/// Of envelopes, which have 48 KiB at most.
const BYTES: &[f64] = &[256.0, 1_024.0, 4_096.0, 8_192.0, 16_384.0, 24_576.0, 32_768.0, 40_960.0, 49_152.0];
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
    (CONFIG_REVISION, Gauge, "emshop_config_applied_revision", [], "The revision of the cluster's settings (`emshop config`) that this process goes by; 0 when there is none."),
    (CONFIG_REFUSED, Gauge, "emshop_config_refused", [], "Whether the newest revision is not acceptable together with this process's own settings, so that it goes on by an older one (1) or not (0)."),
    (CONFIG_STRANGE, Counter, "emshop_config_strange_total", [], "Values of the bucket of settings that are not sealed with the cluster's key, so that they count for nothing: somebody else writes to the NATS server."),

    (SPANS, Counter, "emshop_trace_spans_total", ["result"], "Spans of traced calls: those that `ended` here, that were `exported` to the collector, or that it did not take (`failed`). What ended and is neither waits, or was dropped."),

    (DISK_FREE, Gauge, "emshop_disk_free_bytes", [], "Room on the file system of the data folder."),
    (DISK, Gauge, "emshop_disk_bytes", [], "Bytes of that file system."),

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

    // The logs.
    (LOG_APPENDS, Counter, "emshop_log_appends_total", ["log", "result"], "Envelopes that this process has appended to a log, by what came of it: `stored`; `full`, `refused` and `not_next` are not in the log; of `unknown` nobody knows."),
    (LOG_APPEND_SECONDS, Histogram(APPEND), "emshop_log_append_seconds", ["log"], "How long it took until an envelope that was stored was acknowledged."),
    (LOG_ENVELOPE_BYTES, Histogram(BYTES), "emshop_log_envelope_bytes", ["log"], "Bytes of the envelopes that were stored."),
    (LOG_LAST_SEQUENCE, Gauge, "emshop_log_last_sequence", ["log"], "The last sequence that this process knows a log to have."),

    // The engines.
    (LEASE_HELD, Gauge, "emshop_engine_lease_held", ["log"], "Whether the engine here has its log (1) or not (0)."),
    (COMMANDS, Counter, "emshop_engine_commands_total", ["log", "kind"], "Commands that an engine has read from its log to apply them, by kind."),
    (OUTCOMES, Counter, "emshop_engine_outcomes_total", ["log", "result"], "What commands came to for which somebody waits: `done`, `repeated` when that was done before, `refused`."),
    (REFUSALS, Counter, "emshop_engine_refusals_total", ["log", "code"], "Commands that were refused for which somebody waits, by the names of docs/ERRORS.md."),
    (ENVELOPES, Counter, "emshop_engine_envelopes_total", ["log"], "Envelopes that an engine has applied."),
    (RECORDS_APPLIED, Counter, "emshop_engine_records_total", ["log"], "Records in these: commands, steps of other logs, ticks."),
    (STRANGE_ENTRIES, Counter, "emshop_engine_strange_entries_total", ["log"], "Entries of the log that are not sealed with the cluster's key, so that they count as empty: somebody else writes to the NATS server."),
    (TURN_SECONDS, Histogram(TURN), "emshop_engine_turn_seconds", ["log"], "How long it took to apply an envelope."),
    (QUERY_SECONDS, Histogram(TURN), "emshop_engine_query_seconds", ["log", "kind"], "How long it took to answer a question between two turns, without its way there and back."),
    (APPLIED_SEQUENCE, Gauge, "emshop_engine_applied_sequence", ["log"], "The sequence that an engine has applied last."),
    (LAG_ENVELOPES, Gauge, "emshop_engine_lag_envelopes", ["log"], "Envelopes that the log is known to have and that are not applied."),
    (LAG_SECONDS, Gauge, "emshop_engine_lag_seconds", ["log"], "For how long the oldest envelope has been in the log that is read but not applied; 0 when there is none."),
    (TIMERS_LATE, Gauge, "emshop_engine_timers_late_seconds", ["log"], "How late the first timer is that is due, such as the expiry of an order; 0 when none is."),
    (OUTBOX_STEPS, Gauge, "emshop_engine_outbox_steps", ["log", "target"], "Steps that another log is not known to have."),
    (CHANGED_ROWS, Gauge, "emshop_engine_changed_rows", ["log"], "Rows that the next checkpoint will carry."),
    (EVENTS_PUBLISHED, Counter, "emshop_events_published_total", ["log"], "Events that are in their streams."),
    (EVENTS_FAILED, Counter, "emshop_events_publish_failures_total", ["log"], "Groups of events that were not acknowledged, and are published again."),
    (EVENTS_SECONDS, Histogram(WRITE), "emshop_events_publish_seconds", ["log"], "How long it took until a group of events was acknowledged."),
    (EVENTS_WAITING, Gauge, "emshop_events_waiting", ["log"], "Events that are not known to be in their streams."),
    (DURABLE_SEQUENCE, Gauge, "emshop_checkpoint_durable_sequence", ["log"], "The sequence of the last checkpoint, from where a restart replays."),
    (CHECKPOINT_SECONDS, Histogram(WRITE), "emshop_checkpoint_seconds", ["log"], "How long it took to bring a checkpoint to the disk."),
    (CHECKPOINT_ROWS, Counter, "emshop_checkpoint_rows_total", ["log"], "Rows that checkpoints have written."),
    (CHECKPOINT_BYTES, Counter, "emshop_checkpoint_bytes_total", ["log"], "Bytes of keys and values that checkpoints have written."),
    (CHECKPOINT_AGE, Gauge, "emshop_checkpoint_age_seconds", ["log"], "How long ago the last checkpoint was written, or the engine started; where nothing changes none is written."),

    // The shop, by the books of its logs.
    (ORDERS, Gauge, "emshop_orders", ["log", "status"], "Orders by their status."),
    (PAYMENTS, Gauge, "emshop_payments", ["log", "method", "status"], "Orders by how they are paid, and how that stands."),
    (PAID, Gauge, "emshop_money_paid_minor", ["log", "currency"], "What orders were paid, in the smallest unit of a currency, whatever was refunded since."),
    (REFUNDED, Gauge, "emshop_money_refunded_minor", ["log", "currency"], "What was refunded of it."),
    (SAGAS, Gauge, "emshop_sagas", ["log", "status"], "Orders by how their last saga stands; one that is `stuck` waits for an operator."),
    (STOCK_UNITS, Gauge, "emshop_stock_units", ["log", "state"], "Units of all SKUs that are `available`, `reserved` by orders and reservations, or `sold`."),
    (SKUS_LOW, Gauge, "emshop_skus_low", ["log"], "SKUs that are at their threshold or below it."),
    (HOT_ASKED, Gauge, "emshop_hot_asked", ["log"], "How often orders and reservations asked for some SKU in the last whole minute and the one under way."),
    (HOT_SHARE, Gauge, "emshop_hot_share", ["log"], "How much of that was for the hottest SKU, from 0 to 1; `/hot` says which it is."),
    (INVARIANTS_OK, Gauge, "emshop_invariants_ok", ["log"], "Whether the books of a log agree with each other (1) or not (0): each unit received is in one place, and whoever holds some has them in the stock. `emshop inspect` looks at every row."),

    (SAGAS_STARTED, Counter, "emshop_sagas_started_total", ["log", "saga"], "Sagas that began, or were begun backwards to close an order, by kind."),
    (SAGAS_ENDED, Counter, "emshop_sagas_ended_total", ["log", "saga", "status"], "Sagas that were `completed`, `compensated`, or got `stuck`."),
    (SAGA_STEPS, Counter, "emshop_saga_steps_total", ["log", "saga", "step", "result"], "Steps of sagas that were `done`, `refused`, or `compensated`, and those whose compensation was refused (`stuck`)."),
    (SAGA_SECONDS, Histogram(SAGA), "emshop_saga_seconds", ["log", "saga"], "How long sagas took from their begin to their end, by log time; one that needs no other log takes no time."),

    // The stores of their states.
    (STORE_BYTES, Gauge, "emshop_store_bytes", ["log"], "Bytes of the files of a state."),
    (STORE_FILES, Gauge, "emshop_store_files", ["log"], "Files of a state."),
    (STORE_FRESH_FILES, Gauge, "emshop_store_fresh_files", ["log"], "Those of them that checkpoints have brought and that are not merged yet: with more than 32 the next checkpoint waits."),
    (STORE_COMPACTION_WAIT, Histogram(WRITE), "emshop_store_compaction_wait_seconds", ["log"], "How long checkpoints waited until files were merged, those that did."),
    (STORE_COMPACTION_BYTES, Gauge, "emshop_store_pending_compaction_bytes", ["log"], "Bytes that are to be merged, as RocksDB estimates them."),
    (STORE_COMPACTIONS, Gauge, "emshop_store_compactions", ["log"], "Merges under way."),
    (STORE_CACHE_BYTES, Gauge, "emshop_store_cache_bytes", ["log"], "Bytes of blocks, indexes and filters that are kept in memory."),
    (STORE_CACHE_HITS, Counter, "emshop_store_cache_hits_total", ["log"], "Blocks, indexes and filters that were there when they were needed."),
    (STORE_CACHE_MISSES, Counter, "emshop_store_cache_misses_total", ["log"], "Those that had to be read."),
    (STORE_ERRORS, Counter, "emshop_store_background_errors_total", ["log"], "What RocksDB could not do beside reads and checkpoints, such as to merge files: its disk is full or failing."),

    // The index of the goods.
    (SEARCH_LAG, Gauge, "emshop_search_lag_messages", [], "Messages of EMSHOP_CATALOGUE that are not found yet, of those that the index knows of."),
    (SEARCH_COMPLETE, Gauge, "emshop_search_complete", [], "Whether the index has caught up since its start (1) or not (0)."),
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
    const LABELS: &[&str] = &[
        "version", "commit", "rules", "format", "link", "method", "code", "limit", "log", "what", "result", "kind", "target",
        "status", "state", "currency", "saga", "step",
    ];

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
