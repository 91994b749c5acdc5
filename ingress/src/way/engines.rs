//! What the engines of the logs tell of themselves, a few times a second: that they are there, and how far they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use emshop_proto::internal::EngineProgress;
use emshop_sync::threads::atomic::{AtomicBool, Ordering};
use futures::StreamExt;
use prost::Message;
use tokio::sync::watch;

/// An engine tells how far it is at least twice a second. One that has not for so long is gone, or cannot go on.
const GONE_AFTER: Duration = Duration::from_secs(2);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The engine of one log, as it is known here. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    is_gone: Arc<AtomicBool>,
    applied: Arc<watch::Sender<u64>>,
    there: Arc<watch::Sender<bool>>,
}

impl Engine {
    pub fn new() -> Self {
        let (applied, there) = (Arc::new(watch::channel(0).0), Arc::new(watch::channel(true).0));
        Self { is_gone: Arc::default(), applied, there }
    }

    /// It has told nothing for some time, so what is asked of it would not be answered.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// Up to which sequence it has applied its log.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// False while it is gone.
    pub fn there(&self) -> watch::Receiver<bool> {
        self.there.subscribe()
    }

    /// It says how far it is.
    pub fn tells(&self, applied: u64) {
        self.set_gone(false);
        // One that was restored may be less far than it was.
        self.applied.send_replace(applied);
    }

    fn set_gone(&self, is_gone: bool) {
        self.is_gone.store(is_gone, Ordering::Relaxed);
        self.there.send_if_modified(|there| std::mem::replace(there, !is_gone) == is_gone);
    }
}

/// Takes in what engines tell for as long as the subscription lasts.
pub async fn listen(mut progress: Subscriber, engines: Arc<[Engine]>) {
    let mut heard = vec![Instant::now(); engines.len()];
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            message = progress.next() => match message.map(|message| EngineProgress::decode(message.payload)) {
                None => return,
                Some(Ok(EngineProgress { log, applied })) if (log as usize) < engines.len() => {
                    heard[log as usize] = Instant::now();
                    if engines[log as usize].is_gone() {
                        tracing::info!(event = "engine.heard", log, "the engine of the log is back");
                    }
                    engines[log as usize].tells(applied);
                }
                Some(strange) => tracing::debug!(?strange, "an engine tells what is not understood"),
            },
            _ = looks.tick() => {
                for (log, (engine, heard)) in engines.iter().zip(&heard).enumerate() {
                    if !engine.is_gone() && heard.elapsed() > GONE_AFTER {
                        tracing::warn!(event = "engine.unheard", log, "nothing is heard of the log's engine: what needs it is refused");
                        engine.set_gone(true);
                    }
                }
            }
        }
    }
}
