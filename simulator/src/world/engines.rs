//! The processes of engines: how they start, and what becomes of their actions.

use std::collections::BTreeMap;
use std::sync::Arc;

use emshop_core::replica::Replica;
use emshop_engine::runtime::publisher;
use emshop_engine::shell::relay::{Group, NotNext, NotPublished, Places};
use emshop_engine::shell::start::{self, Facts, StepsThere};
use emshop_engine::shell::{Action, Input};
use emshop_proto::envelope;
use emshop_proto::events::EventType;
use emshop_proto::subjects::Epoch;
use rand::Rng;

use super::{By, Event, IDLE, RESTART, SECOND, World};
use crate::host::{self, Settings};
use crate::logs::{SimEvents, SimLog};
use crate::model::{self, Wrong};
use crate::plan::Fault;

impl World {
    pub(super) fn process(&mut self, host: usize, generation: u64) -> Option<&mut host::Running> {
        let host = &mut self.hosts[host];
        host.running.as_mut().filter(|_| host.generation == generation)
    }

    /// The thread of an engine goes on after this, if not before.
    pub(super) fn wake(&mut self, number: usize, wait: u64) {
        let at = self.now + wait;
        let host = &mut self.hosts[number];
        if host.wakes_at.is_none_or(|sooner| at < sooner) {
            host.wakes_at = Some(at);
            let generation = host.generation;
            self.after(wait, Event::Loop { host: number, generation });
        }
    }

    pub(super) fn start(&mut self, number: usize) -> Result<(), Wrong> {
        if self.hosts[number].running.is_some() {
            return Ok(());
        }
        let newest = Arc::clone(&self.hosts[number].store);
        // If nothing but the state knows what its log has lost, nobody can know when the state is lost too.
        let is_known = self.logs[number].lost().is_none_or(|(first, _)| self.is_in_events(number as u32, first - 1));
        if is_known && !self.hosts[number].backups.is_empty() && self.strikes(Fault::OldState) {
            let copies = self.hosts[number].backups.len();
            let copy = Arc::clone(&self.hosts[number].backups[self.delays.random_range(0..copies)]);
            self.hosts[number].store = Arc::new(copy.after_crash());
            self.hosts[number].is_old = true;
        }
        let clock_back_ms = if self.strikes(Fault::EngineClockBack) { self.delays.random_range(1_000..3_600_000) } else { 0 };
        self.hosts[number].clock_back_ms = clock_back_ms;
        let (now, wall_ms, epoch) = (self.now, self.wall_ms() - clock_back_ms, self.sent.epoch);
        let Self { hosts, logs, events, .. } = self;
        let host = &mut hosts[number];
        host.started_us = now;
        let (partitioner, rows_max) = (self.partitioner, self.plan.checkpoint_rows_max);
        let find = |replica: &Replica| facts(replica, logs, events);
        let settings = Settings { rows_max, limits: self.plan.limits[host.generation as usize % 2] };
        let started = host.start(epoch, partitioner, settings, &logs[number], find, host::now(now, now, wall_ms));
        match started {
            Ok(()) => {
                self.note("recoveries", "an engine starts");
                let generation = self.hosts[number].generation;
                self.hosts[number].renewed_at = self.now;
                self.after(0, Event::Renew { host: number, generation });
                self.hosts[number].wakes_at = None;
                self.wake(number, 0);
                Ok(())
            }
            Err(error) => {
                self.hosts[number].store = newest;
                let refused = self.refuse(number, &error);
                self.hosts[number].is_old = false;
                refused
            }
        }
    }

    pub(super) fn step(&mut self, number: usize, generation: u64) -> Result<(), Wrong> {
        let (log, wall_ms) = (number as u32, self.wall_ms());
        let now = host::now(self.now, self.hosts[number].started_us, wall_ms - self.hosts[number].clock_back_ms);
        let woken_at = self.now;
        let Self { hosts, logs, .. } = self;
        let host = &mut hosts[number];
        if host.wakes_at.take_if(|at| *at == woken_at).is_none() {
            return Ok(());
        }
        if host.frozen_until > woken_at {
            let wait = host.frozen_until - woken_at;
            self.wake(number, wait);
            return Ok(());
        }
        let Some(running) = host.running.as_mut().filter(|_| host.generation == generation) else { return Ok(()) };
        let busy = match running.step(log, &logs[number], now) {
            Ok(busy) => busy,
            Err(error) => return self.refuse(number, &error),
        };
        while let Some(action) = self.process(number, generation).and_then(|running| running.shell.action(now)) {
            if self.strikes(Fault::EngineCrash) {
                self.hosts[number].crash();
                self.after(RESTART, Event::Start { host: number });
                return Ok(());
            }
            if self.strikes(Fault::PausedEngine) {
                self.pause(number, generation, action);
                return Ok(());
            }
            self.carry_out(number, generation, action)?;
        }
        self.check_stock(number)?;
        self.check_time(number)?;
        self.check_rules(number)?;
        let wait = if busy { self.delays.random_range(20..500) } else { IDLE };
        self.wake(number, wait);
        Ok(())
    }

    pub(super) fn carry_out(&mut self, host: usize, generation: u64, action: Action) -> Result<(), Wrong> {
        match action {
            Action::Append { log, envelope, purpose } => {
                let payload = envelope::encode(&envelope, self.logs[log as usize].seal());
                self.append(log, payload, By::Host { host, generation, purpose });
            }
            Action::LookAtSteps { target, acknowledged, after } => {
                let result = Ok(self.logs[target as usize].last_steps(host as u32));
                self.soon(Event::Deliver { host, generation, input: Input::LastSteps { target, acknowledged, after, result } });
            }
            Action::Publish { group, behind } => {
                let wait = if self.strikes(Fault::SlowPublish) { 3 * SECOND } else { self.delays.random_range(100..5_000) };
                let sent = self.sent;
                self.after(wait, Event::Publish { host, generation, sent, group, behind });
            }
            Action::Tell { writer, outcomes } => {
                for (ticket, outcome) in &outcomes {
                    let answer = model::describe(outcome);
                    self.note("answers", kind_of_answer(&answer));
                    self.check_told((writer, *ticket), &answer)?;
                }
                if !self.strikes(Fault::LostOutcome) {
                    self.soon(Event::Outcomes { writer, outcomes });
                }
            }
            Action::Write(checkpoint) => {
                self.note("recoveries", "a checkpoint is taken");
                let wait = if self.strikes(Fault::SlowStore) { 3 * SECOND } else { self.delays.random_range(100..20_000) };
                self.after(wait, Event::Commit { host, generation, checkpoint });
            }
            Action::Trim { below } => {
                self.logs[host].trim(below);
                self.full[host] = None;
            }
            Action::CaughtUp => {
                let running = self.hosts[host].running.as_mut();
                running.expect("it just acted").caught_up = true;
            }
            Action::Answer { .. } | Action::Inspect { .. } | Action::End => return Err("nobody asked for that".to_owned()),
        }
        Ok(())
    }

    pub(super) fn publish(&mut self, host: usize, generation: u64, group: &Group, behind: &Places) {
        let (log, through) = (host as u32, group.through);
        let fails = self.strikes(Fault::FailedPublish);
        let (mut places, mut not_next) = (Places::new(), BTreeMap::new());
        for publisher::Message { event_type, payload, .. } in publisher::messages(log, Epoch(self.sent.epoch), group) {
            let last = self.events.last(log, event_type);
            let is_next = places.contains_key(&event_type) || last.as_ref().map_or(0, |last| last.place) == behind[&event_type];
            if !is_next {
                not_next.insert(event_type, last);
            } else if !fails || self.delays.random_bool(0.5) {
                places.insert(event_type, self.events.publish(payload));
            }
        }
        let result = match (fails, not_next.is_empty()) {
            (true, _) => Err(NotPublished::Unknown("the streams did not acknowledge".to_owned())),
            (false, false) => Err(NotPublished::NotNext(NotNext { places, last: not_next })),
            (false, true) => Ok(places),
        };
        self.soon(Event::Deliver { host, generation, input: Input::Published { through, result } });
    }
}

/// What a start finds around a state.
fn facts(replica: &Replica, logs: &[SimLog], streams: &SimEvents) -> Facts {
    let own = replica.number();
    let last = |event_type: &EventType| Some((*event_type, streams.last(own, *event_type)?));
    let events = EventType::ALL.iter().filter_map(last).collect();
    let others = logs.iter().zip(0..).filter(|(_, number)| *number != own);
    let steps: Vec<_> = others.map(|(log, number)| StepsThere { log: number, last: log.last_steps(own) }).collect();
    let evidence = start::evidence(replica, &events, &steps).into_iter();
    let found = evidence.map(|it| (it, logs[it.log as usize].find(it.entry.sequence))).collect();
    Facts { bounds: logs[own as usize].bounds(), events, steps, found }
}

/// An answer without its numbers.
fn kind_of_answer(answer: &str) -> String {
    let numbers = |character: char| character.is_ascii_digit() || matches!(character, '/' | '-');
    answer.split(' ').filter(|word| !word.starts_with(numbers)).collect::<Vec<_>>().join(" ")
}
