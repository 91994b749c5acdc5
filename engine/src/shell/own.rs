//! What an engine itself has to say in its log: that timers are due, and which rules hold from here on.

use std::time::Duration;

use bytes::Bytes;
use emshop_core::replica::Replica;
use emshop_core::rules;
use emshop_proto::envelope;
use emshop_proto::internal::{Envelope, Record, Rules, Tick, record};

use super::Now;

/// How often the timers are looked at.
pub const TIMER_INTERVAL: Duration = Duration::from_millis(100);
/// A record that did not come back is given up after this, and another one is appended.
const PATIENCE: Duration = Duration::from_secs(5);

/// One record at a time on its way through the log.
pub struct OwnRecords {
    under_way: UnderWay,
    /// When the timers are looked at again.
    next_look: Duration,
}

enum UnderWay {
    Nothing,
    Appending { since: Duration },
    InLog { sequence: u64 },
}

impl OwnRecords {
    pub fn new(now: Now) -> Self {
        Self { under_way: UnderWay::Nothing, next_look: now.elapsed }
    }

    /// The envelope that is to be appended now, if one is.
    pub fn due(&mut self, replica: &mut Replica, now: Now) -> Option<Bytes> {
        if now.elapsed < self.next_look {
            return None;
        }
        self.next_look = now.elapsed + TIMER_INTERVAL;
        let given_up = matches!(self.under_way, UnderWay::Appending { since } if now.elapsed - since > PATIENCE);
        if !(matches!(self.under_way, UnderWay::Nothing) || given_up) {
            return None;
        }
        let record = Record { body: Some(body(replica, now)?), ..Record::default() };
        self.under_way = UnderWay::Appending { since: now.elapsed };
        Some(envelope::encode(&Envelope { records: vec![record], ..Envelope::default() }))
    }

    /// The log has the record at this sequence; `None` when it did not take it, or nobody knows.
    pub fn appended(&mut self, sequence: Option<u64>, applied_sequence: u64) {
        self.under_way = match sequence {
            Some(sequence) if sequence > applied_sequence => UnderWay::InLog { sequence },
            _ => UnderWay::Nothing,
        };
    }

    /// The engine is as far as this sequence.
    pub fn applied(&mut self, applied_sequence: u64) {
        if matches!(self.under_way, UnderWay::InLog { sequence } if sequence <= applied_sequence) {
            self.under_way = UnderWay::Nothing;
        }
    }
}

/// The rules of this release, when the log is not applied by them yet; or a tick, when something is due by this machine's clock: the log's
/// clock then decides.
fn body(replica: &mut Replica, now: Now) -> Option<record::Body> {
    if replica.rules() < rules::VERSION {
        return Some(record::Body::Rules(Rules { version: rules::VERSION }));
    }
    replica.next_due_ms().filter(|due_ms| *due_ms <= now.wall_ms).map(|_| record::Body::Tick(Tick {}))
}
