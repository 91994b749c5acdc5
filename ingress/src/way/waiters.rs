//! Who waits for which outcome.
//!
//! The records of an envelope get consecutive tickets, so that an envelope is one entry here, found once for all outcomes of its turn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use emshop_proto::internal::TicketOutcome;
use emshop_proto::v1::Outcome;
use tokio::sync::oneshot;

use crate::way::admission::Room;
use crate::way::sink::{Sink, Unread};

/// Where one outcome goes.
pub enum Waiter {
    /// A call; nobody may be there any more when its deadline has passed.
    Call { reply: oneshot::Sender<Outcome>, room: Room },
    /// A command of a stream, known to its client by `tag`. The room is that of its whole batch.
    Stream { sink: Arc<Sink>, tag: u64, room: Arc<Room> },
}

/// Hands outcomes to those who wait. A run of outcomes for one stream wakes it once.
pub fn deliver(answers: impl IntoIterator<Item = (Waiter, Outcome)>) {
    let mut run: Option<(Arc<Sink>, Vec<Unread>)> = None;
    for (waiter, mut outcome) in answers {
        match waiter {
            Waiter::Call { reply, room } => {
                drop(room);
                // The call may have ended at its deadline.
                let _ = reply.send(outcome);
            }
            Waiter::Stream { sink, tag, room } => {
                outcome.tag = tag;
                let unread = Unread::new(outcome, &room);
                match &mut run {
                    Some((current, outcomes)) if Arc::ptr_eq(current, &sink) => outcomes.push(unread),
                    _ => {
                        if let Some((previous, outcomes)) = run.replace((sink, vec![unread])) {
                            previous.push(outcomes);
                        }
                    }
                }
            }
        }
    }
    if let Some((sink, outcomes)) = run {
        sink.push(outcomes);
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

    /// Gives the waiters of one envelope consecutive tickets and returns the first of them.
    pub fn register(&self, waiters: Vec<Waiter>) -> u64 {
        let mut state = self.lock();
        let first = state.next_ticket;
        state.next_ticket += waiters.len() as u64;
        if !waiters.is_empty() {
            let unanswered = waiters.len();
            let waiters = waiters.into_iter().map(Some).collect();
            state.envelopes.insert(first, Waiting { since: Instant::now(), waiters, unanswered });
        }
        first
    }

    /// Takes the outcomes of a turn to those who wait for them. Tickets that nobody waits for any more are passed over.
    pub fn answer(&self, outcomes: Vec<TicketOutcome>) {
        let mut answers = Vec::with_capacity(outcomes.len());
        {
            let mut state = self.lock();
            for TicketOutcome { ticket, outcome } in outcomes {
                if let (Some(waiter), Some(outcome)) = (state.take(ticket), outcome) {
                    answers.push((waiter, outcome));
                }
            }
        }
        deliver(answers);
    }

    /// Answers all who still wait for the envelope whose first ticket is `first`: it did not get into the log.
    pub fn fail(&self, first: u64, outcome: &Outcome) {
        let waiting = self.lock().envelopes.remove(&first);
        deliver(waiting.into_iter().flat_map(|waiting| waiting.answers(outcome)));
    }

    /// Answers all who have waited since `limit` or longer.
    pub fn expire(&self, limit: Instant, outcome: &Outcome) {
        let mut expired = Vec::new();
        {
            let mut state = self.lock();
            while let Some(entry) = state.envelopes.first_entry().filter(|entry| entry.get().since <= limit) {
                expired.push(entry.remove());
            }
        }
        deliver(expired.into_iter().flat_map(|waiting| waiting.answers(outcome)));
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
    fn answers(self, outcome: &Outcome) -> impl Iterator<Item = (Waiter, Outcome)> {
        self.waiters.into_iter().flatten().map(|waiter| (waiter, outcome.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::refusals;
    use crate::way::admission::Admission;

    fn call() -> (Waiter, oneshot::Receiver<Outcome>) {
        let room = Admission::new(1, 1).try_admit(1).expect("room");
        let (reply, outcome) = oneshot::channel();
        (Waiter::Call { reply, room }, outcome)
    }

    fn calls(count: usize) -> (Vec<Waiter>, Vec<oneshot::Receiver<Outcome>>) {
        (0..count).map(|_| call()).unzip()
    }

    fn outcome(ticket: u64) -> TicketOutcome {
        TicketOutcome { ticket, outcome: Some(Outcome { tag: ticket * 10, ..Outcome::default() }) }
    }

    #[test]
    fn outcomes_find_their_tickets_in_any_order_and_once() {
        let waiters = Waiters::new();
        let (first, mut first_outcomes) = calls(2);
        let (second, mut second_outcomes) = calls(2);
        assert_eq!(waiters.register(first), 1);
        assert_eq!(waiters.register(Vec::new()), 3);
        assert_eq!(waiters.register(second), 3);
        waiters.answer([4, 1, 3, 2, 0, 5, 99, 1].map(outcome).to_vec());
        let tags: Vec<_> =
            first_outcomes.iter_mut().chain(&mut second_outcomes).map(|one| one.try_recv().map(|o| o.tag)).collect();
        assert_eq!(tags, [Ok(10), Ok(20), Ok(30), Ok(40)]);
        assert!(waiters.lock().envelopes.is_empty());
    }

    #[test]
    fn failing_and_expiring_answer_whom_no_outcome_reached() {
        let waiters = Waiters::new();
        let (failed, mut failed_outcomes) = calls(2);
        let (expired, mut expired_outcomes) = calls(1);
        let failed = waiters.register(failed);
        waiters.answer(vec![outcome(failed)]);
        waiters.fail(failed, &refusals::outcome(refusals::unavailable()));
        waiters.register(expired);
        waiters.expire(Instant::now() - Duration::from_secs(5), &Outcome::default());
        assert!(expired_outcomes[0].try_recv().is_err(), "it has not waited that long");
        waiters.expire(Instant::now(), &refusals::outcome(refusals::outcome_unknown()));
        assert_eq!(failed_outcomes[0].try_recv().expect("answered").tag, failed * 10);
        for outcome in [failed_outcomes[1].try_recv(), expired_outcomes[0].try_recv()] {
            assert!(outcome.expect("answered").result.is_some());
        }
    }
}
