//! From the stream to the index: gathers messages, and has them committed.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use emshop_log::jetstream::followed;
use emshop_proto::subjects::CATALOGUE_STREAM;
use tantivy::TantivyError;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use crate::change::Change;
use crate::delivery::{Broken, Delivery};
use crate::index::Index;

/// A commit costs some file syncs, so a change waits this long for others,
const IDLE: Duration = Duration::from_millis(50);
/// but not longer than this in a flood of them,
const GATHER_MAX: Duration = Duration::from_secs(1);
/// and no more bytes wait than these.
const GATHER_BYTES_MAX: usize = 1024 * 1024;

const RETRY: Duration = Duration::from_millis(250);
/// For what does not heal by itself.
const RETRY_UNHEALED: Duration = Duration::from_secs(60);

/// How far the index is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Of the last message whose changes are found.
    pub sequence: u64,
    /// It has caught up with what was in the stream when it was opened.
    pub is_complete: bool,
    /// Of the last message that the stream is known to have.
    pub last: u64,
}

/// Why the index does not follow the stream.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("the index cannot be written: {0}")]
    Index(#[from] TantivyError),
}

/// Keeps an index up to date.
pub struct Follower {
    context: jetstream::Context,
    /// Away while a blocking thread works on it.
    index: Option<Index>,
    progress: watch::Sender<Progress>,
    stop: watch::Receiver<bool>,
}

impl Follower {
    pub fn new(context: jetstream::Context, index: Index, stop: watch::Receiver<bool>) -> (Self, watch::Receiver<Progress>) {
        let (progress, receiver) =
            watch::channel(Progress { sequence: index.sequence(), is_complete: false, last: index.sequence() });
        (Self { context, index: Some(index), progress, stop }, receiver)
    }

    /// Until told to stop.
    pub async fn run(mut self) {
        let mut is_interrupted = false;
        while let Err(halt) = self.follow(&mut is_interrupted).await {
            let retry = match halt {
                Halt::Broken(Broken::Undelivered(followed::Broken::Lost(_))) => {
                    tracing::debug!("{halt}");
                    RETRY
                }
                Halt::Broken(Broken::Unreachable(_) | Broken::Undelivered(followed::Broken::Unreachable(_))) => {
                    if !is_interrupted {
                        tracing::warn!(event = "search.behind", "the search index is not kept up to date for now: {halt}");
                    }
                    is_interrupted = true;
                    RETRY
                }
                Halt::Broken(Broken::Unreadable(..)) | Halt::Index(_) => {
                    tracing::error!("the search index is not kept up to date: {halt}");
                    RETRY_UNHEALED
                }
            };
            unless_stopped(&mut self.stop, sleep(retry)).await;
        }
        let index = self.index.take().expect("nobody works on it any more");
        match spawn_blocking(|| index.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the search index was not tidied up: {error}"),
            Err(panic) => tracing::error!("the search index was not tidied up: {panic}"),
        }
    }

    /// Returns without an error when told to stop.
    async fn follow(&mut self, is_interrupted: &mut bool) -> Result<(), Halt> {
        let mut stop = self.stop.clone();
        let Some(stream) = unless_stopped(&mut stop, self.context.get_stream(CATALOGUE_STREAM)).await else { return Ok(()) };
        let stream = stream.map_err(|error| Broken::Unreachable(error.to_string()))?;
        let last = stream.cached_info().state.last_sequence;
        self.progress.send_modify(|progress| progress.last = last);
        self.meet(&stream).await?;
        let next = self.sequence() + 1;
        let Some(delivery) = unless_stopped(&mut stop, Delivery::open(&stream, next)).await else { return Ok(()) };
        let mut delivery = delivery?;
        if std::mem::take(is_interrupted) {
            tracing::info!(event = "search.current", "the search index is kept up to date again");
        }
        self.report(&delivery);
        loop {
            let Gathered { changes, newest, end, .. } = gather(&mut delivery, &mut stop).await;
            if let Some((sequence, last)) = newest {
                self.progress.send_modify(|progress| progress.last = progress.last.max(last));
                self.on_index(move |index| index.apply(changes, sequence)).await?;
                self.report(&delivery);
            }
            match end {
                End::Full => {}
                End::Stop => return Ok(()),
                End::Broken(broken) => return Err(broken.into()),
            }
        }
    }

    /// Makes sure that the stream goes on where the index is.
    async fn meet(&mut self, stream: &Stream) -> Result<(), TantivyError> {
        let state = &stream.cached_info().state;
        if self.sequence() > state.last_sequence {
            let (sequence, last) = (self.sequence(), state.last_sequence);
            tracing::warn!(
                sequence,
                last,
                "the search index is ahead of {CATALOGUE_STREAM}, which was replaced; it is made anew"
            );
            self.progress.send_modify(|progress| progress.is_complete = false);
            self.on_index(Index::clear).await?;
        }
        let needed = self.sequence() + 1;
        if state.first_sequence > needed {
            let last_gone = state.first_sequence - 1;
            tracing::warn!(
                "messages {needed} to {last_gone} of {CATALOGUE_STREAM} are gone: until goods change again, they are found as they were \
                 before, or not at all"
            );
            self.on_index(move |index| index.apply(Vec::new(), last_gone)).await?;
        }
        Ok(())
    }

    fn sequence(&self) -> u64 {
        self.index.as_ref().expect("nobody works on it").sequence()
    }

    fn report(&self, delivery: &Delivery) {
        let sequence = self.sequence();
        self.progress.send_modify(|progress| {
            progress.sequence = sequence;
            progress.is_complete |= delivery.has_brought_all();
        });
    }

    /// Must be awaited to its end, since the index comes back only then.
    async fn on_index<T: Send + 'static>(&mut self, work: impl FnOnce(&mut Index) -> T + Send + 'static) -> T {
        let mut index = self.index.take().expect("nobody works on it");
        let working = spawn_blocking(move || {
            let done = work(&mut index);
            (index, done)
        });
        let (index, done) = working.await.expect("work on the index does not panic");
        self.index = Some(index);
        done
    }
}

/// Messages to be committed together.
struct Gathered {
    changes: Vec<Change>,
    bytes: usize,
    /// Of the last message, if there is one, and of the last that the stream had then.
    newest: Option<(u64, u64)>,
    end: End,
}

/// Why no more are gathered.
enum End {
    Full,
    Stop,
    Broken(Broken),
}

async fn gather(delivery: &mut Delivery, stop: &mut watch::Receiver<bool>) -> Gathered {
    let mut gathered = Gathered { changes: Vec::new(), bytes: 0, newest: None, end: End::Full };
    // Of the first message, however long it takes to come.
    let mut deadline = None;
    while gathered.bytes < GATHER_BYTES_MAX {
        let enough = deadline.map(|deadline: Instant| deadline.min(Instant::now() + IDLE));
        let delivered = tokio::select! {
            biased;
            () = stopping(stop) => {
                gathered.end = End::Stop;
                break;
            }
            () = sleep_until(enough.unwrap_or_else(Instant::now)), if enough.is_some() => break,
            delivered = delivery.next() => delivered,
        };
        match delivered {
            Ok(delivered) => {
                deadline.get_or_insert_with(|| Instant::now() + GATHER_MAX);
                gathered.bytes += delivered.bytes;
                gathered.newest = Some((delivered.sequence, delivered.last));
                gathered.changes.extend(delivered.changes);
            }
            Err(broken) => {
                gathered.end = End::Broken(broken);
                break;
            }
        }
    }
    gathered
}

/// Returns when told to stop, or when nobody is left who could tell.
async fn stopping(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn unless_stopped<T>(stop: &mut watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stopping(stop) => None,
        done = work => Some(done),
    }
}
