//! Whole streams out of a server, and into another one as a new epoch of their cluster.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use emshop_proto::seal::{ClusterKey, Seal};
use emshop_proto::subjects::{self, Epoch};
use futures::TryStreamExt;
use serde_json::json;
use tokio::time::timeout;

use super::cluster::{self, Identity, Streams, UNLIMITED};
use super::connection::ANSWER_WAIT;
use super::stored::{self, Stored};
use super::{Connection, TIME_HEADER, time_header};
use crate::{Bounds, LogError};

/// Messages that are on their way into a stream at once.
const WINDOW: usize = 256;
/// For a server that reads what was written long ago.
const MESSAGE_WAIT: Duration = Duration::from_secs(20);

/// A message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Where it stands.
    pub sequence: u64,
    /// When the stream took it, in Unix nanoseconds.
    pub time_ns: i64,
    /// As the stream has it.
    pub subject: String,
    /// What it holds.
    pub payload: Bytes,
}

/// Names of all streams of a cluster with so many logs that an archive has.
pub fn streams(logs: u32) -> Vec<String> {
    let others =
        subjects::EVENT_STREAMS.into_iter().chain([subjects::AUDIT_STREAM, subjects::SETTINGS_STREAM]).map(str::to_owned);
    (0..logs).map(subjects::log_stream).chain(others).collect()
}

/// What a stream of this cluster holds; `None` when there is none.
///
/// # Errors
/// [`LogError::Unfit`] when the stream is of another cluster, and [`LogError::Unreachable`].
pub async fn bounds(
    connection: &Connection,
    stream: &str,
    cluster_id: &str,
    key: &ClusterKey,
) -> Result<Option<Bounds>, LogError> {
    let Some(info) = cluster::find(&connection.read, stream).await? else { return Ok(None) };
    match Identity::from_metadata(&info.config.metadata) {
        Some(identity) if identity.cluster == cluster_id => identity.check_key(key)?,
        _ => return Err(LogError::Unfit(format!("stream {stream} is not of cluster {cluster_id}: point to the right server"))),
    }
    Ok(Some(Bounds { first: info.state.first_sequence.max(1), last: info.state.last_sequence }))
}

/// Reads the messages of a stream that are in these bounds, in order. A log's have the times that are sealed.
///
/// # Errors
/// [`LogError::Unreachable`], that of `take`.
pub async fn read<E: From<LogError>>(
    connection: &Connection,
    stream: &str,
    seal: Option<&Seal>,
    within: Bounds,
    mut take: impl FnMut(Archived) -> Result<(), E>,
) -> Result<(), E> {
    let link = &connection.read;
    let mut next = within.first;
    while next <= within.last {
        let Err(reason) = deliver(connection, stream, seal, &mut next, within.last, &mut take).await? else { return Ok(()) };
        // No delivery gets past a message whose headers break the connection.
        let request = json!({ "seq": next, "next_by_subj": ">" });
        let Some(message) = stored::get(link, stream, &request).await? else { return Err(reason.into()) };
        next = message.sequence + 1;
        if message.sequence <= within.last {
            let sealed = |seal| super::time_ns(message.header(TIME_HEADER), &message.payload, seal, message.published_ns);
            let time_ns = seal.map_or(message.published_ns, sealed);
            let Stored { sequence, subject, payload, .. } = message;
            take(Archived { sequence, time_ns, subject, payload })?;
        }
    }
    Ok(())
}

/// Reads on from `next`. `Ok(Err)` says why it broke, somewhere before `last`.
async fn deliver<E: From<LogError>>(
    connection: &Connection,
    stream: &str,
    seal: Option<&Seal>,
    next: &mut u64,
    last: u64,
    take: &mut impl FnMut(Archived) -> Result<(), E>,
) -> Result<Result<(), LogError>, E> {
    let unreachable = |error: &dyn std::fmt::Display| LogError::Unreachable(format!("stream {stream}: {error}"));
    let found = connection.read.jetstream.get_stream(stream).await.map_err(|error| unreachable(&error))?;
    let deliver_policy = DeliverPolicy::ByStartSequence { start_sequence: *next };
    let config = pull::OrderedConfig { deliver_policy, ..Default::default() };
    let consumer = found.create_consumer(config).await.map_err(|error| unreachable(&error))?;
    let mut messages = consumer.messages().await.map_err(|error| unreachable(&error))?;
    loop {
        let message = match timeout(MESSAGE_WAIT, messages.try_next()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Ok(Err(unreachable(&"it ended before its last message"))),
            Ok(Err(error)) => return Ok(Err(unreachable(&error))),
            Err(_) => return Ok(Err(unreachable(&"it is silent"))),
        };
        let info = message.info().map_err(|error| unreachable(&error))?;
        let (sequence, published_ns) = (info.stream_sequence, info.published.unix_timestamp_nanos() as i64);
        *next = sequence + 1;
        // The last one may have been dropped meanwhile.
        if sequence <= last {
            let time = super::time_of(message.headers.as_ref());
            let sealed = |seal| super::time_ns(time, &message.payload, seal, published_ns);
            let time_ns = seal.map_or(published_ns, sealed);
            take(Archived { sequence, time_ns, subject: message.subject.to_string(), payload: message.payload.clone() })?;
        }
        if sequence >= last {
            return Ok(Ok(()));
        }
    }
}

/// A cluster that is made again of an archive. Until [`Restore::finish`] nobody can open it.
pub struct Restore<'a> {
    connection: &'a Connection,
    identity: Identity,
}

impl<'a> Restore<'a> {
    /// Makes the streams of a cluster, each of which begins at its number in `first`, on a server that has none. They are of a new epoch.
    ///
    /// # Errors
    /// [`LogError::Unfit`] when there is a cluster on the server.
    pub async fn begin(
        connection: &'a Connection,
        cluster_id: &str,
        assignment: &str,
        key: &ClusterKey,
        first: &BTreeMap<String, u64>,
    ) -> Result<Self, LogError> {
        cluster::check_server(&connection.read)?;
        let identity = Identity::again(cluster_id, assignment, key)?;
        let mut names = streams(identity.logs);
        names.push(subjects::lease_stream());
        for name in &names {
            if cluster::find(&connection.read, name).await?.is_some() {
                return Err(LogError::Unfit(format!(
                    "the nats-server has a stream {name} already: restore to a server without a cluster, or delete its streams first"
                )));
            }
        }
        Streams::look(&connection.read, UNLIMITED).await?.make_all(&identity, first).await?;
        Ok(Self { connection, identity })
    }

    /// The epoch that begins.
    pub fn epoch(&self) -> Epoch {
        self.identity.epoch
    }

    /// Brings messages into a stream, in order. Those of a log, which has a seal, keep their numbers and their times.
    ///
    /// # Errors
    /// [`LogError::Unreachable`] when one is not acknowledged, that of the messages.
    pub async fn fill<E: From<LogError>>(
        &self,
        stream: &str,
        seal: Option<&Seal>,
        messages: impl Iterator<Item = Result<Archived, E>>,
    ) -> Result<(), E> {
        let unreachable = |error: &dyn std::fmt::Display| LogError::Unreachable(format!("stream {stream}: {error}"));
        let mut under_way = VecDeque::new();
        for message in messages {
            let Archived { sequence, time_ns, subject, payload } = message?;
            let mut publish = PublishMessage::build().payload(payload.clone());
            if let Some(seal) = seal {
                let time = time_header(time_ns, &payload, seal);
                publish = publish.header(TIME_HEADER, time).expected_last_sequence(sequence - 1);
            }
            let subject = self.identity.epoch.instead(&subject);
            let sent = self.connection.publish.jetstream.send_publish(subject, publish).await;
            under_way.push_back(sent.map_err(|error| unreachable(&error))?.into_future());
            if under_way.len() == WINDOW {
                let acknowledged = under_way.pop_front().expect("there are many");
                acknowledged.await.map_err(|error| unreachable(&error))?;
            }
        }
        for acknowledged in under_way {
            timeout(ANSWER_WAIT, acknowledged)
                .await
                .map_err(|_| unreachable(&"it does not answer"))?
                .map_err(|error| unreachable(&error))?;
        }
        Ok(())
    }

    /// From now on the cluster can be opened.
    ///
    /// # Errors
    /// [`LogError`] when the server refuses or does not answer.
    pub async fn finish(self) -> Result<(), LogError> {
        Streams::look(&self.connection.read, UNLIMITED).await?.open_to_all(&self.identity).await
    }
}
