//! The index over a real nats-server, with a stand-in for the engine's relay.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream::{self, stream::Stream};
use emshop_log::jetstream::{Cluster, ClusterOptions, Connection, Create, NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::events::EventType;
use emshop_proto::seal::{ClusterKey, KEY_BYTES};
use emshop_proto::subjects::{self, CATALOGUE_STREAM};
use emshop_proto::v1::{Event, EventBatch, Goods, GoodsSort, event};
use emshop_search::{Filter, Page, Search};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prost::Message;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Longer than anything takes that is to happen at all.
const PATIENCE: Duration = Duration::from_secs(30);

struct Shop {
    server: NatsServer,
    client: Client,
    jetstream: jetstream::Context,
    cluster: Cluster,
    events: u64,
    data: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let data = TempDir::new().unwrap();
        let server = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Interval(Duration::from_secs(120)) };
        let server = NatsServer::start(server).await.unwrap();
        let connection = Connection::open(&server.access(User::Operator).unwrap()).await.unwrap();
        let (bytes, audit_age_max) = (1 << 28, Duration::ZERO);
        let options =
            ClusterOptions { logs: None, log_bytes_max: bytes, event_bytes_max: bytes, audit_bytes_max: bytes, audit_age_max };
        let cluster = Cluster::open(&connection, options, Create::Yes, &ClusterKey::new([0; KEY_BYTES])).await.unwrap();
        let client = connection.read().clone();
        let jetstream = jetstream::new(client.clone());
        Self { server, client, jetstream, cluster, events: 0, data }
    }

    fn folder(&self) -> PathBuf {
        self.data.path().join("search")
    }

    /// Waits for the index of before to be out of the way.
    async fn search(&self) -> Search {
        let opening = async {
            loop {
                match Search::open(&self.folder(), &self.cluster.id, self.client.clone()).await {
                    Ok(search) => break search,
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            }
        };
        timeout(PATIENCE, opening).await.expect("the folder is free in time")
    }

    async fn stream(&self) -> Stream {
        self.jetstream.get_stream(CATALOGUE_STREAM).await.unwrap()
    }

    /// Publishes events of one type, and returns the sequence of their message.
    async fn publish(&mut self, event_type: EventType, goods: impl IntoIterator<Item = Goods>) -> u64 {
        let events = goods.into_iter().map(|goods| {
            self.events += 1;
            Event { number: self.events, body: Some(event::Body::Goods(Box::new(goods))), ..Event::default() }
        });
        let batch = EventBatch { r#type: event_type.name().to_owned(), events: events.collect(), ..EventBatch::default() };
        self.store(event_type, batch.encode_to_vec()).await
    }

    async fn store(&self, event_type: EventType, payload: Vec<u8>) -> u64 {
        let subject = self.cluster.epoch.publishing(&subjects::event(event_type.name(), 0));
        let published = self.jetstream.publish(subject, payload.into()).await.unwrap();
        published.await.unwrap().sequence
    }
}

fn tea(goods_id: u64) -> Goods {
    Goods { goods_id, name: "乌龙茶 oolong tea".to_owned(), ..Goods::default() }
}

fn no_more(goods_id: u64) -> Goods {
    Goods { goods_id, ..Goods::default() }
}

async fn total(search: &Search) -> u64 {
    let filter = Filter { keywords: "oolong".to_owned(), limit: 1, ..Filter::default() };
    timeout(PATIENCE, search.list(filter)).await.expect("in time").unwrap().total
}

async fn caught_up(search: &Search, sequence: u64) {
    timeout(PATIENCE, search.caught_up(sequence)).await.expect("it catches up in time").unwrap();
}

#[tokio::test]
async fn changes_are_found_a_moment_after_they_were_made() {
    let mut shop = Shop::open().await;
    let search = shop.search().await;
    assert_eq!(total(&search).await, 0);
    for goods_id in 1..=5 {
        let made = Instant::now();
        let sequence = shop.publish(EventType::GoodsCreated, [tea(goods_id)]).await;
        caught_up(&search, sequence).await;
        assert_eq!(total(&search).await, goods_id);
        assert!(made.elapsed() < Duration::from_secs(2), "{:?}", made.elapsed());
    }
    shop.publish(EventType::GoodsChanged, [Goods { on_sale: Some(false), ..tea(1) }]).await;
    let last = shop.publish(EventType::GoodsDeleted, [no_more(2)]).await;
    caught_up(&search, last).await;
    let filter = Filter { sort: GoodsSort::PriceAscending, limit: 2, offset: 1, ..Filter::default() };
    assert_eq!(search.list(filter).await.unwrap(), Page { goods_ids: vec![4, 5], total: 3 });
    search.stop().await;
    assert!(search.list(Filter { limit: 1, ..Filter::default() }).await.is_err(), "what is not kept up to date denies no goods");
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let mut shop = Shop::open().await;
    let search = shop.search().await;
    let half = shop.publish(EventType::GoodsCreated, [tea(1), tea(2)]).await;
    caught_up(&search, half).await;
    search.stop().await;
    // What was consumed is not needed any more.
    shop.stream().await.purge().sequence(half + 1).await.unwrap();
    shop.publish(EventType::GoodsCreated, [tea(3)]).await;
    let search = shop.search().await;
    assert_eq!((total(&search).await, search.consumed()), (3, half + 1));

    let last = shop.publish(EventType::GoodsDeleted, [no_more(1)]).await;
    drop(search);
    let search = shop.search().await;
    assert_eq!((total(&search).await, search.consumed()), (2, last));
}

#[tokio::test]
async fn a_lost_folder_is_made_anew_from_a_flood() {
    const GOODS: u64 = 10_000;
    let mut shop = Shop::open().await;
    let search = shop.search().await;
    let flooded = Instant::now();
    let mut last = 0;
    for first in (1..=GOODS).step_by(20) {
        last = shop.publish(EventType::GoodsCreated, (first..first + 20).map(tea)).await;
    }
    caught_up(&search, last).await;
    assert!(flooded.elapsed() < PATIENCE, "{:?}", flooded.elapsed());
    assert_eq!(total(&search).await, GOODS);
    search.stop().await;

    fs::remove_dir_all(shop.folder()).unwrap();
    let search = shop.search().await;
    assert_eq!(total(&search).await, GOODS, "no goods are denied meanwhile");
    search.stop().await;
}

#[tokio::test]
async fn a_server_that_was_away_is_followed_again() {
    let mut shop = Shop::open().await;
    let search = shop.search().await;
    let first = shop.publish(EventType::GoodsCreated, [tea(1)]).await;
    caught_up(&search, first).await;
    for goods_id in 2..=3 {
        let pid = shop.server.pid().expect("it runs");
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        assert_eq!(total(&search).await, goods_id - 1, "what is known is found meanwhile");
        let back = async { while shop.jetstream.get_stream(CATALOGUE_STREAM).await.is_err() {} };
        timeout(PATIENCE, back).await.expect("the server is back in time");
        let sequence = shop.publish(EventType::GoodsCreated, [tea(goods_id)]).await;
        caught_up(&search, sequence).await;
        assert_eq!(total(&search).await, goods_id);
    }
    shop.server.stop().await;
    timeout(PATIENCE, search.stop()).await.expect("it stops without a server");
}

#[tokio::test]
async fn a_stream_that_was_trimmed_gives_what_it_has() {
    let mut shop = Shop::open().await;
    shop.publish(EventType::GoodsCreated, [tea(1)]).await;
    let second = shop.publish(EventType::GoodsCreated, [tea(2)]).await;
    let stream = shop.stream().await;
    stream.purge().sequence(second).await.unwrap();
    let search = shop.search().await;
    assert_eq!(total(&search).await, 1);
    search.stop().await;

    stream.purge().await.unwrap();
    fs::remove_dir_all(shop.folder()).unwrap();
    let search = shop.search().await;
    assert_eq!((total(&search).await, search.consumed()), (0, second), "nothing is left to wait for");
    search.stop().await;
}

#[tokio::test]
async fn a_stream_that_was_replaced_is_read_anew() {
    let mut shop = Shop::open().await;
    let search = shop.search().await;
    shop.publish(EventType::GoodsCreated, [tea(1)]).await;
    let last = shop.publish(EventType::GoodsCreated, [tea(2)]).await;
    caught_up(&search, last).await;
    search.stop().await;

    let config = shop.stream().await.cached_info().config.clone();
    shop.jetstream.delete_stream(CATALOGUE_STREAM).await.unwrap();
    shop.jetstream.create_stream(config).await.unwrap();
    shop.events = 0;
    shop.publish(EventType::GoodsCreated, [tea(1)]).await;
    let search = shop.search().await;
    assert_eq!((total(&search).await, search.consumed()), (1, 1));
    search.stop().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_not_passed_over() {
    let mut shop = Shop::open().await;
    let search = shop.search().await;
    assert_eq!(total(&search).await, 0);
    let first = shop.publish(EventType::GoodsCreated, [tea(1)]).await;
    let broken = shop.store(EventType::GoodsCreated, b"no batch".to_vec()).await;
    let after = shop.publish(EventType::GoodsCreated, [tea(2)]).await;
    caught_up(&search, first).await;
    assert!(timeout(Duration::from_millis(500), search.caught_up(broken)).await.is_err(), "it waits for help");
    assert_eq!(total(&search).await, 1);
    timeout(PATIENCE, search.stop()).await.expect("it stops all the same");

    shop.stream().await.delete_message(broken).await.unwrap();
    let search = shop.search().await;
    assert_eq!((total(&search).await, search.consumed()), (2, after));
    search.stop().await;
}

#[tokio::test]
async fn types_of_later_releases_change_no_entry() {
    let mut shop = Shop::open().await;
    let search = shop.search().await;
    let batch = EventBatch { r#type: "goods.admired".to_owned(), events: vec![Event::default()], ..EventBatch::default() };
    shop.store(EventType::GoodsChanged, batch.encode_to_vec()).await;
    let last = shop.publish(EventType::GoodsCreated, [tea(1)]).await;
    caught_up(&search, last).await;
    assert_eq!(total(&search).await, 1);
    search.stop().await;
}
