//! What an engine itself has to say in its log: that timers are due, which rules hold from here on, and what the shop allows its users.

use std::time::Duration;

use emshop_core::replica::Replica;
use emshop_core::rules;
use emshop_proto::internal::{Envelope, Record, Rules, ShopLimits, Tick, record};

use super::Now;
use super::clock::ClocksDiffer;

/// How often the timers are looked at.
pub const TIMER_INTERVAL: Duration = Duration::from_millis(100);
/// A record that did not come back is given up after this, and another one is appended.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far log time may stay behind the engine's own while entries come: then the server's clock was set back.
const LAG_MAX_MS: i64 = 1_000;

/// One record at a time on its way through the log.
pub struct OwnRecords {
    under_way: UnderWay,
    /// As the engine's settings have them.
    limits: ShopLimits,
    /// Log time stays behind.
    lags: bool,
    /// When the last tick was sent, by the engine's own time.
    sent_ms: Option<i64>,
    /// The engine's clock agrees with the server's: a tick has shown it.
    agrees: bool,
    /// When the timers are looked at again.
    next_look: Duration,
}

enum UnderWay {
    Nothing,
    Appending { since: Duration },
    InLog { sequence: u64 },
}

impl OwnRecords {
    pub fn new(limits: ShopLimits, now: Now) -> Self {
        let under_way = UnderWay::Nothing;
        Self { under_way, limits, lags: false, sent_ms: None, agrees: false, next_look: now.elapsed }
    }

    /// From now on the settings have these limits.
    pub fn limit(&mut self, limits: ShopLimits) {
        self.limits = limits;
    }

    /// The envelope that is to be appended now, if one is. It is `time_ms` by the engine's own clock.
    pub fn due(&mut self, replica: &mut Replica, time_ms: i64, now: Now) -> Option<Envelope> {
        if now.elapsed < self.next_look {
            return None;
        }
        self.next_look = now.elapsed + TIMER_INTERVAL;
        let given_up = matches!(self.under_way, UnderWay::Appending { since } if now.elapsed - since > PATIENCE);
        if !(matches!(self.under_way, UnderWay::Nothing) || given_up) {
            return None;
        }
        let record = Record { body: Some(self.body(replica, time_ms)?), ..Record::default() };
        self.under_way = UnderWay::Appending { since: now.elapsed };
        Some(Envelope { records: vec![record], ..Envelope::default() })
    }

    /// The log has the record at this sequence; `None` when it did not take it, or nobody knows.
    pub fn appended(&mut self, sequence: Option<u64>, applied_sequence: u64) {
        self.under_way = match sequence {
            Some(sequence) if sequence > applied_sequence => UnderWay::InLog { sequence },
            _ => UnderWay::Nothing,
        };
    }

    /// The engine is as far as this sequence, which brought log time so far when it was `time_ms`.
    pub fn applied(&mut self, applied_sequence: u64, log_time_ms: i64, time_ms: i64) {
        self.lags = log_time_ms + LAG_MAX_MS < time_ms;
        if matches!(self.under_way, UnderWay::InLog { sequence } if sequence <= applied_sequence) {
            self.under_way = UnderWay::Nothing;
        }
    }

    /// A tick came back that was sent at `sent_ms`, which the server took at `time_ms`. If it is the engine's own, it shows whether the two
    /// clocks agree; until one has, ticks carry no time, since either clock may be the wrong one.
    ///
    /// # Errors
    /// [`ClocksDiffer`] when the server's is behind. (That it is ahead is noticed with every entry.)
    pub fn ticked(&mut self, log: u32, sent_ms: i64, time_ms: i64, tolerance: Duration) -> Result<(), ClocksDiffer> {
        if self.agrees || self.sent_ms != Some(sent_ms) {
            return Ok(());
        }
        let behind = Duration::from_millis(u64::try_from(sent_ms - time_ms).unwrap_or(0));
        if behind > tolerance {
            return Err(ClocksDiffer { log, behind });
        }
        self.agrees = true;
        Ok(())
    }

    /// The rules of this release, when the log is not applied by them yet; the limits of the settings, when others are in force; or a tick, when something is due or log time has to be carried on.
    fn body(&mut self, replica: &mut Replica, time_ms: i64) -> Option<record::Body> {
        if replica.rules() < rules::VERSION {
            return Some(record::Body::Rules(Rules { version: rules::VERSION }));
        }
        if replica.limits() != self.limits {
            return Some(record::Body::ShopLimits(self.limits));
        }
        let is_due = replica.next_due_ms().is_some_and(|due_ms| due_ms <= time_ms);
        if !std::mem::take(&mut self.lags) && !is_due {
            return None;
        }
        self.sent_ms = Some(time_ms);
        Some(record::Body::Tick(Tick { time_ms: if self.agrees { time_ms } else { 0 }, sent_ms: time_ms }))
    }
}
