//! The health that gRPC clients and load balancers ask for: serving while commands can get into their logs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::link::Link;
use crate::services::NAMES;
use crate::way::batcher::Batcher;

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Reports the health of the whole and of each service until stopped, and ends with "not serving".
pub async fn report(reporter: HealthReporter, link: Link, batchers: Arc<[Batcher]>, stopping: watch::Receiver<bool>) {
    let mut reported = None;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let stop = *stopping.borrow();
        let serving = !stop && *link.borrow() && batchers.iter().all(Batcher::is_open);
        if reported != Some(serving) {
            reported = Some(serving);
            let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status("", status).await;
            for name in NAMES {
                reporter.set_service_status(name, status).await;
            }
        }
        if stop {
            return;
        }
    }
}
