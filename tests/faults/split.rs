use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::partitioner::Partitioner;
use tempfile::TempDir;

use crate::model::Model;
use crate::process::{Process, nats_as, path};
use crate::shop::Shop;

const MOMENT: Duration = Duration::from_millis(700);

fn engine(nats: &str, own: &str, data: &Path) -> Process {
    let data = data.join(own);
    Process::serve(&["--role", "engine", "--logs", "2", "--own", own, "--nats", nats, "--data", path(&data)])
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_over_two_logs_end_although_an_engine_is_killed() {
    let data = TempDir::new().unwrap();
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    let url = nats_as(data.path(), User::Engine);
    let (first, second) = (engine(&url, "0", data.path()), engine(&url, "1", data.path()));
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
    let logs: BTreeSet<_> = (1..=40).map(|goods_id| Partitioner::new(2).of_goods(goods_id).log).collect();
    assert_eq!(logs.len(), 2, "goods live in both logs, so orders do");

    let mut model = Model::open(&shop).await;
    let load = model.load(&shop);
    tokio::time::sleep(MOMENT).await;
    second.kill();
    let second = engine(&url, "1", data.path());
    tokio::time::sleep(MOMENT).await;
    first.kill();
    let first = engine(&url, "0", data.path());
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    model.check(&shop).await;

    assert!(shop.inspect().await.iter().all(|log| log.orders > 0), "both logs had orders");
    for process in [ingress, first, second] {
        assert_eq!(process.terminate().code(), Some(0));
    }
    nats.stop().await;
}
