//! The simulated world: one queue of what happens next, in one thread, out of one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use bytes::Bytes;
use emshop_core::replica::{Checkpoint, Replica};
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::store::StateStore;
use emshop_engine::EngineError;
use emshop_engine::runtime::publisher;
use emshop_engine::shell::relay::{Group, NotNext, NotPublished, Places};
use emshop_engine::shell::start::{self, BrokenHistory, Facts, StepsThere, Witness};
use emshop_engine::shell::{Action, Input, Outcomes, Purpose};
use emshop_log::{AppendError, Bounds};
use emshop_proto::events::EventType;
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::{Command, EventBatch};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::client::{self, Client, Customers};
use crate::consumer::Consumer;
use crate::coverage::Coverage;
use crate::host::{self, Host};
use crate::ingress::Ingress;
use crate::logs::{SimEvents, SimLog, Stored};
use crate::model::{self, Applied, Model, Ticket, Wrong};
use crate::plan::{Fault, Plan, Settings};

const SECOND: u64 = 1_000_000;
/// When the world begins, in Unix milliseconds.
const BEGINNING_MS: i64 = 1_700_000_000_000;
/// Who appends waits so long for an acknowledgement.
const ACKNOWLEDGEMENT_WAIT: u64 = 5 * SECOND;
/// An idle engine looks at its timers so often.
const IDLE: u64 = 100_000;
/// A process that ended is started again after this.
const RESTART: u64 = 500_000;
/// Longer than any message is on its way.
const NEWS: u64 = 10 * SECOND;
/// After the last command nothing goes wrong any more, and all must come to its end within this.
const CALM: u64 = 90 * SECOND;
/// Clients that are not done by then have met a shop that does not answer.
const LIMIT: u64 = 1_200 * SECOND;

/// What happens.
enum Event {
    Start { host: usize },
    Loop { host: usize, generation: u64 },
    Deliver { host: usize, generation: u64, input: Input },
    Arrive { log: u32, sent: Sent, payload: Bytes, by: By },
    Commit { host: usize, generation: u64, checkpoint: Box<Checkpoint> },
    Publish { host: usize, generation: u64, sent: Sent, group: Arc<Group>, behind: Places },
    Outcomes { writer: u64, outcomes: Outcomes },
    Acknowledge { ingress: usize, writer: u64, log: u32, envelope: u64, result: Result<u64, AppendError> },
    Flush { ingress: usize, writer: u64, log: u32 },
    Ask { client: usize },
    TimeOut { client: usize, number: u64, attempt: u32 },
    Consume,
    Trouble,
}

/// When something was sent to the server of the streams.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sent {
    epoch: u64,
    /// Which process of the server it was sent to.
    server: u64,
}

/// Who appended an envelope.
#[derive(Clone, Copy)]
enum By {
    Host { host: usize, generation: u64, purpose: Purpose },
    Ingress { ingress: usize, writer: u64, envelope: u64 },
}

struct Scheduled {
    at: u64,
    tie: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.tie == other.tie
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.tie).cmp(&(other.at, other.tie))
    }
}

/// All parts as they were at one moment.
struct Backup {
    logs: Vec<Bounds>,
    events: usize,
    states: Vec<Arc<MemoryStore>>,
}

/// Everything.
pub struct World {
    /// The epoch, which begins anew when a backup is restored, and the process of the server of the streams.
    sent: Sent,
    /// The first one is of a shop that has not opened yet.
    backups: Vec<Backup>,
    plan: Plan,
    settings: Settings,
    now: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    ties: u64,
    /// What clients want, how long things take, and for each fault whether it strikes: drawn apart, so that a run without some fault is
    /// otherwise the same.
    wishes: StdRng,
    delays: StdRng,
    strikes: BTreeMap<Fault, StdRng>,
    faults_left: usize,
    partitioner: Partitioner,
    logs: Vec<SimLog>,
    events: SimEvents,
    hosts: Vec<Host>,
    ingresses: Vec<Ingress>,
    clients: Vec<Client>,
    customers: Customers,
    commands: u64,
    consumer: Consumer,
    consumed: usize,
    model: Model,
    /// What was told while the logs were not whole; held against the model when they are.
    told: Vec<(Ticket, String)>,
    /// The clock of the server of the streams was set back by so much, or was once.
    server_back_ms: i64,
    server_was_back: bool,
    /// Why the logs do not fit together, although nothing of them is missing: an engine has to notice.
    broken: Option<String>,
    /// When the operator last brought back what was lost.
    restored_at: Option<u64>,
    calm_since: Option<u64>,
    pub coverage: Coverage,
}

impl World {
    pub fn new(settings: &Settings) -> Self {
        let plan = Plan::draw(settings);
        let stream = |number: u64| StdRng::seed_from_u64(settings.seed.wrapping_mul(64).wrapping_add(number));
        let partitioner = Partitioner::new(plan.logs);
        let strikes = Fault::ALL.into_iter().zip(3..).map(|(fault, number)| (fault, stream(number))).collect();
        let mut world = Self {
            sent: Sent { epoch: 1, server: 1 },
            backups: Vec::new(),
            now: 0,
            queue: BinaryHeap::new(),
            ties: 0,
            wishes: stream(1),
            delays: stream(2),
            strikes,
            faults_left: settings.faults_max,
            partitioner,
            logs: (0..plan.logs).map(|_| SimLog::default()).collect(),
            events: SimEvents::default(),
            hosts: (0..plan.logs).map(Host::new).collect(),
            ingresses: (0..plan.ingresses).map(|number| Ingress::new(number as u64 + 1, plan.logs)).collect(),
            clients: (0..plan.clients).map(|_| Client::default()).collect(),
            customers: Customers::default(),
            commands: 0,
            consumer: Consumer::default(),
            consumed: 0,
            model: Model::new(partitioner),
            told: Vec::new(),
            server_back_ms: 0,
            server_was_back: false,
            broken: None,
            restored_at: None,
            calm_since: None,
            coverage: Coverage::default(),
            plan,
            settings: settings.clone(),
        };
        (0..world.hosts.len()).for_each(|host| world.after(0, Event::Start { host }));
        world.back_up();
        world.open();
        (0..world.clients.len()).for_each(|client| world.after(SECOND, Event::Ask { client }));
        world.after(SECOND, Event::Trouble);
        world.after(0, Event::Consume);
        world
    }

    /// Lets everything happen until all has come to its end.
    ///
    /// # Errors
    /// What is wrong.
    pub fn run(&mut self) -> Result<(), Wrong> {
        while let Some(Reverse(Scheduled { at, event, .. })) = self.queue.pop() {
            self.now = at;
            self.happen(event)?;
            if self.calm_since.is_none() && self.is_done() {
                self.calm_since = Some(self.now);
            }
            if self.calm_since.is_some_and(|since| self.now > since + CALM) {
                return self.check_end();
            }
            if self.now > LIMIT {
                return Err("clients still wait for their answers".to_owned());
            }
        }
        unreachable!("engines look at their timers for ever")
    }

    fn is_done(&self) -> bool {
        self.customers.given >= self.settings.commands && self.clients.iter().all(|client| client.asked.is_empty())
    }

    fn happen(&mut self, event: Event) -> Result<(), Wrong> {
        match event {
            Event::Start { host } => self.start(host),
            Event::Loop { host, generation } => self.step(host, generation),
            Event::Deliver { host, generation, input } => {
                if let Some(running) = self.process(host, generation) {
                    running.inbox.push_back(input);
                    self.wake(host, 0);
                }
                Ok(())
            }
            // What was sent in another epoch finds no stream that would take it.
            Event::Arrive { sent, .. } | Event::Publish { sent, .. } if sent.epoch != self.sent.epoch => Ok(()),
            // The server that it was sent to has ended before it got there.
            Event::Arrive { sent, log, by, .. } if sent != self.sent => {
                let unknown = AppendError::Unknown("the connection was lost".to_owned());
                self.acknowledge_after(0, log, by, Err(unknown));
                Ok(())
            }
            Event::Publish { sent, host, generation, group, .. } if sent != self.sent => {
                let result = Err(NotPublished::Unknown("the connection was lost".to_owned()));
                self.after(0, Event::Deliver { host, generation, input: Input::Published { through: group.through, result } });
                Ok(())
            }
            Event::Arrive { log, payload, by, .. } => self.arrive(log, payload, by),
            Event::Commit { host, generation, checkpoint } => {
                if self.process(host, generation).is_some() {
                    let number = checkpoint.number;
                    self.hosts[host].commit(*checkpoint);
                    if self.delays.random_bool(0.2) {
                        self.hosts[host].back_up();
                    }
                    self.soon(Event::Deliver { host, generation, input: Input::Written { number } });
                }
                Ok(())
            }
            Event::Publish { host, generation, group, behind, .. } => {
                self.publish(host, generation, &group, &behind);
                Ok(())
            }
            Event::Outcomes { writer, outcomes } => self.hand_in(writer, outcomes),
            Event::Acknowledge { ingress, writer, log, envelope, result } => {
                self.acknowledge(ingress, writer, log, envelope, result);
                Ok(())
            }
            Event::Flush { ingress, writer, log } => {
                self.flush(ingress, writer, log);
                Ok(())
            }
            Event::Ask { client } => {
                self.ask(client);
                Ok(())
            }
            Event::TimeOut { client, number, attempt } => {
                self.time_out(client, number, attempt);
                Ok(())
            }
            Event::Consume => self.consume(),
            Event::Trouble => {
                self.trouble();
                Ok(())
            }
        }
    }

    // Time and chance.

    fn after(&mut self, wait: u64, event: Event) {
        self.ties += 1;
        self.queue.push(Reverse(Scheduled { at: self.now + wait, tie: self.ties, event }));
    }

    /// After as long as a message takes.
    fn soon(&mut self, event: Event) {
        let wait = self.delays.random_range(20..2_000);
        self.after(wait, event);
    }

    fn strikes(&mut self, fault: Fault) -> bool {
        let rate = self.plan.rate(fault);
        let strikes = rate > 0.0 && self.strikes.get_mut(&fault).expect("each has one").random_bool(rate);
        if !strikes || self.calm_since.is_some() || self.faults_left == 0 {
            return false;
        }
        self.faults_left -= 1;
        self.note("faults", fault.name());
        true
    }

    /// Counts something, and tells it if somebody watches.
    fn note(&mut self, kind: &'static str, name: impl Into<String>) {
        let name = name.into();
        if self.settings.trace && kind != "answers" {
            println!("{:>12} µs  {kind}: {name}", self.now);
        }
        self.coverage.count(kind, name);
    }

    fn wall_ms(&self) -> i64 {
        BEGINNING_MS + (self.now / 1_000) as i64
    }

    // Engines.

    fn process(&mut self, host: usize, generation: u64) -> Option<&mut host::Running> {
        let host = &mut self.hosts[host];
        host.running.as_mut().filter(|_| host.generation == generation)
    }

    /// The thread of an engine goes on after this, if not before.
    fn wake(&mut self, number: usize, wait: u64) {
        let at = self.now + wait;
        let host = &mut self.hosts[number];
        if host.wakes_at.is_none_or(|sooner| at < sooner) {
            host.wakes_at = Some(at);
            let generation = host.generation;
            self.after(wait, Event::Loop { host: number, generation });
        }
    }

    fn start(&mut self, number: usize) -> Result<(), Wrong> {
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
        let started = host.start(epoch, partitioner, rows_max, &logs[number], find, host::now(now, now, wall_ms));
        match started {
            Ok(()) => {
                self.note("recoveries", "an engine starts");
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

    /// An engine says why it does not go on. The operator does what it says, and starts it again.
    fn refuse(&mut self, host: usize, error: &EngineError) -> Result<(), Wrong> {
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
    fn back_up(&mut self) {
        if self.is_all_there() {
            let logs = self.logs.iter().map(SimLog::bounds).collect();
            let states = self.hosts.iter().map(|host| Arc::new(host.store.after_crash())).collect();
            self.backups.push(Backup { logs, events: self.events.messages().len(), states });
        }
    }

    /// What cannot be put together again goes back to where it was as a whole. Whoever was told something since then is told to forget it.
    fn restore_backup(&mut self) -> Result<(), Wrong> {
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

    fn restore(&mut self) -> Result<(), Wrong> {
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

    fn step(&mut self, number: usize, generation: u64) -> Result<(), Wrong> {
        let (log, wall_ms) = (number as u32, self.wall_ms());
        let now = host::now(self.now, self.hosts[number].started_us, wall_ms - self.hosts[number].clock_back_ms);
        let woken_at = self.now;
        let Self { hosts, logs, .. } = self;
        let host = &mut hosts[number];
        if host.wakes_at.take_if(|at| *at == woken_at).is_none() {
            return Ok(());
        }
        let Some(running) = host.running.as_mut().filter(|_| host.generation == generation) else { return Ok(()) };
        let busy = match running.step(log, &logs[number], now) {
            Ok(busy) => busy,
            Err(error) => return self.refuse(number, &error),
        };
        while let Some(action) = self.process(number, generation).and_then(|running| running.shell.action()) {
            if self.strikes(Fault::EngineCrash) {
                self.hosts[number].crash();
                self.after(RESTART, Event::Start { host: number });
                return Ok(());
            }
            self.carry_out(number, generation, action)?;
        }
        self.check_stock(number)?;
        let wait = if busy { self.delays.random_range(20..500) } else { IDLE };
        self.wake(number, wait);
        Ok(())
    }

    fn carry_out(&mut self, host: usize, generation: u64, action: Action) -> Result<(), Wrong> {
        match action {
            Action::Append { log, payload, purpose } => self.append(log, payload, By::Host { host, generation, purpose }),
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
            Action::Trim { below } => self.logs[host].trim(below),
            Action::CaughtUp => {
                let running = self.hosts[host].running.as_mut();
                running.expect("it just acted").caught_up = true;
            }
            Action::Answer { .. } | Action::Inspect { .. } | Action::End => return Err("nobody asked for that".to_owned()),
        }
        Ok(())
    }

    fn publish(&mut self, host: usize, generation: u64, group: &Group, behind: &Places) {
        let (log, through) = (host as u32, group.through);
        let fails = self.strikes(Fault::FailedPublish);
        let (mut places, mut not_next) = (Places::new(), BTreeMap::new());
        for publisher::Message { event_type, payload, .. } in publisher::messages(log, group) {
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

    // Logs.

    fn append(&mut self, log: u32, payload: Bytes, by: By) {
        if self.strikes(Fault::LostAppend) {
            let unknown = AppendError::Unknown("the envelope got lost".to_owned());
            return self.acknowledge_after(ACKNOWLEDGEMENT_WAIT, log, by, Err(unknown));
        }
        let sent = self.sent;
        self.soon(Event::Arrive { log, sent, payload, by });
    }

    fn arrive(&mut self, log: u32, payload: Bytes, by: By) -> Result<(), Wrong> {
        let soon = self.delays.random_range(20..2_000);
        if self.strikes(Fault::RefusedAppend) {
            self.acknowledge_after(soon, log, by, Err(AppendError::Refused("maximum bytes exceeded".to_owned())));
            return Ok(());
        }
        if let By::Host { host, purpose: Purpose::Steps { after, .. }, .. } = by {
            let last = self.logs[log as usize].last_steps(host as u32);
            if last.entry.as_ref().map_or(0, |entry| entry.sequence) != after {
                self.acknowledge_after(soon, log, by, Err(AppendError::NotNext(last)));
                return Ok(());
            }
        }
        let time_ms = self.wall_ms() - self.server_back_ms;
        let sequence = self.logs[log as usize].append(time_ms, payload);
        if self.is_whole() {
            let entry = &self.logs[log as usize].entries()[sequence as usize - 1];
            self.broken = match self.model.apply(log, entry)? {
                Applied::Yes => None,
                Applied::Later => Some(format!("log {log} was sent steps that nobody has made, as entry {sequence}")),
                Applied::Never(reason) => Some(reason),
            };
        }
        if self.strikes(Fault::LostAcknowledgement) {
            let unknown = AppendError::Unknown("the acknowledgement got lost".to_owned());
            self.acknowledge_after(ACKNOWLEDGEMENT_WAIT, log, by, Err(unknown));
        } else if self.strikes(Fault::LateAcknowledgement) {
            let unknown = AppendError::Unknown("the acknowledgement is late".to_owned());
            self.acknowledge_after(ACKNOWLEDGEMENT_WAIT, log, by, Err(unknown));
            self.acknowledge_after(ACKNOWLEDGEMENT_WAIT + soon * 200, log, by, Ok(sequence));
        } else {
            if self.strikes(Fault::DoubledAcknowledgement) {
                self.acknowledge_after(soon + soon * 100, log, by, Ok(sequence));
            }
            self.acknowledge_after(soon, log, by, Ok(sequence));
        }
        let wait = self.delays.random_range(20..2_000);
        self.wake(log as usize, wait);
        Ok(())
    }

    fn acknowledge_after(&mut self, wait: u64, log: u32, by: By, result: Result<u64, AppendError>) {
        let event = match by {
            By::Host { host, generation, purpose } => {
                Event::Deliver { host, generation, input: Input::Appended { purpose, result } }
            }
            By::Ingress { ingress, writer, envelope } => Event::Acknowledge { ingress, writer, log, envelope, result },
        };
        self.after(wait, event);
    }

    fn is_whole(&self) -> bool {
        self.broken.is_none() && self.logs.iter().all(|log| log.lost().is_none())
    }

    fn is_all_there(&self) -> bool {
        self.is_whole() && self.events.lost().next().is_none()
    }

    // Ingresses and clients.

    /// The operator brings the goods in before the shop opens.
    fn open(&mut self) {
        for command in client::opening(&self.plan) {
            self.give(0, command);
        }
    }

    fn ask(&mut self, client: usize) {
        while self.customers.given < self.settings.commands && self.clients[client].asked.len() < self.plan.window {
            let command = self.customers.next(&self.plan, &mut self.wishes);
            self.give(client, command);
        }
        if self.customers.given < self.settings.commands {
            let wait = self.delays.random_range(1_000..300_000);
            self.after(wait, Event::Ask { client });
        }
    }

    fn give(&mut self, client: usize, command: Command) {
        self.commands += 1;
        let number = self.commands;
        let asked = client::asked(&self.partitioner, command);
        self.clients[client].asked.insert(number, asked);
        self.send(client, number);
    }

    /// By any ingress.
    fn send(&mut self, client: usize, number: u64) {
        let Some(asked) = self.clients[client].asked.get(&number) else { return };
        let (log, record, attempt) = (asked.log, asked.record.clone(), asked.attempts);
        let ingress = self.delays.random_range(0..self.ingresses.len());
        self.ingresses[ingress].take(log, record, (client, number));
        let writer = self.ingresses[ingress].writer;
        self.soon(Event::Flush { ingress, writer, log });
        self.after(client::PATIENCE_MS * 1_000, Event::TimeOut { client, number, attempt });
    }

    fn time_out(&mut self, client: usize, number: u64, attempt: u32) {
        let waits = self.clients[client].asked.get(&number).is_some_and(|asked| asked.attempts == attempt);
        if waits && self.clients[client].asks_again(number) {
            self.note("recoveries", "a client repeats a command");
            self.send(client, number);
        }
    }

    fn flush(&mut self, ingress: usize, writer: u64, log: u32) {
        if self.ingresses[ingress].writer == writer
            && let Some((envelope, payload)) = self.ingresses[ingress].envelope(log)
        {
            self.append(log, payload, By::Ingress { ingress, writer, envelope });
        }
    }

    fn acknowledge(&mut self, ingress: usize, writer: u64, log: u32, envelope: u64, result: Result<u64, AppendError>) {
        if self.ingresses[ingress].writer == writer && self.ingresses[ingress].acknowledged(log, envelope) {
            if matches!(result, Err(AppendError::Refused(_))) {
                self.note("recoveries", "an ingress is refused an append");
            }
            self.flush(ingress, writer, log);
        }
    }

    fn hand_in(&mut self, writer: u64, outcomes: Outcomes) -> Result<(), Wrong> {
        let Some(ingress) = self.ingresses.iter().position(|ingress| ingress.writer == writer) else { return Ok(()) };
        for (ticket, outcome) in outcomes {
            let Some((client, number)) = self.ingresses[ingress].answered(ticket) else { continue };
            self.clients[client].answered(number, &model::describe(&outcome))?;
        }
        Ok(())
    }

    // Downstream.

    fn consume(&mut self) -> Result<(), Wrong> {
        if self.strikes(Fault::RepeatedDelivery) {
            self.consumed -= self.delays.random_range(0..=self.consumed);
        }
        while let Some(message) = self.events.messages().get(self.consumed) {
            self.consumed += 1;
            self.consumer.take(EventBatch::decode(message.clone()).map_err(|error| error.to_string())?)?;
        }
        self.after(50_000, Event::Consume);
        Ok(())
    }

    // Larger troubles.

    fn trouble(&mut self) {
        if self.strikes(Fault::IngressCrash) {
            let ingress = self.delays.random_range(0..self.ingresses.len());
            let writer = self.ingresses.iter().map(|ingress| ingress.writer).max().unwrap_or(0) + 1;
            self.ingresses[ingress] = Ingress::new(writer, self.plan.logs);
        }
        // One after the other: of what is lost everywhere at once nobody can know.
        if self.is_all_there() && self.strikes(Fault::LostTail) {
            self.lose_tail();
        }
        if self.strikes(Fault::ServerClockBack) {
            self.server_back_ms = self.delays.random_range(1_000..3_600_000);
            self.server_was_back = true;
        } else if self.calm_since.is_some() || self.delays.random_bool(0.1) {
            self.server_back_ms = 0;
        }
        if self.is_all_there() && self.strikes(Fault::LostEvents) {
            self.lose_events();
        }
        if self.delays.random_bool(0.2) {
            self.back_up();
        }
        let wait = self.delays.random_range(SECOND / 2..3 * SECOND);
        self.after(wait, Event::Trouble);
    }

    /// A log loses entries, and something elsewhere shows that they were there.
    fn lose_tail(&mut self) {
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
    fn has_trace(&self, log: u32, kept: u64) -> bool {
        let stored = emshop_core::inspect(&*self.hosts[log as usize].store.snapshot()).applied_sequence > kept;
        stored || self.is_in_events(log, kept)
    }

    fn is_in_events(&self, log: u32, kept: u64) -> bool {
        let shows = |batch: EventBatch| batch.log == log && batch.events.iter().any(|event| event.log_sequence > kept);
        self.events.backwards().any(|(_, batch)| shows(batch))
    }

    /// The event streams are replaced by an older copy while no engine runs.
    fn lose_events(&mut self) {
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

    // What must hold.

    fn check_told(&mut self, ticket: Ticket, answer: &str) -> Result<(), Wrong> {
        if !self.is_whole() {
            self.told.push((ticket, answer.to_owned()));
            return Ok(());
        }
        match self.model.answer(ticket) {
            Some(expected) if expected == answer => Ok(()),
            Some(expected) => Err(format!("{ticket:?} was told {answer}, not {expected}")),
            None => Err(format!("{ticket:?} was told {answer}, which no log says")),
        }
    }

    fn check_stock(&mut self, number: usize) -> Result<(), Wrong> {
        if !self.is_whole() {
            return Ok(());
        }
        let log = number as u32;
        let goods: Vec<u64> = (1..=self.plan.goods).filter(|goods| self.partitioner.of_goods(*goods).log == log).collect();
        let now = host::now(self.now, self.hosts[number].started_us, self.wall_ms());
        let Some(running) = self.hosts[number].running.as_mut().filter(|_| !goods.is_empty()) else { return Ok(()) };
        let applied = running.applied();
        for (goods, stock) in running.stock(goods, now) {
            let expected = self.model.stock(goods, applied);
            if stock != expected {
                return Err(format!("goods {goods} have {stock} after entry {applied} of log {log}, not {expected}"));
            }
        }
        Ok(())
    }

    /// All has come to its end, and everybody knows the same.
    fn check_end(&mut self) -> Result<(), Wrong> {
        if let Some(broken) = &self.broken {
            return Err(format!("{broken}, and nobody noticed"));
        }
        for (number, log) in self.logs.iter().enumerate() {
            if let Some((first, last)) = log.lost() {
                return Err(format!("log {number} has lost entries {first} to {last}, and nobody noticed"));
            }
            let host = &self.hosts[number];
            let applied = host.running.as_ref().filter(|running| running.caught_up).map(host::Running::applied);
            if applied != Some(log.last()) {
                return Err(format!("the engine of log {number} is at {applied:?}, but the log ends at {}", log.last()));
            }
        }
        if let Some(unfinished) = self.model.unfinished() {
            return Err(unfinished);
        }
        if let Some(overdue) = self.model.overdue(self.wall_ms()) {
            return Err(overdue);
        }
        self.model.check_books()?;
        self.check_downstream()?;
        (0..self.hosts.len()).try_for_each(|host| self.check_replay(host))
    }

    fn check_downstream(&self) -> Result<(), Wrong> {
        for goods in 1..=self.plan.goods {
            let known = self.consumer.stock.get(&goods).copied().unwrap_or_default();
            let expected = self.model.stock(goods, u64::MAX);
            if known != expected {
                return Err(format!("downstream knows {known} of goods {goods}, not {expected}"));
            }
        }
        for order in (0..self.plan.logs).flat_map(|log| self.model.orders(log)) {
            let known = self.consumer.orders.get(&order.id).copied();
            if known != Some(order.status) {
                return Err(format!("downstream knows {known:?} of order {}, not {:?}", order.id, order.status));
            }
        }
        Ok(())
    }

    /// A replay of the whole log gives what its engine has.
    fn check_replay(&mut self, number: usize) -> Result<(), Wrong> {
        let now = host::now(self.now, self.hosts[number].started_us, self.wall_ms());
        let rows = self.hosts[number].rows(now);
        let replayed = Host::replay(number as u32, self.sent.epoch, self.partitioner, &self.logs[number]);
        match rows.iter().zip(&replayed).find(|(row, replayed)| row != replayed) {
            Some((row, replayed)) => Err(format!("log {number}: a replay makes the row {replayed:?} of what is {row:?}")),
            None if rows.len() != replayed.len() => {
                Err(format!("log {number} has {} rows, and {} after a replay", rows.len(), replayed.len()))
            }
            None => Ok(()),
        }
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

fn kind_of(error: &EngineError) -> String {
    use emshop_log::LogError;
    match error {
        EngineError::Log(LogError::LostRecords { .. }) => "the log was cut while it was read".to_owned(),
        EngineError::Log(LogError::TrimmedTooFar { .. }) => "the log was trimmed too far for the state".to_owned(),
        EngineError::History(BrokenHistory::Lost { witness, .. }) => {
            format!("{} shows that a log was cut", kind_of_witness(*witness))
        }
        EngineError::History(BrokenHistory::Another { witness, .. }) => {
            format!("{} shows that a log is another one", kind_of_witness(*witness))
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
