//! Somebody without the cluster's key publishes to the log of a shop that sells: it goes on as if nothing was there, and says so.

use std::time::Duration;

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use tempfile::TempDir;

use crate::model::Model;
use crate::process::{Process, cluster_key, command, nats_as, path, shared_key};
use crate::rounds::stranger;
use crate::shop::Shop;

const MOMENT: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_publishes_changes_nothing_and_stops_nobody() {
    let data = TempDir::new().unwrap();
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let _nats = NatsServer::start(options).await.expect("nats-server starts");
    let (url, operator) = (nats_as(data.path(), User::Engine), nats_as(data.path(), User::Operator));
    let engine = |own: &str| {
        let folder = data.path().join(own);
        Process::serve(&["--role", "engine", "--logs", "2", "--own", own, "--nats", &url, "--data", path(&folder)])
    };
    let mut engines = vec![engine("0"), engine("1")];
    let index = data.path().join("ingress");
    let ingress = Process::serve(&[
        "--role",
        "ingress",
        "--logs",
        "2",
        "--nats",
        &nats_as(data.path(), User::Ingress),
        "--data",
        path(&index),
    ]);
    let shop = Shop::new(ingress.channel().await);
    let mut model = Model::open(&shop).await;

    let mut published = vec![0, 0];
    for _ in 0..2 {
        let load = model.load(&shop);
        let more = stranger::publish(&operator).await;
        published = published.iter().zip(more).map(|(so_far, more)| so_far + more).collect();
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
    let refused = |user: User, flags: &[&str]| {
        let url = nats_as(&shop_data, user);
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--auth", "off", "--nats", &url], flags].concat();
        let output = command(&arguments).output().expect("it runs");
        assert!(!output.status.success(), "{flags:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (user, role) in [(User::Engine, "engine"), (User::Ingress, "ingress")] {
        let refusal = refused(user, &["--role", role, "--data", path(&guest)]);
        assert!(refusal.contains("is sealed with key") && refusal.contains("cluster.key_file"), "{refusal}");
    }
    let refusal = refused(User::Shop, &["--data", path(&guest)]);
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
