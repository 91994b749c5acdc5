//! Outcomes on their way to the client of one stream.
//!
//! A stream's window counts a command from when it is read until its outcome has been handed to HTTP/2, which takes one only when the
//! client has room for it. A full window stops the reading, and so do large outcomes that are not taken: a client that does not read fills
//! its own window and nothing more. The room that all clients share is given back before, when a command is answered.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use emshop_sync::tasks::{Notify, sleep};
use emshop_sync::threads::{Mutex, MutexGuard};
use futures::Stream;
use tonic::Status;

use crate::way::outcomes::Answer;

/// Outcomes in one message.
const OUTCOMES_PER_BATCH_MAX: usize = 4_096;
/// A message does not grow beyond this by another outcome; gRPC clients take no more than 4 MiB unless told otherwise.
const BATCH_BYTES: usize = 1024 * 1024;
/// Bytes of outcomes that the client has not taken, beyond which no more commands are read.
const UNREAD_BYTES_MAX: usize = 2 * BATCH_BYTES;
/// How often in its time a client is looked at that takes nothing.
const LOOKS: u32 = 4;

/// Outcomes that the client has not taken.
#[derive(Default)]
pub struct Unread {
    parts: VecDeque<Part>,
}

/// Outcomes as bytes of an `OutcomeBatch`. One after the other, parts are an `OutcomeBatch` too.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    outcomes: usize,
}

impl Unread {
    pub fn add(&mut self, tag: u64, answer: Answer) {
        if self.parts.back().is_none_or(Part::is_full) {
            self.parts.push_back(Part::default());
        }
        let part = self.parts.back_mut().expect("it is there now");
        answer.append_to(&mut part.bytes, tag);
        part.outcomes += 1;
    }

    fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes.len()).sum()
    }
}

impl Part {
    fn is_full(&self) -> bool {
        self.outcomes == OUTCOMES_PER_BATCH_MAX || self.bytes.len() >= BATCH_BYTES
    }
}

/// An `OutcomeBatch` as bytes, in parts.
#[derive(Debug, Default)]
pub struct EncodedBatch {
    pub parts: Vec<Vec<u8>>,
}

/// Shared by the stream's reader, its waiters and its [`Outcomes`].
pub struct Sink {
    window: usize,
    state: Mutex<State>,
    /// The window has become wider, or the stream has ended.
    changed: Notify,
}

struct State {
    unread: Unread,
    /// What that takes up.
    unread_bytes: usize,
    /// Commands whose outcome has not been handed over.
    under_way: usize,
    /// Outcomes handed over since the stream began.
    handed_over: u64,
    phase: Phase,
    waker: Option<Waker>,
}

enum Phase {
    Open,
    /// No more commands; the stream ends, with this status if any, when nothing is under way.
    Ending(Option<Status>),
    /// The stream ends at once; outcomes are dropped.
    Cut(Option<Status>),
}

/// The stream has ended before its client said so.
#[derive(Debug)]
pub struct Ended;

impl Sink {
    pub fn new(window: usize) -> Arc<Self> {
        let state =
            State { unread: Unread::default(), unread_bytes: 0, under_way: 0, handed_over: 0, phase: Phase::Open, waker: None };
        Arc::new(Self { window, state: Mutex::new(state), changed: Notify::new() })
    }

    /// Waits until `commands` more fit into the window, and the client has taken most of what it was told. More than the window fit when
    /// nothing is under way.
    pub async fn reserve(&self, commands: usize) -> Result<(), Ended> {
        loop {
            {
                let mut state = self.lock();
                if matches!(state.phase, Phase::Cut(_)) {
                    return Err(Ended);
                }
                if state.under_way == 0 || (state.under_way + commands <= self.window && state.unread_bytes <= UNREAD_BYTES_MAX) {
                    state.under_way += commands;
                    return Ok(());
                }
            }
            self.changed.notified().await;
        }
    }

    pub fn push(&self, mut unread: Unread) {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Cut(_)) {
            state.unread_bytes += unread.bytes();
            state.unread.parts.append(&mut unread.parts);
            state.wake();
        }
    }

    /// No more commands come: ends the stream once all outcomes are handed over, and returns when that is so.
    pub async fn finish(&self, status: Option<Status>) {
        {
            let mut state = self.lock();
            if matches!(state.phase, Phase::Open) {
                state.phase = Phase::Ending(status);
                state.wake();
            }
        }
        while !self.is_done() {
            self.changed.notified().await;
        }
    }

    /// Ends the stream at once and drops what is unread.
    pub fn cut(&self, status: Option<Status>) {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Cut(_)) {
            state.phase = Phase::Cut(status);
            state.under_way = 0;
            state.unread = Unread::default();
            state.unread_bytes = 0;
            state.wake();
            self.changed.notify_one();
        }
    }

    /// Returns when outcomes have waited for longer than `period`, and up to a quarter more, and the client has taken none.
    pub async fn stalled(&self, period: Duration) {
        let (mut before, mut looks) = (None, 0);
        while looks < LOOKS {
            sleep(period / LOOKS).await;
            let state = self.lock();
            let now = (!state.unread.parts.is_empty()).then_some(state.handed_over);
            looks = if now.is_some() && now == before { looks + 1 } else { 0 };
            before = now;
        }
    }

    fn is_done(&self) -> bool {
        let state = self.lock();
        state.under_way == 0 || matches!(state.phase, Phase::Cut(_))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// What is there, in one message.
    fn hand_over(&mut self) -> EncodedBatch {
        let (mut batch, mut outcomes, mut bytes) = (EncodedBatch::default(), 0, 0);
        while let Some(part) = self.unread.parts.pop_front_if(|part| {
            let fits = outcomes + part.outcomes <= OUTCOMES_PER_BATCH_MAX && bytes + part.bytes.len() <= BATCH_BYTES;
            outcomes == 0 || fits
        }) {
            outcomes += part.outcomes;
            bytes += part.bytes.len();
            batch.parts.push(part.bytes);
        }
        self.under_way -= outcomes;
        self.unread_bytes -= bytes;
        self.handed_over += outcomes as u64;
        batch
    }
}

/// The response side of a stream: hands over what is there whenever HTTP/2 has room, and ends the stream when dropped.
pub struct Outcomes {
    sink: Arc<Sink>,
}

impl Outcomes {
    pub fn new(sink: Arc<Sink>) -> Self {
        Self { sink }
    }
}

impl Stream for Outcomes {
    type Item = Result<EncodedBatch, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.sink.lock();
        if !state.unread.parts.is_empty() {
            let batch = state.hand_over();
            self.sink.changed.notify_one();
            return Poll::Ready(Some(Ok(batch)));
        }
        let idle = state.under_way == 0;
        match &mut state.phase {
            Phase::Cut(status) => Poll::Ready(status.take().map(Err)),
            Phase::Ending(status) if idle => Poll::Ready(status.take().map(Err)),
            _ => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Outcomes {
    fn drop(&mut self) {
        self.sink.cut(None);
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::{Outcome, OutcomeBatch};
    use futures::{FutureExt, StreamExt};
    use prost::Message;

    use super::*;

    fn unread(tags: std::ops::Range<u64>) -> Unread {
        let mut unread = Unread::default();
        tags.for_each(|tag| unread.add(tag, Answer::made(Outcome::default())));
        unread
    }

    fn tags(item: Option<Result<EncodedBatch, Status>>) -> Vec<u64> {
        let bytes = item.expect("a batch").expect("no status").parts.concat();
        OutcomeBatch::decode(bytes.as_slice()).expect("a batch").outcomes.iter().map(|outcome| outcome.tag).collect()
    }

    #[test]
    fn the_window_counts_until_outcomes_are_handed_over() {
        let sink = Sink::new(4);
        let mut outcomes = Outcomes::new(sink.clone());
        sink.reserve(3).now_or_never().expect("fits").expect("open");
        assert!(sink.reserve(2).now_or_never().is_none());
        sink.push(unread(1..4));
        assert!(sink.reserve(2).now_or_never().is_none(), "outcomes that nobody took still count");
        assert_eq!(tags(outcomes.next().now_or_never().expect("ready")), [1, 2, 3]);
        sink.reserve(9).now_or_never().expect("a large batch fits when nothing is under way").expect("open");
    }

    #[test]
    fn messages_are_bounded_and_the_end_comes_last() {
        let sink = Sink::new(10_000);
        let mut outcomes = Outcomes::new(sink.clone());
        sink.reserve(5_000).now_or_never().expect("fits").expect("open");
        sink.push(unread(0..4_999));
        assert!(sink.finish(Some(Status::unavailable("stopping"))).now_or_never().is_none());
        assert_eq!(tags(outcomes.next().now_or_never().expect("ready")).len(), OUTCOMES_PER_BATCH_MAX);
        assert_eq!(tags(outcomes.next().now_or_never().expect("ready")).len(), 4_999 - OUTCOMES_PER_BATCH_MAX);
        assert!(outcomes.next().now_or_never().is_none(), "one outcome is still to come");
        sink.push(unread(4_999..5_000));
        assert_eq!(tags(outcomes.next().now_or_never().expect("ready")), [4_999]);
        assert!(outcomes.next().now_or_never().expect("ready").expect("the status").is_err());
        assert!(outcomes.next().now_or_never().expect("ready").is_none());
    }

    #[test]
    fn what_several_turns_brought_goes_in_one_message_as_far_as_it_fits() {
        let sink = Sink::new(10_000);
        let mut outcomes = Outcomes::new(sink.clone());
        sink.reserve(5_000).now_or_never().expect("fits").expect("open");
        for turn in 0..50 {
            sink.push(unread(turn * 100..(turn + 1) * 100));
        }
        assert_eq!(tags(outcomes.next().now_or_never().expect("ready")), (0..4_000).collect::<Vec<_>>());
        assert_eq!(tags(outcomes.next().now_or_never().expect("ready")), (4_000..5_000).collect::<Vec<_>>());
        let mut large = Unread::default();
        for tag in 0..4 {
            large.add(tag, Answer::Encoded(vec![0; BATCH_BYTES / 2].into()));
        }
        sink.reserve(4).now_or_never().expect("fits").expect("open");
        sink.push(large);
        assert!(sink.reserve(1).now_or_never().is_none(), "so large outcomes are taken first");
        for _ in 0..2 {
            let batch = outcomes.next().now_or_never().expect("ready").expect("a batch").expect("no status");
            assert!((BATCH_BYTES..BATCH_BYTES * 3 / 2).contains(&batch.parts.concat().len()));
        }
    }

    #[test]
    fn a_stream_that_nobody_reads_any_more_keeps_nothing() {
        let sink = Sink::new(4);
        sink.reserve(4).now_or_never().expect("fits").expect("open");
        sink.push(unread(0..1));
        drop(Outcomes::new(sink.clone()));
        assert!(sink.lock().unread.parts.is_empty());
        assert!(sink.reserve(1).now_or_never().expect("at once").is_err());
        sink.finish(None).now_or_never().expect("at once");
    }

    #[tokio::test]
    async fn only_unread_outcomes_stall() {
        let period = Duration::from_millis(20);
        let sink = Sink::new(4);
        let mut outcomes = Outcomes::new(sink.clone());
        sink.reserve(2).await.expect("open");
        assert!(tokio::time::timeout(period * 4, sink.stalled(period)).await.is_err(), "the outcomes are not even there");
        sink.push(unread(0..2));
        tokio::time::timeout(period * 50, sink.stalled(period)).await.expect("stalled");
        sink.cut(Some(Status::resource_exhausted("not read")));
        assert!(outcomes.next().await.expect("the status").is_err());
    }
}
