//! One consumer of the stream of changes. Once it breaks it is of no more use.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use emshop_proto::subjects::CATALOGUE_STREAM;
use futures::StreamExt;

use crate::change::{self, Change, Unreadable};

/// Messages that the server sends ahead, of up to 48 KiB each.
const MESSAGES_AHEAD: usize = 32;
/// A server that is silent for two of these has lost us.
const HEARTBEAT: Duration = Duration::from_secs(1);
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// After this time without us the server forgets the consumer.
const INACTIVE_MAX: Duration = Duration::from_secs(30);

pub struct Delivery {
    messages: pull::Stream,
    /// Messages delivered so far, so that one lost on the way is noticed.
    delivered: u64,
    /// Messages that the stream held when this began.
    held: u64,
}

/// One message of the stream.
pub struct Delivered {
    pub sequence: u64,
    pub bytes: usize,
    pub changes: Vec<Change>,
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("{CATALOGUE_STREAM} is out of reach: {0}")]
    Unreachable(String),
    #[error("the delivery of {CATALOGUE_STREAM} broke: {0}")]
    Lost(String),
    #[error(
        "message {0} of {CATALOGUE_STREAM} cannot be read: {1}. Run a release that can, or delete the message if it is damaged"
    )]
    Unreadable(u64, Unreadable),
}

impl Delivery {
    /// Has the server deliver the messages from `next` on.
    pub async fn open(stream: &Stream, next: u64) -> Result<Self, Broken> {
        let unreachable = |error: String| Broken::Unreachable(error);
        let consumer = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: next },
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
    pub async fn next(&mut self) -> Result<Delivered, Broken> {
        let lost = |reason: String| Broken::Lost(reason);
        let message = self.messages.next().await.ok_or_else(|| lost("the server ended it".into()))?;
        let message = message.map_err(|error| lost(error.to_string()))?;
        let info = message.info().map_err(|error| lost(format!("a message without position: {error}")))?;
        if info.consumer_sequence != self.delivered + 1 {
            return Err(lost("messages were lost on the way".into()));
        }
        let sequence = info.stream_sequence;
        let changes = change::decode(&message.payload).map_err(|unreadable| Broken::Unreadable(sequence, unreadable))?;
        self.delivered += 1;
        Ok(Delivered { sequence, bytes: message.payload.len(), changes })
    }
}
