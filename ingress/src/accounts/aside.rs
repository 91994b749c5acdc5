//! Work that takes a core for a while, aside of the threads that serve: so much of it at once, and so much that waits.

use std::sync::Arc;

use emshop_proto::v1::Refusal;
use emshop_sync::tasks::{Semaphore, spawn_blocking};

use crate::refusals;

/// Works that wait for their turn; beyond it calls are refused.
const WAITING_MAX: usize = 256;

/// Bounds how many works of one kind are under way.
pub struct Aside {
    at_once: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Aside {
    /// Does `at_once` works side by side.
    pub fn new(at_once: usize) -> Self {
        Self { at_once: Arc::new(Semaphore::new(at_once)), waiting: Semaphore::new(WAITING_MAX) }
    }

    /// What the work came to.
    ///
    /// # Errors
    /// `OVERLOADED` when too many wait, `SERVICE_UNAVAILABLE` when the process ends.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let _waiting = self.waiting.try_acquire().map_err(|_| refusals::overloaded())?;
        // Moves into the work, which goes on when the caller is gone.
        let turn = Arc::clone(&self.at_once).acquire_owned().await.expect("never closed");
        let done = spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.map_err(|_| refusals::unavailable())
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use emshop_proto::errors::Code;

    use super::*;

    #[tokio::test]
    async fn too_many_are_told_to_come_back() {
        let aside = Aside::new(1);
        let turn = aside.at_once.acquire().await.expect("open");
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(aside.run(|| {}))).collect();
        for one in &mut waiting {
            assert!(futures::poll!(one.as_mut()).is_pending());
        }
        let refused = aside.run(|| {}).await.expect_err("one too many");
        assert_eq!(refused.code, Code::Overloaded.number());
        drop((waiting, turn));
        assert_eq!(aside.run(|| 7).await, Ok(7));
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod handoffs {
    use emshop_sync::tasks::{select, sleep};
    use emshop_sync::threads::atomic::{AtomicUsize, Ordering};
    use emshop_sync::{block_on, check, spawn};

    use super::*;

    /// Below the model checker; see `emshop_sync`. Work goes on when its caller has given up.
    #[test]
    fn no_more_is_done_at_once_than_there_are_turns() {
        check(|| {
            let (aside, at_work) = (Arc::new(Aside::new(1)), Arc::new(AtomicUsize::new(0)));
            let callers: Vec<_> = (0..3)
                .map(|_| {
                    let (aside, at_work) = (aside.clone(), at_work.clone());
                    let work = move || {
                        assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0, "another one is at work");
                        at_work.fetch_sub(1, Ordering::SeqCst);
                    };
                    spawn(async move {
                        select! {
                            done = aside.run(work) => done.expect("few wait"),
                            () = sleep(Default::default()) => {}
                        }
                    })
                })
                .collect();
            for caller in callers {
                block_on(caller).expect("nobody ends it");
            }
            // Waits for ever if a turn is lost.
            block_on(aside.run(|| {})).expect("nobody waits");
            assert_eq!(aside.waiting.available_permits(), WAITING_MAX);
        });
    }
}
