//! The alerts of `deploy/prometheus`: each fires for its trouble and for nothing else, asks for what there is, and has a section in the runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::process::Command as Program;

use emshop_proto::errors::{Code, Grpc};
use emshop_telemetry::catalogue::{self, Kind, Metric};
use emshop_testing::{read, root};
use regex::Regex;

use crate::deploy::{ALERTS, RULES, Selector, groupings, rule_test_files, rule_tests, rules, selectors};

const RUNBOOK: &str = "docs/RUNBOOK.md";
/// Name of the test of a shop that is well.
const HEALTH: &str = "all is well";
/// Series of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];
/// Labels that Prometheus gives to whatever it scrapes.
pub const OF_SCRAPES: [&str; 2] = ["job", "instance"];

#[test]
fn promtool_finds_them_sound_and_their_tests_pass() {
    let tests = rule_test_files();
    assert!(!tests.is_empty(), "there are tests");
    let tests: Vec<_> = tests.iter().map(String::as_str).collect();
    for arguments in [
        &["check", "config", "deploy/prometheus/prometheus.yml"][..],
        &["check", "rules", RULES, ALERTS],
        &[&["test", "rules"][..], tests.as_slice()].concat(),
    ] {
        let checked = match Program::new("promtool").args(arguments).current_dir(root()).output() {
            Ok(checked) => checked,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return eprintln!("there is no promtool: `scripts/tools tests` installs it");
            }
            Err(error) => panic!("promtool: {error}"),
        };
        let said = [checked.stdout, checked.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(checked.status.success(), "promtool {arguments:?}:\n{said}");
    }
}

/// By alert: the labels that a test expects it to fire with. Each of them ends within its test.
fn firing() -> BTreeMap<String, Vec<String>> {
    let name = Regex::new(r#"alertname="(\w+)""#).expect("an expression");
    let mut firing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for test in rule_tests() {
        let (last, before) = test.expectations.split_last().expect("something is expected");
        assert!(last.alerts.is_empty(), "{:?} ends with nothing to tell", test.name);
        for sample in before.iter().flat_map(|expectation| &expectation.alerts) {
            let alert = name.captures(&sample.labels).unwrap_or_else(|| panic!("{:?} names no alert", test.name));
            firing.entry(alert[1].to_owned()).or_default().push(sample.labels.clone());
        }
    }
    firing
}

#[test]
fn each_fires_in_a_test_and_ends_there() {
    let firing: BTreeSet<_> = firing().into_keys().collect();
    let alerts: BTreeSet<_> = rules(ALERTS).into_iter().map(|rule| rule.alert).collect();
    assert!(alerts.len() > 25, "the alerts are found");
    assert_eq!(firing, alerts);
}

/// A test that gives nothing of what an alert looks at says nothing of it.
#[test]
fn health_has_all_that_they_look_at() {
    let recorded: BTreeMap<_, _> = rules(RULES).into_iter().map(|rule| (rule.record, rule.expr)).collect();
    let mut open: Vec<_> = rules(ALERTS).into_iter().map(|rule| rule.expr).collect();
    let mut looked_at = BTreeSet::new();
    while let Some(text) = open.pop() {
        for Selector { name, .. } in selectors(&text) {
            match recorded.get(&name) {
                Some(rule) => open.push(rule.clone()),
                None => _ = looked_at.insert(name),
            }
        }
    }
    let health = rule_tests().into_iter().find(|test| test.name == HEALTH).expect("it is tested");
    let given: BTreeSet<_> =
        health.input.iter().flat_map(|input| selectors(&input.series)).map(|selector| selector.name).collect();
    assert_eq!(looked_at.difference(&given).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn each_says_for_how_long_how_urgent_what_it_means_and_where_to_read_on() {
    let (page, firing) = (read(RUNBOOK), firing());
    let label = Regex::new(r"\$labels\.(\w+)").expect("an expression");
    for rule in rules(ALERTS) {
        let alert = &rule.alert;
        assert!(rule.lasts.is_some(), "{alert} does not say for how long");
        assert!(["page", "ticket"].contains(&rule.labels["severity"].as_str()), "{alert} does not say how urgent it is");
        let url = &rule.annotations["runbook_url"];
        assert_eq!(*url, format!("{RUNBOOK}#{}", alert.to_lowercase()));
        let (_, section) =
            page.split_once(&format!("\n### {alert}\n")).unwrap_or_else(|| panic!("{RUNBOOK} has no section {alert}"));
        let section = section.split("\n##").next().expect("a section");
        let urgency = if rule.labels["severity"] == "page" { "\nPage. " } else { "\nTicket. " };
        for part in [urgency, "- **Look**", "- **Over**"] {
            assert!(section.contains(part), "{RUNBOOK} says nothing of {part:?} in the section {alert}");
        }
        for found in label.captures_iter(&rule.annotations["summary"]) {
            let has = format!(r#"{}=""#, &found[1]);
            assert!(firing[alert].iter().all(|labels| labels.contains(&has)), "{alert} has no label {}", &found[1]);
        }
    }
    let alerts: BTreeSet<_> = rules(ALERTS).into_iter().map(|rule| rule.alert).collect();
    let gone = page.lines().filter_map(|line| line.strip_prefix("### ")).filter(|section| !alerts.contains(*section));
    assert_eq!(gone.collect::<Vec<_>>(), Vec::<&str>::new(), "sections of alerts that there are not");
}

#[test]
fn what_they_ask_for_is_measured() {
    let recorded: BTreeSet<_> = rules(RULES).into_iter().map(|rule| rule.record).collect();
    let expressions = [RULES, ALERTS].into_iter().flat_map(|path| rules(path).into_iter().map(move |rule| (path, rule.expr)));
    let mut found = 0;
    for (place, text) in expressions.chain([(RUNBOOK, read(RUNBOOK))]) {
        for selector in selectors(&text) {
            found += 1;
            if let Err(what) = check(&selector, &recorded) {
                panic!("{place} asks for {}: {what}", selector.text);
            }
        }
    }
    assert!(found > 150, "what is asked for is found");
}

#[test]
fn they_group_by_labels_that_there_are() {
    let known: BTreeSet<_> = catalogue::ALL.iter().flat_map(|(metric, _)| metric.labels).copied().chain(OF_SCRAPES).collect();
    for rule in [RULES, ALERTS].into_iter().flat_map(rules) {
        for label in groupings(&rule.expr) {
            assert!(label == "le" || known.contains(label.as_str()), "{} {}: {label}", rule.record, rule.alert);
        }
    }
}

/// Whether there is such a series, with such labels and buckets.
pub fn check(selector: &Selector, recorded: &BTreeSet<String>) -> Result<(), String> {
    let name = selector.name.as_str();
    let labels: Vec<_> = selector.matchers.iter().map(|(label, ..)| label.as_str()).collect();
    if let Some((level, _)) = name.split_once(':') {
        let unknown: Vec<_> = labels.into_iter().filter(|label| !level.split('_').any(|part| part == *label)).collect();
        return match recorded.contains(name) {
            true if unknown.is_empty() => Ok(()),
            true => Err(format!("it is recorded without {unknown:?}")),
            false => Err("it is not recorded".to_owned()),
        };
    }
    if catalogue::OF_PROCESSES.contains(&name) {
        return Ok(());
    }
    let part = PARTS.into_iter().find_map(|part| Some((name.strip_suffix(part)?, part)));
    let (whole, part) = part.unwrap_or((name, ""));
    let is_it = |metric: &&Metric| metric.name == whole && matches!(metric.kind, Kind::Histogram(_)) != part.is_empty();
    let metric = catalogue::ALL.iter().map(|(metric, _)| metric).find(is_it).ok_or("it is not measured")?;
    let known = |label: &str| metric.labels.contains(&label) || OF_SCRAPES.contains(&label) || label == "le" && part == "_bucket";
    if let Some(label) = labels.into_iter().find(|label| !known(label)) {
        return Err(format!("it has no label {label}"));
    }
    let Kind::Histogram(buckets) = metric.kind else { return Ok(()) };
    let is_bucket = |value: &str| buckets.iter().any(|most| most.to_string() == value);
    match selector.matchers.iter().find(|(label, _, value)| label == "le" && !is_bucket(value)) {
        Some((.., value)) => Err(format!("it has no bucket {value}")),
        None => Ok(()),
    }
}

/// RESOURCE_EXHAUSTED is overload, but for what rates refuse and what customers may not have.
#[test]
fn overload_leaves_out_all_else_that_is_exhausted() {
    let others = Code::ALL.iter().filter(|code| code.grpc() == Grpc::ResourceExhausted);
    let others = others.filter(|code| ![Code::Overloaded, Code::RateLimited].contains(code)).map(|code| code.name());
    let rule =
        rules(RULES).into_iter().find(|rule| rule.record == "job:emshop_rpc_overloaded:ratio_rate5m").expect("it is recorded");
    let refusals = selectors(&rule.expr).into_iter().find(|selector| selector.name == "emshop_engine_refusals_total");
    let (_, _, left_out) = &refusals.expect("it is left out").matchers[0];
    assert_eq!(left_out.split('|').collect::<BTreeSet<_>>(), others.collect::<BTreeSet<_>>());
}

#[test]
fn what_there_is_not_is_found() {
    let recorded = BTreeSet::from(["job_log:emshop_x:sum".to_owned()]);
    let wrong = |text: &str| check(&selectors(text)[0], &recorded).expect_err(text);
    assert_eq!(wrong("rate(emshop_orders_total[5m])"), "it is not measured");
    assert_eq!(wrong("emshop_rpc_seconds"), "it is not measured", "only its parts are");
    assert_eq!(wrong("emshop_nats_up_count"), "it is not measured");
    assert_eq!(wrong(r#"emshop_nats_up{log="0"}"#), "it has no label log");
    assert_eq!(wrong(r#"emshop_rpc_seconds_count{le="0.25"}"#), "it has no label le");
    assert_eq!(wrong(r#"emshop_rpc_seconds_bucket{code="OK",le="0.3"}"#), "it has no bucket 0.3");
    assert_eq!(wrong(r#"job_log:emshop_x:sum{method="other"}"#), r#"it is recorded without ["method"]"#);
    assert_eq!(wrong("job_log:emshop_y:sum"), "it is not recorded");
    for right in
        ["process_open_fds", r#"emshop_rpc_seconds_bucket{job=~"emshop.*",le="0.25"}"#, r#"job_log:emshop_x:sum{log="0"}"#]
    {
        assert_eq!(check(&selectors(right)[0], &recorded), Ok(()), "{right}");
    }
    assert_eq!(groupings("sum by (job, log) (x) / on (job) group_left() y"), ["job", "log", "job"]);
}
