//! Who runs the shop: does what a refusal says. Backups are in [`super::backups`].

use emshop_engine::EngineError;
use emshop_engine::shell::clock::AheadOfTime;
use emshop_engine::shell::start::{BrokenHistory, Witness};

use super::{Event, NEWS, RESTART, SECOND, World};
use crate::logs::{SimLog, Stored};
use crate::model::{Model, Wrong};

/// So long a shop may stand still until a time has come.
const WAIT_MAX: u64 = 60 * SECOND;

impl World {
    /// An engine says why it does not go on. The operator does what it says, and starts it again.
    pub(super) fn refuse(&mut self, host: usize, error: &EngineError) -> Result<(), Wrong> {
        let (whole, broken) = (self.is_all_there(), self.broken.is_some());
        let old_state = matches!(error, EngineError::Log(emshop_log::LogError::TrimmedTooFar { .. })) && self.hosts[host].is_old;
        // What was found before the operator came may be told afterwards.
        let restored = self.restored_at.is_some_and(|at| self.now < at + NEWS);
        // What was stamped then may be read late, such as when a log is brought back.
        let clocks_differ = self.hosts[host].clock_back_ms > 0 || self.server_was_wrong;
        let is_clock = matches!(error, EngineError::Clock(_) | EngineError::Clocks(_)) && clocks_differ;
        if is_clock {
            self.server_clock_ms = 0;
        }
        let is_newer = matches!(error, EngineError::Rules { .. }) && self.newer_rules_at(host).is_some();
        if whole && !old_state && !restored && !is_clock && !is_newer {
            return Err(format!("log {host} stops although nothing is lost: {error}"));
        }
        self.note("refusals to start", kind_of(error));
        if self.settings.trace {
            println!("{:>12}     log {host}: {error}", "");
        }
        self.hosts[host].crash();
        if is_clock {
            return self.wait_for_time(host, error);
        }
        if broken || whole && !old_state {
            return self.restore_backup();
        }
        self.restore()?;
        self.after(RESTART, Event::Start { host });
        Ok(())
    }

    /// With the clocks right, the time of what is a little ahead is waited for. What is further ahead goes back, and all that came after it.
    fn wait_for_time(&mut self, host: usize, error: &EngineError) -> Result<(), Wrong> {
        let ahead = match error {
            EngineError::Clock(AheadOfTime { ahead, .. }) if self.hosts[host].clock_back_ms == 0 => ahead.as_micros() as u64,
            _ => 0,
        };
        if ahead > WAIT_MAX {
            return self.restore_backup();
        }
        if ahead > 0 {
            self.note("recoveries", "the time of a log that is ahead is waited for");
        }
        self.after(ahead.max(RESTART), Event::Start { host });
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
        EngineError::Rules { .. } => "the log is applied by rules of a newer release".to_owned(),
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
