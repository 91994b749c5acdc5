//! How much room a log has for commands. It is asked once in a while, and more often when there is little, so that commands leave free
//! what is kept for steps and engines, however many ingresses there are; no command waits for that.

use std::sync::Arc;
use std::time::Duration;

use emshop_log::{CommandLog, LogError};
use emshop_proto::envelope::ENVELOPE_BYTES_MAX;
use emshop_sync::tasks::sleep;
use futures::FutureExt;
use futures::future::BoxFuture;

/// Between two questions, while there is much.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// While the log is full, or does not say.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// After so large a part of what there was it is asked at once: others may have taken as much.
const PART: u64 = 16;

/// What an ingress knows about the room in a log.
pub struct Room {
    log: Arc<dyn CommandLog>,
    /// Bytes that may be sent before the log is asked at once.
    left: u64,
    is_full: bool,
    /// The log was asked, or is going to be.
    look: BoxFuture<'static, Result<u64, LogError>>,
    /// It was, and without a wait.
    at_once: bool,
}

impl Room {
    pub fn new(log: Arc<dyn CommandLog>) -> Self {
        let look = look(&log, Duration::ZERO);
        Self { log, left: 0, is_full: false, look, at_once: true }
    }

    /// Commands would leave too little for others.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// So many bytes are on their way.
    pub fn sent(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        if self.left == 0 && !self.at_once {
            self.look_after(Duration::ZERO);
        }
    }

    /// The log itself had no room.
    pub fn refused(&mut self) {
        self.is_full = true;
        self.look_after(LOOK_AGAIN);
    }

    /// What the log answers next.
    pub async fn answer(&mut self) -> Result<u64, LogError> {
        (&mut self.look).await
    }

    /// Takes notice of such an answer. One that did not come changes nothing.
    pub fn take(&mut self, answer: Result<u64, LogError>) {
        let Ok(room) = answer else { return self.look_after(LOOK_AGAIN) };
        self.is_full = room < ENVELOPE_BYTES_MAX as u64;
        self.left = room / PART;
        self.look_after(if self.is_full { LOOK_AGAIN } else { LOOK_EVERY });
    }

    fn look_after(&mut self, wait: Duration) {
        self.look = look(&self.log, wait);
        self.at_once = wait.is_zero();
    }
}

fn look(log: &Arc<dyn CommandLog>, wait: Duration) -> BoxFuture<'static, Result<u64, LogError>> {
    let log = Arc::clone(log);
    async move {
        if !wait.is_zero() {
            sleep(wait).await;
        }
        log.room().await
    }
    .boxed()
}
