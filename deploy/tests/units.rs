//! The unit of systemd and the files that go with it: that systemd takes them, what they forbid, and that they fit the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use emshop_deploy::{program, repository};
use tempfile::TempDir;

/// nats-server may take as long to end, and a last checkpoint some of it.
const AFTER_THE_DRAIN: Duration = Duration::from_secs(30);

fn path(name: &str) -> PathBuf {
    repository().join("deploy/systemd").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What the unit says under a name.
fn said(name: &str) -> String {
    let unit = text("emshop.service");
    let value = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("the unit says nothing of {name}")).to_owned()
}

fn systemd_analyze(arguments: &[&str], unit: &Path) -> Output {
    Command::new("systemd-analyze").args(arguments).arg(unit).output().expect("scripts/tools tests installs systemd")
}

/// Settings that the program takes, as it prints them.
fn settings(file: &Path) -> String {
    let output = Command::new(program("emshop")).arg("--config").arg(file).args(["--print-config", "serve"]).env_clear().output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    // Where each comes from is not of interest here.
    printed.lines().map(|line| format!("{}\n", line.split("  # ").next().expect("a part"))).collect()
}

#[test]
fn systemd_takes_it_under_both_names() {
    let folder = TempDir::new().expect("a folder");
    // Where the program is here.
    let unit = text("emshop.service").replace("/usr/bin/emshop", program("emshop").to_str().expect("UTF-8"));
    // Pages are looked for where they are not installed.
    let unit = unit.lines().filter(|line| !line.starts_with("Documentation=")).collect::<Vec<_>>().join("\n");
    for name in ["emshop.service", "emshop@engine-0.service"] {
        let path = folder.path().join(name);
        fs::write(&path, &unit).expect("room for a unit");
        let output = systemd_analyze(&["verify", "--man=no", "--recursive-errors=no"], &path);
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn it_can_do_no_more_than_the_documentation_says() {
    let guide = fs::read_to_string(repository().join("docs/INSTALL.md")).expect("a page");
    let (_, after) = guide.split_once("exposure of at most ").expect("INSTALL.md tells the score");
    let most: f64 = after.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number");
    assert!(most < 2.0, "systemd calls more than that less than fine");
    let threshold = format!("--threshold={:.0}", most * 10.0);
    let output = systemd_analyze(&["security", "--offline=yes", &threshold], &path("emshop.service"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn it_waits_for_an_orderly_stop() {
    let seconds = |text: &str| Duration::from_secs(text.trim_end_matches('s').parse().expect("seconds"));
    let settings = settings(&path("emshop.yaml"));
    let set = |name: &str| {
        let line = settings.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        seconds(line.unwrap_or_else(|| panic!("there is no {name}")))
    };
    assert!(seconds(&said("TimeoutStopSec")) >= set("leave_delay") + set("drain_max") + AFTER_THE_DRAIN);
    assert_eq!(said("KillMode"), "mixed", "nats-server must not end before what is written to it");
}

#[test]
fn what_a_restart_does_not_mend_is_not_tried_again() {
    let help = Command::new(program("emshop")).arg("--help").output().expect("it runs");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let meaning = |status: &str| {
        let line = help.lines().find_map(|line| line.trim().strip_prefix(status)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("there is no status {status}")).trim().to_owned()
    };
    let prevented = said("RestartPreventExitStatus");
    let meanings: Vec<_> = prevented.split(' ').map(meaning).collect();
    assert_eq!(meanings, ["wrong usage or settings", "a second Ctrl-C cut the orderly stop short"]);
}

#[test]
fn the_settings_are_the_defaults_but_for_the_folder() {
    let folder = TempDir::new().expect("a folder");
    let nothing = folder.path().join("nothing.yaml");
    fs::write(&nothing, "").expect("room for nothing");
    let (shipped, default) = (settings(&path("emshop.yaml")), settings(&nothing));
    let differs: Vec<_> = shipped.lines().zip(default.lines()).filter(|(shipped, default)| shipped != default).collect();
    assert_eq!(differs.iter().map(|(shipped, _)| *shipped).collect::<Vec<_>>(), ["data: /var/lib/emshop"]);
    assert_eq!(said("StateDirectory"), "%N", "that folder is the one that may be written");
}

#[test]
fn what_is_commented_out_are_settings() {
    let folder = TempDir::new().expect("a folder");
    let all = folder.path().join("all.yaml");
    let lines = text("emshop.yaml");
    let is_setting = |line: &&str| {
        line.strip_prefix('#').is_some_and(|rest| !rest.is_empty() && (!rest.starts_with(' ') || rest.starts_with("  ")))
    };
    let commented = |line: &str| !line.starts_with("#   ") && is_setting(&line);
    let uncommented: Vec<_> = lines.lines().map(|line| if commented(line) { &line[1..] } else { line }).collect();
    assert!(uncommented.iter().filter(|line| !line.starts_with('#') && !line.is_empty()).count() > 15, "there are some");
    fs::write(&all, uncommented.join("\n")).expect("room for settings");
    let printed = settings(&all);
    for set in ["listen: 0.0.0.0:50051", "url: nats://127.0.0.1:4222", "key_file: /etc/emshop/auth.key", "captcha: picture"] {
        assert!(printed.contains(set), "{set} is not in force: {printed}");
    }
}
