//! Files that the documentation names, and links between its pages.

use std::path::{Path, PathBuf};

use emshop_testing::{files, root};

const PAGES: [&str; 3] = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// Folders at the top of the tree that files are named in.
const FOLDERS: [&str; 15] = [
    "bench",
    "core",
    "deploy",
    "docs",
    "engine",
    "examples",
    "ingress",
    "loadgen",
    "proto",
    "scripts",
    "search",
    "src",
    "storage",
    "telemetry",
    "tests",
];

fn pages() -> Vec<PathBuf> {
    let mut pages = files(&root().join("docs"), "md");
    pages.extend(PAGES.map(|page| root().join(page)));
    pages
}

#[test]
fn files_that_pages_name_exist() {
    let mut missing = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        let code = text.split('`').skip(1).step_by(2);
        let paths = code.filter(|code| FOLDERS.contains(&code.split('/').next().unwrap_or_default()) && code.contains('/'));
        let missed = paths.filter(|path| !path.contains(['<', '*', ' ', '{', '…']) && !root().join(path).exists());
        missing.extend(missed.map(|path| format!("{}: {path}", name(&page))));
    }
    assert!(missing.is_empty(), "named, but not in the tree: {missing:#?}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            if !leads_somewhere(&page, target) {
                broken.push(format!("{}: {target}", name(&page)));
            }
        }
    }
    assert!(broken.is_empty(), "links to nowhere: {broken:#?}");
}

fn leads_somewhere(page: &Path, target: &str) -> bool {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { page.to_owned() } else { page.parent().expect("a folder").join(path) };
    if anchor.is_empty() {
        return file.exists();
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter(|line| line.starts_with('#')).any(|line| anchor_of(line) == anchor)
}

/// As GitHub makes it.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn name(page: &Path) -> String {
    page.strip_prefix(root()).unwrap_or(page).display().to_string()
}
