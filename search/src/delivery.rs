//! One delivery of the stream of changes. Once it breaks it is of no more use.

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::Stream;
use emshop_log::jetstream::followed::{self, Followed};
use emshop_proto::subjects::CATALOGUE_STREAM;

use crate::change::{self, Change, Unreadable};

pub struct Delivery(Followed);

/// One message of the stream.
pub struct Delivered {
    pub sequence: u64,
    /// Of the last one that there is.
    pub last: u64,
    pub bytes: usize,
    pub changes: Vec<Change>,
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("{CATALOGUE_STREAM} is not delivered: {0}")]
    Undelivered(#[from] followed::Broken),
    #[error("{CATALOGUE_STREAM} is out of reach: {0}")]
    Unreachable(String),
    #[error(
        "message {0} of {CATALOGUE_STREAM} cannot be read: {1}. Run a release that can, or delete the message if it is damaged"
    )]
    Unreadable(u64, Unreadable),
}

impl Delivery {
    /// Has the server deliver the messages from `next` on.
    pub async fn open(stream: &Stream, next: u64) -> Result<Self, Broken> {
        let from = DeliverPolicy::ByStartSequence { start_sequence: next };
        Ok(Self(Followed::open(stream, from).await?))
    }

    /// Whether all that the stream held when this began has come.
    pub fn has_brought_all(&self) -> bool {
        self.0.has_brought_all()
    }

    /// The next message, which is not lost when this is not awaited to its end.
    pub async fn next(&mut self) -> Result<Delivered, Broken> {
        let followed::Event { sequence, last, payload } = self.0.next().await?;
        let changes = change::decode(&payload).map_err(|unreadable| Broken::Unreadable(sequence, unreadable))?;
        Ok(Delivered { sequence, last, bytes: payload.len(), changes })
    }
}
