//! What is measured of a server, and of the logs there.

use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::Event;
use emshop_telemetry::{Counter, Gauge, Registry, catalogue};

/// Of one connection.
pub(super) struct LinkMetrics {
    up: Gauge,
    reconnects: Counter,
    /// It has come about once.
    has_been_up: AtomicBool,
}

impl LinkMetrics {
    pub fn new(registry: &Registry, purpose: &str) -> Self {
        Self {
            up: registry.gauge(&catalogue::NATS_UP, &[purpose]),
            reconnects: registry.counter(&catalogue::NATS_RECONNECTS, &[purpose]),
            has_been_up: AtomicBool::new(false),
        }
    }

    pub fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.up.set(1.0);
                if self.has_been_up.swap(true, Ordering::Relaxed) {
                    self.reconnects.inc();
                }
            }
            Event::Disconnected => self.up.set(0.0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_back_is_a_reconnect() {
        let metrics = LinkMetrics::new(&Registry::new(), "read");
        let told = |event| {
            metrics.note(&event);
            (metrics.up.get(), metrics.reconnects.get())
        };
        let events = [Event::Connected, Event::LameDuckMode, Event::Disconnected, Event::Connected];
        assert_eq!(events.map(told), [(1.0, 0), (1.0, 0), (0.0, 0), (1.0, 1)]);
    }
}
