//! What `deploy/` has for those who watch a shop: the rules and alerts of Prometheus, their tests, and the boards of Grafana.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use emshop_testing::{files, read, root};
use regex::{Captures, Regex};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub const RULES: &str = "deploy/prometheus/rules.yml";
pub const ALERTS: &str = "deploy/prometheus/alerts.yml";

/// A rule that is recorded, or an alert.
#[derive(Deserialize)]
pub struct Rule {
    #[serde(default)]
    pub record: String,
    #[serde(default)]
    pub alert: String,
    pub expr: String,
    #[serde(rename = "for")]
    pub lasts: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// Those of a file.
pub fn rules(path: &str) -> Vec<Rule> {
    #[derive(Deserialize)]
    struct File {
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        rules: Vec<Rule>,
    }
    yaml::<File>(path).groups.into_iter().flat_map(|group| group.rules).collect()
}

/// What is expected of a shop that fares in a certain way.
#[derive(Deserialize)]
pub struct RuleTest {
    pub name: String,
    #[serde(rename = "input_series")]
    pub input: Vec<Input>,
    #[serde(rename = "promql_expr_test")]
    pub expectations: Vec<Expectation>,
}

/// A time series that the shop gives.
#[derive(Deserialize)]
pub struct Input {
    pub series: String,
}

/// Which alerts there are at a time.
#[derive(Deserialize)]
pub struct Expectation {
    #[serde(rename = "exp_samples")]
    pub alerts: Vec<Sample>,
}

#[derive(Deserialize)]
pub struct Sample {
    pub labels: String,
}

/// All tests of rules, each with expectations in the order of time.
pub fn rule_tests() -> Vec<RuleTest> {
    #[derive(Deserialize)]
    struct File {
        tests: Vec<RuleTest>,
    }
    rule_test_files().iter().flat_map(|path| yaml::<File>(path).tests).collect()
}

/// Their paths in the tree.
pub fn rule_test_files() -> Vec<String> {
    files(&root().join("deploy/prometheus/tests"), "yml").iter().map(|path| in_tree(path)).collect()
}

fn in_tree(path: &Path) -> String {
    path.strip_prefix(root()).expect("below it").to_str().expect("UTF-8").to_owned()
}

fn yaml<T: DeserializeOwned>(path: &str) -> T {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A time series that an expression asks for, with what is asked of its labels.
#[derive(Debug)]
pub struct Selector {
    pub name: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
    /// As it is written.
    pub text: String,
}

/// Those of ours in a text: what emshop tells, what each process tells, and what is recorded.
pub fn selectors(text: &str) -> Vec<Selector> {
    static SELECTOR: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b((?:[a-z_]+:emshop_|emshop_|process_)[a-zA-Z0-9_:]+)(?:\{([^}]*)\})?").expect("an expression")
    });
    static MATCHER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"(\w+)(=~|!~|!=|=)"([^"]*)""#).expect("an expression"));
    let matcher = |found: Captures<'_>| (found[1].to_owned(), found[2].to_owned(), found[3].to_owned());
    let matchers = |labels: &str| MATCHER.captures_iter(labels).map(matcher).collect();
    let selector = |found: Captures<'_>| Selector {
        name: found[1].to_owned(),
        matchers: found.get(2).map(|labels| matchers(labels.as_str())).unwrap_or_default(),
        text: found[0].to_owned(),
    };
    SELECTOR.captures_iter(text).map(selector).collect()
}

/// Labels by which an expression groups, or joins.
pub fn groupings(text: &str) -> Vec<String> {
    static GROUPING: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b(?:by|without|on|ignoring|group_left|group_right) ?\(([^)]*)\)").expect("an expression"));
    let lists = GROUPING.captures_iter(text).map(|found| found.extract::<1>().1[0]);
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned).collect()
}

/// A board of Grafana.
pub struct Board {
    /// Of its file in the tree.
    pub path: String,
    pub json: Value,
}

/// All boards.
pub fn boards() -> Vec<Board> {
    let board = |path: &Path| {
        let path = in_tree(path);
        let json = serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Board { path, json }
    };
    files(&root().join("deploy/grafana"), "json").iter().map(|path| board(path)).collect()
}

impl Board {
    pub fn panels(&self) -> &[Value] {
        self.json["panels"].as_array().expect("it has panels")
    }

    /// What the panels ask for, with variables in it.
    pub fn expressions(&self) -> Vec<String> {
        let targets = self.panels().iter().filter_map(|panel| panel["targets"].as_array()).flatten();
        targets.map(|target| target["expr"].as_str().expect("a target asks for something").to_owned()).collect()
    }

    /// What values of variables are asked for.
    pub fn queries(&self) -> Vec<String> {
        let variables = self.json["templating"]["list"].as_array().expect("it has variables");
        variables.iter().filter_map(|variable| Some(variable["query"]["query"].as_str()?.to_owned())).collect()
    }
}
