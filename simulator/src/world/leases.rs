//! Which engine has which log: processes that stand still, and others that take over meanwhile.

use std::sync::Arc;

use emshop_engine::EngineError;
use emshop_engine::shell::{Action, Input};
use emshop_log::lease::{LEASE, RENEW_INTERVAL};
use rand::Rng;

use super::{Event, SECOND, Sent, World};
use crate::host::{self, Running};
use crate::model::Wrong;
use crate::plan::Fault;

/// What a paused engine does at most before it is sure to hear that it was relieved.
const STEPS: usize = 20;

/// A process that stood still while another one took its log.
pub struct Relieved {
    host: usize,
    generation: u64,
    running: Running,
    started_us: u64,
    clock_back_ms: i64,
}

impl World {
    /// A process says that it is still there, unless it stands still.
    pub(super) fn renew(&mut self, number: usize, generation: u64) {
        let now = self.now;
        if self.process(number, generation).is_none() {
            return;
        }
        let host = &mut self.hosts[number];
        if host.frozen_until > now {
            let wait = host.frozen_until - now;
            return self.after(wait, Event::Renew { host: number, generation });
        }
        let asked_at = host::now(now, host.started_us, 0).elapsed;
        if self.frozen.is_none() && !self.strikes(Fault::LostAppend) {
            self.hosts[number].renewed_at = now;
            self.soon(Event::Deliver { host: number, generation, input: Input::Renewed { asked_at } });
        }
        self.after(RENEW_INTERVAL.as_micros() as u64, Event::Renew { host: number, generation });
    }

    /// The process of an engine stands still, after it has decided to do something and before it does.
    pub(super) fn pause(&mut self, number: usize, generation: u64, action: Action) {
        let pause = self.delays.random_range(SECOND / 10..10 * SECOND);
        let host = &mut self.hosts[number];
        host.frozen_until = self.now + pause;
        let over = (host.renewed_at + LEASE.as_micros() as u64).saturating_sub(self.now);
        if over < pause && self.delays.random_bool(0.7) {
            let wait = self.delays.random_range(over..pause);
            self.after(wait, Event::TakeOver { host: number, generation });
        }
        let late = Event::Late { host: number, generation, sent: self.sent, action: Box::new(action) };
        self.after(pause, late);
        self.wake(number, pause);
    }

    /// What was decided under a lease that may be over now. A process that has ended meanwhile does nothing.
    pub(super) fn carry_out_late(&mut self, host: usize, generation: u64, sent: Sent, action: Action) -> Result<(), Wrong> {
        let is_relieved = self.relieved.iter().any(|it| (it.host, it.generation) == (host, generation));
        if sent.epoch != self.sent.epoch || !is_relieved && self.process(host, generation).is_none() {
            return Ok(());
        }
        if is_relieved && matches!(action, Action::Write(_) | Action::CaughtUp) {
            return Ok(());
        }
        self.carry_out(host, generation, action)
    }

    /// Another machine, with a state of its own, takes a log whose lease is over.
    pub(super) fn take_over(&mut self, number: usize, generation: u64) -> Result<(), Wrong> {
        let now = self.now;
        let host = &mut self.hosts[number];
        if self.frozen.is_some() || host.generation != generation || host.frozen_until <= now {
            return Ok(());
        }
        let Some(running) = host.running.take() else { return Ok(()) };
        let (started_us, clock_back_ms) = (host.started_us, host.clock_back_ms);
        let wait = host.frozen_until - now;
        host.crash();
        self.relieved.push(Relieved { host: number, generation, running, started_us, clock_back_ms });
        self.after(wait, Event::Awake { host: number, generation });
        self.note("recoveries", "another engine takes a log over");
        let copies = self.hosts[number].backups.len();
        if copies > 0 && self.is_whole() && self.delays.random_bool(0.5) {
            let copy = Arc::clone(&self.hosts[number].backups[self.delays.random_range(0..copies)]);
            self.hosts[number].store = Arc::new(copy.after_crash());
            self.hosts[number].is_old = true;
        }
        self.start(number)
    }

    /// A process goes on that another one has relieved. It does nothing that anybody sees.
    pub(super) fn awake(&mut self, host: usize, generation: u64) -> Result<(), Wrong> {
        let Some(index) = self.relieved.iter().position(|it| (it.host, it.generation) == (host, generation)) else {
            return Ok(());
        };
        let Relieved { mut running, started_us, clock_back_ms, .. } = self.relieved.swap_remove(index);
        let now = host::now(self.now, started_us, self.wall_ms() - clock_back_ms);
        for _ in 0..STEPS {
            // Why it ends by itself does not matter.
            let Ok(_) = running.step(host as u32, &self.logs[host], now) else { return Ok(()) };
            while let Some(action) = running.shell.action(now) {
                if !matches!(action, Action::Write(_)) {
                    return Err(format!("the engine of log {host} goes on although another one has its log"));
                }
            }
        }
        if running.stock((1..=self.plan.goods).collect(), now).is_some() {
            return Err(format!("the engine of log {host} answers although another one has its log"));
        }
        match running.shell.take(Input::Relieved { by: "another one".to_owned() }, now) {
            Err(EngineError::Relieved { .. }) => Ok(()),
            _ => Err(format!("the engine of log {host} was relieved and does not end")),
        }
    }
}
