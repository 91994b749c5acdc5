//! The health that gRPC clients and load balancers ask for: serving while logs take what is appended.

use std::sync::Arc;

use futures::future::select_all;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::services::NAMES;
use crate::way::batcher::Batcher;

/// Reports the health of the whole and of each service until stopped, and ends with "not serving".
pub async fn report(reporter: HealthReporter, batchers: Arc<[Batcher]>, mut stopping: watch::Receiver<bool>) {
    let mut open: Vec<_> = batchers.iter().map(Batcher::open).collect();
    loop {
        // Each of them is looked at, so that only what comes later counts as a change.
        let closed = open.iter_mut().map(|open| !*open.borrow_and_update()).filter(|closed| *closed).count();
        let stop = *stopping.borrow_and_update();
        let serving = !stop && closed == 0;
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status("", status).await;
        for name in NAMES {
            reporter.set_service_status(name, status).await;
        }
        if stop {
            return;
        }
        let changed = select_all(open.iter_mut().map(|open| Box::pin(open.changed())));
        tokio::select! {
            _ = changed => {}
            _ = stopping.changed() => {}
        }
    }
}
