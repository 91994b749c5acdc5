//! Somebody without the cluster's key publishes to the log of a shop that sells: it goes on as if nothing was there, and says so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::HeaderMap;
use async_nats::jetstream::{self, message::PublishMessage};
use bytes::Bytes;
use emshop_log::jetstream::{Cluster, ClusterOptions, Connection, Create, NatsServer, ServerOptions, SyncMode};
use emshop_proto::envelope;
use emshop_proto::internal::{Channel, Envelope, Record};
use emshop_proto::seal::{ClusterKey, KEY_BYTES};
use emshop_proto::subjects::Epoch;
use tempfile::TempDir;

use crate::model::Model;
use crate::process::{Process, cluster_key, command, path, shared_key};
use crate::shop::Shop;

const MOMENT: Duration = Duration::from_millis(500);
const OPTIONS: ClusterOptions = ClusterOptions { logs: None, log_bytes_max: 8 << 30, event_bytes_max: 4 << 30 };

/// Whatever a stranger may come up with, for log `log` of two.
fn strange(log: u32) -> Vec<Bytes> {
    let other_key = ClusterKey::new([9; KEY_BYTES]).seals("of another shop").of(log);
    let channel = Some(Channel { source_log: 1 - log, first_number: 1_000, cause: None });
    let steps = Envelope { channel, records: vec![Record::default()], writer: 0 };
    vec![
        Bytes::new(),
        Bytes::from_static(b"hello"),
        envelope::encode(&Envelope::default(), &other_key),
        envelope::encode(&steps, &other_key),
    ]
}

/// Says of an entry that a restore brought it, from tomorrow.
fn of_tomorrow() -> HeaderMap {
    let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + Duration::from_secs(86_400);
    let mut headers = HeaderMap::new();
    headers.insert("Emshop-Time", format!("{} {:032x}", tomorrow.as_nanos(), 7).as_str());
    headers
}

/// Publishes it all where commands, steps and voids go. Gives how many entries these are.
async fn publish(context: &jetstream::Context, epoch: Epoch, log: u32) -> u64 {
    let mut published = 0;
    for subject in [epoch.log(log), epoch.steps(log, 1 - log), epoch.voids(log)] {
        for payload in strange(log) {
            let message = PublishMessage::build().payload(payload).headers(of_tomorrow());
            context.send_publish(subject.clone(), message).await.expect("sent").await.expect("nobody keeps them from it");
            published += 1;
        }
    }
    published
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_publishes_changes_nothing_and_stops_nobody() {
    let data = TempDir::new().unwrap();
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    let url = nats.url();
    let engine = |own: &str| {
        let folder = data.path().join(own);
        Process::serve(&["--role", "engine", "--logs", "2", "--own", own, "--nats", &url, "--data", path(&folder)])
    };
    let mut engines = vec![engine("0"), engine("1")];
    let index = data.path().join("ingress");
    let ingress = Process::serve(&["--role", "ingress", "--logs", "2", "--nats", &url, "--data", path(&index)]);
    let shop = Shop::new(ingress.channel().await);
    let mut model = Model::open(&shop).await;

    let connection = Connection::open(&url).await.expect("a connection");
    let key = ClusterKey::new([0x5a; KEY_BYTES]);
    let cluster = Cluster::open(&connection, OPTIONS, Create::Yes, &key).await.expect("the cluster");
    let context = jetstream::new(connection.publish().clone());
    let mut published = [0, 0];
    for _ in 0..2 {
        let load = model.load(&shop);
        for (log, published) in (0..).zip(&mut published) {
            *published += publish(&context, cluster.epoch, log).await;
        }
        tokio::time::sleep(MOMENT).await;
        model.end(load).await;
        // Read again from the log, and compared with what the other log has of it.
        engines.drain(..).for_each(Process::kill);
        engines.extend(["0", "1"].map(engine));
        model.check(&shop).await;
    }
    let inspected: Vec<_> = shop.inspect().await.iter().map(|log| log.strange_entries).collect();
    assert_eq!(inspected, published);
}

/// With another key an engine would take all of the log for a stranger's, and an ingress would write what counts as nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_the_key_of_the_cluster_does_not_start() {
    let data = TempDir::new().unwrap();
    let (shop_data, guest) = (data.path().join("shop"), data.path().join("guest"));
    let process = Process::all(&shop_data);
    let url = process.nats.clone();
    let refused = |flags: &[&str]| {
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--auth", "off", "--nats", &url], flags].concat();
        let output = command(&arguments).output().expect("it runs");
        assert!(!output.status.success(), "{flags:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for role in ["engine", "ingress"] {
        let refusal = refused(&["--role", role, "--data", path(&guest)]);
        assert!(refusal.contains("is sealed with key") && refusal.contains("cluster.key_file"), "{refusal}");
    }
    let refusal = refused(&["--data", path(&guest)]);
    assert!(refusal.contains("the nats-server has a cluster") && refusal.contains("has no key of it"), "{refusal}");
    assert!(!guest.join("cluster.key").exists(), "a key that fits nothing is not made");
    assert_eq!(process.terminate().code(), Some(0));

    let key = cluster_key(&shop_data).fingerprint();
    std::fs::remove_file(shop_data.join("cluster.key")).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--auth", "off", "--data", path(&shop_data)];
    let output = command(&serve).output().expect("it runs");
    let refusal = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(refusal.contains("has no key of it") && !shop_data.join("cluster.key").exists(), "{refusal}");
    let output = command(&[&serve[..], &["--cluster-key-file", path(shared_key())]].concat()).output().expect("it runs");
    let refusal = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(refusal.contains(&format!("is sealed with key {key}")), "{refusal}");
}
