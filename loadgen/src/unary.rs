//! Concurrent callers over a few connections, each with one call under way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::connection::Connection;
use tokio::task::JoinSet;

use crate::Load;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::tally::Tally;

/// Below what HTTP/2 servers usually allow on one connection at once.
const CALLERS_PER_CONNECTION: usize = 100;

/// How many callers each connection gets: as few connections as possible, evenly used.
pub fn callers_by_connection(callers: usize) -> impl Iterator<Item = usize> {
    let connections = callers.div_ceil(CALLERS_PER_CONNECTION);
    (0..connections).map(move |connection| callers / connections + usize::from(connection < callers % connections))
}

/// Runs the callers of one connection until no order is left.
pub async fn run(load: Arc<Load>, channel: Connection, callers: usize) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::new(load.workload.skus())));
    let mut running = JoinSet::new();
    for _ in 0..callers {
        running.spawn(caller(Arc::clone(&load), Caller::new(channel.clone()), Arc::clone(&tally)));
    }
    running.join_all().await;
    let tally = Arc::into_inner(tally).expect("the callers are gone");
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

async fn caller(load: Arc<Load>, mut caller: Caller, tally: Arc<Mutex<Tally>>) {
    while let Some(arrival) = load.arrivals.next().await {
        let begun = Instant::now();
        let (step, answer) = caller.carry_out(&load.workload, arrival.number).await;
        {
            let mut tally = tally.lock().expect("counting does not panic");
            tally.begin(arrival, begun);
            tally.end(&load.workload, arrival, step, &answer, Instant::now());
        }
        if let Answer::Failed(failure) = answer {
            tokio::time::sleep(failure.retry_after).await;
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
        assert_eq!(shares(100), [100]);
        assert_eq!(shares(250), [84, 83, 83]);
        assert_eq!(shares(1_000), [100; 10]);
    }
}
