//! Clients that choose among ingresses themselves: the example of docs/CLIENTS.md, against real processes.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use emshop_deploy::process::{Running, ask, free_address, wait_until};
use emshop_deploy::tools::python;
use emshop_deploy::{program, repository};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// An ingress, and where its admin port is.
struct Ingress {
    process: Running,
    admin: SocketAddr,
}

impl Ingress {
    fn start(folder: &Path, nats: SocketAddr, listen: SocketAddr) -> Self {
        let data = folder.join(format!("ingress-{}", listen.port()));
        let listen = listen.to_string();
        let process =
            Running::start(emshop(folder, nats, &data).args(["--role", "ingress", "--auth", "off", "--listen", &listen]));
        let admin = process.listens("the admin port is open");
        process.says(r#""message":"serving""#);
        Self { process, admin }
    }

    /// How many calls about orders were answered here. (A client that submits and reads in turn may submit at one ingress alone.)
    fn calls(&self) -> f64 {
        let (_, metrics) = ask(self.admin, "/metrics");
        let is_counted = |line: &&str| {
            line.starts_with("emshop_rpc_seconds_count{")
                && [r#"method="OrderService/"#, r#"code="OK""#].iter().all(|label| line.contains(label))
        };
        let counts =
            metrics.lines().filter(is_counted).map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()));
        counts.map(|count| count.expect("a number")).sum()
    }
}

fn emshop(folder: &Path, nats: SocketAddr, data: &Path) -> Command {
    let mut command = Command::new(program("emshop"));
    command.args(["serve", "--admin", "127.0.0.1:0", "--nats", &format!("nats://{nats}"), "--cluster-key-file"]);
    command.arg(folder.join("cluster.key")).arg("--data").arg(data);
    // There is not much room on the disk of a test.
    command.envs([
        ("EMSHOP__LOG__BYTES_MAX", "64MiB"),
        ("EMSHOP__EVENTS__BYTES_MAX", "64MiB"),
        ("EMSHOP__AUDIT__BYTES_MAX", "8MiB"),
    ]);
    command
}

/// The example, which orders until it is told to end.
struct Client(Child);

impl Client {
    fn start(folder: &Path, ingresses: &[SocketAddr]) -> Self {
        let addresses: Vec<_> = ingresses.iter().map(SocketAddr::to_string).collect();
        let mut command = Command::new(python());
        command.arg(repository().join("examples/balance.py")).arg(format!("ipv4:{}", addresses.join(",")));
        command.env("TMPDIR", folder).env("PYTHONDONTWRITEBYTECODE", "1").env_remove("EMSHOP_TOKEN");
        Self(command.stdout(Stdio::piped()).spawn().expect("there is a Python"))
    }

    /// Ends it. None of its calls may have failed.
    fn end(mut self) {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGINT).expect("it runs");
        let line: Value = serde_json::from_reader(self.0.stdout.take().expect("piped")).expect("one JSON object");
        assert!(self.0.wait().expect("it ends").success() && line["failed"] == 0, "{line}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn calls_spread_over_ingresses_and_none_fails_when_one_ends() {
    let folder = TempDir::new().unwrap();
    let mut key = File::options().write(true).create_new(true).mode(0o600).open(folder.path().join("cluster.key")).unwrap();
    key.write_all("5a".repeat(32).as_bytes()).unwrap();
    let (_nats, nats) = Running::nats_server(folder.path(), "");
    let engine = Running::start(emshop(folder.path(), nats, &folder.path().join("engine")).args(["--role", "engine"]));
    engine.says(r#""message":"serving""#);
    let addresses = [free_address(), free_address()];
    let [first, second] = addresses.map(|address| Ingress::start(folder.path(), nats, address));

    let ordering = Client::start(folder.path(), &addresses);
    wait_until("both serve", || first.calls() >= 100.0 && second.calls() >= 100.0);
    let (one, other) = (first.calls(), second.calls());
    assert!(one / other > 0.7 && other / one > 0.7, "calls do not spread: {one} and {other}");

    // In order: clients are told to go, and go.
    assert_eq!(first.process.terminate().code(), Some(0));
    let alone = second.calls();
    wait_until("the other one serves all", || second.calls() >= alone + 100.0);

    // It comes back and gets its part again; then the other one is gone without a word.
    let first = Ingress::start(folder.path(), nats, addresses[0]);
    wait_until("it is found again", || first.calls() >= 100.0);
    drop(second);
    let alone = first.calls();
    wait_until("the first one serves all", || first.calls() >= alone + 100.0);
    ordering.end();
}
