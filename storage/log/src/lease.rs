//! Who serves a log: one engine at a time, by a lease that it renews.
//!
//! No clocks of two machines are compared. The holder counts from when it asked for what was acknowledged; who waits for it counts from
//! when it last saw that change.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A lease that nobody has renewed for so long may be taken.
pub const LEASE: Duration = Duration::from_secs(3);
/// How long its holder counts on it, from when it asked. Less, since not all clocks run alike.
pub const HELD: Duration = Duration::from_millis(2_500);
/// How often it is renewed.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(1);

/// An engine, among all that may serve a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Drawn by each process.
    pub incarnation: u64,
    /// Name of its machine.
    pub host: String,
    /// The run of that machine's system: that of a copy of it is another one.
    pub boot: String,
    /// Its process there.
    pub process: u32,
    /// Its data folder.
    pub folder: String,
}

impl Holder {
    /// Whether that one has ended: one process at a time has the lock of a data folder.
    pub fn relieves(&self, other: &Self) -> bool {
        (&self.boot, &self.folder) == (&other.boot, &other.folder)
    }

    /// Which process it is, without what is where on its machine.
    pub fn place(&self) -> String {
        format!("emshop process {} on {}", self.process, self.host)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{} with the data folder {}", self.place(), self.folder)
    }
}

/// What is written down for a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who has it.
    pub holder: Holder,
    /// Since when, in Unix milliseconds by the clock of its holder: for people.
    pub since_ms: i64,
    /// How often the log has changed hands.
    pub epoch: u64,
    /// Its holder has ended in order: anybody may take it.
    pub released: bool,
}

/// What a waiting engine has seen of a lease.
#[derive(Debug, Default)]
pub struct Watch {
    revision: Option<u64>,
    unchanged: Duration,
}

impl Watch {
    /// Whether the lease may be taken, which was seen at this revision, `since` after the last look. A look that took long proves
    /// nothing: the server may have kept the renewals waiting as well.
    pub fn is_over(&mut self, revision: u64, since: Duration, look_max: Duration) -> bool {
        if self.revision.replace(revision) == Some(revision) {
            self.unchanged += since.min(look_max);
        } else {
            self.unchanged = Duration::ZERO;
        }
        self.unchanged >= LEASE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(500);

    #[test]
    fn a_lease_is_over_when_nobody_has_renewed_it_for_three_seconds() {
        let mut watch = Watch::default();
        let mut seen = |revision| watch.is_over(revision, LOOK, LOOK);
        assert!((0..6).all(|_| !seen(1)), "2.5 s");
        assert!((0..6).all(|_| !seen(2)), "it was renewed");
        assert!(seen(2), "3 s");
    }

    #[test]
    fn a_look_that_took_long_counts_for_little() {
        let mut watch = Watch::default();
        assert!((0..6).all(|_| !watch.is_over(1, Duration::from_secs(60), LOOK)));
        assert!(watch.is_over(1, Duration::from_secs(60), LOOK));
    }
}
