//! Keeps the lease of a log while its engine runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use emshop_log::jetstream::{Lease, Renewal};
use emshop_log::lease::RENEW_INTERVAL;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::Clock;
use super::intake::Message;
use crate::shell::{Input, Now};

const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// The thread of an engine that shows no sign of life for so long is not waited for.
const LIFELESS: Duration = Duration::from_secs(10);

/// How long an engine has its log, for those beside it. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Hold {
    log: u32,
    clock: Clock,
    /// In milliseconds by the engine's clock.
    until_ms: Arc<AtomicU64>,
}

impl Hold {
    pub(super) fn new(log: u32, clock: Clock) -> Self {
        Self { log, clock, until_ms: Arc::default() }
    }

    pub(super) fn renewed(&self, until: Duration) {
        self.until_ms.store(until.as_millis() as u64, Ordering::Relaxed);
    }

    /// Number of the log.
    pub fn log(&self) -> u32 {
        self.log
    }

    /// Whether it has it now.
    pub fn is_held(&self) -> bool {
        self.clock.now().elapsed < Duration::from_millis(self.until_ms.load(Ordering::Relaxed))
    }
}

/// When the thread of an engine was well last. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub struct Heartbeat {
    /// In milliseconds by the engine's clock, and one more; 0 while it is not there yet.
    last_ms: Arc<AtomicU64>,
}

impl Heartbeat {
    pub fn beat(&self, now: Now) {
        self.last_ms.store(now.elapsed.as_millis() as u64 + 1, Ordering::Relaxed);
    }

    /// A start takes as long as it takes.
    fn is_missed(&self, now: Now) -> bool {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        last_ms > 0 && now.elapsed > Duration::from_millis(last_ms) + LIFELESS
    }
}

/// Renews the lease until the engine has ended or another one has its log. While the engine stands still, as on a disk that does, it is not
/// renewed: another one may take the log.
pub async fn keep(
    mut lease: Lease,
    clock: Clock,
    heartbeat: Heartbeat,
    inbox: Sender<Message>,
    mut ended: oneshot::Receiver<()>,
) {
    let mut stands_still = false;
    loop {
        let now = clock.now();
        if std::mem::replace(&mut stands_still, heartbeat.is_missed(now)) != stands_still {
            match stands_still {
                true => tracing::error!(
                    event = "engine.stuck",
                    log = lease.log(),
                    "the engine stands still, or its disk does: its lease is not renewed"
                ),
                false => tracing::warn!(event = "engine.well", log = lease.log(), "the engine goes on"),
            }
        }
        if stands_still {
            tokio::select! {
                () = sleep(RETRY_INTERVAL) => continue,
                _ = &mut ended => break,
            }
        }
        let asked_at = now.elapsed;
        let (input, wait) = match lease.renew().await {
            Ok(Renewal::Held) => (Some(Input::Renewed { asked_at }), RENEW_INTERVAL),
            Ok(Renewal::Lost(holder)) => {
                let by = holder.map_or_else(|| "nobody that is known".to_owned(), |holder| holder.to_string());
                let _ = inbox.send(Message::Input(Input::Relieved { by }));
                return;
            }
            Err(error) => {
                tracing::warn!(event = "lease.not_renewed", %error, "the lease of the log is not renewed");
                (None, RETRY_INTERVAL)
            }
        };
        // Nobody to tell: the engine has ended by itself.
        if input.is_some_and(|input| inbox.send(Message::Input(input)).is_err()) {
            break;
        }
        tokio::select! {
            () = sleep(wait) => {}
            _ = &mut ended => break,
        }
    }
    lease.release().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stands_still_is_noticed_and_one_that_starts_is_not() {
        let at = |seconds| Now { elapsed: Duration::from_secs(seconds), wall_ms: 0 };
        let heartbeat = Heartbeat::default();
        assert!(!heartbeat.is_missed(at(9_999)), "it reads its state");
        heartbeat.beat(at(5));
        assert_eq!([6, 15, 16].map(|seconds| heartbeat.is_missed(at(seconds))), [false, false, true]);
        heartbeat.beat(at(16));
        assert!(!heartbeat.is_missed(at(17)), "it goes on");
    }
}
