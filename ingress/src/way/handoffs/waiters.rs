//! Waiters: several bring outcomes, say that an envelope failed, or have no patience, and each command is answered once.

use std::time::Instant;

use emshop_proto::v1::{Outcome, OutcomeBatch};
use emshop_sync::tasks::{oneshot, select, sleep};
use emshop_sync::threads::thread;
use emshop_sync::{block_on, check, spawn};
use futures::{FutureExt, StreamExt};
use prost::Message;

use super::{budget, outcome, room, wait_for_all_room};
use crate::refusals;
use crate::way::admission::Budget;
use crate::way::outcomes::{Answer, LocalOutcomes};
use crate::way::sink::{Outcomes, Sink};
use crate::way::waiters::Waiter;

fn call(budget: &Budget) -> (Waiter, oneshot::Receiver<Answer>) {
    let (reply, answer) = oneshot::channel();
    (Waiter::Call { reply, room: budget.try_admit(1).expect("room") }, answer)
}

/// Runs all of these on threads of their own, and ends with them.
fn side_by_side(work: Vec<Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = work.into_iter().map(|work| thread::spawn(work)).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
}

/// Two engines and the sweep want to answer two envelopes, the first of which fails. One call has a deadline.
#[test]
fn each_call_is_answered_once_whoever_answers() {
    check(|| {
        let (local, budget) = (LocalOutcomes::new(), budget());
        let waiters = local.waiters.clone();
        let (first, [patient, impatient]) = calls(&budget);
        let (second, answers) = calls(&budget);
        let (first, second) = (waiters.register(first), waiters.register(second));
        let reads = thread::spawn(move || {
            block_on(async {
                select! {
                    answer = impatient => answered(answer, first + 1),
                    () = sleep(Default::default()) => {}
                }
                answered(patient.await, first);
                for (place, answer) in answers.into_iter().enumerate() {
                    answered(answer.await, second + place as u64);
                }
            });
        });
        let hand_in = |tickets: [u64; 3]| {
            let local = local.clone();
            move || local.hand_in(tickets.map(|ticket| (ticket, told(ticket))).to_vec())
        };
        let (failing, sweeping) = (waiters.clone(), waiters);
        side_by_side(vec![
            Box::new(hand_in([first, first + 1, second])),
            Box::new(hand_in([second + 1, second, 0])),
            Box::new(move || failing.fail(first, &refusals::answer(refusals::unavailable()))),
            Box::new(move || sweeping.expire(Instant::now(), &refusals::answer(refusals::outcome_unknown()))),
        ]);
        reads.join().expect("it does not panic");
        wait_for_all_room(&budget);
    });
}

fn calls(budget: &Budget) -> (Vec<Waiter>, [oneshot::Receiver<Answer>; 2]) {
    let ((first, first_answer), (second, second_answer)) = (call(budget), call(budget));
    (vec![first, second], [first_answer, second_answer])
}

fn told(ticket: u64) -> Outcome {
    Outcome { tag: ticket, ..Outcome::default() }
}

/// It is the outcome of this ticket, or a refusal.
fn answered<E>(answer: Result<Answer, E>, ticket: u64) {
    let outcome = answer.ok().expect("it is answered").outcome().expect("an outcome");
    assert!(outcome.result.is_some() || outcome.tag == ticket, "{outcome:?} is not that of {ticket}");
}

/// The envelopes of two streams are answered by engines of two logs, while a third one of the same stream fails.
#[test]
fn each_command_of_a_stream_is_answered_once_whoever_answers() {
    check(|| {
        let (local, budget) = (LocalOutcomes::new(), budget());
        let waiters = local.waiters.clone();
        let sinks = [Sink::new(8), Sink::new(8)];
        let outcomes = sinks.clone().map(Outcomes::new);
        let batch = room(&budget);
        let commands = |tags: [u64; 4]| {
            let waiter = |tag: u64| Waiter::Stream { sink: sinks[tag as usize % 2].clone(), tag, room: batch.clone() };
            waiters.register(tags.map(waiter).into())
        };
        let (first, second) = (commands([0, 1, 2, 3]), commands([4, 5, 6, 7]));
        drop(batch);
        for sink in &sinks {
            sink.reserve(4).now_or_never().expect("room").expect("open");
        }
        let hand_in = |first: u64| {
            let local = local.clone();
            move || local.hand_in((first..first + 4).map(|ticket| (ticket, Outcome::default())).collect())
        };
        side_by_side(vec![
            Box::new(hand_in(first)),
            Box::new(hand_in(second)),
            Box::new(move || waiters.fail(second, &outcome(0))),
        ]);
        let finishing = sinks.map(|sink| spawn(async move { sink.finish(None).await }));
        for (of, outcomes) in outcomes.into_iter().enumerate() {
            let batches = block_on(outcomes.map(|batch| batch.expect("no status").parts.concat()).collect::<Vec<_>>());
            let batch = OutcomeBatch::decode(batches.concat().as_slice()).expect("a batch");
            let mut tags: Vec<_> = batch.outcomes.iter().map(|outcome| outcome.tag as usize).collect();
            tags.sort_unstable();
            assert_eq!(tags, [of, of + 2, of + 4, of + 6]);
        }
        for finishing in finishing {
            block_on(finishing).expect("nobody ends it");
        }
        wait_for_all_room(&budget);
    });
}
