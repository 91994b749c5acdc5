//! The image by itself: everything in one process, without a network, and with a root that nobody can write to.

use std::fs;
use std::process::Command;

use emshop_deploy::{nats_server, program, repository};
use serde_json::Value;
use tempfile::TempDir;

use crate::base::{self, run};
use crate::store::Store;

pub const NAME: &str = concat!("localhost/emshop:", env!("CARGO_PKG_VERSION"));
/// 173 MB were seen, half of which is the base.
const BYTES_MAX: u64 = 200_000_000;
const USER: &str = "10001:10001";
const DATA: &str = "/var/lib/emshop";
const TARGET: &str = "http://127.0.0.1:50051";
/// As little as somebody who is careful gives to a container.
const LOCKED_IN: [&str; 5] =
    ["--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"];

/// By the Dockerfile, but with the programs of this build: RocksDB is not compiled once more.
pub fn build(store: &Store) {
    base::import(store);
    let programs = TempDir::new().expect("a folder");
    let (bin, doc) = (programs.path().join("bin"), programs.path().join("doc"));
    [&bin, &doc].iter().for_each(|folder| fs::create_dir(folder).expect("a folder"));
    for name in ["emshop", "emshop-loadgen"] {
        // As the stage that builds them does.
        run(Command::new("strip").arg("--strip-debug").arg("-o").arg(bin.join(name)).arg(program(name)));
    }
    let server = nats_server().expect("there is no nats-server: `make tools` installs it");
    fs::copy(server, bin.join("nats-server")).expect("room for it");
    let mut build = store.command("buildah");
    // Of the two formats the one that knows health checks.
    build.args(["build", "--format", "docker", "--network", "host", "--tag", NAME, "--file", "deploy/container/Dockerfile"]);
    build.args(["--ignorefile", "deploy/container/Dockerfile.dockerignore"]);
    build.args(["--build-arg", &format!("BASE={}", base::NAME), "--build-arg", "PROGRAMS=prebuilt"]);
    build.args(["--build-arg", "COMMIT=of-the-test"]);
    build.arg("--build-context").arg(format!("programs={}", programs.path().display())).arg(".");
    run(build.current_dir(repository()));
}

pub fn is_small_and_says_what_it_is(store: &Store) {
    let image = store.inspect("image", NAME);
    let bytes = image["Size"].as_u64().expect("a number");
    println!("the image has {} MB", bytes / 1_000_000);
    assert!(bytes < BYTES_MAX, "{bytes}");
    let config = &image["Config"];
    assert_eq!(config["User"], USER);
    assert_eq!(config["StopSignal"], "SIGTERM");
    assert!(config["Volumes"][DATA].is_object(), "{config}");
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!((label("title"), label("version")), ("emshop".into(), env!("CARGO_PKG_VERSION").into()));
    assert_eq!((label("licenses"), label("revision")), ("MIT OR Apache-2.0".into(), "of-the-test".into()));
    let packages = store.podman(&["run", "--rm", "--network=none", "--entrypoint=dpkg-query", NAME, "--show"]);
    assert!(packages.lines().any(|package| package.starts_with("ca-certificates\t")), "what it is made of: {packages}");
}

pub fn shows_the_demo(store: &Store) {
    let printed = store.podman(&[&["run", "--rm"], &LOCKED_IN[..], &[NAME, "demo", "--once", "--json"]].concat());
    let result: Value = serde_json::from_str(printed.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&result["orders"], &result["invariants"]), (&2_000.into(), &"ok".into()));
}

pub fn is_not_healthy_where_nothing_serves(store: &Store) {
    store.refused(&["run", "--rm", "--network=none", "--entrypoint=healthcheck", NAME]);
}

pub fn serves_a_shop_stops_in_order_and_goes_on(store: &Store) {
    let shop = Shop::start(store);
    assert_eq!(shop.asks(&["id", "--user"]), "10001");
    // A folder of the user's own.
    let written = store.refused(&["exec", shop.name, "touch", "/etc/emshop/key"]);
    assert!(written.contains("Read-only file system"), "{written}");
    let key = format!("{DATA}/auth.key");
    let sold = shop.asks(&["emshop-loadgen", "--target", TARGET, "--key-file", &key, "--orders", "200", "--skus", "20"]);
    assert!(sold.contains("200 of 200 orders"), "{sold}");
    shop.stops_in_order();

    let shop = Shop::start(store);
    assert_eq!(orders(&shop.asks(&["emshop", "inspect", "--target", TARGET, "--json", "--token", &shop.token(&key)])), 200);
    assert_eq!(shop.asks(&["healthcheck"]), "ok");
    shop.stops_in_order();
}

/// How many orders there are, as `emshop inspect` tells it.
pub fn orders(inspected: &str) -> u64 {
    let inspected: Value = serde_json::from_str(inspected).expect("JSON");
    assert_eq!(inspected["invariants"], "ok");
    inspected["logs"].as_array().expect("logs").iter().map(|log| log["orders"].as_u64().expect("a number")).sum()
}

/// A container that serves. All of them have one volume.
struct Shop<'a> {
    store: &'a Store,
    name: &'static str,
}

impl<'a> Shop<'a> {
    fn start(store: &'a Store) -> Self {
        let (name, volume) = ("shop", format!("shop:{DATA}"));
        store.podman(&[&["run", "--detach", "--name", name, "--volume", &volume], &LOCKED_IN[..], &[NAME]].concat());
        store.wait_until_healthy(name);
        Self { store, name }
    }

    /// What a program in it prints.
    fn asks(&self, command: &[&str]) -> String {
        self.store.podman(&[&["exec", self.name], command].concat())
    }

    fn token(&self, key: &str) -> String {
        self.asks(&["emshop", "token", "--user", "1", "--role", "super", "--key-file", key])
    }

    fn stops_in_order(self) {
        stop_in_order(self.store, self.name);
        self.store.podman(&["rm", self.name]);
    }
}

/// Stops a container of emshop as its image says, and sees that it took its time.
pub fn stop_in_order(store: &Store, name: &str) {
    store.podman(&["stop", "--time", "60", name]);
    assert_eq!(store.inspect("container", name)["State"]["ExitCode"], 0);
    let logs = store.command("podman").args(["logs", name]).output().expect("it runs");
    let last = String::from_utf8_lossy(&logs.stderr).lines().last().map(str::to_owned).unwrap_or_default();
    assert!(last.contains(r#""message":"stopped""#), "{name} ends with {last}");
}
