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
    const LABELS: &[&str] = &["version", "commit", "rules", "format"];

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
