//! Concurrent callers over a few connections, each with one call under way. One task has all callers of a connection.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::task::unconstrained;
use tokio::time::sleep;
use tonic::Status;

use crate::Load;
use crate::answer::Answer;
use crate::call::Calls;
use crate::encoder::Encoder;
use crate::tally::Tally;
use crate::workload::Step;

/// So few connections that many calls share a packet, and enough that the server has work for all its cores.
const CALLERS_PER_CONNECTION: usize = 250;

/// How many callers each connection gets: as few connections as possible, evenly used.
pub fn callers_by_connection(callers: usize) -> impl Iterator<Item = usize> {
    let connections = callers.div_ceil(CALLERS_PER_CONNECTION);
    (0..connections).map(move |connection| callers / connections + usize::from(connection < callers % connections))
}

/// Runs the callers of one connection until no order is left.
pub async fn run(load: Arc<Load>, calls: Calls) -> Tally {
    let desk = Mutex::new(Desk { encoder: Encoder::new(&load.workload), tally: Tally::new(load.workload.skus()) });
    let callers: FuturesUnordered<_> = (0..calls.at_once()).map(|_| order_on(&load, &calls, &desk)).collect();
    // They share one task, so the budget of a task would be used up by the first of them.
    unconstrained(callers.collect::<()>()).await;
    desk.into_inner().expect(NOBODY_PANICS).tally
}

/// What the callers of a connection share.
struct Desk {
    encoder: Encoder,
    tally: Tally,
}

const NOBODY_PANICS: &str = "nobody panics with it";

/// One caller.
async fn order_on(load: &Load, calls: &Calls, desk: &Mutex<Desk>) {
    let workload = &load.workload;
    // One timer for all calls: putting it off is cheap, and a new one is not.
    let mut patience = pin!(sleep(load.timeout));
    while let Some(arrival) = load.arrivals.next().await {
        let mut step = Step::Submit;
        let begun = desk.lock().expect(NOBODY_PANICS).tally.begin(load, arrival, Instant::now());
        let answer = loop {
            let request = desk.lock().expect(NOBODY_PANICS).encoder.call(workload, step, arrival.number);
            patience.as_mut().reset(tokio::time::Instant::now() + load.timeout);
            let result = tokio::select! {
                biased;
                result = calls.call(step, workload.user_id(arrival.number), request) => result,
                () = &mut patience => Err(Status::cancelled("timed out")),
            };
            let answer = Answer::of_call(result);
            match (&answer, workload.next_step(step)) {
                (Answer::Accepted { .. }, Some(next)) => step = next,
                _ => break answer,
            }
        };
        desk.lock().expect(NOBODY_PANICS).tally.end(load, begun, step, &answer, Instant::now());
        if let Answer::Failed(failure) = answer {
            sleep(failure.retry_after).await;
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
