//! The stream of what revokes tokens: what is too old leaves it, and engines tell that from what was lost.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, State};
use emshop_core::replica::{Replica, cluster_row};
use emshop_core::state::batch::Batch;
use emshop_core::state::keys::{self, Kind};
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::store::StateStore;
use emshop_engine::runtime::facts;
use emshop_engine::shell::start::BrokenHistory;
use emshop_engine::shell::{Now, Shell};
use emshop_engine::{EngineError, Options};
use emshop_log::CommandLog;
use emshop_log::jetstream::{Cluster, Create};
use emshop_proto::events::EventType;
use emshop_proto::internal::LogRow;
use emshop_proto::subjects::{self, ACCESS_AGE_MAX, ACCESS_STREAM};
use emshop_proto::v1::{Event, EventBatch};
use prost::Message as _;
use tokio::time::{Instant, sleep};

use super::{OPTIONS, PATIENCE, Setup, key};

/// Of a stream here: nobody waits for days.
const SHORT: Duration = Duration::from_secs(1);
const HOUR_MS: i64 = 60 * 60 * 1000;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// Publishes as an engine does, behind the batch at a place.
async fn publish(setup: &Setup, number: u64, at_ms: i64, behind: u64) -> Result<u64, PublishErrorKind> {
    let name = EventType::AccessChanged.name();
    let events = vec![Event { number, at_ms, ..Event::default() }];
    let batch = EventBatch { r#type: name.to_owned(), events, ..EventBatch::default() };
    let publish = PublishMessage::build().payload(batch.encode_to_vec().into()).expected_last_subject_sequence(behind);
    let subject = setup.cluster.epoch.publishing(&subjects::event(name, 0));
    let context = async_nats::jetstream::new(setup.connection.publish().clone());
    let stored = context.send_publish(subject, publish).await.expect("it is sent").await;
    stored.map(|stored| stored.sequence).map_err(|error| error.kind())
}

/// Whether an engine starts over a state that has made `number` events, the last one at `at_ms`; what it misses, if not.
async fn start(setup: &Setup, number: u64, at_ms: i64) -> Result<(), BrokenHistory> {
    let store = Arc::new(MemoryStore::default());
    let log = LogRow {
        events: number,
        events_by_type: [(EventType::AccessChanged as u32, number)].into(),
        access_at_ms: at_ms,
        ..LogRow::default()
    };
    let (id, partitioner) = (&setup.cluster.id, setup.cluster.partitioner);
    let mut batch = Batch::default();
    batch.put(&keys::prefix(Kind::Cluster), &cluster_row(id, 0, &partitioner).encode_to_vec());
    batch.put(&keys::prefix(Kind::Log), &log.encode_to_vec());
    store.commit(&mut batch);
    let replica = Replica::open(&(store as Arc<dyn StateStore>), id, 0, partitioner).expect("just made");
    let logs = [setup.cluster.log(0) as Arc<dyn CommandLog>];
    let context = async_nats::jetstream::new(setup.connection.publish().clone());
    let facts = facts::gather(&replica, &logs, &context).await.expect("all answer");
    match Shell::start(replica, &Options::default(), &facts, Now { wall_ms: now_ms(), ..Now::default() }) {
        Ok(_) => Ok(()),
        Err(EngineError::History(broken)) => Err(broken),
        Err(error) => panic!("{error}"),
    }
}

fn lost(found: u64, published: u64) -> Result<(), BrokenHistory> {
    Err(BrokenHistory::LostEvents { log: 0, event_type: EventType::AccessChanged.name(), found, published })
}

async fn stream(context: &Context) -> (Config, State) {
    let stream = context.get_stream(ACCESS_STREAM).await.expect("it is there");
    (stream.cached_info().config.clone(), stream.cached_info().state.clone())
}

async fn wait_until_empty(context: &Context) {
    let deadline = Instant::now() + PATIENCE;
    while stream(context).await.1.messages > 0 {
        assert!(Instant::now() < deadline, "nothing leaves the stream");
        sleep(Duration::from_millis(50)).await;
    }
}

/// As `kill -9` and a disk leave it: a server that is started again knows how far the stream was.
#[tokio::test]
async fn what_revokes_tokens_leaves_its_stream_by_its_age_alone() {
    let setup = Setup::new(OPTIONS).await;
    let operator = setup.operator().await;
    assert_eq!(stream(&operator).await.0.max_age, ACCESS_AGE_MAX);
    let (young, old) = (now_ms() - HOUR_MS, now_ms() - 72 * HOUR_MS);
    assert_eq!(start(&setup, 1, old).await, lost(0, 1), "nothing was ever there");
    for number in 1..=3 {
        assert_eq!(publish(&setup, number, old, number - 1).await, Ok(number));
    }
    assert_eq!(start(&setup, 3, old).await, Ok(()));
    assert_eq!(start(&setup, 4, old).await, lost(3, 4), "it has lost its end");

    let wanted = stream(&operator).await.0;
    let short = Config { max_age: SHORT, duplicate_window: SHORT, ..wanted };
    operator.update_stream(short).await.expect("an operator may");
    wait_until_empty(&operator).await;
    for is_new in [false, true] {
        if is_new {
            setup.kill_server().await;
        }
        assert_eq!(start(&setup, 3, old).await, Ok(()), "all that was there is too old");
        assert_eq!(start(&setup, 3, young).await, lost(0, 3), "that cannot be too old");
    }

    Cluster::open(&setup.connection, OPTIONS, Create::Yes, &key()).await.expect("it was made before");
    assert_eq!(stream(&operator).await.0.max_age, ACCESS_AGE_MAX, "an engine wants it so, whoever made the stream");
    assert_eq!(
        publish(&setup, 4, young, 3).await,
        Err(PublishErrorKind::WrongLastSequence),
        "where the last one was, is nothing"
    );
    assert_eq!(publish(&setup, 4, young, 0).await, Ok(4));
    assert_eq!(start(&setup, 4, young).await, Ok(()));
    assert_eq!(start(&setup, 5, old).await, lost(4, 5), "however old it is, what is before it is there");
}
