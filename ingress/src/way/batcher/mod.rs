//! From records to envelopes in one log.
//!
//! Batching is natural: an envelope takes what has come while the one before it was on its way, so a lone command does not wait. Several
//! are on their way at once only when each is full: the log syncs one after the other, and small ones would cost it as much as full ones.
//! There is no timer.
//!
//! Records of calls go before those of streams ([`queue`]), of which only so much is on its way as the engine can apply soon ([`flow`]).

mod flow;
mod queue;
mod room;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use emshop_log::jetstream::Reachable;
use emshop_log::{AppendError, CommandLog};
use emshop_proto::envelope::{RECORD_OVERHEAD_BYTES, assemble, seal};
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::{LogPosition, OrderReceipt, Outcome, Refusal};
use emshop_sync::tasks::{mpsc, select, sleep, sleep_until};
use emshop_sync::threads::atomic::{AtomicBool, Ordering};
use emshop_telemetry::Histogram;
use emshop_telemetry::traces::Traces;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;

use self::flow::Flow;
use self::queue::Queue;
use self::room::Room;
use crate::refusals;
use crate::way::engines::Engine;
use crate::way::outcomes::Answer;
use crate::way::traced::Traced;
use crate::way::waiters::{Waiter, Waiters, deliver};

/// An append that takes longer makes the log count as unavailable: an acknowledgement takes less than a millisecond.
const STALLED_AFTER: Duration = Duration::from_secs(2);
/// Between two tries whether an unavailable log is back.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// A record on its way into the log.
pub struct Pending {
    /// The encoded `internal::Record` without its ticket.
    pub record: Vec<u8>,
    pub waiter: Waiter,
    /// The answer once the record is durable; `None` when the waiter waits for the outcome.
    pub receipt: Option<Box<OrderReceipt>>,
    /// When it is traced.
    pub append: Option<Box<Traced>>,
}

/// What watches a batcher.
pub struct Watched {
    /// Is told of each envelope.
    pub records_in_envelope: Histogram,
    /// Of traced commands.
    pub traces: Traces,
}

/// The way to a log's batcher. Records need no bound here: admission bounds them.
pub struct Batcher {
    records: mpsc::UnboundedSender<Pending>,
    open: watch::Receiver<bool>,
    state: Arc<LogState>,
}

/// Whether the log takes records. Each command looks, also for the logs of its goods.
#[derive(Default)]
struct LogState {
    closed: AtomicBool,
    full: AtomicBool,
}

impl Batcher {
    /// The handle, and the future that does the work until all handles are dropped and all appends are answered.
    pub fn new(
        log: Arc<dyn CommandLog>,
        writer: u64,
        slots: usize,
        waiters: Arc<Waiters>,
        reachable: Reachable,
        engine: Engine,
        watched: Watched,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (records, receiver) = mpsc::unbounded_channel();
        let (open, is_open) = watch::channel(true);
        let state = Arc::<LogState>::default();
        let queue = Queue::new(receiver);
        let appends = FuturesUnordered::new();
        let worker = Worker {
            room: Room::new(Arc::clone(&log)),
            log,
            writer,
            slots,
            waiters,
            reachable,
            applied: engine.applied(),
            there: engine.there(),
            flow: Flow::new(),
            queue,
            appends,
            sent: BTreeMap::new(),
            envelopes: 0,
            watched,
            open,
            state: Arc::clone(&state),
            probe: None,
        };
        (Self { records, open: is_open, state }, worker.run())
    }

    /// Why records would be refused now, if they would.
    pub fn refusal(&self) -> Option<Refusal> {
        if self.state.closed.load(Ordering::Relaxed) {
            return Some(refusals::unavailable());
        }
        self.state.full.load(Ordering::Relaxed).then(refusals::log_full)
    }

    /// Whether records would be taken now.
    pub fn takes(&self) -> bool {
        !self.state.closed.load(Ordering::Relaxed) && !self.state.full.load(Ordering::Relaxed)
    }

    /// False while the log does not take what is appended. One that is full works.
    pub fn open(&self) -> watch::Receiver<bool> {
        self.open.clone()
    }

    pub fn send(&self, pending: Pending) {
        if let Err(mpsc::error::SendError(pending)) = self.records.send(pending) {
            refuse(pending, refusals::unavailable());
        }
    }
}

impl Pending {
    fn bytes_in_envelope(&self) -> usize {
        self.record.len() + RECORD_OVERHEAD_BYTES
    }

    fn is_streamed(&self) -> bool {
        matches!(self.waiter, Waiter::Stream { .. })
    }
}

/// An envelope whose append is not answered yet.
struct Sent {
    since: Instant,
    /// Sent before the log became unavailable: it no longer takes up a slot, and its failure is no news.
    stale: bool,
    first_ticket: u64,
    /// What it has of streams.
    streamed_bytes: usize,
    /// Those to answer when it is durable.
    accepted: Vec<(Waiter, Box<OrderReceipt>)>,
    records: usize,
    traced: Vec<Traced>,
}

type Append = BoxFuture<'static, (u64, Result<u64, AppendError>)>;

struct Worker {
    log: Arc<dyn CommandLog>,
    writer: u64,
    slots: usize,
    waiters: Arc<Waiters>,
    reachable: Reachable,
    /// How far the engine is,
    applied: watch::Receiver<u64>,
    /// and whether it is there at all.
    there: watch::Receiver<bool>,
    flow: Flow,
    room: Room,
    queue: Queue,
    appends: FuturesUnordered<Append>,
    /// By the number of the envelope, in the order sent.
    sent: BTreeMap<u64, Sent>,
    /// Envelopes sent so far.
    envelopes: u64,
    watched: Watched,
    open: watch::Sender<bool>,
    state: Arc<LogState>,
    /// While the log is unavailable: ends when it is back.
    probe: Option<BoxFuture<'static, ()>>,
}

impl Worker {
    async fn run(mut self) {
        self.check_connection();
        loop {
            let open = self.probe.is_none();
            if !open {
                self.queue.take_all().for_each(|pending| refuse(pending, refusals::unavailable()));
            } else if self.room.is_full() {
                self.queue.take_all().for_each(|pending| refuse(pending, refusals::log_full()));
            }
            while self.may_send() {
                self.send();
            }
            if self.queue.has_ended() {
                break;
            }
            let stalls_at = self.fresh().next().map(|sent| sent.since + STALLED_AFTER);
            select! {
                Some((envelope, result)) = self.appends.next() => self.settle(envelope, result),
                () = self.queue.fill(), if !self.queue.is_closed() => {}
                Ok(()) = self.applied.changed() => {
                    let applied = *self.applied.borrow_and_update();
                    self.flow.applied(applied, Instant::now());
                }
                Ok(()) = self.there.changed() => {}
                Ok(()) = self.reachable.changed(), if open => self.check_connection(),
                () = reached(stalls_at), if open => self.close("appends are not answered"),
                () = ended(&mut self.probe) => self.reopen(),
                room = self.room.answer() => {
                    self.room.take(room);
                    self.note_room();
                }
            }
        }
        while let Some((envelope, result)) = self.appends.next().await {
            self.settle(envelope, result);
        }
    }

    fn fresh(&self) -> impl Iterator<Item = &Sent> {
        self.sent.values().filter(|sent| !sent.stale)
    }

    fn may_send(&mut self) -> bool {
        let streamed = self.streamed_room();
        if self.queue.streamed_bytes() > streamed {
            self.flow.held_up();
        }
        match self.fresh().count() {
            0 => self.queue.has_some(streamed),
            under_way => under_way < self.slots && self.queue.fills_envelope(streamed),
        }
    }

    /// How much of streams may go now. Where no engine applies anything, it holds nobody up.
    fn streamed_room(&self) -> usize {
        if *self.there.borrow() { self.flow.room() } else { usize::MAX }
    }

    fn send(&mut self) {
        let gathered = self.queue.take(self.streamed_room());
        let streamed_bytes = gathered.iter().filter(|pending| pending.is_streamed()).map(Pending::bytes_in_envelope).sum();
        self.flow.sent(streamed_bytes);
        let mut records = Vec::with_capacity(gathered.len());
        let mut waiting = Vec::with_capacity(gathered.len());
        let (mut accepted, mut traced) = (Vec::new(), Vec::new());
        for Pending { record, waiter, receipt, append } in gathered {
            traced.extend(append.map(|append| *append));
            records.push((record, receipt.is_none()));
            match receipt {
                None => waiting.push(waiter),
                Some(receipt) => accepted.push((waiter, receipt)),
            }
        }
        self.watched.records_in_envelope.observe(records.len() as f64);
        // Before the append: the outcome may be here before the acknowledgement.
        let first_ticket = self.waiters.register(waiting);
        let envelope = seal(assemble(self.writer, first_ticket, &records), self.log.seal());
        self.room.sent(envelope.len() as u64);
        let append = self.log.append(envelope);
        self.envelopes += 1;
        let envelope = self.envelopes;
        let records = records.len();
        let sent = Sent { since: Instant::now(), stale: false, first_ticket, streamed_bytes, accepted, records, traced };
        self.sent.insert(envelope, sent);
        self.appends.push(Box::pin(async move { (envelope, append.await) }));
    }

    fn settle(&mut self, envelope: u64, result: Result<u64, AppendError>) {
        let sent = self.sent.remove(&envelope).expect("each append is answered once");
        sent.traced.iter().for_each(|append| append.end(&self.watched.traces, self.log.number(), sent.records, told(&result)));
        let refusal = match result {
            Ok(sequence) => {
                self.flow.appended(sequence, sent.streamed_bytes, sent.since);
                let position = LogPosition { log: self.log.number(), sequence };
                return deliver(sent.accepted.into_iter().map(|(waiter, receipt)| (waiter, accepted(*receipt, position))));
            }
            Err(AppendError::Full) => {
                self.room.refused();
                self.note_room();
                refusals::log_full()
            }
            Err(refused @ (AppendError::Refused(_) | AppendError::NotNext(_))) => {
                tracing::warn!(log = self.log.number(), "an envelope was not taken: {refused}");
                refusals::unavailable()
            }
            Err(AppendError::Unknown(reason)) => {
                if !sent.stale {
                    self.close(&reason);
                }
                refusals::perhaps_unavailable()
            }
        };
        self.flow.failed(sent.streamed_bytes);
        let answer = refusals::answer(refusal);
        self.waiters.fail(sent.first_ticket, &answer);
        deliver(sent.accepted.into_iter().map(|(waiter, _)| (waiter, answer.clone())));
    }

    fn note_room(&self) {
        let (log, is_full) = (self.log.number(), self.room.is_full());
        match (self.state.full.swap(is_full, Ordering::Relaxed), is_full) {
            (false, true) => tracing::warn!(
                event = "log.full",
                log,
                "the log is full, and commands are refused until its engine has trimmed it"
            ),
            (true, false) => tracing::info!(event = "log.has_room", log, "the log has room again"),
            _ => {}
        }
    }

    fn check_connection(&mut self) {
        if !*self.reachable.borrow_and_update() {
            self.close("the connection to NATS is lost");
        }
    }

    /// From now on records are refused at once rather than left to wait.
    fn close(&mut self, reason: &str) {
        if self.set_open(false) {
            tracing::warn!(event = "log.unavailable", log = self.log.number(), reason, "the log is unavailable");
            self.sent.values_mut().for_each(|sent| sent.stale = true);
            self.probe = Some(Box::pin(until_available(self.log.clone(), self.writer, self.reachable.clone())));
        }
    }

    /// Gives what it was before.
    fn set_open(&self, open: bool) -> bool {
        self.state.closed.store(!open, Ordering::Relaxed);
        self.open.send_replace(open)
    }

    fn reopen(&mut self) {
        self.probe = None;
        self.set_open(true);
        tracing::info!(event = "log.available", log = self.log.number(), "the log is available again");
    }
}

/// As a span has it.
fn told(result: &Result<u64, AppendError>) -> Result<u64, &'static str> {
    match result {
        Ok(sequence) => Ok(*sequence),
        Err(AppendError::Full) => Err("full"),
        Err(AppendError::Refused(_) | AppendError::NotNext(_)) => Err("refused"),
        Err(AppendError::Unknown(_)) => Err("unknown"),
    }
}

fn accepted(receipt: OrderReceipt, position: LogPosition) -> Answer {
    Answer::made(Outcome { position: Some(position), result: Some(OutcomeResult::Order(receipt)), ..Outcome::default() })
}

fn refuse(pending: Pending, refusal: Refusal) {
    deliver([(pending.waiter, refusals::answer(refusal))]);
}

/// Appends nothing, an envelope without records, until the log has taken that: a server whose disk was full answers questions while its
/// streams take nothing more.
async fn until_available(log: Arc<dyn CommandLog>, writer: u64, mut reachable: Reachable) {
    let nothing = seal(assemble(writer, 0, &[]), log.seal());
    while !matches!(log.append(nothing.clone()).await, Ok(_) | Err(AppendError::Full)) {
        sleep(PROBE_EVERY).await;
    }
    // An error means that nobody watches the connection any more: then only the log itself can tell.
    let _ = reachable.wait_for(|up| *up).await;
}

async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

async fn ended(probe: &mut Option<BoxFuture<'static, ()>>) {
    match probe {
        Some(probe) => probe.await,
        None => std::future::pending().await,
    }
}
