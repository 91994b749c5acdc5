//! Whether the log is this engine's. An engine that does not know that does nothing that others see.

use std::time::Duration;

use emshop_core::planted::{self, Bug};
use emshop_log::lease::HELD;

use super::Now;

/// The hold of an engine on its log; none before its first renewal.
#[derive(Debug, Default)]
pub struct Lease {
    until: Option<Duration>,
}

impl Lease {
    /// A renewal was acknowledged that was asked for at this time of the engine.
    pub fn renewed(&mut self, asked_at: Duration) {
        self.until = self.until.max(Some(asked_at + HELD));
    }

    /// Until when it is held for sure; `None` while it never was.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }

    pub fn is_held(&self, now: Now) -> bool {
        self.until.is_some_and(|until| now.elapsed < until || planted::is(Bug::LeaseIgnored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_from_when_it_was_asked_for() {
        let mut lease = Lease::default();
        let held = |lease: &Lease, elapsed_ms| lease.is_held(Now { elapsed: Duration::from_millis(elapsed_ms), wall_ms: 0 });
        assert!(!held(&lease, 0), "nobody has said so yet");
        lease.renewed(Duration::from_millis(1_000));
        assert_eq!([3_499, 3_500].map(|at| held(&lease, at)), [true, false]);
        lease.renewed(Duration::from_millis(500));
        assert!(held(&lease, 3_499), "an acknowledgement that was late");
    }
}
