//! Kubernetes, old and new, knows every field; so does the Prometheus Operator.

use std::fs;
use std::path::Path;
use std::process::Command;

use emshop_deploy::tools::{python, tool};
use tempfile::TempDir;

use crate::release::{NAMESPACE, PARTS, Release, VALUES, chart, page_objects};

/// The oldest version that the chart is for, and the newest whose schemas are at hand.
const VERSIONS: [&str; 2] = ["1.28", "1.37"];

fn hold_against_schemas(text: &str) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("objects.yaml");
    fs::write(&file, text).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/schemas.py");
    let output = Command::new(python()).arg(script).arg(&file).args(VERSIONS).output().expect("Python runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn kubernetes_takes_what_is_rendered() {
    for values in VALUES {
        hold_against_schemas(&Release::new(values, &[]).text).unwrap_or_else(|wrong| panic!("{values}: {wrong}"));
    }
}

#[test]
fn kubernetes_takes_what_the_page_has() {
    let objects = page_objects();
    assert!(objects.contains("kind: Job"));
    hold_against_schemas(&objects).unwrap_or_else(|wrong| panic!("docs/KUBERNETES.md: {wrong}"));
}

#[test]
fn a_field_that_nobody_knows_is_found() {
    for (values, field, with_another) in [
        ("minimum", "enableServiceLinks: false", "enableServiceLink: false"),
        ("minimum", "maxUnavailable: 1", "maxUnavailable: 1\n  most: 2"),
        ("everything", "interval: 15s", "intervall: 15s"),
    ] {
        let text = Release::new(values, &[]).text;
        let wrong = text.replacen(field, with_another, 1);
        assert_ne!(text, wrong, "{field}");
        assert!(hold_against_schemas(&wrong).is_err(), "{with_another}");
    }
}

fn helm(arguments: &[&str], paths: &[&Path]) -> String {
    let output = Command::new(tool("helm")).args(arguments).args(paths).output().expect("helm runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn helm_finds_nothing_wrong_and_packs_what_it_renders() {
    let values = VALUES.map(|values| chart().join(format!("ci/{values}-values.yaml")));
    for values in &values {
        helm(&["lint", "--strict", "--values"], &[values, &chart()]);
    }
    // A package is apart from the repository, and has the rules of Prometheus all the same.
    let folder = TempDir::new().unwrap();
    helm(&["package", "--destination"], &[folder.path(), &chart()]);
    let package = folder.path().join(format!("emshop-{}.tgz", env!("CARGO_PKG_VERSION")));
    let text = helm(&["template", "shop", "--namespace", NAMESPACE, "--values"], &[&values[2], &package]);
    assert_eq!(text, Release::new(VALUES[2], &[]).text);
}

#[test]
fn the_chart_is_of_this_release() {
    let image = format!("emshop:{}", env!("CARGO_PKG_VERSION"));
    let release = Release::new("minimum", &[]);
    assert!(PARTS.iter().all(|part| release.container(part)["image"] == image), "appVersion is another one");
    assert!(page_objects().contains(&image), "docs/KUBERNETES.md has another one");
}
