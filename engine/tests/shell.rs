//! What a whole shell does, with a world that answers when the test says so.

use std::sync::Arc;
use std::time::Duration;

use emshop_core::replica::{Checkpoint, Replica};
use emshop_core::state::batch::Batch;
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::store::StateStore;
use emshop_engine::EngineError;
use emshop_engine::shell::clock::AheadOfTime;
use emshop_engine::shell::relay::{NotPublished, Places};
use emshop_engine::shell::start::Facts;
use emshop_engine::shell::{Action, Input, LogEntry, Now, Options, Purpose, ReplyTo, Shell};
use emshop_log::{Bounds, Entry};
use emshop_proto::envelope;
use emshop_proto::internal::{Envelope, Query, Record, ShopLimits, UserQuery, query, record};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::seal::{ClusterKey, KEY_BYTES, Seal};
use emshop_proto::v1::{AdjustBalanceRequest, Command, CreateGoodsRequest, Goods, Money, command};
use prost::Message as _;

const ROWS_MAX: usize = 100;
const TIME_MS: i64 = 1_700_000_000_000;
/// Commands of an envelope; each changes a few rows.
const COMMANDS: u64 = 10;
const ENVELOPES: u64 = 200;
const DAY_SECONDS: u64 = 24 * 60 * 60;

fn seal() -> Seal {
    ClusterKey::new([0; KEY_BYTES]).seals("a test").of(0)
}

fn entry(sequence: u64, commands: impl IntoIterator<Item = command::Body>) -> LogEntry {
    let record = |body| {
        let command = Command { idempotency_key: "first".to_owned(), body: Some(body), ..Command::default() };
        Record { body: Some(record::Body::Command(command.encode_to_vec().into())), ..Record::default() }
    };
    let envelope = Envelope { records: commands.into_iter().map(record).collect(), ..Envelope::default() };
    let payload = envelope::encode(&envelope, &seal());
    LogEntry::read(0, &Entry { sequence, time_ns: TIME_MS * 1_000_000, payload }, &seal()).expect("just made")
}

/// An entry of nothing that happens, taken by the log at this time.
fn entry_at(sequence: u64, time_ms: i64) -> LogEntry {
    let entry = Entry { sequence, time_ns: time_ms * 1_000_000, payload: envelope::encode(&Envelope::default(), &seal()) };
    LogEntry::read(0, &entry, &seal()).expect("just made")
}

fn deposits(sequence: u64) -> LogEntry {
    entry(
        sequence,
        (0..COMMANDS).map(|number| {
            command::Body::AdjustBalance(AdjustBalanceRequest {
                user_id: sequence * COMMANDS + number,
                delta: Some(Money::new(1, "CNY")),
            })
        }),
    )
}

fn goods(sequence: u64) -> LogEntry {
    let goods = Goods { goods_id: sequence, unit_price: Some(Money::new(100, "CNY")), ..Goods::default() };
    entry(sequence, [command::Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) })])
}

/// A shell over an empty state, and the store behind it.
struct World {
    store: Arc<MemoryStore>,
    shell: Shell,
    elapsed: Duration,
    /// What was asked for and is not carried out yet.
    writes: Vec<Checkpoint>,
    publishes: Vec<u64>,
    appends: Vec<Envelope>,
    trims: Vec<u64>,
    ended: bool,
}

impl World {
    fn new() -> Self {
        Self::with(ShopLimits::default())
    }

    fn with(limits: ShopLimits) -> Self {
        let store = Arc::new(MemoryStore::default());
        let dynamic: Arc<dyn StateStore> = Arc::clone(&store) as _;
        let replica = Replica::open(&dynamic, "c", 0, Partitioner::new(1)).expect("a new state");
        let options = Options { checkpoint_rows_max: ROWS_MAX, limits, ..Options::default() };
        let facts = Facts::of_new_log(Bounds { first: 1, last: 0 });
        let shell = Shell::start(replica, &options, &facts, Now { wall_ms: TIME_MS, ..Now::default() }).expect("all is new");
        let (writes, publishes, appends, trims) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut world = Self { store, shell, elapsed: Duration::ZERO, writes, publishes, appends, trims, ended: false };
        world.wait(0);
        world
    }

    fn now(&self) -> Now {
        Now { elapsed: self.elapsed, wall_ms: TIME_MS }
    }

    fn take(&mut self, input: Input) {
        self.shell.take(input, self.now()).expect("nothing is wrong");
        self.work();
    }

    fn work(&mut self) {
        self.shell.work(self.now());
        while self.shell.is_busy() {
            self.shell.work(self.now());
        }
        while let Some(action) = self.shell.action(self.now()) {
            match action {
                Action::Write(checkpoint) => self.writes.push(*checkpoint),
                Action::Publish { group, .. } => self.publishes.push(group.through),
                Action::Append { envelope, .. } => self.appends.push(envelope),
                Action::Trim { below } => self.trims.push(below),
                Action::End => self.ended = true,
                _ => {}
            }
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.elapsed += Duration::from_secs(seconds);
        self.take(Input::Renewed { asked_at: self.elapsed });
    }

    fn write(&mut self) {
        let checkpoint = self.writes.remove(0);
        let number = checkpoint.number;
        let mut batch = Batch::default();
        checkpoint.encode(&mut batch);
        self.store.commit(&mut batch);
        self.take(Input::Written { number });
    }

    fn publish(&mut self, result: Result<Places, NotPublished>) {
        let through = self.publishes.remove(0);
        self.take(Input::Published { through, result });
    }
}

#[test]
fn turns_wait_for_a_slow_disk() {
    let mut world = World::new();
    let mut stops = 0;
    for sequence in 1..=ENVELOPES {
        while !world.shell.takes_entries(world.now()) {
            stops += 1;
            assert_eq!(world.writes.len(), 1, "one at a time");
            world.write();
        }
        world.take(Input::Entry(deposits(sequence)));
    }
    assert!(stops > 5, "the disk was in the way {stops} times");
    world.take(Input::Stop);
    while !world.ended {
        world.write();
    }
    assert_eq!(emshop_core::inspect(&*world.store.snapshot()).applied_sequence, ENVELOPES);
}

#[test]
fn a_checkpoint_waits_for_the_events_of_its_turns() {
    let mut world = World::new();
    world.take(Input::Entry(goods(1)));
    world.wait(6);
    assert_eq!((world.writes.len(), world.publishes.len()), (0, 1), "a replay from it would not make its events again");
    world.publish(Err(NotPublished::Unknown("the stream is away".to_owned())));
    assert_eq!(world.writes.len(), 0);
    world.wait(1);
    world.publish(Ok(Places::new()));
    assert_eq!(world.writes.len(), 1);
}

#[test]
fn a_stop_waits_for_the_store_and_for_downstream() {
    let mut world = World::new();
    world.take(Input::Entry(goods(1)));
    world.take(Input::Stop);
    assert!(!world.ended && !world.shell.takes_entries(world.now()));
    world.publish(Ok(Places::new()));
    assert!(!world.ended);
    world.write();
    assert!(world.ended);
}

#[test]
fn a_stop_does_not_wait_for_what_cannot_be_published() {
    let mut world = World::new();
    world.take(Input::Entry(goods(1)));
    world.take(Input::Stop);
    world.publish(Err(NotPublished::Unknown("the stream is away".to_owned())));
    assert!(world.ended && world.writes.is_empty(), "a replay makes the events again");
}

/// Lets a day pass on which the log takes this entry, and brings it to the disk.
fn day(world: &mut World, sequence: u64) -> Vec<u64> {
    world.wait(DAY_SECONDS);
    let time_ms = TIME_MS + world.elapsed.as_millis() as i64;
    world.take(Input::Entry(entry_at(sequence, time_ms)));
    world.wait(1);
    world.write();
    world.trims.clear();
    world.wait(10);
    std::mem::take(&mut world.trims)
}

/// What somebody said of themself leaves the log some days after it was applied, however much room there is.
#[test]
fn entries_leave_the_log_by_their_age() {
    let mut world = World::new();
    let kept_days = Options::default().log_age_max.as_secs() / DAY_SECONDS;
    for sequence in 1..=kept_days {
        assert_eq!(day(&mut world, sequence), [0; 0], "day {sequence}");
    }
    // That day is over for as long as entries are kept.
    assert_eq!(day(&mut world, kept_days + 1), [0; 0]);
    assert_eq!(day(&mut world, kept_days + 2), [2]);
    assert_eq!(day(&mut world, kept_days + 3), [3]);
    world.wait(30 * DAY_SECONDS);
    assert_eq!(world.trims, [kept_days + 3], "all are old, and the one that was applied last stays");
}

/// What is not on the disk is read again after a restart, however old it is.
#[test]
fn what_is_not_durable_stays_in_the_log_at_any_age() {
    let mut world = World::new();
    assert_eq!(day(&mut world, 1), [0; 0]);
    world.take(Input::Entry(entry_at(2, TIME_MS + world.elapsed.as_millis() as i64)));
    world.wait(30 * DAY_SECONDS);
    assert_eq!(world.trims, [0; 0], "it goes on from entry 1");
    world.write();
    world.wait(10);
    assert_eq!(world.trims, [2]);
}

/// The record that a shell appends to its own log now, if it does.
fn own_record(world: &World) -> Option<record::Body> {
    world.appends.last().map(|envelope| envelope.records[0].body.clone().expect("a record"))
}

/// Sends what the shell appends through the log, whose clock says something else.
fn append(world: &mut World, sequence: u64, time_ms: i64) {
    let payload = envelope::encode(&world.appends.pop().expect("an append"), &seal());
    let entry = Entry { sequence, time_ns: time_ms * 1_000_000, payload };
    world.take(Input::Appended { purpose: Purpose::Own, result: Ok(sequence) });
    world.take(Input::Entry(LogEntry::read(0, &entry, &seal()).expect("an envelope")));
}

/// What the shop allows is in force by the log alone, so that a replay decides as was decided then.
#[test]
fn an_engine_tells_its_log_what_the_shop_allows() {
    let limits = ShopLimits { unpaid_orders: 3, ..ShopLimits::default() };
    let mut world = World::with(limits);
    world.wait(1);
    assert!(matches!(own_record(&world), Some(record::Body::Rules(_))), "first the rules");
    append(&mut world, 1, TIME_MS);
    world.wait(1);
    let told = own_record(&world);
    assert!(matches!(told, Some(record::Body::ShopLimits(told)) if told == limits), "{told:?}");
    append(&mut world, 2, TIME_MS + 1_000);
    world.wait(1);
    assert!(own_record(&world).is_none(), "once is enough");

    let others = ShopLimits { unpaid_orders: 4, ..limits };
    world.take(Input::Limits(others));
    world.wait(1);
    let told = own_record(&world);
    assert!(matches!(told, Some(record::Body::ShopLimits(told)) if told == others), "{told:?}");
    append(&mut world, 3, TIME_MS + 4_000);
    world.take(Input::Limits(others));
    world.wait(1);
    assert!(own_record(&world).is_none(), "nothing has changed");
}

/// A shell whose clock a tick has shown to agree with the server's, at sequence 3.
fn agreed() -> World {
    let mut world = World::new();
    world.wait(0);
    append(&mut world, 1, TIME_MS);
    world.wait(10);
    world.take(Input::Entry(entry_at(2, TIME_MS)));
    world.wait(1);
    let Some(record::Body::Tick(tick)) = own_record(&world) else { panic!("log time stands, and nobody carries it on") };
    assert_eq!(tick.time_ms, 0, "nobody knows which clock is right");
    append(&mut world, 3, TIME_MS + 11_000);
    world
}

#[test]
fn ticks_carry_on_the_time_of_a_log_whose_clock_was_set_back() {
    let mut world = agreed();
    world.wait(10);
    world.take(Input::Entry(entry_at(4, TIME_MS - 3_600_000)));
    world.wait(1);
    let Some(record::Body::Tick(tick)) = own_record(&world) else { panic!("log time stands, and nobody carries it on") };
    assert_eq!(tick.time_ms, TIME_MS + 22_000, "by a clock that nobody sets");
}

/// Its own time would end every order for good.
#[test]
fn an_engine_whose_clock_is_ahead_carries_no_time_and_stops() {
    let mut world = World::new();
    world.wait(0);
    append(&mut world, 1, TIME_MS - 3_600_000);
    world.take(Input::Entry(entry_at(2, TIME_MS - 3_600_000)));
    world.wait(1);
    let payload = envelope::encode(&world.appends.pop().expect("a tick"), &seal());
    let entry = Entry { sequence: 3, time_ns: (TIME_MS - 3_599_000) * 1_000_000, payload };
    let entry = LogEntry::read(0, &entry, &seal()).expect("an envelope");
    assert_eq!(entry.entry.tick_ms(), Some(0));
    let stopped = world.shell.take(Input::Entry(entry), world.now()).expect_err("the clocks differ");
    assert!(matches!(stopped, EngineError::Clocks(_)), "{stopped}");
}

#[test]
fn an_entry_from_the_future_stops_the_engine_before_it_is_applied() {
    let mut world = World::new();
    let ahead = entry_at(1, TIME_MS + 3_600_000);
    let stopped = world.shell.take(Input::Entry(ahead), world.now()).expect_err("nothing may expire by it");
    assert!(matches!(stopped, EngineError::Clock(AheadOfTime { log: 0, sequence: 1, .. })), "{stopped}");
    world.take(Input::Entry(entry_at(1, TIME_MS + 9_000)));
}

/// Without the lease nothing goes out; what was asked meanwhile is answered when it is held again, and not when another engine has the log.
#[test]
fn an_engine_without_its_lease_is_silent() {
    let mut world = World::new();
    world.take(Input::Entry(deposits(1)));
    world.elapsed += Duration::from_secs(3);
    assert!(!world.shell.takes_entries(world.now()), "entries tell clients what became of their commands");
    let query = || Query { body: Some(query::Body::Balance(UserQuery { user_id: COMMANDS })), ..Query::default() };
    let answers = |world: &mut World| {
        world.shell.work(world.now());
        let actions = std::iter::from_fn(|| world.shell.action(world.now()));
        actions.filter(|action| matches!(action, Action::Answer { .. })).count()
    };
    let reply_to = ReplyTo { subject: "somebody".into(), nonce: [0; 16] };
    world.shell.take(Input::Query { query: query(), reply_to }, world.now()).expect("a query");
    assert_eq!(answers(&mut world), 0);
    let asked_at = world.elapsed;
    world.shell.take(Input::Renewed { asked_at }, world.now()).expect("a renewal");
    assert_eq!(answers(&mut world), 1);
    let relieved = world.shell.take(Input::Relieved { by: "another".to_owned() }, world.now());
    assert!(matches!(relieved, Err(EngineError::Relieved { log: 0, .. })));
}
