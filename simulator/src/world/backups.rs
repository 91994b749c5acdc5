//! Backups of a shop that runs, taken part by part as `emshop backup` does it, and how the shop becomes what is in one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use emshop_core::replica;
use emshop_core::state::memory::MemoryStore;
use emshop_engine::cut::{self, Steps};
use emshop_log::Bounds;
use emshop_proto::envelope;
use emshop_proto::internal::LogRow;
use emshop_proto::v1::EventBatch;
use prost::Message;
use rand::Rng;

use super::{Event, NEWS, RESTART, SECOND, Sent, World};
use crate::client::Client;
use crate::consumer::Consumer;
use crate::ingress::Ingress;
use crate::logs::{SimLog, Stored};
use crate::model::Wrong;

/// Parts that fit together.
pub struct Backup {
    /// What is left of each log: the entries behind its state.
    logs: Vec<Bounds>,
    events: Vec<Bytes>,
    states: Vec<Arc<MemoryStore>>,
    /// Something was brought back shortly before: engines may not have noticed yet what is wrong with it.
    is_doubtful: bool,
}

/// A backup that is being taken: first all states, then where all logs end, and what they and the streams hold at last.
pub struct Taking {
    sent: Sent,
    states: Vec<Arc<MemoryStore>>,
    bounds: Vec<Bounds>,
}

impl Backup {
    /// Of a shop that has not opened yet.
    pub fn of_nothing(logs: usize) -> Self {
        let states = (0..logs).map(|_| Arc::default()).collect();
        Self { logs: vec![Bounds { first: 1, last: 0 }; logs], events: Vec::new(), states, is_doubtful: false }
    }
}

impl World {
    /// The operator begins a backup, unless something is wrong.
    pub(super) fn back_up(&mut self) {
        if self.is_all_there() {
            let taking = Taking { sent: self.sent, states: Vec::new(), bounds: Vec::new() };
            self.after(0, Event::BackUp { taking });
        }
    }

    /// Takes the next part of a backup. One that something goes wrong under is given up.
    pub(super) fn go_on_with_backup(&mut self, mut taking: Taking) -> Result<(), Wrong> {
        if taking.sent != self.sent || !self.is_all_there() {
            return Ok(());
        }
        if let Some(host) = self.hosts.get(taking.states.len()) {
            taking.states.push(Arc::new(host.store.after_crash()));
        } else if let Some(log) = self.logs.get(taking.bounds.len()) {
            taking.bounds.push(log.bounds());
        } else {
            return self.end_backup(taking);
        }
        let wait = self.delays.random_range(0..SECOND);
        self.after(wait, Event::BackUp { taking });
        Ok(())
    }

    /// Which entries of the logs and which events go with the states.
    fn end_backup(&mut self, Taking { states, bounds, .. }: Taking) -> Result<(), Wrong> {
        let heads: Vec<LogRow> = states.iter().map(|state| head(state)).collect();
        if heads.iter().zip(&self.logs).any(|(head, log)| head.applied_sequence + 1 < log.bounds().first) {
            // What is behind the state was trimmed meanwhile: the next one has a newer state.
            return Ok(());
        }
        let ends = heads.iter().zip(&bounds).zip(&self.logs);
        let logs: Vec<cut::Log> = ends.map(|((head, bounds), log)| known(head, *bounds, log)).collect();
        let is_doubtful = self.restored_at.is_some_and(|at| self.now < at + NEWS);
        let through = match cut::cut(&logs) {
            Ok(through) => through,
            Err(_) if is_doubtful => {
                self.note("recoveries", "a backup is refused, since its parts do not fit together");
                return Ok(());
            }
            Err(misfits) => return Err(format!("the parts of a running shop do not fit together: {misfits:?}")),
        };
        if logs.iter().zip(&through).any(|(log, through)| *through < log.last) {
            self.note("recoveries", "a backup leaves out entries that do not fit together");
        }
        let fits = |message: &&Bytes| {
            let EventBatch { log, cause, .. } = EventBatch::decode(Bytes::clone(message)).expect("engines publish batches");
            cause.is_none_or(|cause| logs[log as usize].has(cause, through[log as usize]))
        };
        let events: Vec<Bytes> = self.events.messages().iter().filter(fits).cloned().collect();
        if !is_doubtful {
            (0..).zip(&heads).try_for_each(|(log, head)| check_events(log, head, &events))?;
        }
        let bounds = |(log, through): (&cut::Log, u64)| Bounds { first: log.applied + 1, last: through };
        self.backups.push(Backup { logs: logs.iter().zip(through).map(bounds).collect(), events, states, is_doubtful });
        Ok(())
    }

    /// What cannot be put together again goes back to where it was as a whole. Whoever was told something since then is told to forget it.
    pub(super) fn restore_backup(&mut self) -> Result<(), Wrong> {
        self.note("recoveries", "a backup is restored");
        // One that was made when something was wrong already is of no use: next time it is an older one.
        let last = if self.backups.len() > 1 { self.backups.pop() } else { None };
        let Backup { logs, events, states, is_doubtful } = last.as_ref().unwrap_or(&self.backups[0]);
        self.sent.epoch += 1;
        self.logs.iter_mut().zip(logs).for_each(|(log, bounds)| log.restore_to(*bounds));
        self.events.restore_to(events.clone());
        for (host, state) in self.hosts.iter_mut().zip(states) {
            host.restore(state, &self.partitioner, self.sent.epoch);
        }
        (self.consumer, self.consumed) = (Consumer::default(), 0);
        self.clients.iter_mut().for_each(Client::forget);
        self.told.clear();
        let mut writer = self.ingresses.iter().map(|ingress| ingress.writer).max().unwrap_or(0);
        for ingress in &mut self.ingresses {
            writer += 1;
            *ingress = Ingress::new(writer, self.plan.logs);
        }
        // All of it is of one history: no engine may find anything wrong, unless something was wrong when it was taken.
        (self.restored_at, self.broken) = (is_doubtful.then_some(self.now), None);
        self.restore()?;
        if let Some(broken) = self.broken.take() {
            return Err(format!("the logs of a backup do not fit together: {broken}"));
        }
        (0..self.hosts.len()).for_each(|host| self.after(RESTART, Event::Start { host }));
        Ok(())
    }
}

/// How far a state is; a new one is nowhere.
fn head(state: &MemoryStore) -> LogRow {
    replica::head(state).map_or_else(LogRow::default, |(_, head)| head)
}

/// The events of the turns that a state has are there: a replay from it would not make them again.
fn check_events(log: u32, head: &LogRow, events: &[Bytes]) -> Result<(), Wrong> {
    let batches = events.iter().map(|message| EventBatch::decode(Bytes::clone(message)).expect("engines publish batches"));
    let numbers = batches.filter(|batch| batch.log == log).flat_map(|batch| batch.events).map(|event| event.number);
    let there = numbers.max().unwrap_or(0);
    if there < head.events {
        return Err(format!("a backup has events of log {log} up to number {there}, but its state has made {}", head.events));
    }
    Ok(())
}

/// A log as far as its state and its entries up to where it ended tell.
fn known(head: &LogRow, bounds: Bounds, log: &SimLog) -> cut::Log {
    let applied = head.applied_sequence;
    let behind = log.entries().iter().skip(applied as usize).take_while(|entry| entry.sequence <= bounds.last);
    let steps = |Stored { sequence, payload, .. }: &Stored| {
        // One that no ingress or engine wrote holds no steps.
        let envelope = envelope::decode(payload, log.seal()).ok()?;
        let channel = envelope.channel?;
        let through = channel.first_number + envelope.records.len() as u64 - 1;
        Some(Steps { sequence: *sequence, source: channel.source_log, through, cause: channel.cause.unwrap_or_default() })
    };
    let taken = head.channels_in.iter().map(|(source, taken)| (*source, (taken.number, taken.cause.unwrap_or_default())));
    cut::Log {
        voids: Vec::new(),
        applied,
        last: bounds.last.max(applied),
        identities: behind.clone().map(|entry| (entry.sequence, entry.identity())).collect(),
        steps: behind.filter_map(steps).collect(),
        taken: taken.collect(),
        // Of a running engine nobody asks.
        acknowledged: BTreeMap::new(),
    }
}
