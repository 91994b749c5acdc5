//! What an engine does around the turns of its log, as a state machine without I/O.
//!
//! Inputs come in, actions come out; whoever carries these out tells what came of them by further inputs. So one seed of a simulation
//! decides all that can happen to an engine, and what it decides then is what it decides in earnest.
//!
//! Reading order: `action` (what happens to an engine, and what it does), [`start`] (what is checked first), this file (what comes of
//! what), [`relay`] (events to downstream), [`channels`] (steps to other logs), [`checkpoints`] (rows to the store), [`own`] (ticks),
//! [`clock`] (what time it is), [`trim`] (what may leave the log), [`lease`] (whether the log is this engine's at all).

mod action;
pub mod channels;
pub mod checkpoints;
pub mod clock;
mod entry;
pub mod lease;
pub mod own;
pub mod relay;
pub mod start;
pub mod trim;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use emshop_core::books::Books;
use emshop_core::planted::{self, Bug};
use emshop_core::queries;
use emshop_core::replica::{BrokenChannel, OpenError, Replica, TurnEffects};
use emshop_core::rules::UnknownRules;
use emshop_core::spans::Span;
use emshop_core::tally::Tally;
use emshop_log::{AppendError, LogError};
use emshop_proto::envelope::DecodeError;
use emshop_proto::errors::Code;
use emshop_proto::internal::{Query, QueryReply, ShopLimits, query, query_reply};
use emshop_proto::v1::{HotGoods, Refusal};

pub use self::action::{Action, Input, Outcomes, Purpose, ReplyTo};
use self::channels::Channels;
use self::checkpoints::Checkpoints;
use self::clock::{AheadOfTime, Clock, ClocksDiffer};
pub use self::entry::LogEntry;
use self::lease::Lease;
use self::own::OwnRecords;
use self::relay::{NotPublished, Relay};
use self::start::{BrokenHistory, Evidence, Expected, Facts, Replay, Witness};
use self::trim::Trim;

/// Rows of each kind that are taken for a checkpoint, or at least looked at to forget them, between two turns.
const ROWS_PER_TURN: usize = 2_048;
/// When to ask for an inspection again, while another one is under way.
const INSPECTION_RETRY_MS: u64 = 5_000;

/// Queries that wait for the lease; what comes beyond is not answered.
const QUESTIONS_MAX: usize = 4_096;

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Changed rows go to the store after this long …
    pub checkpoint_interval: Duration,
    /// … or when there are so many.
    pub checkpoint_rows_max: usize,
    /// What the log may grow to.
    pub log_bytes_max: u64,
    /// How long entries stay in it that are in the state, by days.
    pub log_age_max: Duration,
    /// How far an entry may be ahead of the engine's own time.
    pub clock_tolerance: Duration,
    /// What the shop allows its users, until [`Input::Limits`] says otherwise: the log is told of it when it has something else in force.
    pub limits: ShopLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checkpoint_interval: Duration::from_secs(1),
            checkpoint_rows_max: 100_000,
            log_bytes_max: 8 << 30,
            log_age_max: Duration::from_secs(7 * 24 * 60 * 60),
            clock_tolerance: Duration::from_secs(10),
            limits: ShopLimits { unpaid_orders: 20, order_units: 1_000, payment_seconds: 1_800 },
        }
    }
}

/// Why an engine does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    State(#[from] OpenError),
    #[error("log {log}, sequence {sequence} cannot be read: {source}. Nothing after it is applied")]
    Undecodable { log: u32, sequence: u64, source: DecodeError },
    #[error("log {log}, sequence {sequence}: {source}. Nothing from there on is applied")]
    Rules { log: u32, sequence: u64, source: UnknownRules },
    #[error(transparent)]
    History(#[from] BrokenHistory),
    #[error(transparent)]
    Channel(#[from] BrokenChannel),
    #[error(transparent)]
    Clock(#[from] AheadOfTime),
    #[error(transparent)]
    Clocks(#[from] ClocksDiffer),
    #[error(
        "log {log} is served by {by} now: this engine could not renew its lease. It does nothing any more; started again, it waits until the \
         other one ends"
    )]
    Relieved { log: u32, by: String },
    #[error("NATS: {0}")]
    Nats(String),
    #[error(transparent)]
    Stopped(Arc<Self>),
}

/// What time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Since some moment before the engine started, by a clock that only goes on.
    pub elapsed: Duration,
    /// Unix milliseconds by the machine's clock, which may be set back and forth.
    pub wall_ms: i64,
}

/// How an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// The sequence applied last.
    pub applied: u64,
    /// The sequence up to which the state is on disk.
    pub durable: u64,
    /// Rows that the next checkpoint will carry.
    pub changed_rows: usize,
    /// Events that are not known to be in their streams.
    pub events_waiting: u64,
    /// Steps that other logs are not known to have, by these.
    pub outbox: BTreeMap<u32, usize>,
    /// How late the first timer is that is due.
    pub timers_late: Duration,
}

/// An engine, but for what carries its actions out.
pub struct Shell {
    replica: Replica,
    replay: Option<Replay>,
    expected: Expected,
    relay: Relay,
    channels: Channels,
    checkpoints: Checkpoints,
    own: OwnRecords,
    clock: Clock,
    trim: Trim,
    log_age_max_ms: i64,
    lease: Lease,
    /// Asked while it was not held.
    questions: Vec<(Query, ReplyTo)>,
    /// An inspection that waits for its checkpoint or is under way.
    inspection: Option<Inspection>,
    stopping: bool,
    ended: bool,
    actions: VecDeque<Action>,
    /// What the last turn did of traced calls.
    spans: Vec<Span>,
}

enum Inspection {
    Waiting { checkpoint: u64, reply_to: ReplyTo },
    UnderWay,
}

impl Shell {
    /// An engine over a state, given what there is in the log and downstream.
    ///
    /// # Errors
    /// When the state, the log and the events do not belong together.
    pub fn start(replica: Replica, options: &Options, facts: &Facts, now: Now) -> Result<Self, EngineError> {
        let (replay, expected) = start::check(&replica, facts, now.wall_ms.max(replica.log_time_ms()))?;
        let mut clock = Clock::new(options.clock_tolerance, now);
        clock.accept(replica.number(), replica.applied_sequence(), replica.log_time_ms(), now)?;
        let mut shell = Self {
            replay: Some(replay),
            expected,
            relay: Relay::new(replica.number(), replica.last_event(), &facts.events),
            channels: Channels::new(replica.number(), facts.steps.iter().map(|there| (there.log, &there.last)), now),
            checkpoints: Checkpoints::new(options, replica.applied_sequence(), now),
            own: OwnRecords::new(options.limits, now),
            clock,
            trim: Trim::new(options.log_bytes_max, now),
            log_age_max_ms: i64::try_from(options.log_age_max.as_millis()).unwrap_or(i64::MAX),
            lease: Lease::default(),
            questions: Vec::new(),
            inspection: None,
            stopping: false,
            ended: false,
            actions: VecDeque::new(),
            spans: Vec::new(),
            replica,
        };
        for target in shell.replica.outbox.targets() {
            shell.send_steps(target, now);
        }
        shell.look_whether_caught_up();
        Ok(shell)
    }

    /// Whether the next entry of the log may come: not while the store or downstream has to catch up first, nor while the log may be
    /// another engine's.
    pub fn takes_entries(&self, now: Now) -> bool {
        !self.stopping
            && self.lease.is_held(now)
            && !self.relay.is_behind()
            && !self.checkpoints.is_behind(self.replica.changed_rows())
    }

    /// Until when the log is this engine's for sure, unless its lease is renewed; `None` while it never was.
    pub fn held_until(&self) -> Option<Duration> {
        self.lease.until()
    }

    /// Whether queries are answered at once.
    pub fn answers(&self, now: Now) -> bool {
        self.lease.is_held(now)
    }

    /// Whether the engine gets on. One whose disk stands still has no use for its log, and another one may have a disk that does not.
    pub fn is_well(&self, now: Now) -> bool {
        !self.checkpoints.is_stuck(now)
    }

    /// Whether [`Shell::work`] has something to go on with, though no input comes.
    pub fn is_busy(&self) -> bool {
        self.replica.is_taking()
    }

    /// How far the replay is, until the engine has caught up: the sequence applied last, and the one that it goes to.
    pub fn replaying(&self) -> Option<(u64, u64)> {
        self.replay.as_ref().map(|replay| (self.replica.applied_sequence(), replay.until))
    }

    /// The sequence applied last.
    pub fn applied(&self) -> u64 {
        self.replica.applied_sequence()
    }

    /// How the engine is, for those who watch it.
    pub fn vitals(&mut self, now: Now) -> Vitals {
        let due_ms = self.replica.next_due_ms();
        let late_ms = due_ms.map_or(0, |due_ms| self.clock.time_ms(now).saturating_sub(due_ms));
        Vitals {
            applied: self.replica.applied_sequence(),
            durable: self.checkpoints.durable_sequence(),
            changed_rows: self.replica.changed_rows(),
            events_waiting: self.relay.waiting(),
            outbox: self.replica.outbox.waiting().collect(),
            timers_late: Duration::from_millis(u64::try_from(late_ms).unwrap_or(0)),
        }
    }

    /// What is counted of its log.
    pub fn books(&self) -> &Books {
        &self.replica.state.books
    }

    /// What became of sagas, until it is cleared.
    pub fn tally(&mut self) -> &mut Tally {
        self.replica.tally()
    }

    /// The SKUs that are asked for most, and how often any of them was.
    pub fn hot_goods(&mut self) -> (Vec<HotGoods>, u64) {
        (self.replica.hot_goods(), self.replica.asked())
    }

    /// What the last turn did of traced calls, once; `None` when none was in it.
    pub fn take_spans(&mut self) -> Option<Vec<Span>> {
        (!self.spans.is_empty()).then(|| std::mem::take(&mut self.spans))
    }

    /// The next action that is to be carried out now. What others would see waits while the lease is not held.
    pub fn action(&mut self, now: Now) -> Option<Action> {
        if self.lease.is_held(now) {
            return self.actions.pop_front();
        }
        let local = self.actions.iter().position(Action::is_local)?;
        self.actions.remove(local)
    }

    /// Takes notice of what happened.
    ///
    /// # Errors
    /// When the engine must not go on.
    ///
    /// # Panics
    /// When an invariant is broken. The process must not go on then.
    pub fn take(&mut self, input: Input, now: Now) -> Result<(), EngineError> {
        match input {
            Input::Entry(entry) => {
                self.replica.check(&entry.entry)?;
                self.expected.check(entry.sequence, entry.entry.identity)?;
                let time_ms = entry.entry.tick_ms().unwrap_or(0).max(entry.time_ms);
                self.clock.accept(self.replica.number(), entry.sequence, time_ms, now)?;
                if let Some(sent_ms) = entry.entry.tick_sent_ms() {
                    self.own.ticked(self.replica.number(), sent_ms, entry.time_ms, self.clock.tolerance)?;
                }
                self.turn(entry, now);
            }
            Input::Query { query, reply_to } if self.lease.is_held(now) => self.answer(query, reply_to, now),
            // It may be another engine's to answer.
            Input::Query { query, reply_to } if self.questions.len() < QUESTIONS_MAX => self.questions.push((query, reply_to)),
            Input::Query { .. } => {}
            Input::Renewed { asked_at } => self.renewed(asked_at, now),
            Input::Relieved { by } => return Err(EngineError::Relieved { log: self.replica.number(), by }),
            Input::Appended { purpose: Purpose::Own, result } => {
                if matches!(result, Err(AppendError::Full)) {
                    self.checkpoints.hurry();
                    self.trim.hurry();
                }
                self.own.appended(result.ok(), self.replica.applied_sequence());
            }
            Input::Appended { purpose: Purpose::Steps { target, through, .. }, result } => {
                self.steps_appended(target, through, result, now)?;
            }
            Input::LastSteps { target, acknowledged, after, result: Ok(last) } => {
                self.channels.look(target, &last, acknowledged, after)?;
            }
            // It is looked again soon.
            Input::LastSteps { result: Err(_), .. } => {}
            Input::Published { through, result: Ok(places) } => self.relay.acknowledged(through, places),
            Input::Published { through, result: Err(NotPublished::Unknown(_)) } => self.relay.failed(through, now),
            Input::Published { through, result: Err(NotPublished::NotNext(last)) } => {
                let (log, applied) = (self.replica.number(), self.replica.applied_sequence());
                let causes = self
                    .relay
                    .not_next(through, last, self.clock.time_ms(now), now)?
                    .into_iter()
                    .filter(|cause| cause.sequence > applied);
                self.expected.extend(causes.map(|entry| Evidence { log, entry, witness: Witness::Events }));
            }
            Input::Written { number } => self.written(number),
            Input::Inspected => self.inspection = None,
            Input::Limits(limits) => self.own.limit(limits),
            Input::Stop => self.stop(now),
        }
        Ok(())
    }

    /// Does what is due: to be called after each input, and every [`own::TIMER_INTERVAL`] without one.
    pub fn work(&mut self, now: Now) {
        if self.lease.is_held(now) {
            self.reach_out(now);
        }
        if !self.stopping && self.checkpoints.is_due(self.replica.changed_rows(), self.replica.applied_sequence(), now) {
            self.begin_checkpoint(now);
        }
        self.take_rows(ROWS_PER_TURN);
        if let Some(checkpoint) = self.checkpoints.next(self.relay.published(), now) {
            self.actions.push_back(Action::Write(Box::new(checkpoint)));
        }
        // Reads and refused commands keep rows as well.
        self.replica.forget_rows(ROWS_PER_TURN);
        self.end_when_done(now);
    }

    /// What is due to be sent.
    fn reach_out(&mut self, now: Now) {
        for target in self.channels.due(now) {
            self.send_steps(target, now);
        }
        for (target, after) in self.channels.to_look_at(now) {
            let acknowledged = start::acknowledged(&self.replica, target);
            self.actions.push_back(Action::LookAtSteps { target, acknowledged, after });
        }
        if let Some((group, behind)) = self.relay.next(now) {
            self.actions.push_back(Action::Publish { group, behind });
        }
        if self.replay.is_none() && !self.stopping {
            self.append_own(now);
            let since_ms = self.clock.time_ms(now).saturating_sub(self.log_age_max_ms);
            let young = || self.replica.first_since(since_ms);
            let below = self.trim.due(self.checkpoints.durable_sequence(), young, now);
            self.actions.extend(below.map(|below| Action::Trim { below }));
        }
    }

    fn turn(&mut self, LogEntry { sequence, time_ms, bytes, entry }: LogEntry, now: Now) {
        self.checkpoints.applied(bytes);
        self.trim.applied(bytes);
        let time_ms = if planted::is(Bug::TimeFromTheWall) { now.wall_ms } else { time_ms };
        let TurnEffects { outcomes, events, channels, spans } = self.replica.turn(sequence, time_ms, entry);
        self.actions.extend(outcomes.into_iter().map(|(writer, outcomes)| Action::Tell { writer, outcomes }));
        self.relay.push(events, self.replica.log_mark());
        // What is replayed was told before.
        self.spans = if self.replay.is_none() { spans } else { Vec::new() };
        for target in channels {
            self.send_steps(target, now);
        }
        // A replay is behind by nature.
        let time_ms = if self.replay.is_none() { self.clock.time_ms(now) } else { time_ms };
        self.own.applied(sequence, self.replica.log_time_ms(), time_ms);
        self.look_whether_caught_up();
    }

    fn look_whether_caught_up(&mut self) {
        if self.replay.take_if(|replay| self.replica.applied_sequence() >= replay.until).is_some() {
            self.actions.push_back(Action::CaughtUp);
        }
    }

    /// Nobody else has had the log since it was this engine's, so it knows all that anybody was told.
    fn renewed(&mut self, asked_at: Duration, now: Now) {
        self.lease.renewed(asked_at);
        if self.lease.is_held(now) {
            std::mem::take(&mut self.questions).into_iter().for_each(|(query, reply_to)| self.answer(query, reply_to, now));
        }
    }

    fn answer(&mut self, query: Query, reply_to: ReplyTo, now: Now) {
        if matches!(query.body, Some(query::Body::Inspect(_))) {
            return self.inspect(reply_to, now);
        }
        if let Some(reply) = queries::answer(&mut self.replica, query) {
            self.actions.push_back(Action::Answer { reply_to, reply: Box::new(reply) });
        }
    }

    /// Answers with what a checkpoint taken now says, in its own time. One at a time: two of them read the disk twice to say the same.
    fn inspect(&mut self, reply_to: ReplyTo, now: Now) {
        if self.inspection.is_some() || self.stopping {
            let message = "An inspection of this log is under way; try again when it is done".to_owned();
            let refusal = Refusal { message, retry_after_ms: INSPECTION_RETRY_MS, ..Code::Overloaded.refusal() };
            let reply = Box::new(QueryReply { body: Some(query_reply::Body::Refusal(refusal)) });
            return self.actions.push_back(Action::Answer { reply_to, reply });
        }
        let checkpoint = self.checkpoint(now);
        self.inspection = Some(Inspection::Waiting { checkpoint, reply_to });
    }

    /// Sends the front of the outbox to `target`, unless something is under way there: one envelope at a time, so that none overtakes another.
    fn send_steps(&mut self, target: u32, now: Now) {
        let Some(after) = self.channels.free(target, now) else { return };
        // An older state makes steps again that got there long ago.
        self.replica.outbox.acknowledged(target, self.channels.received(target));
        if let Some((through, envelope)) = self.replica.outbox.envelope(self.replica.number(), target) {
            self.channels.sent(target, through);
            self.actions.push_back(Action::Append { log: target, envelope, purpose: Purpose::Steps { target, through, after } });
        } else {
            self.channels.idle(target);
        }
    }

    fn steps_appended(
        &mut self,
        target: u32,
        through: u64,
        result: Result<u64, AppendError>,
        now: Now,
    ) -> Result<(), BrokenHistory> {
        let received = match result {
            Ok(sequence) => self.channels.acknowledged(target, through, sequence),
            Err(AppendError::NotNext(last)) => {
                let acknowledged = start::acknowledged(&self.replica, target);
                let received = self.channels.not_next(target, through, &last, acknowledged, now)?;
                // What is there was made by this engine, or one before it: by the same entry then.
                let (log, own) = (self.replica.number(), received.and_then(|through| self.replica.outbox.cause(target, through)));
                if let (Some(own), Some(cause)) = (own, last.steps.and_then(|steps| steps.cause))
                    && own != cause
                {
                    return Err(BrokenHistory::Another { log, sequence: cause.sequence, witness: Witness::Log(target) });
                }
                received
            }
            Err(_) if planted::is(Bug::GapIgnored) => Some(through),
            Err(AppendError::Unknown(_) | AppendError::Full | AppendError::Refused(_)) => {
                self.channels.failed(target, through, now);
                None
            }
        };
        if let Some(through) = received {
            self.replica.outbox.acknowledged(target, through);
            self.send_steps(target, now);
        }
        Ok(())
    }

    fn append_own(&mut self, now: Now) {
        if let Some(envelope) = self.own.due(&mut self.replica, self.clock.time_ms(now), now) {
            self.actions.push_back(Action::Append { log: self.replica.number(), envelope, purpose: Purpose::Own });
        }
    }

    fn begin_checkpoint(&mut self, now: Now) -> u64 {
        let number = self.replica.begin_checkpoint();
        self.checkpoints.begun(number, self.replica.applied_sequence(), now);
        number
    }

    fn take_rows(&mut self, most: usize) {
        if let Some(checkpoint) = self.replica.take_rows(most) {
            self.checkpoints.push(checkpoint);
        }
    }

    /// A checkpoint as of now, behind the one that is being taken. Returns its number.
    fn checkpoint(&mut self, now: Now) -> u64 {
        self.take_rows(usize::MAX);
        let number = self.begin_checkpoint(now);
        self.take_rows(usize::MAX);
        number
    }

    fn written(&mut self, number: u64) {
        self.replica.checkpoint_written(number);
        self.checkpoints.written(number);
        if let Some(Inspection::Waiting { reply_to, .. }) = self.inspection.take_if(|inspection| inspection.is_ready(number)) {
            self.inspection = Some(Inspection::UnderWay);
            self.actions.push_back(Action::Inspect { reply_to });
        }
    }

    /// A last checkpoint, once what it needs is published.
    fn stop(&mut self, now: Now) {
        if !std::mem::replace(&mut self.stopping, true) {
            self.inspection.take_if(|inspection| matches!(inspection, Inspection::Waiting { .. }));
            self.checkpoint(now);
        }
    }

    /// What cannot be published now is made again by a replay: nobody waits for it at a stop.
    fn end_when_done(&mut self, now: Now) {
        let done = self.checkpoints.is_written() || self.relay.is_failing() || !self.lease.is_held(now);
        if self.stopping
            && done
            && (self.inspection.is_none() || !self.lease.is_held(now))
            && !std::mem::replace(&mut self.ended, true)
        {
            self.actions.push_back(Action::End);
        }
    }
}

impl Inspection {
    fn is_ready(&self, written: u64) -> bool {
        matches!(self, Self::Waiting { checkpoint, .. } if *checkpoint <= written)
    }
}
