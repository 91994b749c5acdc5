//! What may be in the source tree at all: an accident with `git add` shall not publish a key or a data folder.

use std::path::Path;
use std::process::Command;

const EXTENSIONS: &[&str] = &[
    "rs", "toml", "proto", "md", "yml", "yaml", "sql", "lua", "svg", "json", "golden", "service", "conf", "env", "ndjson", "py",
    "tpl",
];
const NAMES: &[&str] = &[
    ".ci/run",
    ".editorconfig",
    ".gitignore",
    "Cargo.lock",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "deploy/compose/make-keys",
];
/// What helm calls so.
const OF_HELM: &[&str] = &["deploy/helm/emshop/.helmignore", "deploy/helm/emshop/templates/NOTES.txt"];
const FOLDERS: &[&str] = &["scripts/", "fuzz/corpus/", "deploy/container/", "deploy/debian/"];

/// Largest tracked file, in bytes; what is generated may be larger.
const BYTES_MAX: u64 = 64 * 1024;
const LARGE: &[&str] = &[
    "Cargo.lock",
    "docs/API.md",
    "docs/OPERATIONS.md",
    "docs/figures.json",
    "docs/board-internals.svg",
    "deploy/tests/schemas/compose-spec.json",
];

fn tracked() -> Vec<String> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(emshop_testing::root()).output().expect("git runs");
    assert!(output.status.success(), "{output:?}");
    let names = String::from_utf8(output.stdout).expect("UTF-8");
    names.split_terminator('\0').map(str::to_owned).collect()
}

fn is_known(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
        || NAMES.contains(&name)
        || OF_HELM.contains(&name)
        || FOLDERS.iter().any(|folder| name.starts_with(folder))
}

#[test]
fn only_known_kinds_of_files_are_tracked() {
    let tracked = tracked();
    assert!(tracked.len() > 100, "git lists the tree");
    let unknown: Vec<_> = tracked.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "no kind of file that belongs into the tree: {unknown:?}");
    for accident in ["emshop-data/auth.key", "data/lock", "search/meta.idx", "state/0/000012.sst", "a.pem", "target/emshop"] {
        assert!(!is_known(accident), "{accident} would go unnoticed");
    }
}

#[test]
fn tracked_files_are_small() {
    for name in tracked().iter().filter(|name| !LARGE.contains(&name.as_str())) {
        // One that was just removed is still listed.
        let Ok(metadata) = emshop_testing::root().join(name).metadata() else { continue };
        assert!(metadata.len() <= BYTES_MAX, "{name} has {} bytes", metadata.len());
    }
}
