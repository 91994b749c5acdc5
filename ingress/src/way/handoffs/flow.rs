//! The whole way: calls and a stream by the dispatcher to the batcher, and outcomes back, whatever the log and its connection do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use emshop_log::audit::MemoryAudit;
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::{
    ClearCartRequest, Command, GoodsQuantity, Operator, Outcome, OutcomeBatch, PaymentMethod, Receiver, Refusal,
    SubmitOrderRequest, SubmitWait, command,
};
use emshop_sync::tasks::sleep;
use emshop_sync::threads::atomic::{AtomicBool, Ordering};
use emshop_sync::{block_on, chance, check, spawn};
use emshop_telemetry::Registry;
use emshop_telemetry::traces::Traces;
use futures::StreamExt;
use futures::future::join_all;
use prost::Message;
use tokio::sync::watch;

use super::log::SlowLog;
use super::{admission, nobody_is_inside};
use crate::access::audit::Audit;
use crate::access::trail::Trail;
use crate::accounts::token::Tokens;
use crate::refusals;
use crate::way::admission::Admission;
use crate::way::batcher::{Batcher, Watched};
use crate::way::dispatch::{Dispatcher, Streamer};
use crate::way::engines::Engine;
use crate::way::metrics::envelope_records;
use crate::way::outcomes::LocalOutcomes;
use crate::way::prepare::Defaults;
use crate::way::sink::{Outcomes, Sink};

const CALLS: u64 = 4;
const STREAMED: u64 = 4;

/// The user of each command is its number. Every other one is an order that waits for no more than the log.
fn command(user_id: u64) -> command::Body {
    if user_id.is_multiple_of(2) {
        return command::Body::ClearCart(ClearCartRequest { user_id });
    }
    command::Body::SubmitOrder(SubmitOrderRequest {
        user_id,
        lines: vec![GoodsQuantity { goods_id: 1, quantity: 1 }],
        address: "1 Main Street".to_owned(),
        receiver: Some(Receiver { name: "Li".to_owned(), phone: "1".to_owned() }),
        payment_method: PaymentMethod::Alipay.into(),
        wait: SubmitWait::Accepted.into(),
        ..SubmitOrderRequest::default()
    })
}

/// What a client has heard must be so.
fn judge(user: u64, answer: &Result<Outcome, Refusal>, stored: &[u64]) {
    let is_stored = stored.contains(&user);
    match answer {
        Ok(Outcome { result: Some(OutcomeResult::Order(_)), .. }) => assert!(is_stored, "the order of {user} was accepted"),
        Ok(outcome) => {
            assert_eq!(outcome.position.as_ref().map(|position| position.sequence), Some(user), "the outcome of another command");
            assert!(is_stored, "the command of {user} has an outcome");
        }
        Err(refusal) if [refusals::unavailable(), refusals::log_full(), refusals::overloaded()].contains(refusal) => {
            assert!(!is_stored, "{user} was told that nothing was done: {}", refusal.message);
        }
        Err(refusal) => {
            let unknown = [refusals::perhaps_unavailable(), refusals::outcome_unknown()];
            assert!(unknown.contains(refusal), "{user} was told {refusal:?}");
        }
    }
}

struct Way {
    log: SlowLog,
    admission: Arc<Admission>,
    dispatcher: Arc<Dispatcher>,
    outcomes: LocalOutcomes,
    connection: watch::Sender<bool>,
}

impl Way {
    fn new(is_ill: bool) -> (Self, impl Future<Output = ()> + Send) {
        let (outcomes, admission) = (LocalOutcomes::new(), Arc::new(admission()));
        let log = SlowLog::new(outcomes.clone(), is_ill);
        let (connection, reachable) = watch::channel(true);
        let (engine, writer, waiters) = (Engine::new(), outcomes.writer(), outcomes.waiters.clone());
        let watched = Watched { records_in_envelope: envelope_records(&Registry::new(), 0), traces: Traces::default() };
        let (batcher, work) = Batcher::new(Arc::new(log.clone()), writer, 2, waiters, reachable, engine.clone(), watched);
        let dispatcher = Dispatcher {
            partitioner: Partitioner::new(1),
            defaults: Defaults { completes_after_seconds: 1 },
            admission: admission.clone(),
            batchers: [batcher].into(),
            engines: [engine].into(),
            outcome_wait_max: Duration::from_secs(1),
            audit: Arc::new(Audit::new(
                Tokens::of_chance(Duration::from_secs(60)),
                Trail::new(Arc::new(MemoryAudit::default())).0,
            )),
            traces: Traces::default(),
        };
        (Self { log, admission, dispatcher: Arc::new(dispatcher), outcomes, connection }, work)
    }

    async fn call(dispatcher: Arc<Dispatcher>, user: u64) -> (u64, Result<Outcome, Refusal>) {
        (user, dispatcher.tell(command(user), Operator::default(), None).await)
    }

    /// Each outcome by the tag of its command, in the order of these.
    async fn stream(dispatcher: Arc<Dispatcher>, users: std::ops::Range<u64>) -> Vec<(u64, Result<Outcome, Refusal>)> {
        let sink = Sink::new(2);
        let outcomes = Outcomes::new(sink.clone());
        let reader = spawn(async move {
            for user in users {
                sink.reserve(1).await.expect("the client is there");
                let command = Command { tag: user, ..command(user).into() };
                dispatcher.submit(vec![command], &Streamer::default(), &sink).await;
            }
            // Nobody sends any more, perhaps, while there is something under way.
            drop(dispatcher);
            sink.finish(None).await;
        });
        let batches: Vec<_> = outcomes.map(|batch| batch.expect("no status").parts.concat()).collect().await;
        reader.await.expect("nobody ends it");
        let mut outcomes = OutcomeBatch::decode(batches.concat().as_slice()).expect("a batch").outcomes;
        outcomes.sort_by_key(|outcome| outcome.tag);
        let answer = |outcome: Outcome| match outcome.result {
            Some(OutcomeResult::Refusal(refusal)) => (outcome.tag, Err(refusal)),
            _ => (outcome.tag, Ok(outcome)),
        };
        outcomes.into_iter().map(answer).collect()
    }

    /// The connection comes and goes, and now and then those who wait have waited for too long.
    async fn trouble(connection: watch::Sender<bool>, outcomes: LocalOutcomes, ended: Arc<AtomicBool>) {
        let unknown = refusals::answer(refusals::outcome_unknown());
        while !ended.load(Ordering::SeqCst) {
            match chance(16) {
                0 => outcomes.waiters.expire(Instant::now(), &unknown),
                1 => connection.send_modify(|up| *up = !*up),
                _ => {}
            }
            sleep(Default::default()).await;
        }
        connection.send_replace(true);
    }
}

/// Calls and a stream side by side, each command of which is answered, and told nothing but what is so.
fn answers(is_ill: bool) -> Vec<(u64, Result<Outcome, Refusal>)> {
    let (Way { log, admission, dispatcher, outcomes, connection }, work) = Way::new(is_ill);
    let (batcher, ended) = (spawn(work), Arc::new(AtomicBool::new(false)));
    let trouble = is_ill.then(|| spawn(Way::trouble(connection.clone(), outcomes, ended.clone())));
    let calls: Vec<_> = (1..=CALLS).map(|user| spawn(Way::call(dispatcher.clone(), user))).collect();
    let stream = spawn(Way::stream(dispatcher, CALLS + 1..CALLS + STREAMED + 1));
    let mut answers: Vec<_> = block_on(join_all(calls)).into_iter().map(|call| call.expect("nobody ends it")).collect();
    answers.extend(block_on(stream).expect("nobody ends it"));
    let users: Vec<_> = answers.iter().map(|(user, _)| *user).collect();
    assert_eq!(users, (1..=CALLS + STREAMED).collect::<Vec<_>>(), "each command is answered once");
    ended.store(true, Ordering::SeqCst);
    if let Some(trouble) = trouble {
        block_on(trouble).expect("nobody ends it");
    }
    block_on(batcher).expect("it ends by itself when nobody sends any more");
    block_on(nobody_is_inside(&admission));
    let stored = log.users();
    answers.iter().for_each(|(user, answer)| judge(*user, answer, &stored));
    answers
}

#[test]
fn whatever_happens_each_command_is_answered_once_and_what_is_told_is_so() {
    check(|| drop(answers(true)));
}

/// An answer that comes before its waiter would be one that is lost. A log that takes its time may count as one that is away.
#[test]
fn no_answer_of_a_log_that_is_well_is_lost() {
    check(|| {
        for (user, answer) in answers(false) {
            assert!(answer.is_ok() || answer == Err(refusals::unavailable()), "{user} was told {answer:?}");
        }
    });
}
