//! What is measured of connections.

use emshop_telemetry::{Counter, Gauge, Registry, catalogue};

pub struct Metrics {
    pub open: Gauge,
    pub turned_away: Counter,
}

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        Self {
            open: registry.gauge(&catalogue::CONNECTIONS, &[]),
            turned_away: registry.counter(&catalogue::CONNECTIONS_REFUSED, &[]),
        }
    }
}
