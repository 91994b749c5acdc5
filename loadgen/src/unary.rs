//! Concurrent callers over a few connections, each with one call under way. One task has all callers of a connection.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use tonic::Status;

use crate::Load;
use crate::answer::Answer;
use crate::call::Calls;
use crate::encoder::Encoder;
use crate::schedule::Arrival;
use crate::tally::{Begun, Tally};
use crate::workload::Step;

/// So few connections that many calls share a packet, and enough that the server has work for all its cores.
const CALLERS_PER_CONNECTION: usize = 250;

/// How many callers each connection gets: as few connections as possible, evenly used.
pub fn callers_by_connection(callers: usize) -> impl Iterator<Item = usize> {
    let connections = callers.div_ceil(CALLERS_PER_CONNECTION);
    (0..connections).map(move |connection| callers / connections + usize::from(connection < callers % connections))
}

/// A call that was answered, and when.
struct Answered {
    begun: Begun,
    step: Step,
    answer: Answer,
    at: Instant,
}

/// Runs the callers of one connection until no order is left.
pub async fn run(load: Arc<Load>, mut calls: Calls) -> Tally {
    let mut callers = Callers { load: &load, encoder: Encoder::new(&load.workload), tally: Tally::new(load.workload.skus()) };
    let mut under_way = FuturesUnordered::new();
    let mut over = false;
    loop {
        calls.keep_open().await;
        let has_room = |callers: usize| callers < calls.at_once();
        while !over
            && has_room(under_way.len())
            && let Some(arrival) = load.arrivals.next().now_or_never()
        {
            over = arrival.is_none();
            let next = arrival.map(|arrival| callers.begin(arrival));
            under_way.extend(next.map(|(begun, step)| callers.call(&calls, begun, step)));
        }
        if over && under_way.is_empty() {
            return callers.tally;
        }
        let next = tokio::select! {
            Some(answered) = under_way.next() => callers.take_in(answered),
            arrival = load.arrivals.next(), if !over && has_room(under_way.len()) => {
                over = arrival.is_none();
                arrival.map(|arrival| callers.begin(arrival))
            }
        };
        under_way.extend(next.map(|(begun, step)| callers.call(&calls, begun, step)));
    }
}

struct Callers<'load> {
    load: &'load Load,
    encoder: Encoder,
    tally: Tally,
}

impl Callers<'_> {
    fn begin(&mut self, arrival: Arrival) -> (Begun, Step) {
        (self.tally.begin(self.load, arrival, Instant::now()), Step::Submit)
    }

    /// Counts an order that has come to its end; says which step is next of one that has not.
    fn take_in(&mut self, answered: Answered) -> Option<(Begun, Step)> {
        let Answered { begun, step, answer, at } = answered;
        if let (Answer::Accepted { .. }, Some(next)) = (&answer, self.load.workload.next_step(step)) {
            return Some((begun, next));
        }
        self.tally.end(self.load, begun, step, &answer, at);
        None
    }

    /// Lasts until the caller is free again.
    fn call(&mut self, calls: &Calls, begun: Begun, step: Step) -> impl Future<Output = Answered> + use<> {
        let (workload, number) = (&self.load.workload, begun.arrival.number);
        let request = self.encoder.call(workload, step, number);
        let call = tokio::time::timeout(self.load.timeout, calls.call(step, workload.user_id(number), request));
        async move {
            let result = call.await.unwrap_or_else(|_| Err(Status::cancelled("timed out")));
            let (answer, at) = (Answer::of_call(result), Instant::now());
            if let Answer::Failed(failure) = &answer {
                tokio::time::sleep(failure.retry_after).await;
            }
            Answered { begun, step, answer, at }
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
