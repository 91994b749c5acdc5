//! The table of metrics in docs/METRICS.md, and who measures them.

use std::path::PathBuf;

use emshop_telemetry::catalogue::{self, Kind, Metric};
use emshop_testing::docs::{assert_section, table};
use emshop_testing::{files, root};

/// Folders with what measures.
const FOLDERS: [&str; 6] = ["src", "engine/src", "ingress/src", "search/src", "storage", "telemetry/src/traces"];

#[test]
fn the_table_is_fresh() {
    let rows = catalogue::ALL.iter().map(|(Metric { name, kind, labels, meaning }, _)| {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        vec![format!("`{name}`"), kind_of(*kind), labels.join(", "), (*meaning).to_owned()]
    });
    let of_processes: Vec<_> = catalogue::OF_PROCESSES.iter().map(|name| format!("`{name}`")).collect();
    let text = format!(
        "{}\nAnd of the process itself, as the system has it: {}.\n",
        table(&["metric", "kind", "labels", "what it is"], rows),
        of_processes.join(", ")
    );
    assert_section("docs/METRICS.md", "metrics", &text);
}

fn kind_of(kind: Kind) -> String {
    match kind {
        Kind::Counter => "counter".to_owned(),
        Kind::Gauge => "gauge".to_owned(),
        Kind::Histogram([first, .., last]) => format!("histogram, {first} to {last}"),
        Kind::Histogram(_) => panic!("a histogram has buckets"),
    }
}

/// Two that set one metric would undo each other's values, and one that nobody sets is none.
#[test]
fn every_metric_is_measured_in_one_place() {
    let sources: Vec<(PathBuf, String)> = FOLDERS
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).expect("a source file")))
        .collect();
    assert!(sources.len() > 100, "the sources are found");
    for (Metric { name, .. }, constant) in catalogue::ALL {
        let used = format!("catalogue::{constant}");
        let is_whole = |rest: &&str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
        let times = |text: &str| text.split(&used).skip(1).filter(is_whole).count();
        let places: Vec<_> = sources.iter().flat_map(|(path, text)| vec![path; times(text)]).collect();
        assert_eq!(places.len(), 1, "{name} is measured where {used} is written: {places:?}");
    }
}
