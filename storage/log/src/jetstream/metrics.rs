//! What is measured of a server, and of the logs there.

use std::sync::atomic::{AtomicBool, Ordering};

use std::time::Duration;

use async_nats::Event;
use emshop_telemetry::{Counter, Gauge, Histogram, Registry, catalogue};

use crate::AppendError;

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

/// Of one log.
pub(super) struct LogMetrics {
    seconds: Histogram,
    bytes: Histogram,
    stored: Counter,
    full: Counter,
    refused: Counter,
    not_next: Counter,
    unknown: Counter,
    last_sequence: Gauge,
}

impl LogMetrics {
    pub fn new(registry: &Registry, log: u32) -> Self {
        let number = log.to_string();
        let result = |result| registry.counter(&catalogue::LOG_APPENDS, &[&number, result]);
        Self {
            seconds: registry.histogram(&catalogue::LOG_APPEND_SECONDS, &[&number]),
            bytes: registry.histogram(&catalogue::LOG_ENVELOPE_BYTES, &[&number]),
            stored: result("stored"),
            full: result("full"),
            refused: result("refused"),
            not_next: result("not_next"),
            unknown: result("unknown"),
            last_sequence: last_sequence(registry, log),
        }
    }

    /// Something came of the append of so many bytes.
    pub fn appended(&self, result: &Result<u64, AppendError>, bytes: usize, took: Duration) {
        match result {
            Ok(sequence) => {
                self.stored.inc();
                self.bytes.observe(bytes as f64);
                self.seconds.observe(took.as_secs_f64());
                self.has(*sequence);
            }
            Err(AppendError::Full) => self.full.inc(),
            Err(AppendError::Refused(_)) => self.refused.inc(),
            Err(AppendError::NotNext(_)) => self.not_next.inc(),
            Err(AppendError::Unknown(_)) => self.unknown.inc(),
        }
    }

    /// The log is known to have this sequence. What is known already is not forgotten for it.
    pub fn has(&self, sequence: u64) {
        let sequence = sequence as f64;
        if sequence > self.last_sequence.get() {
            self.last_sequence.set(sequence);
        }
    }
}

/// The last sequence that a log is known to have.
pub fn last_sequence(registry: &Registry, log: u32) -> Gauge {
    registry.gauge(&catalogue::LOG_LAST_SEQUENCE, &[&log.to_string()])
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

    #[test]
    fn appends_are_counted_by_what_came_of_them() {
        let metrics = LogMetrics::new(&Registry::new(), 3);
        let unknown = || Err(AppendError::Unknown("late".to_owned()));
        for result in [Ok(7), Ok(5), Err(AppendError::Full), unknown(), unknown()] {
            metrics.appended(&result, 1_000, Duration::from_millis(2));
        }
        let counted = [&metrics.stored, &metrics.full, &metrics.refused, &metrics.not_next, &metrics.unknown].map(Counter::get);
        assert_eq!(counted, [2, 1, 0, 0, 2]);
        assert_eq!(
            (metrics.bytes.get_sample_sum(), metrics.seconds.get_sample_count()),
            (2_000.0, 2),
            "of those that are stored"
        );
        assert_eq!(metrics.last_sequence.get(), 7.0, "an answer that was late says nothing new");
    }
}
