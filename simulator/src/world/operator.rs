//! Who runs the shop: does what a refusal says, and keeps backups.

use std::sync::Arc;

use emshop_engine::EngineError;
use emshop_engine::shell::start::{BrokenHistory, Witness};

use super::{Backup, Event, NEWS, RESTART, World};
use crate::client::Client;
use crate::consumer::Consumer;
use crate::ingress::Ingress;
use crate::logs::{SimLog, Stored};
use crate::model::{Model, Wrong};

impl World {
    /// An engine says why it does not go on. The operator does what it says, and starts it again.
    pub(super) fn refuse(&mut self, host: usize, error: &EngineError) -> Result<(), Wrong> {
        let (whole, broken) = (self.is_all_there(), self.broken.is_some());
        let old_state = matches!(error, EngineError::Log(emshop_log::LogError::TrimmedTooFar { .. })) && self.hosts[host].is_old;
        // What was found before the operator came may be told afterwards.
        let restored = self.restored_at.is_some_and(|at| self.now < at + NEWS);
        // What was stamped then may be read late, such as when a log is brought back.
        let clocks_differ = self.hosts[host].clock_back_ms > 0 || self.server_was_back;
        let is_clock = matches!(error, EngineError::Clock(_) | EngineError::Clocks(_)) && clocks_differ;
        if is_clock {
            self.server_back_ms = 0;
        }
        if whole && !old_state && !restored && !is_clock {
            return Err(format!("log {host} stops although nothing is lost: {error}"));
        }
        self.note("refusals to start", kind_of(error));
        if self.settings.trace {
            println!("{:>12}     log {host}: {error}", "");
        }
        self.hosts[host].crash();
        if is_clock {
            self.after(RESTART, Event::Start { host });
            return Ok(());
        }
        if broken || whole && !old_state {
            return self.restore_backup();
        }
        self.restore()?;
        self.after(RESTART, Event::Start { host });
        Ok(())
    }

    /// All parts as they are now, unless something is wrong with them.
    pub(super) fn back_up(&mut self) {
        if self.is_all_there() {
            let logs = self.logs.iter().map(SimLog::bounds).collect();
            let states = self.hosts.iter().map(|host| Arc::new(host.store.after_crash())).collect();
            self.backups.push(Backup { logs, events: self.events.messages().len(), states });
        }
    }

    /// What cannot be put together again goes back to where it was as a whole. Whoever was told something since then is told to forget it.
    pub(super) fn restore_backup(&mut self) -> Result<(), Wrong> {
        self.note("recoveries", "a backup is restored");
        // One that was made when something was wrong already is of no use: next time it is an older one.
        let last = if self.backups.len() > 1 { self.backups.pop() } else { None };
        let Backup { logs, events, states } = last.as_ref().unwrap_or(&self.backups[0]);
        self.sent.epoch += 1;
        self.logs.iter_mut().zip(logs).for_each(|(log, bounds)| log.restore_to(*bounds));
        self.events.restore_to(*events);
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
        (self.restored_at, self.broken) = (Some(self.now), None);
        self.restore()?;
        (0..self.hosts.len()).for_each(|host| self.after(RESTART, Event::Start { host }));
        Ok(())
    }

    pub(super) fn restore(&mut self) -> Result<(), Wrong> {
        if !self.is_all_there() {
            self.restored_at = Some(self.now);
        }
        self.logs.iter_mut().for_each(SimLog::restore);
        if let Some(kept) = self.events.restore() {
            // Nobody writes while the storage is put back.
            self.consumed = self.consumed.min(kept);
            self.sent.server += 1;
            for host in 0..self.hosts.len() {
                self.hosts[host].crash();
                self.after(RESTART, Event::Start { host });
            }
        }
        let logs: Vec<&[Stored]> = self.logs.iter().map(SimLog::entries).collect();
        // What was acknowledged by a log that was not the right one is missing now: an engine has to notice.
        match Model::replay(self.partitioner, &logs) {
            Ok(model) => self.model = model,
            Err(reason) => {
                self.broken = Some(reason);
                return Ok(());
            }
        }
        for (ticket, answer) in std::mem::take(&mut self.told) {
            self.check_told(ticket, &answer)?;
        }
        Ok(())
    }
}

fn kind_of(error: &EngineError) -> String {
    use emshop_log::LogError;
    match error {
        EngineError::Log(LogError::LostRecords { .. }) => "the log was cut while it was read".to_owned(),
        EngineError::Log(LogError::TrimmedTooFar { .. }) => "the log was trimmed too far for the state".to_owned(),
        EngineError::History(BrokenHistory::Lost { witness, .. }) => {
            format!("a log was cut, known by {}", kind_of_witness(*witness))
        }
        EngineError::History(BrokenHistory::Another { witness, .. }) => {
            format!("a log is another one, known by {}", kind_of_witness(*witness))
        }
        EngineError::History(BrokenHistory::LostEvents { .. }) => "the state shows that events were lost".to_owned(),
        EngineError::Clock(_) => "the log is ahead of the engine's clock".to_owned(),
        EngineError::Clocks(_) => "the clocks differ".to_owned(),
        EngineError::History(BrokenHistory::LostSteps { .. }) => "steps that a log acknowledged are not there".to_owned(),
        EngineError::Channel(_) => "steps of another log are missing, or others than before".to_owned(),
        other => other.to_string(),
    }
}

fn kind_of_witness(witness: Witness) -> &'static str {
    match witness {
        Witness::State => "the state",
        Witness::Events => "the event streams",
        Witness::StateOf(_) => "the state of another log",
        Witness::Log(_) => "another log",
    }
}
