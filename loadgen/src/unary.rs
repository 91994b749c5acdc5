//! Concurrent callers over a few connections, each with one call under way. A connection and all of its callers are one task, and a caller
//! is no more than a place in it: the next order takes it when it is free.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::time::MissedTickBehavior;
use tonic::Status;

use crate::Load;
use crate::answer::Answer;
use crate::call::{Calls, Line, broken};
use crate::encoder::Encoder;
use crate::http2::Lost;
use crate::schedule::Arrival;
use crate::tally::{Begun, Tally};
use crate::workload::Step;

/// So few connections that many calls share a packet, and enough that the server has work for all its cores.
const CALLERS_PER_CONNECTION: usize = 250;
/// How often it is looked for calls without answer, and for callers who have paused.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How many callers each connection gets: as few connections as possible, evenly used.
pub fn callers_by_connection(callers: usize) -> impl Iterator<Item = usize> {
    let connections = callers.div_ceil(CALLERS_PER_CONNECTION);
    (0..connections).map(move |connection| callers / connections + usize::from(connection < callers % connections))
}

/// A step of an order that a caller takes.
#[derive(Debug)]
pub struct Turn {
    begun: Begun,
    step: Step,
    since: Instant,
}

/// A connection and its callers.
pub struct Desk {
    line: Line,
    /// None while there is no connection.
    calls: Option<Calls<Turn>>,
    callers: usize,
}

impl Desk {
    /// # Errors
    /// When nobody answers.
    pub async fn open(line: Line, callers: usize) -> anyhow::Result<Self> {
        Ok(Self { calls: Some(line.open().await?), line, callers })
    }
}

/// Runs the callers of one connection until no order is left.
pub async fn run(load: Arc<Load>, desk: Desk) -> Tally {
    let Desk { line, mut calls, callers } = desk;
    let mut callers = Callers::new(&load, callers);
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        callers.begin_all_due();
        if callers.is_done() {
            return callers.tally;
        }
        let Some(open) = &mut calls else {
            match line.open().await {
                Ok(open) => calls = Some(open),
                Err(error) => {
                    callers.give_up_waiting(&broken(format!("{error:#}")));
                    look.tick().await;
                    callers.go_on();
                }
            }
            continue;
        };
        callers.call(open);
        let went = tokio::select! {
            biased;
            _ = look.tick() => {
                callers.go_on();
                callers.give_up_late(open);
                Ok(())
            }
            came = open.exchange() => came.map_err(|_| Lost::Ended).and_then(|()| callers.take_in(open)),
            arrival = load.arrivals.next(), if callers.has_room() => {
                callers.begin(arrival);
                Ok(())
            }
        };
        if went.is_err() || open.is_over() {
            let (why, lost) = (went.err().unwrap_or(Lost::Ended), calls.take().expect("it is open").end());
            lost.for_each(|turn| callers.end(&turn, &Answer::of_call(Err(broken(why))), Instant::now()));
        }
    }
}

/// The callers of a connection.
struct Callers<'load> {
    load: &'load Load,
    places: usize,
    encoder: Encoder,
    tally: Tally,
    /// Orders that have begun, and not come to their end.
    under_way: usize,
    /// Of those, the steps to be taken as soon as the connection has room.
    waiting: VecDeque<Turn>,
    /// Until when those pause whose order met an error.
    pauses: BinaryHeap<Reverse<Instant>>,
    /// All orders of the run have begun.
    over: bool,
}

impl<'load> Callers<'load> {
    fn new(load: &'load Load, places: usize) -> Self {
        let (encoder, tally) = (Encoder::new(&load.workload), Tally::new(load.workload.skus()));
        Self { load, places, encoder, tally, under_way: 0, waiting: VecDeque::new(), pauses: BinaryHeap::new(), over: false }
    }

    fn is_done(&self) -> bool {
        self.over && self.under_way == 0
    }

    fn has_room(&self) -> bool {
        !self.over && self.under_way + self.pauses.len() < self.places
    }

    fn begin_all_due(&mut self) {
        while self.has_room() {
            match self.load.arrivals.next().now_or_never() {
                Some(arrival) => self.begin(arrival),
                None => return,
            }
        }
    }

    fn begin(&mut self, arrival: Option<Arrival>) {
        let Some(arrival) = arrival else {
            self.over = true;
            return;
        };
        let since = Instant::now();
        let begun = self.tally.begin(self.load, arrival, since);
        self.under_way += 1;
        self.waiting.push_back(Turn { begun, step: Step::Submit, since });
    }

    /// Takes the steps that there is room for.
    fn call(&mut self, calls: &mut Calls<Turn>) {
        let workload = &self.load.workload;
        while let Some(Turn { begun, step, .. }) = self.waiting.front() {
            let (step, number) = (*step, begun.arrival.number);
            let message = self.encoder.call(workload, step, number);
            if !calls.has_room(message) {
                break;
            }
            let turn = self.waiting.pop_front().expect("it is the first");
            calls.call(turn, step, workload.user_id(number), message);
        }
    }

    fn take_in(&mut self, calls: &mut Calls<Turn>) -> Result<(), Lost> {
        let now = Instant::now();
        calls.take_in(|turn, result| {
            let answer = Answer::of_call(result);
            match (&answer, self.load.workload.next_step(turn.step)) {
                (Answer::Accepted { .. }, Some(step)) => self.waiting.push_back(Turn { step, since: now, ..turn }),
                _ => self.end(&turn, &answer, now),
            }
        })
    }

    /// Whose pause is over begins orders again.
    fn go_on(&mut self) {
        let now = Instant::now();
        while self.pauses.peek().is_some_and(|Reverse(until)| *until <= now) {
            self.pauses.pop();
        }
    }

    fn give_up_late(&mut self, calls: &mut Calls<Turn>) {
        let (now, timeout) = (Instant::now(), self.load.timeout);
        let is_late = |turn: &Turn| now.saturating_duration_since(turn.since) > timeout;
        let mut late = calls.give_up(is_late);
        while self.waiting.front().is_some_and(is_late) {
            late.extend(self.waiting.pop_front());
        }
        let timed_out = Answer::of_call(Err(Status::cancelled("timed out")));
        late.iter().for_each(|turn| self.end(turn, &timed_out, now));
    }

    fn give_up_waiting(&mut self, status: &Status) {
        let (answer, now) = (Answer::of_call(Err(status.clone())), Instant::now());
        std::mem::take(&mut self.waiting).iter().for_each(|turn| self.end(turn, &answer, now));
    }

    /// An order has got its last answer.
    fn end(&mut self, turn: &Turn, answer: &Answer, now: Instant) {
        self.tally.end(self.load, turn.begun, turn.step, answer, now);
        self.under_way -= 1;
        if let Answer::Failed(failure) = answer {
            self.pauses.push(Reverse(now + failure.retry_after));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_share_connections_evenly() {
        let shares = |callers| callers_by_connection(callers).collect::<Vec<_>>();
        assert_eq!(shares(1), [1]);
        assert_eq!(shares(250), [250]);
        assert_eq!(shares(700), [234, 233, 233]);
        assert_eq!(shares(1_000), [250; 4]);
    }
}
