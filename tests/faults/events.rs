use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull::OrderedConfig};
use emshop_log::jetstream::User;
use emshop_proto::continuity::Continuity;
use emshop_proto::events::EventType;
use emshop_proto::subjects::{self, EVENT_STREAMS};
use emshop_proto::v1::EventBatch;
use futures::StreamExt;
use futures::stream::select_all;
use prost::Message;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::model::Model;
use crate::process::{PATIENCE, Process, nats_as, nats_client};
use crate::shop::Shop;

const MOMENT: Duration = Duration::from_millis(600);

/// Reads the events as a downstream service would, until it has the first `count` of them; returns the type of each by its number.
async fn consume(nats: &str, count: u64) -> BTreeMap<u64, String> {
    let jetstream = jetstream::new(nats_client(nats).await);
    let mut streams = Vec::new();
    for name in EVENT_STREAMS {
        let stream = jetstream.get_stream(name).await.expect("the stream exists");
        let consumer = stream.create_consumer(OrderedConfig::default()).await.expect("it can be read");
        streams.push(consumer.messages().await.expect("it can be read"));
    }
    let mut messages = select_all(streams);
    let mut continuity = Continuity::default();
    let mut types = BTreeMap::new();
    while (types.len() as u64) < count {
        let message = timeout(PATIENCE, messages.next()).await.expect("all events come").expect("endless").expect("a message");
        let batch = EventBatch::decode(message.payload.clone()).expect("a batch");
        let what = batch.r#type.clone();
        assert_eq!(message.subject.as_str(), subjects::event(&what, batch.log));
        let fresh = continuity.take(batch).expect("nothing is missing");
        // Levels of stock may have been told since somebody counted.
        for event in fresh.into_iter().filter(|event| event.number <= count) {
            assert!(event.body.is_some() && event.at_ms > 0 && event.log_sequence > 0, "{event:?}");
            assert_eq!(types.insert(event.number, what.clone()), None, "one number, one event");
        }
    }
    types
}

#[tokio::test(flavor = "multi_thread")]
async fn downstream_misses_no_event_and_takes_none_twice() {
    let data = TempDir::new().unwrap();
    let mut process = Process::all(data.path());
    let mut shop = Shop::new(process.channel().await);
    let mut model = Model::open(&shop).await;
    for _ in 0..2 {
        let load = model.load(&shop);
        tokio::time::sleep(MOMENT).await;
        process.kill();
        model.end(load).await;
        process = Process::all(data.path());
        shop = Shop::new(process.channel().await);
    }
    model.check(&shop).await;

    let [log] = shop.inspect().await.try_into().expect("one log");
    let types = consume(&nats_as(data.path(), User::Operator), log.events).await;
    assert!(types.keys().copied().eq(1..=log.events), "numbered without gaps");
    let count = |of: EventType| types.values().filter(|what| *what == of.name()).count();
    assert_eq!(count(EventType::OrderSubmitted), model.accepted());
    assert_eq!(count(EventType::GoodsCreated) as u64, log.goods);
    assert_eq!(count(EventType::LogisticsCreated) as u64, log.parcels);
    assert_eq!(process.terminate().code(), Some(0));
}

/// The slice of log time in which stock changed ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn stock_is_told_although_nothing_else_comes() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[5]).await;
    let types = consume(&nats_as(data.path(), User::Operator), 2).await;
    assert_eq!(types.into_values().collect::<Vec<_>>(), [EventType::GoodsCreated.name(), EventType::StockChanged.name()]);
    assert_eq!(process.terminate().code(), Some(0));
}
