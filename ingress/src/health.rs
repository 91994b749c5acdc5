//! The health that gRPC clients and load balancers ask for.
//!
//! Names: `liveness` is the process, `log.<n>` one log with its engine, an empty name and those of services whether calls should come here.
//! That is so while any log is served: what belongs to the others is refused at once, by every ingress alike.

use std::sync::Arc;

use emshop_search::Search;
use futures::future::select_all;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::services::{NAMES, SEARCHING};
use crate::stage::Stage;
use crate::way::batcher::Batcher;
use crate::way::engines::Engine;

/// The process itself, whatever it can reach.
const LIVENESS: &str = "liveness";

/// Reports health until the ingress stops. Then nobody is told anything more, lest those who watch hold the stop up. `reasons` follows why
/// calls should not come here.
pub async fn report(
    mut reporter: HealthReporter,
    batchers: Arc<[Batcher]>,
    engines: Arc<[Engine]>,
    search: Arc<Search>,
    mut stage: watch::Receiver<Stage>,
    reasons: watch::Sender<Vec<String>>,
) {
    let names: Vec<_> = (0..batchers.len()).map(|log| format!("log.{log}")).collect();
    let mut parts: Vec<_> = batchers.iter().map(Batcher::open).chain(engines.iter().map(Engine::there)).collect();
    let mut searched = search.completeness();
    reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    loop {
        let now = *stage.borrow_and_update();
        // Each of them is looked at, so that only what comes later counts as a change.
        let works: Vec<_> = parts.iter_mut().map(|part| *part.borrow_and_update()).collect();
        let (open, there) = works.split_at(names.len());
        let served: Vec<_> = open.iter().zip(there).map(|(open, there)| *open && *there).collect();
        let against = against(now, open, there);
        let ready = against.is_empty();
        reasons.send_replace(against);
        if now == Stage::Stopping {
            break;
        }
        for (name, served) in names.iter().zip(&served) {
            reporter.set_service_status(name, status(*served)).await;
        }
        reporter.set_service_status("", status(ready)).await;
        for name in NAMES {
            let finds = *name != SEARCHING || searched.is_complete();
            reporter.set_service_status(name, status(ready && finds)).await;
        }
        let changed = select_all(parts.iter_mut().map(|part| Box::pin(part.changed())));
        tokio::select! {
            _ = changed => {}
            () = searched.changed() => {}
            _ = stage.changed() => {}
        }
    }
    for name in NAMES.iter().copied().chain(names.iter().map(String::as_str)).chain(["", LIVENESS]) {
        reporter.clear_service_status(name).await;
    }
}

/// Why calls should not come here, given which logs take commands and which have an engine; nothing while they should.
fn against(now: Stage, open: &[bool], there: &[bool]) -> Vec<String> {
    if now != Stage::Serving {
        return vec!["it is about to stop".to_owned()];
    }
    let mut reasons = Vec::new();
    for (log, log_works) in open.iter().zip(there).enumerate() {
        match log_works {
            (true, true) => return Vec::new(),
            (false, _) => reasons.push(format!("log {log} takes nothing")),
            (true, false) => reasons.push(format!("nothing is heard of the engine of log {log}")),
        }
    }
    reasons
}

fn status(serving: bool) -> ServingStatus {
    if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_log_that_is_served_is_worth_a_call() {
        assert_eq!(against(Stage::Serving, &[false, true], &[true, true]), [""; 0]);
        let reasons = against(Stage::Serving, &[false, true], &[false, false]);
        assert_eq!(reasons, ["log 0 takes nothing", "nothing is heard of the engine of log 1"]);
        assert_eq!(against(Stage::Leaving, &[true], &[true]), ["it is about to stop"]);
    }
}
