//! Who waits for which outcome.
//!
//! The records of an envelope get consecutive tickets, so that an envelope is one entry here, found once for all outcomes of its turn.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use emshop_sync::tasks::oneshot;
use emshop_sync::threads::{Mutex, MutexGuard};

use crate::way::admission::Room;
use crate::way::outcomes::Answer;
use crate::way::sink::{Sink, Unread};

/// Where one outcome goes.
pub enum Waiter {
    /// A call; nobody may be there any more when its deadline has passed.
    Call { reply: oneshot::Sender<Answer>, room: Room },
    /// A command of a stream, known to its client by `tag`. The room is that of its whole batch.
    Stream { sink: Arc<Sink>, tag: u64, room: Arc<Room> },
}

/// Hands outcomes to those who wait. A run of outcomes for one stream wakes it once.
pub fn deliver(answers: impl IntoIterator<Item = (Waiter, Answer)>) {
    let mut run: Option<(Arc<Sink>, Unread)> = None;
    for (waiter, answer) in answers {
        match waiter {
            Waiter::Call { reply, room } => {
                drop(room);
                // The call may have ended at its deadline.
                let _ = reply.send(answer);
            }
            Waiter::Stream { sink, tag, room } => {
                drop(room);
                if let Some((previous, unread)) = run.take_if(|(current, _)| !Arc::ptr_eq(current, &sink)) {
                    previous.push(unread);
                }
                let (_, unread) = run.get_or_insert_with(|| (sink, Unread::default()));
                unread.add(tag, answer);
            }
        }
    }
    if let Some((sink, unread)) = run {
        sink.push(unread);
    }
}

/// All who wait for outcomes of records in the log, by ticket.
pub struct Waiters {
    state: Mutex<State>,
}

struct State {
    next_ticket: u64,
    /// By the first ticket of each envelope: ascending in tickets and in time.
    envelopes: BTreeMap<u64, Waiting>,
}

struct Waiting {
    since: Instant,
    /// By ticket; `None` once answered.
    waiters: Vec<Option<Waiter>>,
    unanswered: usize,
}

impl Waiters {
    pub fn new() -> Self {
        // Ticket 0 stands for nobody.
        Self { state: Mutex::new(State { next_ticket: 1, envelopes: BTreeMap::new() }) }
    }

    /// Gives the waiters of one envelope consecutive tickets and returns the first of them, by which the envelope is known: one without
    /// waiters has a ticket, too, lest it fails for those of the next one.
    pub fn register(&self, waiters: Vec<Waiter>) -> u64 {
        let mut state = self.lock();
        let first = state.next_ticket;
        state.next_ticket += waiters.len().max(1) as u64;
        if !waiters.is_empty() {
            let unanswered = waiters.len();
            let waiters = waiters.into_iter().map(Some).collect();
            state.envelopes.insert(first, Waiting { since: Instant::now(), waiters, unanswered });
        }
        first
    }

    /// Takes the outcomes of a turn to those who wait for them. Tickets that nobody waits for any more are passed over.
    pub fn answer(&self, outcomes: impl ExactSizeIterator<Item = (u64, Answer)>) {
        let mut answers = Vec::with_capacity(outcomes.len());
        {
            let mut state = self.lock();
            answers.extend(outcomes.filter_map(|(ticket, answer)| Some((state.take(ticket)?, answer))));
        }
        deliver(answers);
    }

    /// Answers all who still wait for the envelope whose first ticket is `first`: it did not get into the log.
    pub fn fail(&self, first: u64, answer: &Answer) {
        let waiting = self.lock().envelopes.remove(&first);
        deliver(waiting.into_iter().flat_map(|waiting| waiting.answers(answer)));
    }

    /// Answers all who have waited since `limit` or longer.
    pub fn expire(&self, limit: Instant, answer: &Answer) {
        let mut expired = Vec::new();
        {
            let mut state = self.lock();
            while let Some(entry) = state.envelopes.first_entry().filter(|entry| entry.get().since <= limit) {
                expired.push(entry.remove());
            }
        }
        deliver(expired.into_iter().flat_map(|waiting| waiting.answers(answer)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, ticket: u64) -> Option<Waiter> {
        let (&first, waiting) = self.envelopes.range_mut(..=ticket).next_back()?;
        let index = usize::try_from(ticket - first).ok()?;
        let waiter = waiting.waiters.get_mut(index)?.take()?;
        waiting.unanswered -= 1;
        if waiting.unanswered == 0 {
            self.envelopes.remove(&first);
        }
        Some(waiter)
    }
}

impl Waiting {
    fn answers(self, answer: &Answer) -> impl Iterator<Item = (Waiter, Answer)> {
        self.waiters.into_iter().flatten().map(|waiter| (waiter, answer.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use emshop_proto::v1::Outcome;

    use super::*;
    use crate::refusals;
    use crate::way::admission::Budget;

    fn call() -> (Waiter, oneshot::Receiver<Answer>) {
        let room = Budget::new(1, 1).try_admit(1).expect("room");
        let (reply, answer) = oneshot::channel();
        (Waiter::Call { reply, room }, answer)
    }

    fn calls(count: usize) -> (Vec<Waiter>, Vec<oneshot::Receiver<Answer>>) {
        (0..count).map(|_| call()).unzip()
    }

    fn outcome(ticket: u64) -> (u64, Answer) {
        (ticket, Answer::made(Outcome { tag: ticket * 10, ..Outcome::default() }))
    }

    /// The tag of an answer that is there.
    fn tag(answer: &mut oneshot::Receiver<Answer>) -> Option<u64> {
        Some(answer.try_recv().ok()?.outcome().expect("an outcome").tag)
    }

    #[test]
    fn outcomes_find_their_tickets_in_any_order_and_once() {
        let waiters = Waiters::new();
        let (first, mut first_answers) = calls(2);
        let (second, mut second_answers) = calls(2);
        assert_eq!(waiters.register(first), 1);
        assert_eq!(waiters.register(second), 3);
        waiters.answer([4, 1, 3, 2, 0, 5, 99, 1].map(outcome).into_iter());
        let tags: Vec<_> = first_answers.iter_mut().chain(&mut second_answers).map(tag).collect();
        assert_eq!(tags, [Some(10), Some(20), Some(30), Some(40)]);
        assert!(waiters.lock().envelopes.is_empty());
    }

    /// Nobody waits for the outcomes of its orders, and the one behind it has got into the log.
    #[test]
    fn an_envelope_without_waiters_fails_for_nobody() {
        let waiters = Waiters::new();
        let lone = waiters.register(Vec::new());
        let (next, mut answers) = calls(1);
        let next = waiters.register(next);
        waiters.fail(lone, &refusals::answer(refusals::unavailable()));
        waiters.answer([outcome(next)].into_iter());
        assert_eq!(tag(&mut answers[0]), Some(next * 10));
    }

    #[test]
    fn failing_and_expiring_answer_whom_no_outcome_reached() {
        let waiters = Waiters::new();
        let (failed, mut failed_answers) = calls(2);
        let (expired, mut expired_answers) = calls(1);
        let failed = waiters.register(failed);
        waiters.answer([outcome(failed)].into_iter());
        waiters.fail(failed, &refusals::answer(refusals::unavailable()));
        waiters.register(expired);
        let unknown = refusals::answer(refusals::outcome_unknown());
        waiters.expire(Instant::now() - Duration::from_secs(5), &unknown);
        assert!(expired_answers[0].try_recv().is_err(), "it has not waited that long");
        waiters.expire(Instant::now(), &unknown);
        assert_eq!(tag(&mut failed_answers[0]), Some(failed * 10));
        for answer in [failed_answers[1].try_recv(), expired_answers[0].try_recv()] {
            assert!(answer.expect("answered").outcome().expect("an outcome").result.is_some());
        }
    }
}
