//! `emshop consume`: what is printed is what the streams have, whoever asks, and nothing of the asking stays.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::subjects::EVENT_STREAM;
use emshop_proto::v1::command::Body;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::logins::credentials;
use crate::process::{PATIENCE, Process, command, nats_as, nats_client, path, secret_file, send};
use crate::shop::{Shop, submit};

/// After the last change of stock it is told within this.
const MOMENT: Duration = Duration::from_millis(600);

fn consume(flags: &[&str]) -> Output {
    command(&[&["consume"], flags].concat()).output().expect("the binary runs")
}

/// The events that are printed.
fn events(flags: &[&str]) -> Vec<Value> {
    let output = consume(flags);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{flags:?}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["number"].as_u64().expect("a number")).collect()
}

/// A shop with two goods, of which one is ordered twice.
async fn shop(data: &Path) -> (Process, Shop) {
    let process = Process::all(data);
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[5, 6]).await;
    for id in ["o1", "o2"] {
        shop.call(Body::SubmitOrder(submit(id, &[(2, 1)])).into()).await;
    }
    tokio::time::sleep(MOMENT).await;
    (process, shop)
}

async fn consumers(data: &Path) -> usize {
    let context = jetstream::new(nats_client(&nats_as(data, User::Operator)).await);
    context.get_stream(EVENT_STREAM).await.expect("it is there").cached_info().state.consumer_count
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_printed_from_anywhere_and_as_they_are_asked_for() {
    let data = TempDir::new().unwrap();
    let (process, shop) = shop(data.path()).await;
    let folder = ["--data", path(data.path())];
    let all = events(&folder);
    let told: BTreeSet<u64> = numbers(&all).into_iter().collect();
    assert!(told.iter().copied().eq(1..=shop.inspect().await[0].events) && told.len() == all.len(), "{all:#?}");

    let of = |flags: &[&str]| events(&[&folder[..], flags].concat());
    let submitted = of(&["--type", "order.submitted"]);
    assert_eq!(of(&["--type", "order_submitted"]), submitted);
    let orders: Vec<_> = submitted.iter().map(|event| &event["order"]["order_id"]).collect();
    assert_eq!(orders, ["o1", "o2"]);
    let order = &submitted[0];
    assert_eq!((&order["stream"], &order["log"], &order["type"]), (&EVENT_STREAM.into(), &0.into(), &"order.submitted".into()));
    assert_eq!((&order["order"]["status"], &order["order"]["user_id"]), (&"ORDER_STATUS_PENDING".into(), &"7".into()));

    // What is asked for is what a look through all of it finds.
    let among = |fits: &dyn Fn(&Value) -> bool| all.iter().filter(|event| fits(event)).cloned().collect::<Vec<_>>();
    let is_of = |event: &Value, id: &str| event["stock"]["goods_id"] == id || event["goods"]["goods_id"] == id;
    assert_eq!(of(&["--order", "o2"]), among(&|event| event["order"]["order_id"] == "o2"));
    assert_eq!(of(&["--user", "7"]), among(&|event| event["order"]["user_id"] == "7"));
    assert_eq!(of(&["--goods", "1"]), among(&|event| is_of(event, "1")));
    assert_eq!(of(&["--goods", "2"]), among(&|event| is_of(event, "2") || event["order"].is_object()));
    assert_eq!(of(&["--goods", "2", "--order", "o1"]), submitted[..1]);
    assert!(of(&["--from", "end"]).is_empty() && of(&["--user", "8"]).is_empty());

    let (second, time) = (submitted[1]["sequence"].to_string(), submitted[1]["time"].as_str().expect("a time"));
    assert_eq!(of(&["--type", "order.submitted", "--from", &second]), submitted[1..]);
    assert_eq!(of(&["--from", time]), among(&|event| event["time"].as_str() >= Some(time)));

    // With what a downstream service was given, without taking anything from it; and from a shop that does not run.
    let given = data.path().join("printer.json");
    secret_file(&given, &credentials(data.path(), "printer").to_string());
    assert_eq!(consumers(data.path()).await, 1);
    assert_eq!(events(&["--credentials", path(&given)]), all);
    assert_eq!(events(&["--nats", &nats_as(data.path(), User::Operator)]), all);
    assert_eq!(consumers(data.path()).await, 1);
    assert_eq!(process.terminate().code(), Some(0));
    assert_eq!(of(&[]), all);
}

/// `emshop consume --follow`, whose lines are read one by one.
struct Following {
    child: Child,
    /// Until nobody reads them any more.
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Following {
    fn start(flags: &[&str]) -> Self {
        let mut command = command(&[&["consume", "--follow"], flags].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines: Some(lines) }
    }

    fn take(&mut self, count: usize) -> Vec<Value> {
        let lines = self.lines.as_mut().expect("they are read").take(count);
        lines.map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("JSON")).collect()
    }

    /// How it ends by itself, and soon.
    fn ends(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("it is a child") {
                Some(status) => return status,
                None => assert!(Instant::now() < deadline, "it does not end"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_misses_nothing_and_is_told_nothing_twice_over_a_kill() {
    let data = TempDir::new().unwrap();
    let (mut process, mut shop) = shop(data.path()).await;
    let mut following = Following::start(&["--data", path(data.path())]);
    let mut seen = Vec::new();
    for round in 0..3 {
        let count = shop.inspect().await[0].events as usize;
        seen.extend(following.take(count - seen.len()));
        process.kill();
        process = Process::all(data.path());
        shop = Shop::new(process.channel().await);
        for order in 0..10 {
            shop.call(Body::SubmitOrder(submit(&format!("r{round}-{order}"), &[(1, 1)])).into()).await;
        }
        tokio::time::sleep(MOMENT).await;
    }
    let count = shop.inspect().await[0].events;
    seen.extend(following.take(count as usize - seen.len()));
    let mut told = numbers(&seen);
    told.sort_unstable();
    assert!(told.iter().copied().eq(1..=count), "{told:?}");
    assert_eq!(consumers(data.path()).await, 0);
    send(following.child.id(), Signal::SIGINT);
    assert_eq!(following.take(1), [] as [Value; 0], "no half line");
    assert_eq!(following.ends().code(), Some(0));
    assert_eq!(process.terminate().code(), Some(0));
}

/// As behind `| head`: also where nothing more comes that it could notice it by.
#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_nobody_reads_any_more() {
    let data = TempDir::new().unwrap();
    let (process, _shop) = shop(data.path()).await;
    for flags in [&[][..], &["--type", "order.submitted"]] {
        let mut following = Following::start(&[&["--data", path(data.path())], flags].concat());
        assert_eq!(following.take(1).len(), 1);
        following.lines = None;
        assert_eq!(following.ends().code(), Some(0), "{flags:?}");
    }
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_in_a_sentence() {
    let data = TempDir::new().unwrap();
    let refused = |flags: &[&str], status: i32, words: &[&str]| {
        let output = consume(flags);
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(status), "{flags:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in: {said}");
        }
    };
    refused(&["--type", "order.eaten"], 2, &["order.eaten", "order.submitted", "access.changed"]);
    refused(&["--from", "yesterday"], 2, &["--from", "`start`", "2026-11-27T08:00:00Z"]);
    refused(&["--from", "7"], 2, &["--type", "EMSHOP_CATALOGUE, EMSHOP_ACCESS, EMSHOP_EVENTS"]);
    refused(&["--credentials", "f", "--nats", "n"], 2, &["--credentials", "--nats"]);
    refused(&["--data", "/no/such/folder"], 1, &["/no/such/folder", "holds no state"]);
    refused(&["--nats", "nats://127.0.0.1:1"], 1, &["no connection to nats-server at nats://127.0.0.1:1"]);

    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    refused(&["--nats", &nats_as(data.path(), User::Operator)], 1, &["has no stream EMSHOP_CATALOGUE", "no shop yet"]);
    nats.stop().await;

    let folder = data.path().join("shop");
    let (process, _shop) = shop(&folder).await;
    let mut given = credentials(&folder, "printer");
    given["password"] = "guess".into();
    let file = data.path().join("given.json");
    secret_file(&file, &given.to_string());
    refused(&["--credentials", path(&file)], 1, &["authorization violation"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    refused(&["--credentials", path(&file)], 1, &["the credentials", "others than its owner"]);
    secret_file(&data.path().join("other.json"), "{}");
    refused(&["--credentials", path(&data.path().join("other.json"))], 1, &["`emshop consumer-credentials` prints"]);
    refused(&["--data", path(&folder), "--type", "order.paid", "--from", "100"], 1, &["EMSHOP_EVENTS ends at sequence", "100"]);
    assert_eq!(process.terminate().code(), Some(0));
    refused(&["--data", path(&folder), "--follow"], 1, &["no process serves", path(&folder)]);
}
