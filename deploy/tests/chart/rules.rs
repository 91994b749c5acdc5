//! The rules and alerts of `deploy/prometheus` are those that the chart has.

use std::fs;
use std::process::Command;

use emshop_deploy::repository;
use emshop_deploy::tools::{one_yaml, tool};
use serde_json::Value;
use tempfile::TempDir;

use crate::release::{Release, list};

const FILES: [&str; 2] = ["rules", "alerts"];

/// The groups of each file, as the chart has them.
fn rendered(flags: &[&str]) -> [Value; 2] {
    let release = Release::new("minimum", &[&["--set", "monitoring.enabled=true"], flags].concat());
    assert_eq!(release.of_kind("PrometheusRule").len(), 2);
    FILES.map(|file| release.named("PrometheusRule", &format!("shop-emshop-{file}"))["spec"].clone())
}

#[test]
fn the_rules_are_those_of_the_repository() {
    let read = |name: &str| fs::read_to_string(repository().join(format!("deploy/prometheus/{name}.yml"))).expect("it is there");
    assert_eq!(rendered(&[]), FILES.map(|file| one_yaml(&read(file))));
    let none = Release::new("everything", &["--set", "monitoring.rules.enabled=false"]);
    assert!(none.of_kind("PrometheusRule").is_empty());
}

#[test]
fn links_of_alerts_lead_to_where_the_pages_are() {
    let [_, alerts] = rendered(&["--set", "monitoring.rules.repositoryUrl=https://git.example/emshop/"]);
    let rules = list(&alerts["groups"]).iter().flat_map(|group| list(&group["rules"]));
    let urls: Vec<_> = rules.filter_map(|rule| rule["annotations"]["runbook_url"].as_str()).collect();
    assert!(urls.len() > 10);
    assert!(urls.iter().all(|url| url.starts_with("https://git.example/emshop/docs/RUNBOOK.md#")), "{urls:?}");
}

#[test]
fn prometheus_reads_them() {
    let folder = TempDir::new().unwrap();
    for rules in rendered(&[]) {
        let file = folder.path().join("rules.json");
        fs::write(&file, rules.to_string()).unwrap();
        let checked = Command::new(tool("promtool")).args(["check", "rules"]).arg(&file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}
