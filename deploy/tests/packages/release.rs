//! What a release consists of.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::made;

#[test]
fn it_has_all_that_it_should_and_is_the_same_each_time() {
    let (once, twice) = (made::folder(), made::folder());
    made::by("release", once.path());
    made::by("release", twice.path());
    let sums = |folder: &Path| fs::read_to_string(folder.join("SHA256SUMS")).expect("sums");
    assert_eq!(sums(once.path()), sums(twice.path()), "the same programs make the same release");
    run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(once.path()));

    let version = env!("CARGO_PKG_VERSION");
    let archive = format!("emshop-{version}-{}-linux", std::env::consts::ARCH);
    let named: BTreeSet<_> =
        fs::read_dir(once.path()).expect("a folder").map(|file| name(&file.expect("a file").path())).collect();
    let ending =
        |ending: &str| named.iter().find(|name| name.ends_with(ending)).unwrap_or_else(|| panic!("no {ending} in {named:?}"));
    assert!(ending(".deb").starts_with(&format!("emshop_{version}-1_")));
    let listed: BTreeSet<_> = sums(once.path()).lines().filter_map(|line| Some(line.split_once("  ")?.1.to_owned())).collect();
    assert_eq!(listed.iter().chain([&"SHA256SUMS".to_owned()]).cloned().collect::<BTreeSet<_>>(), named, "each file has its sum");

    let changes = fs::read_to_string(once.path().join(format!("CHANGES-{version}.md"))).expect("what changed");
    assert!(changes.starts_with("## [") && changes.matches("\n## [").count() == 0, "one section, and not the whole log");
    run(Command::new("tar").args(["--extract", "--gzip", "--file", &format!("{archive}.tar.gz")]).current_dir(once.path()));
    archive_is_whole(&once.path().join(archive));
    for program in ["emshop", "emshop-loadgen"] {
        bill_is_right(program, &once.path().join(format!("{program}-{version}.cdx.json")));
    }
}

/// A page of the archive that names a file of it is looked at in the repository, whose layout it has.
fn archive_is_whole(root: &Path) {
    for program in ["emshop", "emshop-loadgen"] {
        let path = root.join("bin").join(program);
        let says = run(Command::new(&path).arg("--version"));
        assert_eq!(says.trim(), format!("{program} {}", env!("CARGO_PKG_VERSION")));
        assert!(
            !run(Command::new("objdump").arg("--section-headers").arg(&path)).contains(".debug_line"),
            "{program} is stripped"
        );
    }
    for file in [
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "THIRD-PARTY",
        "docs/INSTALL.md",
        "docs/UPGRADE.md",
        "deploy/systemd/emshop.service",
        "deploy/systemd/emshop.yaml",
        "proto/proto/emshop/v1/order.proto",
        "deploy/prometheus/alerts.yml",
        "share/man1/emshop.1.gz",
        "share/completions.zsh",
    ] {
        assert!(root.join(file).is_file(), "{file} is missing");
    }
    let third_party = fs::read_to_string(root.join("THIRD-PARTY")).expect("licences");
    for library in ["librocksdb-sys ", "mimalloc ", "tokio ", "--- rocksdb/LICENSE.Apache", "Copyright (c) Tokio Contributors"] {
        assert!(third_party.contains(library), "THIRD-PARTY has no {library}");
    }
}

fn bill_is_right(program: &str, path: &Path) {
    let text = fs::read_to_string(path).expect("a bill");
    let bill: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((bill["bomFormat"].as_str(), bill["metadata"]["component"]["name"].as_str()), (Some("CycloneDX"), Some(program)));
    let components = bill["components"].as_array().expect("it is made of something");
    let versioned = |name: &str| {
        components
            .iter()
            .find(|part| part["name"] == name)
            .is_some_and(|part| part["purl"].as_str().is_some_and(|purl| purl.contains('@')))
    };
    assert!(versioned("tokio") && versioned("tonic"), "{program}");
    assert_eq!(versioned("librocksdb-sys"), program == "emshop", "{program}");
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    assert!(!text.contains(&home) && !text.contains("/tmp/"), "{program}: where it was built is nobody's business");
}

#[test]
fn programs_that_need_a_newer_system_are_refused() {
    for (variable, most, library) in [("GLIBC_MAX", "2.17", "GLIBC_2.17"), ("GLIBCXX_MAX", "3.4.21", "GLIBCXX_3.4.21")] {
        let output = made::command("release").env(variable, most).output().expect("it runs");
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && says.contains(&format!("where there is {library}")), "{says}");
    }
}

fn name(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned()
}

/// What it writes to its standard output.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}
