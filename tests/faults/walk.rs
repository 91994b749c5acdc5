//! An operator goes through troubles with what they have: alerts of a real Prometheus, the runbook's commands, and nothing else. Each trouble is
//! planted, is told, is found by what its section says, and is over when it has been mended.

use std::path::Path;

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::v1::command::Body;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::metrics::Admin;
use crate::operate::stuck::Halves;
use crate::process::{Process, Starting, command, nats_as, path, send, shared_key};
use crate::rounds::disk::Disk;
use crate::shop::{Answer, Shop, Way, submit};
use crate::watch::Prometheus;

/// What `make` says of programs that are missing.
const NO_PROMETHEUS: &str = "there is no prometheus: `scripts/tools tests` installs it";

/// A shop of an engine for each of two logs and an ingress, on a nats-server of their own.
struct Site {
    data: TempDir,
    nats: NatsServer,
}

impl Site {
    async fn new() -> Self {
        let data = TempDir::new().unwrap();
        let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
        let nats = NatsServer::start(options).await.expect("nats-server starts");
        Self { data, nats }
    }

    fn path(&self) -> &Path {
        self.data.path()
    }

    fn engine(&self, own: &str) -> (Admin, Process) {
        let (url, folder) = (nats_as(self.path(), User::Engine), self.path().join(own));
        let flags = ["--role", "engine", "--logs", "2", "--own", own, "--nats", &url, "--data", path(&folder)];
        let (admin, starting) = Admin::spawn(&flags, &[]);
        (admin, starting.serves())
    }

    fn ingress(&self) -> (Admin, Process) {
        let (url, folder) = (nats_as(self.path(), User::Ingress), self.path().join("ingress"));
        let flags = ["--auth", "off", "--role", "ingress", "--logs", "2", "--nats", &url, "--data", path(&folder)];
        let (admin, starting) = Admin::spawn(&flags, &[]);
        (admin, starting.serves())
    }

    /// What `emshop status` says, and whether the shop is served.
    fn status(&self) -> (String, bool) {
        let operator = nats_as(self.path(), User::Operator);
        let output = command(&["status", "--nats", &operator]).env("EMSHOP__CLUSTER__KEY_FILE", shared_key()).output();
        let output = output.expect("it runs");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        (said, output.status.success())
    }
}

async fn orders_go_through(shop: &Shop, name: &str) {
    let orders = (1..=8).map(|goods_id| Body::SubmitOrder(submit(&format!("{name}-{goods_id}"), &[(goods_id, 1)])).into());
    let answers = shop.find_out(Way::Unary, orders.collect()).await;
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Done { .. })), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_killed() {
    let site = Site::new().await;
    let ((first_admin, first), (second_admin, second), (admin, ingress)) = (site.engine("0"), site.engine("1"), site.ingress());
    let targets = [first_admin.address(), second_admin.address(), admin.address()];
    let Some(prometheus) = Prometheus::hurried(site.path(), &targets) else { return eprintln!("{NO_PROMETHEUS}") };
    let shop = Shop::new(ingress.channel().await);
    shop.stock_up(&[1_000; 8]).await;
    prometheus.sees(3).await;

    second.kill();
    prometheus.fires("EmshopDown").await;
    prometheus.fires("EmshopEngineUnheard").await;
    let (said, served) = site.status();
    assert!(!served && said.contains("log 1: "), "{said}");

    // "Do: start it." Another port would be another target.
    let url = nats_as(site.path(), User::Engine);
    let folder = site.path().join("1");
    let listen = [("EMSHOP__ADMIN__LISTEN", second_admin.address())];
    let flags = ["--role", "engine", "--logs", "2", "--own", "1", "--nats", &url, "--data", path(&folder)];
    let second = Starting::spawn_with(&flags, &listen).serves();
    prometheus.sees(3).await;
    prometheus.is_over("EmshopDown").await;
    prometheus.is_over("EmshopEngineUnheard").await;
    assert!(site.status().1);
    orders_go_through(&shop, "after").await;
    shop.settled().await;
    for process in [ingress, first, second] {
        assert_eq!(process.terminate().code(), Some(0));
    }
    site.nats.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_is_away() {
    let site = Site::new().await;
    let (url, folder) = (nats_as(site.path(), User::Shop), site.path().join("data"));
    let (admin, starting) = Admin::spawn(&["--auth", "off", "--nats", &url, "--data", path(&folder)], &[]);
    let process = starting.serves();
    let Some(prometheus) = Prometheus::hurried(site.path(), &[admin.address()]) else { return eprintln!("{NO_PROMETHEUS}") };
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[1_000; 8]).await;
    prometheus.sees(1).await;

    let pid = site.nats.pid().expect("it runs");
    send(pid, Signal::SIGSTOP);
    prometheus.fires("EmshopNatsDown").await;
    let reasons = admin.until("/readyz", 503).await;
    assert!(reasons.contains("log 0"), "{reasons}");

    send(pid, Signal::SIGCONT);
    prometheus.is_over("EmshopNatsDown").await;
    orders_go_through(&shop, "after").await;
    shop.settled().await;
    assert_eq!(process.terminate().code(), Some(0));
    site.nats.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_nearly_full() {
    let data = TempDir::new().unwrap();
    let folder = data.path().join("data");
    let disk = match Disk::mount(&folder) {
        Ok(disk) => disk,
        Err(reason) => return eprintln!("no disk can be mounted: {reason}"),
    };
    let (admin, starting) = Admin::spawn(&["--auth", "off", "--data", path(&folder)], &[]);
    let process = starting.serves();
    let Some(prometheus) = Prometheus::hurried(data.path(), &[admin.address()]) else { return eprintln!("{NO_PROMETHEUS}") };
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[1_000; 8]).await;
    prometheus.sees(1).await;

    // An old backup, or whatever else somebody has left there.
    disk.fill_but(8);
    prometheus.fires("EmshopDiskNearlyFull").await;
    orders_go_through(&shop, "meanwhile").await;

    disk.free();
    prometheus.is_over("EmshopDiskNearlyFull").await;
    shop.settled().await;
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_wants_one_of_the_goods() {
    const WANTED: u64 = 3;
    let data = TempDir::new().unwrap();
    let (admin, starting) = Admin::spawn(&["--auth", "off", "--data", path(&data.path().join("data"))], &[]);
    let process = starting.serves();
    let Some(prometheus) = Prometheus::hurried(data.path(), &[admin.address()]) else { return eprintln!("{NO_PROMETHEUS}") };
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[100_000; 8]).await;
    prometheus.sees(1).await;

    let wanted = (0..7_000).map(|number| Body::SubmitOrder(submit(&format!("hot-{number}"), &[(WANTED, 1)])).into());
    shop.find_out(Way::Stream, wanted.collect()).await;
    prometheus.fires("EmshopHotSku").await;
    let hottest = admin.until("/hot", 200).await.lines().nth(1).expect("a line").to_owned();
    assert_eq!(hottest.split_whitespace().next(), Some("3"), "{hottest}");

    // It is over when people want other things, or nothing for two minutes.
    let others = (0..10_000).map(|number| Body::SubmitOrder(submit(&format!("o-{number}"), &[(4 + number % 5, 1)])).into());
    shop.find_out(Way::Stream, others.collect()).await;
    prometheus.is_over("EmshopHotSku").await;
    shop.settled().await;
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_is_stuck() {
    let mut halves = Halves::open().await;
    let folder = TempDir::new().unwrap();
    let Some(prometheus) = Prometheus::hurried(folder.path(), &[halves.admin.address()]) else {
        return eprintln!("{NO_PROMETHEUS}");
    };
    prometheus.sees(1).await;

    halves.get_stuck(0).await;
    prometheus.fires("EmshopSagasStuck").await;
    let stuck = &halves.json(&["sagas", "list", "--limit", "1"])["orders"][0];
    assert_eq!(stuck["order_id"], halves.orders[0]);

    let (order_id, version) = (halves.orders[0].clone(), stuck["version"].to_string());
    let reason = ["--version", &version, "--reason", "the other log was restored without it", "--yes"];
    let written_off = halves.run(&[&["sagas", "write-off", &order_id], &reason[..]].concat());
    assert!(written_off.status.success(), "{written_off:?}");
    prometheus.is_over("EmshopSagasStuck").await;
}
