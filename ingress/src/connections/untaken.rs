//! Answers that clients have not taken yet. Clients of HTTP/2 say how much they take, so one that takes nothing could fill the memory with
//! answers to calls that cost it a few bytes.
//!
//! No answer is kept for long, and where all together leave much, only for a few seconds: that ends those who take nothing, and none of those
//! who take their answers. Where even that is too much, whoever adds to it ends that leaves more than an even share.

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

/// Where all connections together leave more, no answer stays for longer than two looks.
const BYTES_MANY: usize = 128 * 1024 * 1024;
/// What all connections together may leave.
const BYTES_MAX: usize = 2 * BYTES_MANY;
/// How often it is looked what has been left since the looks before, …
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// … so many of them: answers stay for 35 to 40 s at most.
const LOOKS: usize = 8;

/// What all connections leave.
#[derive(Default)]
pub struct Untaken {
    bytes: AtomicUsize,
    /// Connections that leave something.
    leaving: AtomicUsize,
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
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        if before == 0 {
            self.all.leaving.fetch_add(1, Ordering::Relaxed);
        }
        let of_all = self.all.bytes.fetch_add(size, Ordering::Relaxed) + size;
        if of_all > BYTES_MAX && before + size > BYTES_MAX / self.all.leaving.load(Ordering::Relaxed).max(1) {
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
                let is_much = self.all.bytes.load(Ordering::Relaxed) > BYTES_MANY;
                // Of the last look but one, or of as long ago that they would be taken for new ones from now on.
                let stays = |looks_ago: usize| self.pieces[(next + LOOKS - looks_ago) % LOOKS].load(Ordering::Relaxed) > 0;
                if (if is_much { 2..=LOOKS } else { LOOKS..=LOOKS }).any(stays) {
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
        if self.share.bytes.fetch_sub(self.size, Ordering::Relaxed) == self.size {
            self.share.all.leaving.fetch_sub(1, Ordering::Relaxed);
        }
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
        assert!(!is_overdrawn(&small).await, "it is less than half");
        let last = large.keep(piece(1));
        assert!(is_overdrawn(&large).await && !is_overdrawn(&good).await);
        drop((taken, left, last));
        assert_eq!((large.all.bytes.load(Ordering::Relaxed), large.all.leaving.load(Ordering::Relaxed)), (0, 0));
    }

    /// However many of them there are, and whatever that makes of an even share.
    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_ends_and_not_who_takes_what_others_leave_no_room_for() {
        let [hoarding, good] = shares();
        let left = hoarding.keep(piece(BYTES_MANY + 1));
        let taking = async {
            loop {
                let _piece = good.keep(piece(1024 * 1024));
                tokio::time::sleep(LOOK_EVERY / 3).await;
            }
        };
        let began = Instant::now();
        tokio::select! {
            () = hoarding.is_overdrawn() => {}
            () = good.is_overdrawn() => panic!("it takes what it is given"),
            () = taking => unreachable!(),
        }
        assert!(began.elapsed() <= LOOK_EVERY * 2, "{:?}", began.elapsed());
        drop(left);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_for_long_is_noticed_and_what_is_taken_is_not() {
        let [share] = shares();
        let (left, began) = (share.keep(piece(1)), Instant::now());
        share.is_overdrawn().await;
        assert!((LOOK_EVERY * 7..=LOOK_EVERY * 8).contains(&began.elapsed()), "{:?}", began.elapsed());
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
