//! `emshop status`: what is told of a shop that is served, and of one that is not.

use std::fs;
use std::process::Output;

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, command, nats_as, path, send};
use crate::shop::Shop;

fn status(flags: &[&str]) -> Output {
    command(&[&["status"], flags].concat()).output().expect("the binary runs")
}

/// What is told, and why the shop is not served.
fn told(flags: &[&str]) -> (Value, String) {
    let output = status(&[flags, &["-o", "json"]].concat());
    let reasons = String::from_utf8(output.stderr).expect("UTF-8");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {reasons}"));
    assert_eq!(told["served"], reasons.is_empty(), "{reasons}");
    assert_eq!(output.status.code(), Some(if reasons.is_empty() { 0 } else { 1 }), "{reasons}");
    (told, reasons)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_is_served_and_one_whose_engine_stands_still() {
    let data = TempDir::new().unwrap();
    let folder = ["--data", path(data.path())];
    let process = Process::serve(&["--data", path(data.path()), "--logs", "2"]);
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[5, 6]).await;
    shop.settled().await;

    let (served, reasons) = told(&folder);
    assert_eq!(reasons, "");
    assert_eq!(served["cluster"], fs::read_to_string(data.path().join("cluster")).unwrap().trim());
    let logs = served["logs"].as_array().expect("logs");
    assert_eq!(logs.len(), 2);
    for (number, log) in logs.iter().enumerate() {
        assert_eq!(log["log"], number);
        assert_eq!(log["engine"]["process"], process.pid());
        assert_eq!([&log["lag"], &log["stuck"]], [&json!(0), &json!(0)], "{log}");
        assert!(log["last"].as_u64() > Some(0) && log["applied"].as_u64() >= log["last"].as_u64(), "{log}");
    }
    let table = String::from_utf8(status(&folder).stdout).expect("UTF-8");
    let holder = format!("process {}", process.pid());
    assert!(table.contains(served["cluster"].as_str().expect("an id")) && table.matches(&holder).count() == 2, "{table}");
    let yaml = String::from_utf8(status(&[&folder[..], &["-o", "yaml"]].concat()).stdout).expect("UTF-8");
    let yaml: Value = serde_saphyr::from_str(&yaml).expect("YAML");
    assert_eq!(yaml["logs"][1]["engine"], served["logs"][1]["engine"]);

    send(process.pid(), Signal::SIGSTOP);
    let (stopped, reasons) = told(&folder);
    for log in 0..2 {
        assert!(
            reasons.contains(&format!("log {log}: nothing is heard of its engine for 2 s: emshop {holder} on ")),
            "{reasons}"
        );
        assert_eq!([&stopped["logs"][log]["applied"], &stopped["logs"][log]["stuck"]], [&Value::Null; 2]);
    }
    send(process.pid(), Signal::SIGCONT);
    shop.settled().await;
    assert_eq!(told(&folder).1, "");

    assert_eq!(process.terminate().code(), Some(0));
    let gone = status(&folder);
    assert_eq!((gone.status.code(), gone.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&gone.stderr).contains(&format!("no process serves {}", data.path().display())), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_without_an_engine_and_servers_without_a_shop() {
    let data = TempDir::new().unwrap();
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    let operator = nats_as(data.path(), User::Operator);
    let at = ["--nats", operator.as_str()];
    let none = status(&at);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("has no stream EMSHOP_LOG_0"), "{none:?}");

    let folder = data.path().join("engine");
    let engine = ["--role", "engine", "--logs", "2", "--own", "0", "--nats", &nats_as(data.path(), User::Engine)];
    let engine = Process::serve(&[&engine[..], &["--data", path(&folder)]].concat());
    let (half, reasons) = told(&at);
    assert!(reasons.contains("log 1: no engine has it") && !reasons.contains("log 0"), "{reasons}");
    assert_eq!(half["logs"][0]["engine"]["process"], engine.pid());
    assert_eq!([&half["logs"][1]["engine"], &half["logs"][1]["lag"]], [&Value::Null; 2]);

    // One that ends in order gives its log up.
    assert_eq!(engine.terminate().code(), Some(0));
    let (none, reasons) = told(&at);
    assert!(["log 0: no engine has it", "log 1: no engine has it"].iter().all(|reason| reasons.contains(reason)), "{reasons}");
    assert_eq!(none["reasons"].as_array().map(Vec::len), Some(2), "{none}");
    nats.stop().await;
}
