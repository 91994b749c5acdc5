//! The shop of `deploy/compose`: nats-server, two engines and an ingress, in containers of their own. The images of Prometheus and Grafana
//! are in registries, which a build machine may not reach.

use std::net::{TcpListener, TcpStream};

use emshop_deploy::{repository, tools};

use crate::base::run;
use crate::image::{orders, stop_in_order};
use crate::store::Store;

const PROCESSES: [&str; 3] = ["emshop_engine-0_1", "emshop_engine-1_1", "emshop_ingress_1"];
const NATS: &str = "emshop_nats_1";
const INGRESS: &str = PROCESSES[2];

pub fn serves_a_shop_stops_in_order_and_goes_on(store: &Store) {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let composition = Composition { store, port: free.port() };
    composition.up();
    TcpStream::connect(free).expect("the ingress is published");
    composition.run(&["--profile", "load", "run", "--rm", "load", "--orders", "200", "--skus", "20"]);
    assert_eq!(composition.orders(), 200);
    status(store);

    PROCESSES.iter().for_each(|process| stop_in_order(store, process));
    composition.run(&["stop"]);
    composition.up();
    assert_eq!(composition.orders(), 200);
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
}

impl Composition<'_> {
    fn run(&self, arguments: &[&str]) {
        let mut compose = self.store.command("python3");
        compose.env("PYTHONPATH", tools().join("podman-compose")).env("PORT", self.port.to_string());
        compose.args(["-m", "podman_compose", "--file", "deploy/compose/compose.yaml"]).args(arguments);
        run(compose.current_dir(repository()));
    }

    /// One after another: podman 4.3 does not wait for health, as the file asks for.
    fn up(&self) {
        self.run(&["up", "--detach", "keys", "nats"]);
        self.store.wait_until_healthy(NATS);
        self.run(&["up", "--detach", "engine-0", "engine-1", "ingress"]);
        PROCESSES.iter().for_each(|process| self.store.wait_until_healthy(process));
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
        let mut compose = self.store.command("python3");
        compose.env("PYTHONPATH", tools().join("podman-compose"));
        let _ = compose
            .args(["-m", "podman_compose", "--file", "deploy/compose/compose.yaml", "down", "--volumes"])
            .current_dir(repository())
            .output();
    }
}
