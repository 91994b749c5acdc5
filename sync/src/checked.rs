//! Primitives of tasks below the model checker: tokio's own, which need no runtime, with a point before each use of one at which another
//! task may go on. So what they do is what they do in production, and none of it happens unseen between two points.

use std::sync::Arc;
use std::time::Duration;

use shuttle::{future, thread};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, SemaphorePermit, TryAcquireError};

/// Here another thread or task may go on.
fn point() {
    // Shuttle knows no time: to sleep is to let others go on, and no more than that.
    thread::sleep(Duration::ZERO);
}

/// As tokio's, but the first branch that is ready is taken, rather than one by chance: a schedule shall give the same run each time.
#[macro_export]
macro_rules! select {
    ($($branches:tt)*) => { $crate::tokio::select! { biased; $($branches)* } };
}

pub struct Notify(tokio::sync::Notify);

impl Notify {
    #[expect(clippy::new_without_default, reason = "nobody asks for it")]
    pub fn new() -> Self {
        Self(tokio::sync::Notify::new())
    }

    pub fn notified(&self) -> tokio::sync::futures::Notified<'_> {
        point();
        self.0.notified()
    }

    pub fn notify_one(&self) {
        point();
        self.0.notify_one();
    }

    pub fn notify_waiters(&self) {
        point();
        self.0.notify_waiters();
    }
}

pub struct Semaphore(Arc<tokio::sync::Semaphore>);

impl Semaphore {
    pub fn new(permits: usize) -> Self {
        Self(Arc::new(tokio::sync::Semaphore::new(permits)))
    }

    pub fn available_permits(&self) -> usize {
        point();
        self.0.available_permits()
    }

    pub async fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        point();
        self.0.acquire().await
    }

    pub async fn acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.acquire_many_owned(1).await
    }

    pub async fn acquire_many_owned(self: Arc<Self>, permits: u32) -> Result<OwnedSemaphorePermit, AcquireError> {
        point();
        self.0.clone().acquire_many_owned(permits).await
    }

    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        point();
        self.0.try_acquire()
    }

    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    pub fn try_acquire_many_owned(self: Arc<Self>, permits: u32) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        point();
        self.0.clone().try_acquire_many_owned(permits)
    }
}

pub mod oneshot {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::sync::oneshot;
    pub use tokio::sync::oneshot::error;

    use super::point;

    pub struct Sender<T>(oneshot::Sender<T>);

    pub struct Receiver<T>(oneshot::Receiver<T>);

    pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Sender(sender), Receiver(receiver))
    }

    impl<T> Sender<T> {
        pub fn send(self, value: T) -> Result<(), T> {
            point();
            self.0.send(value)
        }
    }

    impl<T> Receiver<T> {
        pub fn try_recv(&mut self) -> Result<T, error::TryRecvError> {
            point();
            self.0.try_recv()
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, error::RecvError>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            point();
            Pin::new(&mut self.0).poll(context)
        }
    }
}

pub mod mpsc {
    use tokio::sync::mpsc;
    pub use tokio::sync::mpsc::error;

    use super::point;

    pub struct UnboundedSender<T>(mpsc::UnboundedSender<T>);

    pub struct UnboundedReceiver<T>(mpsc::UnboundedReceiver<T>);

    pub fn unbounded_channel<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (UnboundedSender(sender), UnboundedReceiver(receiver))
    }

    impl<T> UnboundedSender<T> {
        pub fn send(&self, value: T) -> Result<(), error::SendError<T>> {
            point();
            self.0.send(value)
        }
    }

    impl<T> UnboundedReceiver<T> {
        pub async fn recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
            point();
            self.0.recv_many(buffer, limit).await
        }
    }
}

/// Any time may have passed when others have gone on.
pub async fn sleep(_duration: Duration) {
    future::yield_now().await;
}

/// Likewise.
pub async fn sleep_until(_instant: tokio::time::Instant) {
    future::yield_now().await;
}

/// Beside the tasks, as any of them is here.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> future::JoinHandle<T> {
    future::spawn(async { work() })
}
