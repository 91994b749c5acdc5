use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use emshop_log::{Bounds, Entry, LastSteps, LogError};
use emshop_proto::envelope::{self, ENVELOPE_BYTES_MAX};
use emshop_proto::internal::{Envelope, Record, Tick, record};
use emshop_proto::seal::{ClusterKey, KEY_BYTES, Seal};
use emshop_sync::tasks::oneshot;
use emshop_telemetry::Registry;
use emshop_telemetry::traces::Traces;
use futures::FutureExt;
use futures::stream::BoxStream;
use prost::Message;
use tokio::sync::watch;

use super::*;
use crate::way::admission::Budget;
use crate::way::metrics::envelope_records;
use crate::way::sink::Sink;

type Append = (Envelope, oneshot::Sender<Result<u64, AppendError>>);

/// A log that answers appends when the test says so.
struct SlowLog {
    seal: Seal,
    appends: Mutex<Vec<Append>>,
    room: AtomicU64,
    looks: AtomicU64,
}

impl SlowLog {
    /// Takes the oldest append that is not answered yet.
    async fn next(&self) -> Append {
        while self.under_way() == 0 {
            tokio::task::yield_now().await;
        }
        self.appends.lock().unwrap().remove(0)
    }

    fn under_way(&self) -> usize {
        self.appends.lock().unwrap().len()
    }
}

impl CommandLog for SlowLog {
    fn number(&self) -> u32 {
        0
    }

    fn seal(&self) -> &Seal {
        &self.seal
    }

    fn append(&self, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        assert!(payload.len() <= ENVELOPE_BYTES_MAX, "{} bytes", payload.len());
        let (answer, result) = oneshot::channel();
        self.appends.lock().unwrap().push((envelope::decode(&payload, &self.seal).expect("an envelope"), answer));
        result.map(|result| result.expect("the test answers")).boxed()
    }

    fn append_steps(&self, _source_log: u32, _after: u64, _payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        unreachable!("a batcher has commands only")
    }

    fn last_steps(&self, _source_log: u32, _at_least: u64) -> BoxFuture<'static, Result<LastSteps, LogError>> {
        unreachable!("a batcher only writes")
    }

    fn entry(&self, _sequence: u64) -> BoxFuture<'static, Result<Option<Entry>, LogError>> {
        unreachable!("a batcher only writes")
    }

    fn read(&self, _from: u64) -> BoxStream<'static, Result<Entry, LogError>> {
        unreachable!("a batcher only writes")
    }

    fn voids(&self, _from: u64) -> BoxFuture<'static, Result<Vec<Entry>, LogError>> {
        unreachable!("a batcher only writes")
    }

    fn bounds(&self) -> BoxFuture<'static, Result<Bounds, LogError>> {
        unreachable!("a batcher only writes")
    }

    fn room(&self) -> BoxFuture<'static, Result<u64, LogError>> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        futures::future::ready(Ok(self.room.load(Ordering::Relaxed))).boxed()
    }

    fn trim(&self, _sequence: u64) -> BoxFuture<'static, Result<(), LogError>> {
        unreachable!("a batcher only writes")
    }
}

struct Bench {
    log: Arc<SlowLog>,
    waiters: Arc<Waiters>,
    connection: watch::Sender<bool>,
    batcher: Batcher,
    budget: Budget,
    engine: Engine,
}

const WRITER: u64 = 77;
/// Hashes of records, by how these came.
const CALLED: u64 = 5;
const STREAMED: u64 = 6;
const SLOTS: usize = 2;

impl Bench {
    fn new() -> Self {
        let seal = ClusterKey::new([0; KEY_BYTES]).seals("a test").of(0);
        let (log, waiters) = (
            Arc::new(SlowLog { seal, appends: Mutex::default(), room: u64::MAX.into(), looks: 0.into() }),
            Arc::new(Waiters::new()),
        );
        let (connection, reachable) = watch::channel(true);
        let engine = Engine::new();
        let watched = Watched { records_in_envelope: envelope_records(&Registry::new(), 0), traces: Traces::default() };
        let (batcher, work) = Batcher::new(log.clone(), WRITER, SLOTS, waiters.clone(), reachable, engine.clone(), watched);
        tokio::spawn(work);
        Self { log, waiters, connection, batcher, budget: Budget::new(10_000, u32::MAX >> 4), engine }
    }

    fn send(&self, record_bytes: usize, receipt: Option<Box<OrderReceipt>>) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        let waiter = Waiter::Call { reply, room: self.budget.try_admit(1).expect("room") };
        self.batcher.send(Pending { record: Self::record(record_bytes, CALLED), waiter, receipt, append: None });
        answer
    }

    /// As a stream does.
    fn stream(&self, record_bytes: usize) {
        let room = Arc::new(self.budget.try_admit(1).expect("room"));
        let waiter = Waiter::Stream { sink: Sink::new(1), tag: 0, room };
        self.batcher.send(Pending { record: Self::record(record_bytes, STREAMED), waiter, receipt: None, append: None });
    }

    fn record(record_bytes: usize, body_hash: u64) -> Vec<u8> {
        let mut record =
            Record { body_hash, body: Some(record::Body::Tick(Tick::default())), ..Record::default() }.encode_to_vec();
        // An unknown field of the size asked for.
        let padding = record_bytes.saturating_sub(record.len());
        prost::encoding::bytes::encode(100, &vec![0_u8; padding], &mut record);
        record
    }

    async fn answer_probe(&self, result: Result<u64, AppendError>) {
        let (probe, answer) = self.log.next().await;
        assert!(probe.records.is_empty(), "{probe:?} is no probe");
        answer.send(result).expect("awaited");
    }

    fn is_open(&self) -> bool {
        self.batcher.refusal().is_none()
    }

    async fn opens(&self) {
        self.batcher.open().wait_for(|open| *open).await.expect("it works");
    }

    async fn closes(&self) {
        self.batcher.open().wait_for(|open| !*open).await.expect("it works");
    }

    async fn refused(&self, answer: oneshot::Receiver<Answer>) -> String {
        match outcome(answer).await.result {
            Some(OutcomeResult::Refusal(refusal)) => {
                assert_eq!(refusal.retry_after_ms, 1_000);
                refusal.reason
            }
            other => panic!("{other:?} is no refusal"),
        }
    }
}

async fn outcome(answer: oneshot::Receiver<Answer>) -> Outcome {
    answer.await.expect("an answer").outcome().expect("an outcome")
}

fn tickets(envelope: &Envelope) -> Vec<u64> {
    assert_eq!(envelope.writer, WRITER);
    assert!(envelope.records.iter().all(|record| record.body_hash == CALLED && record.body.is_some()));
    envelope.records.iter().map(|record| record.ticket).collect()
}

#[tokio::test]
async fn what_comes_while_an_envelope_is_under_way_shares_the_next_one() {
    let bench = Bench::new();
    let mut outcomes = vec![bench.send(10, None)];
    let (first, answer) = bench.log.next().await;
    outcomes.extend((0..5).map(|_| bench.send(10, None)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(bench.log.under_way(), 0, "they would not fill another one");
    answer.send(Ok(1)).expect("awaited");
    let (second, _pending) = bench.log.next().await;
    assert_eq!((tickets(&first), tickets(&second)), (vec![1], vec![2, 3, 4, 5, 6]));
    bench.waiters.answer([1, 2, 3, 4, 5, 6].map(|ticket| (ticket, Answer::made(Outcome::default()))).into_iter());
    for outcome in outcomes {
        outcome.await.expect("an answer");
    }
}

#[tokio::test]
async fn full_envelopes_take_all_slots() {
    let bench = Bench::new();
    let lone = bench.send(10, None);
    let (_, answer) = bench.log.next().await;
    let outcomes: Vec<_> = (0..2 * SLOTS * 5).map(|_| bench.send(ENVELOPE_BYTES_MAX / 5 - 100, None)).collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(bench.log.under_way(), SLOTS - 1, "no more appends than slots");
    answer.send(Ok(1)).expect("awaited");
    let (next, _pending) = bench.log.next().await;
    assert_eq!(tickets(&next), [2, 3, 4, 5, 6]);
    drop((lone, outcomes));
}

#[tokio::test]
async fn full_envelopes_close_and_lose_nothing() {
    let bench = Bench::new();
    let outcomes: Vec<_> = (0..200).map(|index| bench.send(100 + index * 10, None)).collect();
    let mut all = Vec::new();
    while all.len() < outcomes.len() {
        let (envelope, answer) = bench.log.next().await;
        all.extend(tickets(&envelope));
        answer.send(Ok(1)).expect("awaited");
    }
    assert_eq!(all, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn acceptance_is_answered_by_the_acknowledgement() {
    let bench = Bench::new();
    let accepted = bench.send(10, Some(Box::new(OrderReceipt { order_id: "o1".to_owned(), ..OrderReceipt::default() })));
    let (envelope, answer) = bench.log.next().await;
    assert_eq!(tickets(&envelope), [0]);
    answer.send(Ok(42)).expect("awaited");
    let outcome = outcome(accepted).await;
    assert_eq!(outcome.position, Some(LogPosition { log: 0, sequence: 42 }));
    assert!(matches!(outcome.result, Some(OutcomeResult::Order(receipt)) if receipt.order_id == "o1"));
}

#[tokio::test]
async fn failed_appends_answer_all_who_wait() {
    let bench = Bench::new();
    let refused = bench.send(10, None);
    let (_, answer) = bench.log.next().await;
    answer.send(Err(AppendError::Refused("too large".to_owned()))).expect("awaited");
    assert_eq!(bench.refused(refused).await, "SERVICE_UNAVAILABLE");
    assert!(bench.is_open(), "a log that answers is not away");

    let lost = [bench.send(10, None), bench.send(10, Some(Box::default()))];
    let (_, answer) = bench.log.next().await;
    answer.send(Err(AppendError::Unknown("late".to_owned()))).expect("awaited");
    for outcome in lost {
        assert_eq!(bench.refused(outcome).await, "OUTCOME_UNKNOWN");
    }
    bench.answer_probe(Err(AppendError::Unknown("late again".to_owned()))).await;
    assert!(!bench.is_open());
    bench.answer_probe(Ok(3)).await;
    bench.opens().await;
    let _again = bench.send(10, None);
    bench.log.next().await;
}

#[tokio::test]
async fn nothing_queues_for_a_log_that_is_away() {
    let bench = Bench::new();
    let _sent = bench.send(10, None);
    let (_, _sent_answer) = bench.log.next().await;
    let queued = bench.send(10, None);
    bench.connection.send_replace(false);
    assert_eq!(bench.refused(queued).await, "SERVICE_UNAVAILABLE");
    assert!(!bench.is_open());
    assert_eq!(bench.refused(bench.send(10, None)).await, "SERVICE_UNAVAILABLE");
    bench.answer_probe(Ok(1)).await;
    assert_eq!(bench.refused(bench.send(10, None)).await, "SERVICE_UNAVAILABLE");
    assert!(!bench.is_open(), "outcomes would not come");
    bench.connection.send_replace(true);
    bench.opens().await;
    // What was under way keeps no slot from what comes now.
    let _again = bench.send(10, None);
    bench.log.next().await;
}

/// It answers questions, as one does whose disk was full.
#[tokio::test]
async fn a_log_that_takes_nothing_is_away_until_it_does() {
    let bench = Bench::new();
    let sent = bench.send(10, None);
    let (_, answer) = bench.log.next().await;
    bench.closes().await;
    let (probe, probe_answer) = bench.log.next().await;
    assert_eq!((probe.writer, probe.records.len()), (WRITER, 0), "it asks for nothing");
    tokio::time::sleep(2 * PROBE_EVERY).await;
    assert_eq!((bench.log.under_way(), bench.is_open()), (0, false), "one probe at a time");
    answer.send(Ok(1)).expect("awaited");
    probe_answer.send(Ok(2)).expect("awaited");
    bench.opens().await;
    drop(sent);
}

impl Bench {
    async fn refused_as_full(&self, answer: oneshot::Receiver<Answer>) {
        match outcome(answer).await.result {
            Some(OutcomeResult::Refusal(refusal)) => assert_eq!(refusal, refusals::log_full()),
            other => panic!("{other:?} is no refusal"),
        }
    }

    async fn has_room(&self, room: u64) {
        self.log.room.store(room, Ordering::Relaxed);
        while self.is_open() == (room < ENVELOPE_BYTES_MAX as u64) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Whether it says so itself, or leaves room for others only.
#[tokio::test]
async fn a_full_log_takes_nothing_until_it_has_room() {
    let bench = Bench::new();
    let refused = bench.send(10, None);
    let (_, answer) = bench.log.next().await;
    bench.log.room.store(0, Ordering::Relaxed);
    answer.send(Err(AppendError::Full)).expect("awaited");
    bench.refused_as_full(refused).await;
    bench.refused_as_full(bench.send(10, None)).await;
    assert!(*bench.batcher.open().borrow(), "it works");
    for room in [ENVELOPE_BYTES_MAX as u64, ENVELOPE_BYTES_MAX as u64 - 1, u64::MAX] {
        bench.has_room(room).await;
    }
    let _again = bench.send(10, None);
    bench.log.next().await;
}

#[tokio::test]
async fn a_log_is_asked_for_its_room_when_a_part_of_it_was_taken() {
    let bench = Bench::new();
    let looks = || bench.log.looks.load(Ordering::Relaxed);
    bench.log.room.store(400_000, Ordering::Relaxed);
    while looks() == 0 {
        tokio::task::yield_now().await;
    }
    let (before, mut outcomes) = (looks(), Vec::new());
    for _ in 0..9 {
        outcomes.push(bench.send(40_000, None));
        let (_, answer) = bench.log.next().await;
        answer.send(Ok(1)).expect("awaited");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // 100,000 bytes are three envelopes. On a slow machine a second passes, too.
    assert!(looks() >= before + 3, "{} times", looks() - before);
}

/// The records of streams in an envelope.
fn streamed(envelope: &Envelope) -> usize {
    envelope.records.iter().filter(|record| record.body_hash == STREAMED).count()
}

#[tokio::test]
async fn calls_go_before_streams_and_leave_them_a_part() {
    let bench = Bench::new();
    let lone = bench.send(10, None);
    let (_, answer) = bench.log.next().await;
    (0..20).for_each(|_| bench.stream(10_000));
    let calls: Vec<_> = (0..100).map(|_| bench.send(1_000, None)).collect();
    answer.send(Ok(1)).expect("awaited");
    let (first, _pending) = bench.log.next().await;
    assert_eq!((streamed(&first), first.records.len()), (1, 37), "a quarter is left to streams");
    drop((lone, calls));
}

#[tokio::test]
async fn streams_wait_for_the_engine_and_calls_do_not() {
    let bench = Bench::new();
    let mut sent = 0;
    (0..400).for_each(|_| bench.stream(10_000));
    for sequence in 1.. {
        let Ok((envelope, answer)) = tokio::time::timeout(Duration::from_millis(200), bench.log.next()).await else { break };
        sent += streamed(&envelope);
        answer.send(Ok(sequence)).expect("awaited");
    }
    assert!((100..=105).contains(&sent), "{sent} of 10,000 bytes are on their way, of 1 MiB");
    let _call = bench.send(10, None);
    let (envelope, answer) = bench.log.next().await;
    assert_eq!((envelope.records.len(), streamed(&envelope)), (1, 0));
    answer.send(Ok(1_000)).expect("awaited");
    bench.engine.tells(1_000);
    let (envelope, _pending) = bench.log.next().await;
    assert!(streamed(&envelope) > 0, "the engine has got on");
}
