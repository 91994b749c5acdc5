//! Whatever is put together from two histories is refused, with what is wrong and what to do. Nothing is made in its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream;
use emshop_log::CommandLog;
use emshop_log::jetstream::{Cluster, ClusterOptions, Connection, Create, NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::envelope;
use emshop_proto::internal::Envelope;
use futures::TryStreamExt;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::model::Model;
use crate::process::{Process, cluster_key, command, nats_as, nats_client, path, send, wait_until_gone};
use crate::shop::Shop;

const MOMENT: Duration = Duration::from_millis(1_200);

/// A shop that is open for a moment, and then ends in order.
async fn open_for_a_moment(data: &Path, model: Option<Model>) -> Model {
    let process = Process::all(data);
    let shop = Shop::new(process.channel().await);
    let mut model = match model {
        Some(model) => model,
        None => Model::open(&shop).await,
    };
    let load = model.load(&shop);
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    assert_eq!(process.terminate().code(), Some(0));
    model
}

/// Why a start ends. It has to.
fn refusal(data: &Path) -> String {
    let ended = command(&["serve", "--listen", "127.0.0.1:0", "--auth", "off", "--data", path(data)]).output().expect("it runs");
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && !text.contains(r#""message":"serving""#), "it serves:\n{text}");
    text
}

fn streams(data: &Path) -> PathBuf {
    data.join("nats/jetstream/SHOP/streams")
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs");
    assert!(copied.success());
}

async fn server(data: &Path) -> NatsServer {
    let options = ServerOptions { data_dir: data.join("nats"), sync: SyncMode::Always };
    NatsServer::start(options).await.expect("nats-server starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_a_flipped_bit_is_refused() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let shop = Shop::new(process.channel().await);
    let mut model = Model::open(&shop).await;
    let load = model.load(&shop);
    tokio::time::sleep(MOMENT).await;
    let nats = process.nats_pid();
    send(nats, Signal::SIGKILL);
    process.kill();
    wait_until_gone(nats);
    model.end(load).await;

    let blocks = streams(data.path()).join("EMSHOP_LOG_0/msgs");
    let mut blocks: Vec<_> = fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path()).collect();
    blocks.retain(|block| block.extension().is_some_and(|extension| extension == "blk"));
    blocks.sort();
    let mut bytes = fs::read(&blocks[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&blocks[0], bytes).unwrap();
    let refusal = refusal(data.path());
    assert!(refusal.contains("the log lost acknowledged records"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_log_that_was_written_on_is_refused() {
    let data = TempDir::new().unwrap();
    let model = open_for_a_moment(data.path(), None).await;
    let older = data.path().join("older");
    copy(&data.path().join("nats"), &older);
    open_for_a_moment(data.path(), Some(model)).await;
    copy(&older, &data.path().join("nats"));

    // An ingress that was faster than the engine.
    let nats = server(data.path()).await;
    let connection = Connection::open(&nats.access(User::Shop).expect("its password")).await.expect("a connection");
    let (bytes, audit_age_max) = (8 << 30, Duration::ZERO);
    let options =
        ClusterOptions { logs: None, log_bytes_max: bytes, event_bytes_max: bytes, audit_bytes_max: bytes, audit_age_max };
    let cluster = Cluster::open(&connection, options, Create::Yes, &cluster_key(data.path())).await.expect("the cluster");
    for _ in 0..3_000 {
        let payload = envelope::encode(&Envelope::default(), cluster.log(0).seal());
        cluster.log(0).append(payload).await.expect("an append");
    }
    nats.stop().await;
    let refusal = refusal(data.path());
    assert!(refusal.contains("the log was replaced by an older copy and written on"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_empty_is_refused_and_nothing_is_made_in_it() {
    let data = TempDir::new().unwrap();
    open_for_a_moment(data.path(), None).await;
    let kept = data.path().join("kept");
    fs::rename(data.path().join("nats"), &kept).unwrap();
    let text = refusal(data.path());
    assert!(text.contains("but has no nats-server") && text.contains("keep the data folder"), "{text}");
    assert!(!data.path().join("nats").exists(), "an empty one is in its place");

    server(data.path()).await.stop().await;
    let text = refusal(data.path());
    assert!(text.contains("has no stream EMSHOP_LOG_0") && text.contains("Keep the data folder"), "{text}");

    let nats = server(data.path()).await;
    let context = jetstream::new(nats_client(&nats_as(data.path(), User::Operator)).await);
    let made: Vec<String> = context.stream_names().try_collect().await.expect("names");
    assert!(made.is_empty(), "made in its place: {made:?}");
    nats.stop().await;

    fs::remove_dir_all(data.path().join("nats")).unwrap();
    fs::rename(&kept, data.path().join("nats")).unwrap();
    let process = Process::all(data.path());
    assert!(Shop::new(process.channel().await).inspect().await[0].orders > 0, "with its storage back the shop goes on");
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_events_is_refused() {
    let data = TempDir::new().unwrap();
    let model = open_for_a_moment(data.path(), None).await;
    let (events, older) = (streams(data.path()).join("EMSHOP_EVENTS"), data.path().join("older"));
    copy(&events, &older);
    open_for_a_moment(data.path(), Some(model)).await;
    copy(&older, &events);
    let refusal = refusal(data.path());
    assert!(refusal.contains("the event streams have") && refusal.contains("Restore their storage"), "{refusal}");
}
