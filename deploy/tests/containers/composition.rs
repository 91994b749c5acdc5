//! The shop of `deploy/compose`: nats-server, two engines and an ingress, in containers of their own, and Prometheus that watches them. Its
//! image is made here of the program of the distribution: those of others are in registries, which a build machine may not reach. So Grafana
//! is left out.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use emshop_deploy::{repository, tools};
use tempfile::TempDir;

use crate::base::{self, run};
use crate::image::{orders, stop_in_order};
use crate::store::Store;

const PROCESSES: [&str; 3] = ["emshop_engine-0_1", "emshop_engine-1_1", "emshop_ingress_1"];
const NATS: &str = "emshop_nats_1";
const INGRESS: &str = PROCESSES[2];
const FILE: &str = "deploy/compose/compose.yaml";
/// It looks every 15 s.
const SCRAPED_WITHIN: Duration = Duration::from_secs(60);

pub fn serves_a_shop_stops_in_order_and_goes_on(store: &Store) {
    make_prometheus(store);
    let composition = Composition { store, port: free_port(), prometheus: free_port() };
    composition.up();
    TcpStream::connect(("127.0.0.1", composition.port)).expect("the ingress is published");
    composition.run(&["up", "--detach", "prometheus"]);
    composition.run(&["--profile", "load", "run", "--rm", "load", "--orders", "200", "--skus", "20"]);
    assert_eq!(composition.orders(), 200);
    status(store);
    composition.is_watched();

    PROCESSES.iter().for_each(|process| stop_in_order(store, process));
    composition.run(&["stop"]);
    composition.up();
    assert_eq!(composition.orders(), 200);
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// Under the name that the file has for it.
fn make_prometheus(store: &Store) {
    let file = fs::read_to_string(repository().join(FILE)).expect("a file");
    let name = file.lines().find_map(|line| line.trim().strip_prefix("image: ").filter(|image| image.contains("/prometheus:")));
    let folder = TempDir::new().expect("a folder");
    fs::copy("/usr/bin/prometheus", folder.path().join("prometheus")).expect("`scripts/tools containers` installs it");
    let dockerfile = format!("FROM {}\nCOPY prometheus /bin/\nENTRYPOINT [\"prometheus\"]\n", base::NAME);
    fs::write(folder.path().join("Dockerfile"), dockerfile).expect("a file");
    run(store.command("buildah").args(["build", "--tag", name.expect("an image")]).arg(folder.path()));
}

/// As the operator asks for it.
fn status(store: &Store) {
    let login = ["EMSHOP__NATS__USER=operator", "EMSHOP__NATS__PASSWORD_FILE=/etc/emshop/operator.password"];
    let printed = store.podman(&["exec", "--env", login[0], "--env", login[1], PROCESSES[0], "emshop", "status"]);
    assert!(printed.starts_with("cluster "), "{printed}");
}

struct Composition<'a> {
    store: &'a Store,
    port: u16,
    prometheus: u16,
}

impl Composition<'_> {
    fn run(&self, arguments: &[&str]) {
        run(&mut self.command(arguments));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut compose = self.store.command("python3");
        compose.env("PYTHONPATH", tools().join("podman-compose"));
        compose.env("PORT", self.port.to_string()).env("PROMETHEUS_PORT", self.prometheus.to_string());
        compose.args(["-m", "podman_compose", "--file", FILE]).args(arguments).current_dir(repository());
        compose
    }

    /// One after another: podman 4.3 does not wait for health, as the file asks for.
    fn up(&self) {
        self.run(&["up", "--detach", "keys", "nats"]);
        self.store.wait_until_healthy(NATS);
        self.run(&["up", "--detach", "engine-0", "engine-1", "ingress"]);
        PROCESSES.iter().for_each(|process| self.store.wait_until_healthy(process));
    }

    /// Whether Prometheus gets what all three processes tell, from this machine.
    fn is_watched(&self) {
        let address = format!("http://127.0.0.1:{}", self.prometheus);
        let deadline = Instant::now() + SCRAPED_WITHIN;
        loop {
            let asked = Command::new("promtool").args(["query", "instant", &address, "sum(up{job=\"emshop\"})"]).output();
            let asked = asked.expect("there is no promtool: `scripts/tools containers` installs it");
            let answer = String::from_utf8_lossy(&asked.stdout);
            if answer.starts_with("{} => 3 ") {
                return;
            }
            assert!(Instant::now() < deadline, "Prometheus does not see all of them: {answer}");
            sleep(Duration::from_secs(1));
        }
    }

    /// How many the whole shop has.
    fn orders(&self) -> u64 {
        let asks = |command: &[&str]| self.store.podman(&[&["exec", INGRESS, "emshop"], command].concat());
        let token = asks(&["token", "--user", "1", "--role", "super"]);
        orders(&asks(&["inspect", "--target", "http://127.0.0.1:50051", "--json", "--token", &token]))
    }
}

impl Drop for Composition<'_> {
    fn drop(&mut self) {
        // With the store goes what is left; networks would not.
        let _ = self.command(&["down", "--volumes"]).output();
    }
}
