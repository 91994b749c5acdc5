//! One engine serves a log, whoever else would like to.

use std::path::Path;
use std::time::Duration;

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::model::{Load, Model};
use crate::process::{Process, Starting, nats_as, path, send};
use crate::shop::Shop;

const MOMENT: Duration = Duration::from_millis(700);

/// A shop whose customers order, served by an engine and an ingress beside a nats-server.
struct Open {
    nats: NatsServer,
    first: Process,
    ingress: Process,
    shop: Shop,
    model: Model,
    load: Load,
}

impl Open {
    async fn new(data: &Path) -> Self {
        let options = ServerOptions { data_dir: data.join("nats"), sync: SyncMode::Always };
        let nats = NatsServer::start(options).await.expect("nats-server starts");
        let first = engine(data, "first").serves();
        let index = data.join("ingress");
        let ingress = Process::serve(&["--role", "ingress", "--nats", &nats_as(data, User::Ingress), "--data", path(&index)]);
        let shop = Shop::new(ingress.channel().await);
        let mut model = Model::open(&shop).await;
        let load = model.load(&shop);
        Self { nats, first, ingress, shop, model, load }
    }
}

/// An engine with a data folder of its own.
fn engine(data: &Path, folder: &str) -> Starting {
    let nats = nats_as(data, User::Engine);
    Starting::spawn(&["--role", "engine", "--nats", &nats, "--data", path(&data.join(folder))])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_engine_waits_until_the_first_one_is_gone() {
    let data = TempDir::new().unwrap();
    let Open { nats, first, ingress, shop, mut model, load } = Open::new(data.path()).await;
    let second = engine(data.path(), "second");
    let who = second.says("waiting until it ends");
    assert!(who.contains(&format!("emshop process {} on ", first.pid())), "{who}");
    tokio::time::sleep(MOMENT).await;
    first.kill();
    second.says("takes the log over");
    let second = second.serves();
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    model.check(&shop).await;

    // One that ends in order leaves nobody waiting, and one that comes back to its folder neither.
    let third = engine(data.path(), "first");
    third.says("waiting until it ends");
    assert_eq!(second.terminate().code(), Some(0));
    let third = third.serves();
    model.check(&shop).await;
    assert_eq!([ingress, third].map(|process| process.terminate().code()), [Some(0); 2]);
    nats.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stood_still_ends_when_another_one_has_its_log() {
    let data = TempDir::new().unwrap();
    let Open { nats, first, ingress, shop, mut model, load } = Open::new(data.path()).await;
    tokio::time::sleep(MOMENT).await;
    send(first.pid(), Signal::SIGSTOP);
    let second = engine(data.path(), "second");
    second.says("takes the log over");
    let second = second.serves();
    tokio::time::sleep(MOMENT).await;
    send(first.pid(), Signal::SIGCONT);
    assert_eq!(first.ends().code(), Some(1), "it has nothing to do any more");
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    model.check(&shop).await;
    assert_eq!([ingress, second].map(|process| process.terminate().code()), [Some(0); 2]);
    nats.stop().await;
}
