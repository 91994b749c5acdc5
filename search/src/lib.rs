//! Keyword search and filters over the goods: a downstream consumer of their events that keeps an index of its own.
//!
//! Reading order: `change` (what an event says of a goods entry), `words` (how text is cut), `index` (the folder, and how changes get into
//! it), `listing` (how they are found), `delivery` and `follow` (from the stream to the index). [`Search`] puts it together.
//!
//! The index is derived from the stream `EMSHOP_CATALOGUE` and from nothing else. It knows up to which message, in the same commit that holds
//! what the messages said; so a restart goes on from there, and a folder that is lost, damaged, or of another cluster or format is made anew
//! from the first message on. A message that cannot be read is not passed over: the index stays before it, and tries again every minute.

mod change;
mod delivery;
mod follow;
mod index;
mod listing;
#[cfg(test)]
mod tests;
mod words;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{io, thread};

use async_nats::{Client, jetstream};
use emshop_telemetry::{Registry, catalogue};
use tantivy::TantivyError;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use self::follow::{Follower, Progress};
use self::index::Index;
use self::listing::Listing;
pub use self::listing::{Filter, Page, RESULTS_MAX};

/// Why goods cannot be searched.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("the search index cannot be kept in {}: {error}", folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error("the search index cannot be kept in {}: {error}", folder.display())]
    Unusable { folder: PathBuf, error: TantivyError },
    #[error("the search index cannot be read: {0}")]
    Read(#[from] TantivyError),
    #[error("the search index is not kept up to date any more")]
    Stopped,
    #[error("too many are searching")]
    Busy,
}

/// Those who wait for others to have searched; beyond it they are refused.
const WAITING_MAX: usize = 256;

/// Tells whether an index has caught up.
pub struct Completeness(watch::Receiver<Progress>);

impl Completeness {
    /// As of now.
    pub fn is_complete(&self) -> bool {
        self.0.borrow().is_complete
    }

    /// Returns when that has changed. Never, once the index is stopped.
    pub async fn changed(&mut self) {
        let before = self.is_complete();
        if self.0.wait_for(|progress| progress.is_complete != before).await.is_err() {
            std::future::pending().await
        }
    }
}

/// The goods of a cluster, to be searched. Follows their events until stopped or dropped.
pub struct Search {
    listing: Listing,
    /// Taken by those who search on a thread: half of the cores, so that a flood of searches leaves some to those who buy.
    threads: Arc<Semaphore>,
    /// By those, and all who wait for them.
    places: Semaphore,
    progress: watch::Receiver<Progress>,
    stop: watch::Sender<bool>,
    follower: Mutex<Option<JoinHandle<()>>>,
}

impl Search {
    /// Opens the index in `folder`, which belongs to it alone, and starts to follow the events on the server of `client`.
    ///
    /// # Errors
    /// When the folder cannot be written. Streams out of reach are waited for.
    pub async fn open(folder: &Path, cluster_id: &str, client: Client) -> Result<Self, SearchError> {
        let (folder, cluster_id) = (folder.to_owned(), cluster_id.to_owned());
        let opening = spawn_blocking(move || Index::open(&folder, &cluster_id));
        let index = opening.await.expect("opening does not panic")?;
        let listing = index.listing();
        let (stop, stopped) = watch::channel(false);
        let (follower, progress) = Follower::new(jetstream::new(client), index, stopped);
        let follower = Mutex::new(Some(tokio::spawn(follower.run())));
        let at_once = thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
        let (threads, places) = (Arc::new(Semaphore::new(at_once)), Semaphore::new(at_once + WAITING_MAX));
        Ok(Self { listing, threads, places, progress, stop, follower })
    }

    /// A page of the goods that `filter` lets through. Waits until the index has caught up with what was in the stream when it was opened, so
    /// that one that is being made anew does not deny goods.
    ///
    /// # Errors
    /// When the index cannot be read, or was stopped, or too many search.
    pub async fn list(&self, filter: Filter) -> Result<Page, SearchError> {
        let _place = self.places.try_acquire().map_err(|_| SearchError::Busy)?;
        let mut progress = self.progress.clone();
        progress.wait_for(|progress| progress.is_complete).await.map_err(|_| SearchError::Stopped)?;
        // Seen above, so that only its end is left to be told.
        progress.has_changed().map_err(|_| SearchError::Stopped)?;
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| SearchError::Stopped)?;
        let listing = self.listing.clone();
        let search = move || {
            let page = listing.list(&filter);
            // Not before: who asked may have given up, and the thread is busy all the same.
            drop(thread);
            page
        };
        Ok(spawn_blocking(search).await.map_err(|_| SearchError::Stopped)??)
    }

    /// Whether the index has caught up with what was in the stream when it was opened.
    pub fn completeness(&self) -> Completeness {
        Completeness(self.progress.clone())
    }

    /// Sequence of the last message of the stream whose changes are found.
    pub fn consumed(&self) -> u64 {
        self.progress.borrow().sequence
    }

    /// From now on it is measured, for as long as it is there.
    pub fn measure(self: &Arc<Self>, registry: &Registry) {
        let (lag, complete) = (registry.gauge(&catalogue::SEARCH_LAG, &[]), registry.gauge(&catalogue::SEARCH_COMPLETE, &[]));
        let search = Arc::downgrade(self);
        registry.at_scrape(move || {
            let Some(search) = search.upgrade() else { return };
            let Progress { sequence, is_complete, last } = *search.progress.borrow();
            lag.set(last.saturating_sub(sequence) as f64);
            complete.set(f64::from(is_complete));
        });
    }

    /// Returns when what the stream's message `sequence` says is found.
    ///
    /// # Errors
    /// When the index was stopped.
    pub async fn caught_up(&self, sequence: u64) -> Result<(), SearchError> {
        let caught_up = self.progress.clone().wait_for(|progress| progress.sequence >= sequence).await.map(|_| ());
        caught_up.map_err(|_| SearchError::Stopped)
    }

    /// Brings what was read to the disk and ends.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let follower = self.follower.lock().expect("nobody panics with it").take();
        if let Some(follower) = follower
            && let Err(error) = follower.await
        {
            tracing::error!(%error, "the search index was not stopped in order");
        }
    }
}
