//! A downstream service: what it knows from the events alone must be what the shop has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use emshop_log::jetstream::{Access, Connection, User};
use emshop_proto::subjects::EVENT_STREAMS;
use emshop_proto::v1::{EventBatch, OrderStatus};
use emshop_simulator::consumer::Consumer;
use emshop_simulator::model::Stock;
use futures::StreamExt;
use futures::stream::{SelectAll, select_all};
use prost::Message;
use tokio::time::{Instant, timeout};

use crate::process::PATIENCE;

/// When nothing has come for so long it is worth to compare.
const SILENCE: Duration = Duration::from_millis(300);

/// What the shop has, as far as events tell.
#[derive(Debug)]
pub struct Books {
    pub orders: BTreeMap<String, OrderStatus>,
    pub stock: BTreeMap<u64, Stock>,
}

/// Why a service does not know the shop.
#[derive(Debug)]
pub enum Unknowing {
    /// It noticed by itself that it cannot.
    Noticed(String),
    /// It believes something else.
    Mistaken(String),
}

/// Reads the events from the beginning until they say what the books say.
///
/// # Errors
/// When they do not.
pub async fn follow(server: &str, books: &Books) -> Result<(), Unknowing> {
    let noticed = |error: anyhow::Error| Unknowing::Noticed(format!("{error:#}"));
    let mut messages = subscribe(server).await.map_err(noticed)?;
    let deadline = Instant::now() + PATIENCE;
    let (mut consumer, mut begun) = (Consumer::default(), BTreeSet::new());
    while Instant::now() < deadline {
        match timeout(SILENCE, messages.next()).await {
            Ok(message) => {
                let message = message.expect("endless").context("a message does not come").map_err(noticed)?;
                take(&mut consumer, &mut begun, &message.payload).map_err(Unknowing::Noticed)?;
            }
            Err(_) if differences(&consumer, books).is_empty() => return Ok(()),
            Err(_) => {}
        }
    }
    Err(Unknowing::Mistaken(differences(&consumer, books)))
}

async fn subscribe(server: &str) -> anyhow::Result<SelectAll<Ordered>> {
    let connection = Connection::open(&Access::new(server, User::Operator)?).await?;
    let jetstream = jetstream::new(connection.read().clone());
    let mut streams = Vec::new();
    for name in EVENT_STREAMS {
        let consumer = jetstream.get_stream(name).await?.create_consumer(OrderedConfig::default()).await?;
        streams.push(consumer.messages().await?);
    }
    Ok(select_all(streams))
}

fn take(consumer: &mut Consumer, begun: &mut BTreeSet<(u32, String)>, message: &[u8]) -> Result<(), String> {
    let batch = EventBatch::decode(message).map_err(|error| format!("a message is no batch: {error}"))?;
    // The streams have room for all events of a round.
    if begun.insert((batch.log, batch.r#type.clone())) && batch.previous_number > 0 {
        return Err(format!("{} of log {} begins after event {}", batch.r#type, batch.log, batch.previous_number));
    }
    consumer.take(batch)
}

/// Empty when there are none.
fn differences(consumer: &Consumer, books: &Books) -> String {
    [compare("order", &consumer.orders, &books.orders), compare("stock of goods", &consumer.stock, &books.stock)].concat()
}

fn compare<K: Ord + Debug, V: PartialEq + Debug>(what: &str, known: &BTreeMap<K, V>, there: &BTreeMap<K, V>) -> String {
    let keys: BTreeSet<_> = known.keys().chain(there.keys()).collect();
    let differing = keys.into_iter().filter(|key| known.get(key) != there.get(key));
    let told =
        differing.map(|key| format!("{what} {key:?}: downstream has {:?}, the shop {:?}\n", known.get(key), there.get(key)));
    told.collect()
}
