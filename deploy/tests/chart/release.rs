//! What helm makes of the chart, and ways to look at it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use emshop_deploy::repository;
use emshop_deploy::tools::{tool, yaml};
use serde_json::Value;

pub const NAMESPACE: &str = "sell";
pub const PARTS: [&str; 2] = ["engine", "ingress"];
/// The files of values in `ci`: what a shop needs, that without logins and policies, and all that there is.
pub const VALUES: [&str; 3] = ["minimum", "open", "everything"];

/// The objects of a release.
pub struct Release {
    pub text: String,
    objects: Vec<Value>,
}

pub fn chart() -> PathBuf {
    repository().join("deploy/helm/emshop")
}

/// What helm prints for a release of this name by one of the [`VALUES`] and more flags, or why it refuses.
pub fn try_helm(name: &str, values: &str, flags: &[&str]) -> Result<String, String> {
    let mut helm = Command::new(tool("helm"));
    helm.args(["template", name]).arg(chart()).args(["--namespace", NAMESPACE]).args(flags);
    if !values.is_empty() {
        helm.arg("--values").arg(chart().join(format!("ci/{values}-values.yaml")));
    }
    let output = helm.output().expect("helm runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

impl Release {
    pub fn new(values: &str, flags: &[&str]) -> Self {
        Self::called("shop", values, flags)
    }

    pub fn called(name: &str, values: &str, flags: &[&str]) -> Self {
        let text = try_helm(name, values, flags).unwrap_or_else(|refusal| panic!("{values}: {refusal}"));
        let objects = yaml(&text);
        Self { text, objects }
    }

    pub fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).collect()
    }

    pub fn named(&self, kind: &str, name: &str) -> &Value {
        let found = self.of_kind(kind).into_iter().find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    /// The StatefulSet of the engines, or the Deployment of the ingresses.
    pub fn workload(&self, part: &str) -> &Value {
        let kind = if part == "engine" { "StatefulSet" } else { "Deployment" };
        self.named(kind, &format!("shop-emshop-{part}"))
    }

    pub fn pod(&self, part: &str) -> &Value {
        &self.workload(part)["spec"]["template"]
    }

    pub fn container(&self, part: &str) -> &Value {
        let containers = list(&self.pod(part)["spec"]["containers"]);
        assert_eq!(containers.len(), 1, "{part}");
        &containers[0]
    }

    /// The settings file of a part.
    pub fn settings(&self, part: &str) -> &str {
        text(&self.named("ConfigMap", &format!("shop-emshop-{part}"))["data"]["settings.yaml"])
    }
}

/// The objects that docs/KUBERNETES.md has, as one file.
pub fn page_objects() -> String {
    let page = fs::read_to_string(repository().join("docs/KUBERNETES.md")).expect("it is there");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.collect::<Vec<_>>().join("---\n")
}

/// The things of a list; none where there is no list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Labels, or what selects by them.
pub fn labels(value: &Value) -> BTreeMap<&str, &str> {
    let labels = value.as_object().unwrap_or_else(|| panic!("{value} is no set of labels"));
    labels.iter().map(|(name, value)| (name.as_str(), text(value))).collect()
}

/// Whether what is selected has these labels.
pub fn selects(selector: &Value, of: &Value) -> bool {
    let of = labels(of);
    labels(selector).iter().all(|(name, value)| of.get(name) == Some(value))
}
