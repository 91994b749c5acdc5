//! What is measured on the way into the logs. Most of it is looked at only when somebody asks.

use std::sync::Arc;

use emshop_telemetry::{Gauge, Histogram, Registry, catalogue};

use super::admission::{Admission, Taken, UnderWay};
use super::batcher::Batcher;
use super::engines::Engine;

/// The records of envelopes for one log.
pub fn envelope_records(registry: &Registry, log: u32) -> Histogram {
    registry.histogram(&catalogue::ENVELOPE_RECORDS, &[&log.to_string()])
}

/// Has it looked at how much is under way, and whether logs take anything, for as long as there is an ingress.
pub fn watch(registry: &Registry, admission: &Arc<Admission>, batchers: &Arc<[Batcher]>, engines: &Arc<[Engine]>) {
    let logs: Vec<_> = (0..batchers.len()).map(|log| Log::new(registry, log)).collect();
    // They end with the ingress, not with the registry.
    let (admission, batchers, engines) = (Arc::downgrade(admission), Arc::downgrade(batchers), Arc::downgrade(engines));
    registry.at_scrape(move || {
        let (Some(admission), Some(batchers), Some(engines)) = (admission.upgrade(), batchers.upgrade(), engines.upgrade())
        else {
            return;
        };
        for (number, (log, (batcher, engine))) in logs.iter().zip(batchers.iter().zip(engines.iter())).enumerate() {
            log.look(admission.under_way(number as u32), batcher, engine);
        }
    });
}

/// What is looked at of one log.
struct Log {
    /// What is under way, and its bounds: in units and in bytes.
    units: [Bounded; 4],
    bytes: [Bounded; 2],
    open: Gauge,
    heard: Gauge,
}

/// How much there is of something, and how much there may be.
struct Bounded {
    taken: Gauge,
    max: Gauge,
}

impl Bounded {
    fn set(&self, Taken { taken, max }: Taken) {
        self.taken.set(taken as f64);
        self.max.set(max as f64);
    }
}

impl Log {
    fn new(registry: &Registry, log: usize) -> Self {
        let log = log.to_string();
        let units = |what| Bounded {
            taken: registry.gauge(&catalogue::UNDER_WAY, &[&log, what]),
            max: registry.gauge(&catalogue::UNDER_WAY_MAX, &[&log, what]),
        };
        let bytes = |what| Bounded {
            taken: registry.gauge(&catalogue::UNDER_WAY_BYTES, &[&log, what]),
            max: registry.gauge(&catalogue::UNDER_WAY_BYTES_MAX, &[&log, what]),
        };
        Self {
            units: ["reads", "lists", "calls", "streamed"].map(units),
            bytes: ["calls", "streamed"].map(bytes),
            open: registry.gauge(&catalogue::LOG_OPEN, &[&log]),
            heard: registry.gauge(&catalogue::ENGINE_HEARD, &[&log]),
        }
    }

    fn look(&self, under_way: UnderWay, batcher: &Batcher, engine: &Engine) {
        let UnderWay { reads, lists, calls, streamed, call_bytes, streamed_bytes } = under_way;
        self.units.iter().zip([reads, lists, calls, streamed]).for_each(|(bounded, taken)| bounded.set(taken));
        self.bytes.iter().zip([call_bytes, streamed_bytes]).for_each(|(bounded, taken)| bounded.set(taken));
        self.open.set(f64::from(batcher.takes()));
        self.heard.set(f64::from(!engine.is_gone()));
    }
}
