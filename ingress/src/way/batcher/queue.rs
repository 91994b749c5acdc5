//! Records that no envelope has taken yet: those of calls, and behind them those of streams.

use std::collections::VecDeque;

use emshop_proto::envelope::{ENVELOPE_BYTES_MAX, HEAD_BYTES};
use emshop_sync::tasks::mpsc;

use super::Pending;

/// Records taken in at once.
const ARRIVALS_MAX: usize = 1024;
/// What calls leave of an envelope while streams wait.
const LEFT_TO_STREAMS: usize = ENVELOPE_BYTES_MAX / 4;

pub struct Queue {
    receiver: mpsc::UnboundedReceiver<Pending>,
    /// The handles are dropped: nothing more comes.
    is_closed: bool,
    arrived: Vec<Pending>,
    calls: Lane,
    streamed: Lane,
}

/// Of one kind, in the order that they came in.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Pending>,
    /// What they take up in envelopes.
    bytes: usize,
}

impl Queue {
    pub fn new(receiver: mpsc::UnboundedReceiver<Pending>) -> Self {
        Self { receiver, is_closed: false, arrived: Vec::new(), calls: Lane::default(), streamed: Lane::default() }
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// It is closed, and empty.
    pub fn has_ended(&self) -> bool {
        self.is_closed && self.calls.waiting.is_empty() && self.streamed.waiting.is_empty()
    }

    /// Waits for the next records.
    pub async fn fill(&mut self) {
        self.is_closed = self.receiver.recv_many(&mut self.arrived, ARRIVALS_MAX).await == 0;
        for pending in self.arrived.drain(..) {
            let lane = if pending.is_streamed() { &mut self.streamed } else { &mut self.calls };
            lane.push(pending);
        }
    }

    /// Bytes of streams that wait.
    pub fn streamed_bytes(&self) -> usize {
        self.streamed.bytes
    }

    /// Whether there is something to send, when so much of streams may go.
    pub fn has_some(&self, streamed_room: usize) -> bool {
        !self.calls.waiting.is_empty()
            || self.streamed.waiting.front().is_some_and(|first| first.bytes_in_envelope() <= streamed_room)
    }

    /// Whether that is more than an envelope holds.
    pub fn fills_envelope(&self, streamed_room: usize) -> bool {
        HEAD_BYTES + self.calls.bytes + self.streamed.bytes.min(streamed_room) > ENVELOPE_BYTES_MAX
    }

    /// Takes what fits into one envelope, and no more of streams than may go.
    pub fn take(&mut self, streamed_room: usize) -> Vec<Pending> {
        let all = ENVELOPE_BYTES_MAX - HEAD_BYTES;
        let left_to_streams = self.streamed.bytes.min(streamed_room).min(LEFT_TO_STREAMS);
        // The first call goes, however large.
        let first_call = self.calls.waiting.front().map_or(0, Pending::bytes_in_envelope);
        let mut taken = Vec::new();
        let calls_bytes = self.calls.take(first_call.max(all - left_to_streams), &mut taken);
        self.streamed.take(streamed_room.min(all - calls_bytes), &mut taken);
        assert!(!taken.is_empty() || !self.has_some(streamed_room), "validation bounds a record far below an envelope");
        taken
    }

    pub fn take_all(&mut self) -> impl Iterator<Item = Pending> {
        (self.calls.bytes, self.streamed.bytes) = (0, 0);
        self.calls.waiting.drain(..).chain(self.streamed.waiting.drain(..))
    }
}

impl Lane {
    fn push(&mut self, pending: Pending) {
        self.bytes += pending.bytes_in_envelope();
        self.waiting.push_back(pending);
    }

    /// Takes from the front as far as there is room, and says how much that was.
    fn take(&mut self, room: usize, taken: &mut Vec<Pending>) -> usize {
        let mut bytes = 0;
        let fits = |pending: &&Pending| {
            bytes += pending.bytes_in_envelope();
            bytes <= room
        };
        let count = self.waiting.iter().take_while(fits).count();
        let before = self.bytes;
        taken.extend(self.waiting.drain(..count).inspect(|pending| self.bytes -= pending.bytes_in_envelope()));
        before - self.bytes
    }
}
