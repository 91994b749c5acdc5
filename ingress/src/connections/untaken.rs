//! Answers that clients have not taken yet. Clients of HTTP/2 say how much they take, so one that takes nothing could fill the memory with
//! answers to calls that cost it a few bytes.
//!
//! All together may leave a bounded number of bytes. Beyond it those connections are ended that leave more than their share, so what others
//! leave does not end one that takes its answers. And no answer is kept for long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tonic::Status;
use tonic::body::Body;

/// What all connections together may leave.
const BYTES_MAX: usize = 128 * 1024 * 1024;
/// How often it is looked what has been left since the looks before, …
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// … so many of them: answers stay for 30 to 40 s.
const LOOKS: usize = 4;

/// What all connections leave.
#[derive(Default)]
pub struct Untaken {
    bytes: AtomicUsize,
    connections: AtomicUsize,
}

/// What one connection leaves.
pub struct Share {
    all: Arc<Untaken>,
    bytes: AtomicUsize,
    looks: AtomicUsize,
    /// Pieces of answers by the look that they were given after.
    pieces: [AtomicUsize; LOOKS],
    too_much: Notify,
}

impl Share {
    pub fn new(all: Arc<Untaken>) -> Self {
        all.connections.fetch_add(1, Ordering::Relaxed);
        Self {
            all,
            bytes: AtomicUsize::default(),
            looks: AtomicUsize::default(),
            pieces: Default::default(),
            too_much: Notify::new(),
        }
    }

    fn keep(self: &Arc<Self>, bytes: Bytes) -> Kept {
        let (size, look) = (bytes.len(), self.looks.load(Ordering::Relaxed) % LOOKS);
        self.pieces[look].fetch_add(1, Ordering::Relaxed);
        let of_this = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        let of_all = self.all.bytes.fetch_add(size, Ordering::Relaxed) + size;
        if of_all > BYTES_MAX && of_this > BYTES_MAX / self.all.connections.load(Ordering::Relaxed) {
            self.too_much.notify_one();
        }
        Kept { bytes, size, look, share: self.clone() }
    }

    /// Waits until the client has left too much, or left something for too long.
    pub async fn is_overdrawn(&self) {
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let next = self.looks.load(Ordering::Relaxed) + 1;
                // Its pieces would be taken for new ones from now on.
                if self.pieces[next % LOOKS].load(Ordering::Relaxed) > 0 {
                    break;
                }
                self.looks.store(next, Ordering::Relaxed);
            }
        };
        tokio::select! {
            () = self.too_much.notified() => {}
            () = looking => {}
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A piece of an answer, until the connection has sent all of it.
pub struct Kept {
    bytes: Bytes,
    size: usize,
    look: usize,
    share: Arc<Share>,
}

impl Buf for Kept {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.share.pieces[self.look].fetch_sub(1, Ordering::Relaxed);
        self.share.bytes.fetch_sub(self.size, Ordering::Relaxed);
        self.share.all.bytes.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// The body of an answer.
pub struct Answer {
    body: Body,
    share: Arc<Share>,
}

impl Answer {
    pub fn new(body: Body, share: Arc<Share>) -> Self {
        Self { body, share }
    }
}

impl hyper::body::Body for Answer {
    type Data = Kept;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Kept>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| self.share.keep(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn shares<const N: usize>() -> [Arc<Share>; N] {
        let all = Arc::<Untaken>::default();
        std::array::from_fn(|_| Arc::new(Share::new(all.clone())))
    }

    /// Of nothing: that it is large is enough.
    fn piece(size: usize) -> Bytes {
        Bytes::from(vec![0; size])
    }

    async fn is_overdrawn(share: &Share) -> bool {
        tokio::time::timeout(LOOK_EVERY / 2, share.is_overdrawn()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_more_than_a_share_is_overdrawn_once_all_leave_too_much() {
        let [large, small, good] = shares();
        let taken: Vec<_> = (0..3).map(|_| large.keep(piece(BYTES_MAX / 4))).collect();
        assert!(!is_overdrawn(&large).await, "there is room");
        let left = small.keep(piece(BYTES_MAX / 4));
        assert!(!is_overdrawn(&small).await, "it is less than a third");
        let last = large.keep(piece(1));
        assert!(is_overdrawn(&large).await && !is_overdrawn(&good).await);
        drop((taken, left, last));
        assert_eq!(large.all.bytes.load(Ordering::Relaxed), 0);
        let all = large.all.clone();
        drop((large, small, good));
        assert_eq!(all.connections.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_for_long_is_noticed_and_what_is_taken_is_not() {
        let [share] = shares();
        let (left, began) = (share.keep(piece(1)), Instant::now());
        share.is_overdrawn().await;
        assert!((LOOK_EVERY * 3..=LOOK_EVERY * 4).contains(&began.elapsed()), "{:?}", began.elapsed());
        drop(left);

        let [share] = shares();
        let busy = async {
            loop {
                let _piece = share.keep(piece(1));
                tokio::time::sleep(LOOK_EVERY * 2).await;
            }
        };
        tokio::select! {
            () = share.is_overdrawn() => panic!("each is taken in time"),
            () = busy => unreachable!(),
            () = tokio::time::sleep(LOOK_EVERY * 100) => {}
        }
    }
}
