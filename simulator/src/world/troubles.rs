//! What goes wrong besides single messages.

use std::ops::Range;

use bytes::Bytes;
use emshop_core::rules;
use emshop_core::state::store::StateStore;
use emshop_proto::envelope;
use emshop_proto::internal::{Envelope, Record, Rules, record};
use emshop_proto::v1::EventBatch;
use rand::Rng;

use super::{Event, Full, RESTART, SECOND, World};
use crate::ingress::Ingress;
use crate::logs;
use crate::model::Wrong;
use crate::plan::Fault;

/// How far the server's clock may be ahead so that any engine follows.
const FOLLOWED_MS: Range<i64> = 1_000..5_000;
/// So far ahead no engine follows.
const FAR_MS: i64 = 40_000;

/// An entry that puts rules in force which this release does not know.
pub(super) fn newer_rules(log: u32) -> Bytes {
    let rules = record::Body::Rules(Rules { version: rules::VERSION + 1 });
    let records = vec![Record { body: Some(rules), ..Record::default() }];
    envelope::encode(&Envelope { records, ..Envelope::default() }, &logs::seal(log))
}

impl World {
    pub(super) fn trouble(&mut self) -> Result<(), Wrong> {
        if self.strikes(Fault::IngressCrash) {
            let ingress = self.delays.random_range(0..self.ingresses.len());
            let writer = self.ingresses.iter().map(|ingress| ingress.writer).max().unwrap_or(0) + 1;
            self.ingresses[ingress] = Ingress::new(writer, self.plan.logs);
        }
        // One after the other: of what is lost everywhere at once nobody can know.
        if self.is_all_there() && self.strikes(Fault::LostTail) {
            self.lose_tail();
        }
        self.set_server_clock();
        if self.is_all_there() && self.frozen.is_none() && self.strikes(Fault::NewerRelease) {
            self.put_newer_rules_in_force()?;
        }
        if self.is_all_there() && self.strikes(Fault::LostEvents) {
            self.lose_events();
        }
        if self.strikes(Fault::FullLog) {
            let log = self.delays.random_range(0..self.full.len());
            let (wait, left) = (self.delays.random_range(SECOND..20 * SECOND), self.delays.random_range(0..6));
            self.full[log] = Some(Full { until: self.now + wait, left });
        }
        if self.frozen.is_none() && self.strikes(Fault::FrozenServer) {
            self.frozen = Some(Vec::new());
            let (wait, is_new) = (self.delays.random_range(SECOND..15 * SECOND), self.delays.random_bool(0.5));
            self.after(wait, Event::Thaw { is_new });
        }
        if self.delays.random_bool(0.2) {
            self.back_up();
        }
        let wait = self.delays.random_range(SECOND / 2..3 * SECOND);
        self.after(wait, Event::Trouble);
        Ok(())
    }

    /// The clock that logs are stamped by is set, or is right again.
    fn set_server_clock(&mut self) {
        let wrong_ms = if self.strikes(Fault::ServerClockBack) {
            -self.delays.random_range(1_000..3_600_000)
        } else if self.strikes(Fault::ServerClockAhead) {
            // What is between these an engine may follow or not: its own time may be that of a log that is a little ahead.
            let ahead_ms = [FOLLOWED_MS, FAR_MS..2 * FAR_MS, FAR_MS..60 * FAR_MS][self.delays.random_range(0..3)].clone();
            self.delays.random_range(ahead_ms)
        } else if self.calm_since.is_some() || self.delays.random_bool(0.1) {
            return self.server_clock_ms = 0;
        } else {
            return;
        };
        (self.server_clock_ms, self.server_was_wrong) = (wrong_ms, true);
    }

    /// What a newer release says first in a log that it serves. No engine here knows these rules.
    fn put_newer_rules_in_force(&mut self) -> Result<(), Wrong> {
        let log = self.delays.random_range(0..self.logs.len());
        let time_ms = self.wall_ms() + self.server_clock_ms;
        let sequence = self.logs[log].append(time_ms, newer_rules(log as u32));
        self.newer_rules[log] = self.newer_rules_at(log).or(Some(sequence));
        self.look_at(log as u32, sequence)?;
        if self.delays.random_bool(0.5) {
            self.hosts[log].crash();
            self.after(RESTART, Event::Start { host: log });
        } else {
            self.wake(log, 0);
        }
        Ok(())
    }

    /// A log loses entries, and something elsewhere shows that they were there.
    pub(super) fn lose_tail(&mut self) {
        let log = self.delays.random_range(0..self.logs.len());
        let (last, first) = (self.logs[log].last(), self.logs[log].bounds().first);
        let kept = last.saturating_sub(self.delays.random_range(1..=20));
        if kept < first || !self.has_trace(log as u32, kept) {
            return;
        }
        self.logs[log].lose(kept);
        self.sent.server += 1;
        if self.delays.random_bool(0.7) {
            self.hosts[log].crash();
            let wait = self.delays.random_range(0..5 * SECOND);
            self.after(wait, Event::Start { host: log });
        }
    }

    /// Whether anything outside of a log shows that it had entries above `kept`.
    pub(super) fn has_trace(&self, log: u32, kept: u64) -> bool {
        let stored = emshop_core::inspect(&*self.hosts[log as usize].store.snapshot()).applied_sequence > kept;
        stored || self.is_in_events(log, kept)
    }

    pub(super) fn is_in_events(&self, log: u32, kept: u64) -> bool {
        let shows = |batch: EventBatch| batch.log == log && batch.events.iter().any(|event| event.log_sequence > kept);
        self.events.backwards().any(|(_, batch)| shows(batch))
    }

    /// The event streams are replaced by an older copy while no engine runs.
    pub(super) fn lose_events(&mut self) {
        let messages = self.events.messages().len();
        let kept = messages.saturating_sub(self.delays.random_range(1..=20));
        self.events.lose(kept);
        self.sent.server += 1;
        self.consumed = self.consumed.min(kept);
        for host in 0..self.hosts.len() {
            self.hosts[host].crash();
            let wait = self.delays.random_range(0..2 * SECOND);
            self.after(wait, Event::Start { host });
        }
    }
}
