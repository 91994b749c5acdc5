//! From the stream of the events that revoke tokens to what is known of them here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::Stream;
use emshop_log::jetstream::followed::{Broken, Followed};
use emshop_log::jetstream::{Connection, Reachable};
use emshop_proto::subjects::{ACCESS_AGE_MAX, ACCESS_STREAM};
use emshop_proto::v1::EventBatch;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::revoked::{REMEMBERED, Revoked};

const RETRY: Duration = Duration::from_millis(250);
/// A day of changes is read in seconds.
const START_MAX: Duration = Duration::from_secs(60);

/// The stream has it, though the clock that it goes by may be hours from this one.
const _: () = assert!(2 * REMEMBERED.as_secs() < ACCESS_AGE_MAX.as_secs());

/// Why the stream is not followed.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error("{ACCESS_STREAM} is out of reach: {0}")]
    Unreachable(String),
    #[error("{ACCESS_STREAM} is not delivered: {0}")]
    Undelivered(#[from] Broken),
    #[error("the connection to NATS was lost")]
    Disconnected,
}

/// How far what is revoked is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Not yet all that was there at the start, for a reason if there is one.
    Behind(String),
    /// All of it.
    CaughtUp,
}

/// Follows the stream for ever, and tells how far that is.
pub async fn follow(connection: &Connection, revoked: Arc<Revoked>, known: watch::Sender<Known>) {
    let context = jetstream::new(connection.read().clone());
    let mut follower = Follower { context, reachable: connection.reachable(), revoked, known, next: None, is_told: false };
    loop {
        let Err(halt) = follower.follow().await;
        follower.known.send_if_modified(|known| match known {
            Known::Behind(reason) => {
                *reason = halt.to_string();
                true
            }
            Known::CaughtUp => false,
        });
        if !std::mem::replace(&mut follower.is_told, true) {
            tracing::warn!(event = "access.unheard", "revoked tokens are not heard of for now: {halt}");
        }
        sleep(RETRY).await;
    }
}

/// Waits until all is known.
///
/// # Errors
/// The reason, when that takes too long.
pub async fn caught_up(mut known: watch::Receiver<Known>) -> Result<(), String> {
    let waited = timeout(START_MAX, known.wait_for(|known| *known == Known::CaughtUp)).await.is_ok();
    match &*known.borrow() {
        Known::Behind(reason) if !waited => Err(reason.clone()),
        _ => Ok(()),
    }
}

struct Follower {
    context: jetstream::Context,
    reachable: Reachable,
    revoked: Arc<Revoked>,
    known: watch::Sender<Known>,
    /// What comes next, once something has come.
    next: Option<u64>,
    /// That nothing is heard.
    is_told: bool,
}

impl Follower {
    async fn follow(&mut self) -> Result<Infallible, Halt> {
        // A delivery of before the loss would be silent for some time before it breaks.
        let mut reachable = self.reachable.clone();
        let _ = reachable.wait_for(|up| *up).await;
        let stream = self.context.get_stream(ACCESS_STREAM).await.map_err(|error| Halt::Unreachable(error.to_string()))?;
        let mut followed = Followed::open(&stream, self.from(&stream)).await?;
        if std::mem::take(&mut self.is_told) {
            tracing::info!(event = "access.heard", "revoked tokens are heard of again");
        }
        loop {
            if followed.has_brought_all() {
                self.known.send_if_modified(|known| std::mem::replace(known, Known::CaughtUp) != Known::CaughtUp);
            }
            let event = tokio::select! {
                event = followed.next() => event?,
                _ = reachable.wait_for(|up| !*up) => return Err(Halt::Disconnected),
            };
            self.next = Some(event.sequence + 1);
            match EventBatch::decode(event.payload) {
                Ok(batch) => self.revoked.learn(&batch.events),
                // Those that follow must be heard of nevertheless.
                Err(error) => tracing::error!(sequence = event.sequence, "a message of {ACCESS_STREAM} cannot be read: {error}"),
            }
        }
    }

    /// Where to go on; in another stream of that name, and at the start, where tokens are from that have not expired.
    fn from(&self, stream: &Stream) -> DeliverPolicy {
        match self.next {
            Some(start_sequence) if start_sequence <= stream.cached_info().state.last_sequence + 1 => {
                DeliverPolicy::ByStartSequence { start_sequence }
            }
            _ => DeliverPolicy::ByStartTime { start_time: (SystemTime::now() - REMEMBERED).into() },
        }
    }
}
