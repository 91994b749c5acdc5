//! An engine of the simulated world: the real shell over a store in memory, with what it waits for.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use emshop_core::entry::Entry;
use emshop_core::replica::{self, Checkpoint, Replica};
use emshop_core::state::batch::Batch;
use emshop_core::state::keys::{self, Kind};
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::store::{StateReader, StateStore};
use emshop_engine::EngineError;
use emshop_engine::shell::relay::Places;
use emshop_engine::shell::start::Facts;
use emshop_engine::shell::{Action, Input, LogEntry, Now, Options, Purpose, ReplyTo, Shell};
use emshop_log::{Bounds, LogError};
use emshop_proto::internal::{Envelope, GoodsQuery, Query, Record, ShopLimits, Tick, UserQuery, query, query_reply, record};
use emshop_proto::partitioner::Partitioner;
use prost::Message;

use crate::logs::{self, SimLog, Stored};
use crate::model::Stock;
use crate::model::carts::{self, Cart};

/// How far clocks may differ before an engine stops.
pub const TOLERANCE: Duration = Duration::from_secs(10);

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Where queries of the simulator itself come from.
const NOBODY: &str = "nobody";

/// The machine that runs the engine of one log.
pub struct Host {
    pub log: u32,
    pub store: Arc<MemoryStore>,
    /// Copies of the store, as backups keep them.
    pub backups: Vec<Arc<MemoryStore>>,
    pub running: Option<Running>,
    /// Counts its starts: what was asked by an earlier process is heard by nobody.
    pub generation: u64,
    /// When its process began, in the time of the world.
    pub started_us: u64,
    /// When its thread goes on, in the time of the world.
    pub wakes_at: Option<u64>,
    /// Its process does nothing before this, in the time of the world.
    pub frozen_until: u64,
    /// When the lease of its log was renewed last, in the time of the world.
    pub renewed_at: u64,
    /// Its clock was set back by so much when its process began.
    pub clock_back_ms: i64,
    /// It started from an older copy of its state.
    pub is_old: bool,
    clock_tolerance: Duration,
}

/// What an engine is told to do by its settings.
#[derive(Clone, Copy)]
pub struct Settings {
    /// Rows of a checkpoint, at most.
    pub rows_max: usize,
    pub limits: ShopLimits,
}

/// The process of an engine.
pub struct Running {
    pub shell: Shell,
    pub inbox: VecDeque<Input>,
    pub caught_up: bool,
    /// The next entry that it reads.
    next: u64,
    incarnation: u64,
    /// The newest entry that the reader has seen in the log.
    newest: Option<Stored>,
}

impl Host {
    pub fn new(log: u32) -> Self {
        let store = Arc::default();
        Self {
            log,
            store,
            backups: Vec::new(),
            running: None,
            generation: 0,
            started_us: 0,
            wakes_at: None,
            frozen_until: 0,
            renewed_at: 0,
            clock_back_ms: 0,
            is_old: false,
            clock_tolerance: TOLERANCE,
        }
    }

    /// Starts a process over what the store has. `find` tells what there is around it.
    ///
    /// # Errors
    /// Why the engine does not start.
    pub fn start(
        &mut self,
        epoch: u64,
        partitioner: Partitioner,
        settings: Settings,
        log: &SimLog,
        find: impl FnOnce(&Replica) -> Facts,
        now: Now,
    ) -> Result<(), EngineError> {
        let store: Arc<dyn StateStore> = Arc::clone(&self.store) as _;
        let replica = Replica::open(&store, &cluster(epoch), self.log, partitioner)?;
        let next = replica.applied_sequence() + 1;
        let Settings { rows_max: checkpoint_rows_max, limits } = settings;
        let clock_tolerance = self.clock_tolerance;
        let options = Options { checkpoint_rows_max, clock_tolerance, limits, ..Options::default() };
        let facts = find(&replica);
        let shell = Shell::start(replica, &options, &facts, now)?;
        self.running = Some(Running {
            shell,
            inbox: VecDeque::new(),
            caught_up: false,
            next,
            incarnation: log.incarnation,
            newest: log.entries().last().cloned(),
        });
        Ok(())
    }

    /// Brings a checkpoint to the store.
    pub fn commit(&mut self, checkpoint: Checkpoint) {
        let mut batch = Batch::default();
        checkpoint.encode(&mut batch);
        self.store.commit(&mut batch);
    }

    /// The process is gone, and what it had in memory.
    pub fn crash(&mut self) {
        self.running = None;
        self.wakes_at = None;
        self.frozen_until = 0;
        self.generation += 1;
        self.store = Arc::new(self.store.after_crash());
    }

    /// Goes on from the state of a backup, which begins another epoch.
    pub fn restore(&mut self, backup: &Arc<MemoryStore>, partitioner: &Partitioner, epoch: u64) {
        self.crash();
        self.store = Arc::new(backup.after_crash());
        let mut batch = Batch::default();
        let row = replica::cluster_row(&cluster(epoch), self.log, partitioner);
        batch.put(&keys::prefix(Kind::Cluster), &row.encode_to_vec());
        self.store.commit(&mut batch);
        self.backups = vec![Arc::new(self.store.after_crash())];
    }

    /// Keeps a copy of the store as it is.
    pub fn back_up(&mut self) {
        self.backups.push(Arc::new(self.store.after_crash()));
    }
}

impl Running {
    /// What the thread of an engine does once: an input, or an entry when none waits. `true` when there was something to do.
    ///
    /// # Errors
    /// Why the engine stops.
    pub fn step(&mut self, number: u32, log: &SimLog, now: Now) -> Result<bool, EngineError> {
        self.shell.work(now);
        if let Some(input) = self.inbox.pop_front() {
            self.shell.take(input, now)?;
        } else if self.shell.takes_entries(now)
            && let Some(entry) = self.read(number, log)?
        {
            self.shell.take(Input::Entry(entry), now)?;
        } else {
            return Ok(self.shell.is_busy());
        }
        Ok(true)
    }

    /// The next entry, as a reader finds it that makes sure that the log still goes on where it was.
    fn read(&mut self, number: u32, log: &SimLog) -> Result<Option<LogEntry>, EngineError> {
        log.bounds().admit(number, self.next)?;
        if self.incarnation != log.incarnation
            && let Some(newest) = self.newest.take()
        {
            let lost = |last| LogError::LostRecords { log: number, last, wanted: newest.sequence };
            if log.last() < newest.sequence {
                return Err(lost(log.last()).into());
            }
            if log.entry(newest.sequence).is_some_and(|entry| *entry != newest) {
                return Err(lost(newest.sequence - 1).into());
            }
        }
        self.incarnation = log.incarnation;
        self.newest = log.entries().last().cloned();
        let Some(stored) = log.entry(self.next) else { return Ok(None) };
        let entry = read(number, stored)?;
        self.next += 1;
        Ok(Some(entry))
    }

    /// The last entry that was applied.
    pub fn applied(&self) -> u64 {
        self.next - 1
    }

    /// What a client would read of these SKUs now; `None` when it gets no answer. No action may be left that can be carried out.
    pub fn stock(&mut self, goods: Vec<u64>, now: Now) -> Option<Vec<(u64, Stock)>> {
        let reply = self.ask(query::Body::Stock(GoodsQuery { goods_ids: goods }), now)?;
        let query_reply::Body::Stock(levels) = reply else { panic!("a query for stock is answered with stock") };
        Some(levels.stocks.iter().map(|level| (level.goods_id, stock_of(level))).collect())
    }

    /// As [`Running::stock`], of a user's cart.
    pub fn cart(&mut self, user_id: u64, now: Now) -> Option<Cart> {
        let reply = self.ask(query::Body::Cart(UserQuery { user_id }), now)?;
        let query_reply::Body::Cart(items) = reply else { panic!("a query for a cart is answered with a cart") };
        Some(carts::cart(&items))
    }

    /// As [`Running::stock`], of what a user has in the balance.
    pub fn balance(&mut self, user_id: u64, now: Now) -> Option<i64> {
        let reply = self.ask(query::Body::Balance(UserQuery { user_id }), now)?;
        let query_reply::Body::Balance(balance) = reply else { panic!("a query for a balance is answered with a balance") };
        Some(balance.available.map_or(0, |money| money.amount_minor))
    }

    fn ask(&mut self, body: query::Body, now: Now) -> Option<query_reply::Body> {
        if !self.shell.answers(now) {
            return None;
        }
        let query = Query { body: Some(body), ..Query::default() };
        let reply_to = ReplyTo { subject: NOBODY.into(), nonce: [0; 16] };
        self.shell.take(Input::Query { query, reply_to }, now).expect("a query stops nobody");
        let answer = self.shell.action(now)?;
        let Action::Answer { reply, .. } = answer else { panic!("such queries are answered at once") };
        reply.body
    }
}

fn stock_of(level: &emshop_proto::v1::StockLevel) -> Stock {
    Stock { available: level.available, reserved: level.reserved, sold: level.sold }
}

impl Host {
    /// All rows of its state as of now. It ends by that.
    pub fn rows(&mut self, now: Now) -> Rows {
        let running = self.running.take().expect("it runs");
        self.finish(running, now)
    }

    /// The rows that a replay of a whole log makes, trimmed or not.
    pub fn replay(number: u32, epoch: u64, partitioner: Partitioner, log: &SimLog) -> Rows {
        let mut host = Self { clock_tolerance: Duration::MAX, ..Self::new(number) };
        let (now, bounds) = (Now::default(), Bounds { first: 1, last: log.last() });
        let settings = Settings { rows_max: usize::MAX, limits: ShopLimits::default() };
        host.start(epoch, partitioner, settings, log, |_| Facts::of_new_log(bounds), now).expect("an empty state fits any log");
        let mut running = host.running.take().expect("just started");
        for stored in log.entries() {
            let entry = read(number, stored).expect("it was read before");
            running.shell.take(Input::Entry(entry), now).expect("it was applied before");
        }
        host.finish(running, now)
    }

    /// The rows of its state a day after its last entry, when all has fired that is due by then. It has ended before.
    pub fn rows_a_day_later(&self, epoch: u64, partitioner: Partitioner) -> Rows {
        let mut later = Self { store: Arc::new(self.store.after_crash()), ..Self::new(self.log) };
        let store: Arc<dyn StateStore> = Arc::clone(&later.store) as _;
        let mut replica = Replica::open(&store, &cluster(epoch), self.log, partitioner).expect("it was just written");
        let time_ms = replica.log_time_ms() + DAY_MS;
        while replica.next_due_ms().is_some_and(|due_ms| due_ms <= time_ms) {
            let records = vec![Record { body: Some(record::Body::Tick(Tick::default())), ..Record::default() }];
            let tick = Entry::read(Envelope { records, ..Envelope::default() }).expect("a tick can be read");
            replica.turn(replica.applied_sequence() + 1, time_ms, tick);
        }
        later.commit(replica.checkpoint());
        later.all_rows()
    }

    /// Stops an engine in a world where everything succeeds at once.
    fn finish(&mut self, mut running: Running, now: Now) -> Rows {
        let shell = &mut running.shell;
        shell.take(Input::Renewed { asked_at: now.elapsed }, now).expect("that is no failure");
        let mut stopping = false;
        loop {
            shell.work(now);
            let Some(action) = shell.action(now) else {
                if !std::mem::replace(&mut stopping, true) {
                    shell.take(Input::Stop, now).expect("a stop is no failure");
                }
                continue;
            };
            let input = match action {
                Action::Write(checkpoint) => {
                    let number = checkpoint.number;
                    self.commit(*checkpoint);
                    Input::Written { number }
                }
                Action::Publish { group, .. } => Input::Published { through: group.through, result: Ok(Places::new()) },
                Action::Append { purpose: purpose @ Purpose::Steps { .. }, .. } => Input::Appended { purpose, result: Ok(1) },
                Action::End => return self.all_rows(),
                _ => continue,
            };
            shell.take(input, now).expect("that is no failure");
        }
    }

    fn all_rows(&self) -> Rows {
        let mut rows = Vec::new();
        self.store.scan(&[], &[u8::MAX; 16], &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        });
        rows
    }
}

/// Keys and values.
pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn read(number: u32, stored: &Stored) -> Result<LogEntry, EngineError> {
    LogEntry::read(number, stored, &logs::seal(number))
}

fn cluster(epoch: u64) -> String {
    format!("simulated in epoch {epoch}")
}

/// The time of a host.
pub fn now(now_us: u64, started_us: u64, wall_ms: i64) -> Now {
    Now { elapsed: Duration::from_micros(now_us - started_us), wall_ms }
}
