//! One consumer of a stream of events, whose messages are pulled. Once it breaks it is of no more use.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures::StreamExt;

/// Messages that the server sends ahead, of up to 48 KiB each.
const MESSAGES_AHEAD: usize = 32;
/// A server that is silent for two of these has lost us.
const HEARTBEAT: Duration = Duration::from_secs(1);
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// After this time without us the server forgets the consumer.
const INACTIVE_MAX: Duration = Duration::from_secs(30);

/// Delivers the messages of a stream in their order, each once.
pub struct Followed {
    messages: pull::Stream,
    /// Messages delivered so far, so that one lost on the way is noticed.
    delivered: u64,
    /// Messages that the stream held when this began.
    held: u64,
}

/// One message of the stream.
pub struct Event {
    /// Of the stream.
    pub sequence: u64,
    /// The last one that the stream had when it was delivered.
    pub last: u64,
    /// What was published.
    pub payload: Bytes,
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The server does not make a consumer.
    #[error("it is out of reach: {0}")]
    Unreachable(String),
    /// The server does not deliver any more.
    #[error("its delivery broke: {0}")]
    Lost(String),
}

impl Followed {
    /// Has the server deliver messages.
    ///
    /// # Errors
    /// When the server makes no consumer.
    pub async fn open(stream: &Stream, deliver_policy: DeliverPolicy) -> Result<Self, Broken> {
        let unreachable = |error: String| Broken::Unreachable(error);
        let consumer = pull::Config {
            deliver_policy,
            ack_policy: AckPolicy::None,
            num_replicas: 1,
            memory_storage: true,
            inactive_threshold: INACTIVE_MAX,
            ..Default::default()
        };
        let consumer = stream.create_consumer(consumer).await.map_err(|error| unreachable(error.to_string()))?;
        let held = consumer.cached_info().num_pending;
        let messages = consumer.stream().max_messages_per_batch(MESSAGES_AHEAD).expires(PULL_EXPIRES).heartbeat(HEARTBEAT);
        let messages = messages.messages().await.map_err(|error| unreachable(error.to_string()))?;
        Ok(Self { messages, delivered: 0, held })
    }

    /// Whether all that the stream held when this began has come.
    pub fn has_brought_all(&self) -> bool {
        self.delivered >= self.held
    }

    /// The next message, which is not lost when this is not awaited to its end.
    ///
    /// # Errors
    /// When the delivery has broken.
    pub async fn next(&mut self) -> Result<Event, Broken> {
        let lost = |reason: String| Broken::Lost(reason);
        let message = self.messages.next().await.ok_or_else(|| lost("the server ended it".into()))?;
        let message = message.map_err(|error| lost(error.to_string()))?;
        let info = message.info().map_err(|error| lost(format!("a message without position: {error}")))?;
        if info.consumer_sequence != self.delivered + 1 {
            return Err(lost("messages were lost on the way".into()));
        }
        self.delivered += 1;
        let (sequence, last) = (info.stream_sequence, info.stream_sequence + info.pending);
        Ok(Event { sequence, last, payload: message.message.payload })
    }
}
