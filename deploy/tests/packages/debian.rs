//! The life of the package: installed, started, upgraded, removed, installed again, purged.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use emshop_deploy::program;
use serde_json::Value;

use crate::machine::{GIVEN, Machine};
use crate::made;

const READY: &str = "curl --fail --silent http://127.0.0.1:50052/readyz";
/// The other process of the machine, a shop of its own.
const SECOND: &str = "data: /var/lib/emshop@second\nlisten: 127.0.0.1:50061\nadmin:\n  listen: 127.0.0.1:50062\n";

#[test]
fn it_is_installed_started_upgraded_removed_and_purged() {
    let given = made::folder();
    let first = package(given.path());
    let second = newer(given.path(), &first);
    has_no_errors(&given.path().join(&first));
    fs::copy(nats_server(), given.path().join("nats-server")).expect("room for a program");
    let machine = Machine::boot(given.path());

    install(&machine, &first);
    is_installed_and_does_nothing(&machine);
    says_what_is_missing_and_goes_on(&machine);
    is_kept_within_bounds(&machine);
    wrong_settings_are_not_tried_again(&machine);
    let sold = sells(&machine);
    start_second(&machine);
    upgrade(&machine, &second);
    assert_eq!(orders(&machine), sold, "an upgrade keeps what was sold");
    stops_in_order(&machine);
    remove(&machine);
    install(&machine, &second);
    machine.run("systemctl start emshop");
    machine.until(READY);
    assert_eq!(orders(&machine), sold, "so does a removal");
    purge(&machine);
}

/// Its name in the folder.
fn package(to: &Path) -> String {
    let made = made::by("package", to);
    made[0].file_name().and_then(|name| name.to_str()).expect("a name").to_owned()
}

/// The name of one that has the same in it and a higher version.
fn newer(folder: &Path, package: &str) -> String {
    let (unpacked, newer) = (made::folder(), format!("newer-{package}"));
    let dpkg_deb = |arguments: &[&str], paths: [&Path; 2]| {
        let status = Command::new("dpkg-deb").args(arguments).args(paths).stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "dpkg-deb {arguments:?}");
    };
    dpkg_deb(&["--raw-extract"], [&folder.join(package), unpacked.path()]);
    let control = unpacked.path().join("DEBIAN/control");
    let before = fs::read_to_string(&control).expect("what it is");
    let after = before.replace("-1\nArchitecture", "-2\nArchitecture");
    assert_ne!(before, after, "it has a revision");
    fs::write(control, after).expect("room for it");
    dpkg_deb(&["--root-owner-group", "-Zgzip", "-z1", "--build"], [unpacked.path(), &folder.join(&newer)]);
    newer
}

fn has_no_errors(package: &Path) {
    let output =
        Command::new("lintian").args(["--fail-on", "error", "--allow-root"]).arg(package).output().expect("lintian runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// As emshop finds it.
fn nats_server() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| env::home_dir().expect("a user has a home").join(".cache")).join("emshop/tools");
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = std::iter::once(cache).chain(env::split_paths(&path)).map(|folder| folder.join("nats-server"));
    found.find(|program| program.is_file()).expect("make tools installs a nats-server")
}

fn install(machine: &Machine, package: &str) {
    // Nothing that it needs is missing, or it would have to be fetched.
    machine.run(&format!("apt-get install --yes {GIVEN}/{package}"));
}

fn is_installed_and_does_nothing(machine: &Machine) {
    let version = Command::new(program("emshop")).arg("--version").output().expect("it runs").stdout;
    assert_eq!(machine.run("emshop --version"), String::from_utf8_lossy(&version).trim());
    assert!(machine.run("emshop-loadgen --version").starts_with("emshop-loadgen "));
    assert!(machine.run("getent passwd emshop").ends_with(":/var/lib/emshop:/usr/sbin/nologin"), "nobody logs in as it");
    assert_eq!(machine.run("systemctl is-enabled emshop || true"), "disabled");
    assert_eq!(machine.run("systemctl is-active emshop || true"), "inactive");
    assert!(machine.does("test ! -e /var/lib/emshop"), "it begins with its first start");
    machine.run("test -f /usr/share/man/man1/emshop-serve.1.gz && test -f /usr/share/bash-completion/completions/emshop && test -f /usr/share/emshop/proto/emshop/v1/order.proto");
    assert_eq!(
        machine.run("dpkg-query --showformat '${Conffiles}' --show emshop | cut -d ' ' -f 2 | sort | xargs"),
        "/etc/default/emshop /etc/emshop/emshop.yaml"
    );
    assert_eq!(machine.run("dpkg --verify emshop"), "", "all is as it was packed");
}

/// Without a nats-server it cannot start, and says so. When there is one, it goes on by itself.
fn says_what_is_missing_and_goes_on(machine: &Machine) {
    machine.run("systemctl start emshop");
    machine.until("journalctl --unit emshop --output cat | grep 'no suitable nats-server'");
    machine.run(&format!("install --mode 755 {GIVEN}/nats-server /usr/local/bin"));
    machine.until(READY);
}

fn is_kept_within_bounds(machine: &Machine) {
    assert_eq!(machine.run("stat --format '%U %a' /var/lib/emshop"), "emshop 700");
    for process in ["emshop", "nats-server"] {
        let status = machine.run(&format!("cat $(grep --files-with-matches '^Name:.{process}$' /proc/[0-9]*/status)"));
        let field = |name: &str| {
            let line =
                status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{process} has no {name}"));
            line.split_whitespace().next().unwrap_or_default().to_owned()
        };
        assert_eq!(field("Uid:"), machine.run("id --user emshop"), "{process}");
        assert_eq!(
            (field("NoNewPrivs:"), field("Seccomp:"), field("CapBnd:")),
            ("1".into(), "2".into(), "0".repeat(16)),
            "{process}"
        );
    }
    let refused =
        machine.run("journalctl --unit emshop --output cat | grep -i -e 'not permitted' -e 'read-only file system' || true");
    assert_eq!(refused, "", "it does without what it may not do");
}

fn wrong_settings_are_not_tried_again(machine: &Machine) {
    machine.run("cp /etc/emshop/emshop.yaml /root && echo 'colour: red' >> /etc/emshop/emshop.yaml && systemctl restart emshop");
    machine.until("systemctl is-failed emshop");
    assert_eq!(shown(machine, "emshop", "ExecMainStatus"), "2");
    machine.run("sleep 6");
    assert_eq!(shown(machine, "emshop", "NRestarts"), "0");
    assert!(machine.does(r#"journalctl --unit emshop --output cat | grep 'there is no setting "colour"'"#));
    machine.run("cp /root/emshop.yaml /etc/emshop && echo '# ours' >> /etc/emshop/emshop.yaml && systemctl restart emshop");
    machine.until(READY);
}

/// How many orders there are afterwards.
fn sells(machine: &Machine) -> u64 {
    machine.run("emshop-loadgen --key-file /var/lib/emshop/auth.key --orders 20 --clients 2 --skus 5");
    let orders = orders(machine);
    assert_eq!(orders, 20);
    orders
}

/// All invariants hold, too, or `emshop inspect` would fail.
fn orders(machine: &Machine) -> u64 {
    let token = "$(runuser --user emshop -- emshop --config /etc/emshop/emshop.yaml token --user 1 --role admin)";
    let inspected = machine.run(&format!("EMSHOP_TOKEN={token} emshop inspect --json --target http://127.0.0.1:50051"));
    let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
    inspected["logs"][0]["orders"].as_u64().expect("a number")
}

fn start_second(machine: &Machine) {
    machine.run(&format!("printf '{SECOND}' > /etc/emshop/emshop@second.yaml && systemctl start emshop@second"));
    machine.until("curl --fail --silent http://127.0.0.1:50062/readyz");
}

/// The process of emshop.service is a new one; that of emshop@.service is not, since somebody knows its place in an order.
fn upgrade(machine: &Machine, package: &str) {
    let before = [shown(machine, "emshop", "MainPID"), shown(machine, "emshop@second", "MainPID")];
    machine.run("systemctl enable emshop");
    install(machine, package);
    machine.until(READY);
    assert_ne!(shown(machine, "emshop", "MainPID"), before[0]);
    assert_eq!(shown(machine, "emshop@second", "MainPID"), before[1]);
    assert_eq!(machine.run("tail -n 1 /etc/emshop/emshop.yaml"), "# ours");
    assert_eq!(machine.run("systemctl is-enabled emshop"), "enabled");
}

fn stops_in_order(machine: &Machine) {
    machine.run("systemctl stop emshop");
    assert_eq!((shown(machine, "emshop", "Result"), shown(machine, "emshop", "ExecMainStatus")), ("success".into(), "0".into()));
    assert!(
        machine.run("journalctl --unit emshop --output cat").contains(r#""message":"stopped""#),
        "it brought all to the disk"
    );
    assert!(machine.does("! systemctl --quiet is-active emshop"));
    machine.run("systemctl start emshop");
    machine.until(READY);
}

fn remove(machine: &Machine) {
    machine.run("apt-get remove --yes emshop");
    assert!(
        machine.does("! grep --quiet --no-messages \"^Uid:.$(id --user emshop)\" /proc/[0-9]*/status"),
        "nothing runs any more"
    );
    assert!(
        machine.does("! command -v emshop && ! command -v emshop-loadgen && test ! -e /usr/lib/systemd/system/emshop.service")
    );
    machine.run("test -d /var/lib/emshop/state && test -d /var/lib/emshop@second/state && test -f /etc/emshop/emshop.yaml");
}

fn purge(machine: &Machine) {
    machine.run("apt-get purge --yes emshop");
    assert!(
        machine.does("! grep --quiet --no-messages \"^Uid:.$(id --user emshop)\" /proc/[0-9]*/status"),
        "nothing runs any more"
    );
    assert!(machine.does("test ! -e /var/lib/emshop && test ! -e /var/lib/emshop@second"), "its data are gone");
    assert_eq!(machine.run("ls /etc/emshop"), "emshop@second.yaml", "what an operator wrote stays");
    assert!(
        machine.does("test ! -e /etc/default/emshop && test ! -e /etc/systemd/system/multi-user.target.wants/emshop.service")
    );
    assert!(machine.does("getent passwd emshop"), "somebody may own files elsewhere");
}

/// A property of a unit.
fn shown(machine: &Machine, unit: &str, property: &str) -> String {
    machine.run(&format!("systemctl show --property {property} --value {unit}"))
}
