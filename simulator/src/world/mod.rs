//! The simulated world: one queue of what happens next, in one thread, out of one seed.

mod backups;
mod checks;
mod customers;
mod engines;
mod leases;
mod operator;
mod strangers;
mod streams;
mod troubles;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use bytes::Bytes;
use emshop_core::replica::Checkpoint;
use emshop_engine::shell::relay::{Group, NotPublished, Places};
use emshop_engine::shell::{Action, Input, Outcomes, Purpose};
use emshop_log::AppendError;
use emshop_proto::partitioner::Partitioner;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::client::{Client, Customers};
use crate::consumer::Consumer;
use crate::coverage::Coverage;
use crate::host::Host;
use crate::ingress::Ingress;
use crate::logs::{SimEvents, SimLog};
use crate::model::{Model, Ticket, Wrong};
use crate::plan::{Fault, Plan, Settings};
use backups::{Backup, Taking};
use leases::Relieved;

const SECOND: u64 = 1_000_000;
/// When the world begins, in Unix milliseconds.
const BEGINNING_MS: i64 = 1_700_000_000_000;
/// Who appends waits so long for an acknowledgement.
const ACKNOWLEDGEMENT_WAIT: u64 = 5 * SECOND;
/// An idle engine looks at its timers so often.
const IDLE: u64 = 100_000;
/// A process that ended is started again after this.
const RESTART: u64 = 500_000;
/// Within this an engine has noticed what was wrong: it looks every few seconds, but it or the server may stand still for ten.
const NEWS: u64 = 30 * SECOND;
/// After the last command nothing goes wrong any more, and all must come to its end within this.
const CALM: u64 = 90 * SECOND;
/// Clients that are not done by then have met a shop that does not answer.
const LIMIT: u64 = 2_400 * SECOND;

/// What happens.
enum Event {
    Start {
        host: usize,
    },
    Loop {
        host: usize,
        generation: u64,
    },
    Renew {
        host: usize,
        generation: u64,
    },
    /// What the process of an engine had decided before it was paused.
    Late {
        host: usize,
        generation: u64,
        sent: Sent,
        action: Box<Action>,
    },
    TakeOver {
        host: usize,
        generation: u64,
    },
    Awake {
        host: usize,
        generation: u64,
    },
    Deliver {
        host: usize,
        generation: u64,
        input: Input,
    },
    Arrive {
        log: u32,
        sent: Sent,
        payload: Bytes,
        by: By,
    },
    Commit {
        host: usize,
        generation: u64,
        checkpoint: Box<Checkpoint>,
    },
    Publish {
        host: usize,
        generation: u64,
        sent: Sent,
        group: Arc<Group>,
        behind: Places,
    },
    Outcomes {
        writer: u64,
        outcomes: Outcomes,
    },
    Acknowledge {
        ingress: usize,
        writer: u64,
        log: u32,
        envelope: u64,
        result: Result<u64, AppendError>,
    },
    Flush {
        ingress: usize,
        writer: u64,
        log: u32,
    },
    Ask {
        client: usize,
    },
    TimeOut {
        client: usize,
        number: u64,
        attempt: u32,
    },
    Consume,
    Trouble,
    Thaw {
        is_new: bool,
    },
    BackUp {
        taking: Taking,
    },
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

/// A log without room for commands.
#[derive(Clone, Copy)]
struct Full {
    until: u64,
    /// Envelopes of engines that it still takes.
    left: u32,
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
    /// By log.
    full: Vec<Option<Full>>,
    /// Where a newer release has put its rules in force, by log.
    newer_rules: Vec<Option<u64>>,
    /// What was sent to the server of the streams since it answers nothing, while that is so.
    frozen: Option<Vec<Event>>,
    events: SimEvents,
    hosts: Vec<Host>,
    relieved: Vec<Relieved>,
    ingresses: Vec<Ingress>,
    clients: Vec<Client>,
    customers: Customers,
    commands: u64,
    consumer: Consumer,
    consumed: usize,
    model: Model,
    /// What was told while the logs were not whole; held against the model when they are.
    told: Vec<(Ticket, String)>,
    /// The clock of the server of the streams is ahead by so much, or behind if that is below 0; and whether it ever was wrong.
    server_clock_ms: i64,
    server_was_wrong: bool,
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
            backups: vec![Backup::of_nothing(plan.logs as usize)],
            now: 0,
            queue: BinaryHeap::new(),
            ties: 0,
            wishes: stream(1),
            delays: stream(2),
            strikes,
            faults_left: settings.faults_max,
            partitioner,
            logs: (0..plan.logs).map(SimLog::new).collect(),
            full: vec![None; plan.logs as usize],
            newer_rules: vec![None; plan.logs as usize],
            frozen: None,
            events: SimEvents::default(),
            hosts: (0..plan.logs).map(Host::new).collect(),
            relieved: Vec::new(),
            ingresses: (0..plan.ingresses).map(|number| Ingress::new(number as u64 + 1, plan.logs)).collect(),
            clients: (0..plan.clients).map(|_| Client::default()).collect(),
            customers: Customers::default(),
            commands: 0,
            consumer: Consumer::default(),
            consumed: 0,
            model: Model::new(partitioner),
            told: Vec::new(),
            server_clock_ms: 0,
            server_was_wrong: false,
            broken: None,
            restored_at: None,
            calm_since: None,
            coverage: Coverage::default(),
            plan,
            settings: settings.clone(),
        };
        (0..world.hosts.len()).for_each(|host| world.after(0, Event::Start { host }));
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
            if self.calm_since.is_none() && self.now > LIMIT {
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
            Event::Renew { host, generation } => {
                self.renew(host, generation);
                Ok(())
            }
            Event::Late { host, generation, sent, action } => self.carry_out_late(host, generation, sent, *action),
            Event::TakeOver { host, generation } => self.take_over(host, generation),
            Event::Awake { host, generation } => self.awake(host, generation),
            Event::Deliver { host, generation, input } => {
                if let Some(running) = self.process(host, generation) {
                    running.inbox.push_back(input);
                    self.wake(host, 0);
                }
                Ok(())
            }
            event @ (Event::Arrive { .. } | Event::Publish { .. }) if self.frozen.is_some() => {
                self.hold(event);
                Ok(())
            }
            Event::Thaw { is_new } => {
                self.thaw(is_new);
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
            Event::Trouble => self.trouble(),
            Event::BackUp { taking } => self.go_on_with_backup(taking),
        }
    }

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
}
