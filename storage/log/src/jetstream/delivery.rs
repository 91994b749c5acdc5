//! One consumer that the server pushes a log's messages through. Once it breaks it is of no more use.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::{HeaderMap, Message, StatusCode, Subscriber, jetstream};
use bytes::Bytes;
use emshop_proto::seal::Seal;
use futures::StreamExt;
use tokio::time::timeout;

use super::JetStreamLog;
use super::connection::{Link, Reachable};
use super::metrics::LogMetrics;
use crate::{Entry, LogError};

/// How often the server speaks up when it has nothing to deliver.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// A server this silent is gone, or has forgotten the consumer.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);
/// After so many heartbeats in a row it is worth asking whether there really is nothing to deliver.
const IDLE_HEARTBEATS: u32 = 4;
/// After this time without a subscriber the server forgets the consumer.
const INACTIVE_MAX: Duration = Duration::from_secs(10);

const LAST_CONSUMER_SEQUENCE: &str = "Nats-Last-Consumer";
const STALLED_ON: &str = "Nats-Consumer-Stalled";

pub(super) struct Delivery {
    link: Link,
    /// Of the log.
    seal: Seal,
    metrics: Arc<LogMetrics>,
    subscriber: Subscriber,
    /// Changes when the connection is lost.
    reachable: Reachable,
    /// What the consumer delivered so far, so that messages lost on the way are noticed.
    delivered: u64,
    idle_heartbeats: u32,
}

/// What came out of a delivery.
pub(super) enum Delivered {
    Entry(Entry),
    /// For some seconds there was nothing.
    Nothing,
}

/// Why a delivery ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(String);

impl Delivery {
    /// Has the server deliver the log's messages from `next` on.
    pub async fn open(log: &JetStreamLog, next: u64) -> Result<Self, LogError> {
        let link = &log.read;
        let reachable = link.connected().await;
        let inbox = link.client.new_inbox();
        let consumer = push::Config {
            deliver_subject: inbox.clone(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: next },
            ack_policy: AckPolicy::None,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            num_replicas: 1,
            memory_storage: true,
            inactive_threshold: INACTIVE_MAX,
            ..Default::default()
        };
        let opening = async {
            // Subscribed first, since the server delivers at once.
            let subscriber = link.client.subscribe(inbox).await.map_err(|error| error.to_string())?;
            log.stream.create_consumer(consumer).await.map_err(|error| error.to_string())?;
            Ok(subscriber)
        };
        let subscriber = link.ask(opening).await?.map_err(|error: String| LogError::Unreachable(error))?;
        let (seal, metrics) = (log.seal.clone(), log.metrics.clone());
        Ok(Self { link: link.clone(), seal, metrics, subscriber, reachable, delivered: 0, idle_heartbeats: 0 })
    }

    pub async fn next(&mut self) -> Result<Delivered, Broken> {
        loop {
            let message = self.receive().await?;
            match message.status {
                None => return self.accept(message),
                Some(StatusCode::IDLE_HEARTBEAT) => self.keep_alive(&message).await?,
                Some(status) => return Err(Broken(format!("the server ended it with status {status}"))),
            }
            if self.idle_heartbeats == IDLE_HEARTBEATS {
                self.idle_heartbeats = 0;
                return Ok(Delivered::Nothing);
            }
        }
    }

    async fn receive(&mut self) -> Result<Message, Broken> {
        tokio::select! {
            // What arrived before the loss is taken first.
            biased;
            message = timeout(SILENCE_MAX, self.subscriber.next()) => match message {
                Ok(Some(message)) => Ok(message),
                Ok(None) => Err(Broken("the subscription ended".into())),
                Err(_) => Err(Broken("the server is silent".into())),
            },
            _ = self.reachable.changed() => Err(Broken("the connection was lost".into())),
        }
    }

    fn accept(&mut self, message: Message) -> Result<Delivered, Broken> {
        let message = jetstream::Message { message, context: self.link.jetstream.clone() };
        let info = message.info().map_err(|error| Broken(format!("a message without position: {error}")))?;
        self.delivered += 1;
        if info.consumer_sequence != self.delivered {
            return Err(Broken("messages were lost on the way".into()));
        }
        self.idle_heartbeats = 0;
        self.metrics.has(info.stream_sequence + info.pending);
        let (sequence, published_ns) = (info.stream_sequence, info.published.unix_timestamp_nanos() as i64);
        let Message { headers, payload, .. } = message.message;
        let time_ns = super::time_ns(super::time_of(headers.as_ref()), &payload, &self.seal, published_ns);
        Ok(Delivered::Entry(Entry { sequence, time_ns, payload }))
    }

    /// Heartbeats and flow control. That flow control is answered only when its turn comes is what slows the server down to our pace.
    async fn keep_alive(&mut self, message: &Message) -> Result<(), Broken> {
        if let Some(flow_control) = &message.reply {
            return self.answer(flow_control.to_string()).await;
        }
        self.idle_heartbeats += 1;
        let header = |name| message.headers.as_ref().and_then(|headers: &HeaderMap| headers.get(name));
        if let Some(stalled_on) = header(STALLED_ON) {
            self.answer(stalled_on.to_string()).await?;
        }
        let delivered = header(LAST_CONSUMER_SEQUENCE).and_then(|value| value.as_str().parse().ok());
        if delivered.is_some_and(|delivered: u64| delivered != self.delivered) {
            return Err(Broken("messages were lost on the way".into()));
        }
        Ok(())
    }

    async fn answer(&self, subject: String) -> Result<(), Broken> {
        self.link.client.publish(subject, Bytes::new()).await.map_err(|error| Broken(error.to_string()))
    }
}
