//! `emshop config`: what is set for all processes is in force in each of them within a second, stays in force, and nobody else sets it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::subjects::SETTINGS;
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::{
    AuditKind, CreateGoodsRequest, GetGoodsRequest, InspectRequest, ListAuditEventsRequest, SetStockRequest, SettingChange,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;
use tonic::transport::Channel;

use crate::accounts::{by, reason, token, under};
use crate::backup::done;
use crate::metrics::Admin;
use crate::process::{PATIENCE, Process, Starting, command, nats_as, nats_client, path, secret_file, send, shared_key};
use crate::shop::{Shop, goods, submit};

const A_SECOND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);
const UNITS: &str = "shop.order_units_max";
const BUYER: u64 = 7;

fn config(data: &Path, arguments: &[&str]) -> Output {
    command(&[&["config"], arguments, &["--data", path(data)]].concat()).output().expect("the binary runs")
}

fn set(data: &Path, name: &str, value: &str) -> String {
    done(&["config", "set", name, value, "--data", path(data)])
}

fn refused(data: &Path, arguments: &[&str], status: i32, words: &[&str]) {
    let output = config(data, arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {told}");
    assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
}

/// Newest first: revision, setting, before, after.
fn history(data: &Path) -> Vec<[Value; 4]> {
    let changes: Vec<Value> =
        serde_json::from_str(&done(&["config", "history", "-o", "json", "--data", path(data)])).expect("JSON");
    changes.iter().map(|change| ["revision", "setting", "before", "after"].map(|field| change[field].clone())).collect()
}

/// Tries until it is as it should be, and fails when that takes longer than a second from `since` on.
async fn within_a_second(since: Instant, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    while !holds().await {
        assert!(since.elapsed() < A_SECOND, "{what} takes too long");
        sleep(PAUSE).await;
    }
}

async fn reads(channel: &Channel) -> bool {
    let answer = GoodsServiceClient::new(channel.clone()).get_goods(GetGoodsRequest { goods_id: 1 }).await;
    let reason = reason(&answer.expect_err("there are none"));
    assert!(["GOODS_NOT_FOUND", "RATE_LIMITED"].contains(&reason.as_str()), "{reason}");
    reason != "RATE_LIMITED"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_that_is_set_bites_at_every_ingress_within_a_second() {
    let data = TempDir::new().unwrap();
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    let (engines, own) = (nats_as(data.path(), User::Engine), data.path().join("engine"));
    let _engine = Process::serve(&["--role", "engine", "--nats", &engines, "--data", path(&own)]);
    let (key, url) = (data.path().join("token.key"), nats_as(data.path(), User::Ingress));
    secret_file(&key, &"5a".repeat(32));
    let ingress = |name: &str| {
        let data = data.path().join(name);
        Process::guarded(&["--role", "ingress", "--key-file", path(&key), "--nats", &url, "--data", path(&data)])
    };
    let ingresses = [ingress("one"), ingress("two")];
    let channels = [ingresses[0].channel().await, ingresses[1].channel().await];
    let operator = nats_as(data.path(), User::Operator);
    let shop = ["--nats", operator.as_str(), "--cluster-key-file", path(shared_key())];
    for channel in &channels {
        assert!(reads(channel).await && reads(channel).await);
    }
    let changes: [(&[&str], bool); 2] =
        [(&["config", "set", "rates.reads_per_address", "1/h"], false), (&["config", "unset", "rates.reads_per_address"], true)];
    for (change, is_let_in) in changes {
        done(&[change, &shop[..]].concat());
        let since = Instant::now();
        for channel in &channels {
            within_a_second(since, "a rate", async || reads(channel).await == is_let_in).await;
        }
    }
    drop(ingresses);
    nats.stop().await;
}

/// A shop with goods, and what a customer of it comes to.
struct Customer {
    channel: Channel,
    token: String,
}

impl Customer {
    async fn of(process: &Process, data: &Path) -> Self {
        let (channel, admin) = (process.channel().await, token(data, 1, "admin"));
        let create = CreateGoodsRequest { goods: Some(goods(1)) };
        // It is there after a restart.
        let _ = GoodsServiceClient::new(channel.clone()).create_goods(by(&admin, create)).await;
        let stock = SetStockRequest { goods_id: 1, on_hand: 1_000 };
        InventoryServiceClient::new(channel.clone()).set_stock(under("stock", by(&admin, stock))).await.expect("an admin may");
        Self { channel, token: token(data, BUYER, "user") }
    }

    /// Whether they may have so many units in an order.
    async fn may_order(&self, units: u64) -> bool {
        let order = submit(&format!("{:x}", rand::random::<u64>()), &[(1, units)]);
        match OrderServiceClient::new(self.channel.clone()).submit_order(by(&self.token, order)).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(reason(&status), "ORDER_UNITS_TOO_MANY");
                false
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_the_shop_holds_at_once_and_for_what_is_replayed_as_it_did() {
    let data = TempDir::new().unwrap();
    // Nothing gets to the disk before the end: all is replayed.
    let rules = [("EMSHOP__ENGINE__CHECKPOINT_INTERVAL", "1h"), ("EMSHOP__SHOP__UNPAID_ORDERS_MAX", "0")];
    let start = || Starting::spawn_with(&["--data", path(data.path())], &rules).serves();
    let process = start();
    let customer = Customer::of(&process, data.path()).await;
    assert!(customer.may_order(3).await);
    set(data.path(), UNITS, "2");
    within_a_second(Instant::now(), "a rule", async || !customer.may_order(3).await).await;
    assert!(customer.may_order(2).await);

    process.kill();
    let process = start();
    let customer = Customer::of(&process, data.path()).await;
    assert!(!customer.may_order(3).await && customer.may_order(2).await, "it is in force before the first call");
    done(&["config", "unset", UNITS, "--data", path(data.path())]);
    within_a_second(Instant::now(), "that it is taken back", async || customer.may_order(3).await).await;
    let inspect = async |process: &Process| {
        let request = by(&token(data.path(), 1, "admin"), InspectRequest {});
        let mut logs =
            AdminServiceClient::new(process.channel().await).inspect(request).await.expect("an admin may").into_inner().logs;
        logs.remove(0)
    };
    let before = inspect(&process).await;
    process.kill();
    let process = start();
    let after = inspect(&process).await;
    process.kill();
    assert_eq!((after.orders, &after.violations), (before.orders, &Vec::new()), "as they were decided then");

    // A shop that does not run has its settings still.
    assert_eq!(history(data.path()).len(), 2);
    set(data.path(), UNITS, "5");
    assert_eq!(done(&["config", "get", UNITS, "--data", path(data.path())]), "5\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acceptable_changes_nothing_and_says_why() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let long = "10.0.0.0/8,".repeat(24);
    let wrong: [(&str, &str, &[&str]); 9] = [
        ("auth.required", "false", &["auth.required cannot change while a process runs", "start it again"]),
        ("rates.code", "1/s", &["no setting", "rates.code", "emshop config get"]),
        ("rates", "1/s", &["no setting"]),
        ("rates.codes", "soon", &["rates.codes", "no rate"]),
        ("ingress.calls_max", "0", &["calls_max", "1 or more"]),
        ("ingress.bytes_max", "4GiB", &["ingress.bytes_max", "below 4GiB"]),
        ("shop.payment_time_max", "2days", &["shop.payment_time_max", "up to a day"]),
        ("telemetry.log", "info,a=b=c", &["telemetry.log is no filter"]),
        ("rates.proxies", &long, &["up to 256 bytes"]),
    ];
    for (name, value, words) in wrong {
        refused(data.path(), &["set", name, value], 2, words);
    }
    refused(data.path(), &["unset", "rates.codes", "--by", "two\nlines"], 2, &["one line"]);
    assert!(history(data.path()).is_empty());
    assert!(done(&["config", "unset", "rates.codes", "--data", path(data.path())]).contains("is not set for all processes"));

    assert!(set(data.path(), "rates.codes", "7/m").contains("revision 1: rates.codes (each its own) -> 7/m"));
    assert!(set(data.path(), "rates.codes", "7/m").contains("already"));
    refused(data.path(), &["set", UNITS, "3", "--revision", "0"], 1, &["at revision 1, and not at 0"]);
    done(&["config", "set", UNITS, "3", "--revision", "1", "--by", "alice", "--data", path(data.path())]);
    done(&["config", "unset", "rates.codes", "--data", path(data.path())]);
    let changes = [
        [json!(3), json!("rates.codes"), json!("7/m"), Value::Null],
        [json!(2), json!(UNITS), Value::Null, json!("3")],
        [json!(1), json!("rates.codes"), Value::Null, json!("7/m")],
    ];
    assert_eq!(history(data.path()), changes);
    assert_eq!(done(&["config", "get", UNITS, "--data", path(data.path())]), "3\n");

    let request = ListAuditEventsRequest { kind: AuditKind::Setting.into(), ..ListAuditEventsRequest::default() };
    let listed = AdminServiceClient::new(process.channel().await).list_audit_events(request).await.expect("all may");
    let told: Vec<_> = listed.into_inner().events.into_iter().filter_map(|event| event.setting).collect();
    let SettingChange { name, before, after, by, revision } = told[1].clone();
    assert_eq!((told.len(), name.as_str(), before, after.as_deref(), revision), (3, UNITS, None, Some("3"), 2));
    assert!(by.starts_with("alice (") && by.contains(" on "), "{by}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_wins_and_what_is_printed_says_where_it_comes_from() {
    let data = TempDir::new().unwrap();
    let own = ("EMSHOP__RATES__CODES", "9/m");
    let process = Starting::spawn_with(&["--data", path(data.path())], &[own]).serves();
    set(data.path(), "rates.codes", "7/m");
    set(data.path(), "telemetry.log", "error");
    let line = process.says("telemetry.log info,async_nats=warn -> error");
    assert!(!line.contains("rates.codes"), "{line}");
    let printed = |environment: &[(&str, &str)]| {
        let mut print = command(&["serve", "--print-config", "--data", path(data.path())]);
        let output = print.envs(environment.iter().copied()).output().expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let (with, without) = (printed(&[own]), printed(&[]));
    assert!(with.contains("  codes: 9/m  # environment\n") && without.contains("  codes: 7/m  # bucket\n"), "{with}{without}");
    assert!(without.contains("  listen: \"off\"  # environment\n") && without.contains("role: all  # default\n"), "{without}");
    let table = done(&["config", "get", "--data", path(data.path())]);
    assert!(table.contains("rates.codes") && table.contains("7/m") && table.contains("revision 2"), "{table}");
    // The lines go by the other filter.
    assert!(!process.all_lines().iter().any(|line| line.contains(r#""message":"stopped""#)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_writes_is_told_and_counts_for_nothing() {
    let data = TempDir::new().unwrap();
    let (admin, starting) = Admin::spawn(&["--auth", "off", "--data", path(data.path())], &[]);
    let process = starting.serves();
    set(data.path(), UNITS, "3");
    process.says("goes by the settings of the cluster");
    let client = nats_client(&nats_as(data.path(), User::Operator)).await;
    let forged =
        json!({ "settings": { UNITS: "9" }, "change": { "name": UNITS, "before": "3", "after": "9" }, "by": "me", "at_ms": 1 });
    client.publish(SETTINGS, forged.to_string().into()).await.expect("they may");
    client.flush().await.expect("it is connected");
    process.says("counts for nothing: it is not sealed with the cluster's key");
    let measured = |wanted: &[&str]| {
        let (_, text) = admin.get("/metrics");
        assert!(wanted.iter().all(|line| text.lines().any(|found| found == *line)), "{wanted:?}: {text}");
    };
    measured(&["emshop_config_applied_revision 1", "emshop_config_refused 0", "emshop_config_strange_total 1"]);
    assert_eq!(done(&["config", "get", UNITS, "--data", path(data.path())]), "3\n");

    // After that as before, also for who starts then.
    set(data.path(), UNITS, "4");
    process.says("goes by the settings of the cluster");
    measured(&["emshop_config_applied_revision 3"]);
    assert_eq!(history(data.path())[1], [json!(2), Value::Null, Value::Null, Value::Null]);
    client.publish(SETTINGS, "?".into()).await.expect("they may");
    client.flush().await.expect("it is connected");
    process.kill();
    let starting = Starting::spawn_with(&["--data", path(data.path())], &[]);
    let line = starting.says("goes by the settings of the cluster");
    assert!(line.contains(&format!("{UNITS} 1000 -> 4")), "{line}");
    starting.serves();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_outlast_a_nats_server_and_come_along_in_a_backup() {
    let (data, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let process = Process::all(data.path());
    // Of a shop that nothing was ever done in there is no backup.
    Shop::new(process.channel().await).stock_up(&[5]).await;
    set(data.path(), UNITS, "3");
    process.says("goes by the settings of the cluster");
    let before = process.nats_pid();
    send(before, Signal::SIGKILL);
    let deadline = Instant::now() + PATIENCE;
    while !config(data.path(), &["set", UNITS, "4"]).status.success() {
        assert!(Instant::now() < deadline, "it is never started again");
    }
    process.says(&format!("{UNITS} 3 -> 4"));

    let mut watch =
        command(&["config", "watch", "--data", path(data.path())]).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    // It may look at what is there only after this.
    let mut value = 5;
    let seen = loop {
        set(data.path(), UNITS, &value.to_string());
        value += 1;
        if value == 7 {
            break lines.next().expect("a line").expect("text");
        }
        sleep(A_SECOND).await;
    };
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");
    assert!(seen.contains(&format!("{UNITS} 4 -> 5 by ")) || seen.contains(&format!("{UNITS} 5 -> 6 by ")), "{seen}");

    let (to, new) = (elsewhere.path().join("backup"), elsewhere.path().join("data"));
    // By then the state is on the disk.
    assert_eq!(process.terminate().code(), Some(0));
    done(&["backup", "--data", path(data.path()), "--to", path(&to)]);
    let kept = history(data.path());
    done(&["restore", "--from", path(&to), "--data", path(&new)]);
    assert_eq!(history(&new), kept);
    let starting = Starting::spawn_with(&["--data", path(&new)], &[]);
    starting.says(&format!("{UNITS} 1000 -> 6"));
    starting.serves();
    assert!(set(&new, UNITS, "7").contains("revision 5"), "it goes on where it was");
}
