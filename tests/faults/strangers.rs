//! Somebody without the cluster's key publishes to the log of a shop that sells: it goes on as if nothing was there, and says so.

use std::time::Duration;

use emshop_log::jetstream::{Access, Connection, NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::internal::{Query, QueryReply, UserQuery, query, query_reply};
use emshop_proto::subjects;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::{BatchGetStockResponse, GetStockRequest, StockLevel};
use futures::StreamExt;
use prost::Message;
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::Code;

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

/// With a login of the NATS server, but without the key: hashes of passwords were told to whoever asked, and whoever answered sooner than the
/// engine was believed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_asks_is_not_answered_and_what_it_answers_is_not_believed() {
    const GOODS: u64 = 1;
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let channel = process.channel().await;
    Shop::new(channel.clone()).stock_up(&[5]).await;
    let client = async |user| {
        let access = Access::new(&nats_as(data.path(), user), user).expect("an address");
        Connection::open(&access).await.expect("it lets them in").core().clone()
    };
    let asked = query::Body::Credentials(UserQuery { user_id: 1 });
    let asked = Query { body: Some(asked), viewer: 0 }.encode_to_vec();
    let answer = timeout(MOMENT, client(User::Ingress).await.request(subjects::query(0), asked.into())).await;
    assert!(answer.is_err(), "the engine hears it, and says nothing: {answer:?}");

    let mut inventory = InventoryServiceClient::new(channel);
    let mut available = async || {
        let level = inventory.get_stock(GetStockRequest { goods_id: GOODS }).await;
        level.map(|level| level.into_inner().stock.expect("a level").available).map_err(|status| status.code())
    };
    let real = available().await.expect("it is served");
    let engine = client(User::Engine).await;
    let mut questions = engine.subscribe(subjects::query(0)).await.expect("it may");
    engine.flush().await.expect("it is connected");
    let answering = tokio::spawn(async move {
        let forged = StockLevel { goods_id: GOODS, available: real + 1, ..StockLevel::default() };
        let forged = BatchGetStockResponse { stocks: vec![forged], ..BatchGetStockResponse::default() };
        let forged = QueryReply { body: Some(query_reply::Body::Stock(forged)) }.encode_to_vec();
        while let Some(question) = questions.next().await {
            let reply_to = question.reply.expect("they wait for it");
            // Both as it is, and as whoever has heard a sealed answer might try.
            for forged in [forged.clone(), [&[0; 16], &forged[..]].concat()] {
                engine.publish(reply_to.clone(), forged.into()).await.expect("it may");
            }
            engine.flush().await.expect("it is connected");
        }
    });
    for _ in 0..50 {
        let seen = available().await;
        assert!(matches!(seen, Ok(seen) if seen == real) || seen == Err(Code::Unavailable), "{seen:?}");
    }
    answering.abort();
    let _ = answering.await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(available().await, Ok(real));
    assert_eq!(process.terminate().code(), Some(0));
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
