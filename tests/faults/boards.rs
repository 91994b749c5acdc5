//! The boards of `deploy/grafana`: what they ask for is measured, all that is measured is on one, and they lead to the runbook.

use std::collections::BTreeSet;

use emshop_telemetry::catalogue;
use emshop_testing::read;
use serde_json::Value;

use crate::alerts::{OF_SCRAPES, check};
use crate::deploy::{RULES, boards, groupings, rules, selectors};

/// Older ones are changed by each Grafana that opens them.
const SCHEMA_MIN: u64 = 39;

#[test]
fn what_they_ask_for_is_measured_and_all_that_is_measured_is_there() {
    let recorded: BTreeSet<_> = rules(RULES).into_iter().map(|rule| rule.record).collect();
    let mut shown = BTreeSet::new();
    for board in boards() {
        for text in board.expressions().into_iter().chain(board.queries()) {
            for selector in selectors(&text) {
                check(&selector, &recorded).unwrap_or_else(|what| panic!("{} asks for {}: {what}", board.path, selector.text));
                shown.insert(selector.name);
            }
        }
    }
    let is_shown = |metric: &str| ["", "_bucket", "_sum"].iter().any(|part| shown.contains(&format!("{metric}{part}")));
    let measured = catalogue::ALL.iter().map(|(metric, _)| metric.name).chain(catalogue::OF_PROCESSES.iter().copied());
    let missing: Vec<_> = measured.filter(|metric| !is_shown(metric)).collect();
    assert!(missing.is_empty(), "on no board: {missing:?}");
}

#[test]
fn panels_have_all_that_grafana_needs_and_stand_beside_each_other() {
    let known: BTreeSet<_> = catalogue::ALL.iter().flat_map(|(metric, _)| metric.labels).copied().chain(OF_SCRAPES).collect();
    for board in boards() {
        assert!(board.json["schemaVersion"].as_u64() >= Some(SCHEMA_MIN), "{}", board.path);
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in board.panels() {
            let title = panel["title"].as_str().expect("a title");
            assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{title} has the number of another panel");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a place"));
            let mut cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
            assert!(x + w <= 24 && cells.all(|cell| taken.insert(cell)), "{title} stands upon another panel");
            if panel["type"] != "row" {
                assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
                assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            }
        }
        let legends = board.panels().iter().filter_map(|panel| panel["targets"].as_array()).flatten();
        for label in legends.flat_map(|target| labels_of(target["legendFormat"].as_str().expect("a legend"))) {
            assert!(known.contains(label.as_str()), "{}: {label}", board.path);
        }
        for label in board.expressions().iter().flat_map(|text| groupings(text)) {
            assert!(label == "le" || known.contains(label.as_str()), "{}: {label}", board.path);
        }
    }
}

/// What stands in braces.
fn labels_of(legend: &str) -> Vec<String> {
    legend.split("{{").skip(1).map(|rest| rest.split("}}").next().expect("a name").to_owned()).collect()
}

#[test]
fn links_lead_to_sections_of_the_runbook() {
    let page = read("docs/RUNBOOK.md");
    let sections: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix('#')).map(anchor_of).collect();
    let mut found = 0;
    for board in boards() {
        let of_panels = board.panels().iter().filter_map(|panel| panel["links"].as_array());
        let (to_boards, links): (Vec<_>, Vec<_>) =
            of_panels.chain(board.json["links"].as_array()).flatten().partition(|link: &&Value| link["type"] == "dashboards");
        // Each of them leads to the others.
        assert!(to_boards.len() == 1 && to_boards[0]["tags"] == board.json["tags"], "{}", board.path);
        for link in links.into_iter().map(|link| link["url"].as_str().expect("a link")) {
            let (variable, anchor) = link.split_once('#').expect("a section");
            assert!(variable == "${runbook}" && sections.contains(anchor), "{}: {link}", board.path);
            found += 1;
        }
    }
    assert!(found > 20, "the links are found");
}

fn anchor_of(heading: &str) -> String {
    heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-")
}
