//! The replay law: state, events and answers follow from the log alone. Not from checkpoints, crashes, or how often
//! something came from another log.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use emshop_core::events::EventRun;
use emshop_core::replica::{Checkpoint, Replica, TurnEffects};
use emshop_core::spans::Span;
use emshop_core::state::batch::Batch;
use emshop_core::state::keys;
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::rows::{Balances, Favourites, GoodsDetails, GoodsRows, Keys, Orders, PaymentHolds, Reservations};
use emshop_core::state::store::{StateReader, StateStore};
use emshop_core::state::table::Rows;
use emshop_proto::internal::{Envelope, LineRow, LineStock, Record, ShopLimits, record};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing;
use emshop_proto::v1::{
    Command, Goods, LogInspection, Money, Operator, OperatorKind, Outcome, PaymentHoldStatus, PaymentMethod, command, outcome,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::commands;
use crate::shop::{START_MS, checkpoint, envelope_of, open, record_of, tick};
use crate::strategies::{GOODS, USERS, command};

/// What comes next in a log: commands, or a tick.
#[derive(Clone, Debug)]
pub enum Entry {
    Commands(Vec<Command>),
    Tick,
}

/// Minutes mostly, often less than the slice of log time in which stock is told, and now and then a day, in which parcels get far.
pub fn later_ms() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -10_000..400_000_i64, 8 => 0..200_i64, 1 => 0..100_000_000_i64]
}

pub fn entry(commands_max: usize) -> impl Strategy<Value = Entry> {
    prop_oneof![
        3 => vec(command(), 1..=commands_max).prop_map(Entry::Commands),
        1 => Just(Entry::Tick),
    ]
}

/// What every log begins with, an envelope each: stock, and some of the orders brought on their way, since chance rarely gets that far.
fn beginning() -> Vec<Vec<Command>> {
    // Of the first one a user may have only so many.
    let entry = |goods_id| Goods {
        unit_price: Some(Money::new(100, "CNY")),
        user_units_max: if goods_id == 1 { 10 } else { 0 },
        ..commands::entry(goods_id)
    };
    let of = |goods_id| [commands::create_goods(entry(goods_id)), commands::set_stock(goods_id, 40, "first")];
    let submit = |id: &str| commands::submit(commands::order(id, &[(1, 1), (2, 1), (3, 1), (4, 1)]));
    let steps: [(u8, commands::OnOrder); 5] =
        [(14, submit), (12, commands::confirm), (9, commands::ship), (5, commands::deliver), (2, commands::request_return)];
    let of_orders = steps.map(|(orders, command)| (0..orders).map(|number| command(&format!("o{number}"))).collect());
    let deposits = USERS.map(|user_id| commands::adjust_balance(user_id, 1000, "1000"));
    std::iter::once(GOODS.flat_map(of).chain(deposits).collect()).chain(of_orders).collect()
}

fn records(commands: Vec<Command>, first_ticket: u64) -> Vec<Record> {
    let record = |(command, ticket)| {
        let operator = by_user(&command).filter(|_| ticket % 2 == 0);
        Record { operator, ..record_of(command, ticket) }
    };
    commands.into_iter().zip(first_ticket..).map(record).collect()
}

/// The user of an order who submits it.
fn by_user(command: &Command) -> Option<Operator> {
    let user_id = match command.body.as_ref()? {
        command::Body::SubmitOrder(request) => request.user_id,
        command::Body::CheckoutCart(request) => request.user_id,
        _ => return None,
    };
    Some(Operator { kind: OperatorKind::User.into(), user_id, ..Operator::default() })
}

/// Envelopes with the times at which the log took them: these may go back a little.
pub type Stream = Vec<(i64, Envelope)>;

pub fn stream(entries: Vec<(i64, Entry)>) -> Stream {
    let mut time_ms = START_MS;
    let first = beginning().into_iter().map(|commands| (0, Entry::Commands(commands)));
    let entries = first.chain(entries).enumerate();
    let limits = (time_ms, limits());
    let stamped = entries.map(|(index, (later_ms, entry))| {
        time_ms += later_ms;
        let envelope = match entry {
            Entry::Commands(commands) => envelope_of(records(commands, 1000 * index as u64 + 1)),
            Entry::Tick => tick(),
        };
        (time_ms, envelope)
    });
    std::iter::once(limits).chain(stamped).collect()
}

/// What the shop allows its users: some of their orders go beyond it.
fn limits() -> Envelope {
    let limits = ShopLimits { unpaid_orders: 9, order_units: 4, payment_seconds: 600 };
    let record = Record { body: Some(record::Body::ShopLimits(limits)), ..Record::default() };
    Envelope { records: vec![record], ..Envelope::default() }
}

type Effects = (BTreeMap<u64, Vec<(u64, Outcome)>>, Vec<EventRun>, Vec<u32>, Vec<Span>);

/// Applies the next envelope of the stream.
fn turn(replica: &mut Replica, stream: &Stream) -> Effects {
    let sequence = replica.applied_sequence() + 1;
    let (time_ms, envelope) = stream[sequence as usize - 1].clone();
    let TurnEffects { outcomes, events, channels, spans } =
        replica.turn(sequence, time_ms, emshop_core::entry::Entry::read(envelope).expect("just made"));
    (outcomes, events, channels, spans)
}

/// One run from the first envelope to the last, with one checkpoint at the end.
fn run(stream: &Stream) -> (Vec<Effects>, LogInspection) {
    let store = Arc::new(MemoryStore::default());
    let mut replica = open(&store, 0, 1);
    let effects = stream.iter().map(|_| turn(&mut replica, stream)).collect();
    (effects, checkpoint(&mut replica, &store))
}

/// Fewer than a turn changes, so that rows change again before they are taken.
const ROWS_PER_TURN: usize = 3;

/// What may happen between two turns.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    Nothing,
    /// A checkpoint is begun; its rows are taken over some turns, and it is written some turns later.
    Begin,
    /// The oldest checkpoint under way is written.
    Write,
    Crash,
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    use Disturbance::*;
    prop_oneof![2 => Just(Nothing), 3 => Just(Begin), 3 => Just(Write), 1 => Just(Crash)]
}

/// The same, with checkpoints and crashes in between; every envelope that is applied again has to make what it made before.
fn disturbed_run(stream: &Stream, plan: Vec<Disturbance>) -> (Vec<Effects>, LogInspection) {
    let mut store = Arc::new(MemoryStore::default());
    let mut replica = open(&store, 0, 1);
    let (mut effects, mut under_way, mut plan) = (Vec::new(), VecDeque::new(), plan.into_iter());
    while (replica.applied_sequence() as usize) < stream.len() {
        let made = turn(&mut replica, stream);
        match effects.get(replica.applied_sequence() as usize - 1) {
            None => effects.push(made),
            Some(before) => assert_eq!(made, *before, "of envelope {}", replica.applied_sequence()),
        }
        under_way.extend(replica.take_rows(ROWS_PER_TURN));
        replica.forget_rows(ROWS_PER_TURN);
        match plan.next().unwrap_or(Disturbance::Nothing) {
            Disturbance::Nothing => {}
            Disturbance::Begin if !replica.is_taking() => _ = replica.begin_checkpoint(),
            Disturbance::Begin => {}
            Disturbance::Write => write(&mut replica, &store, under_way.pop_front()),
            Disturbance::Crash => {
                under_way.clear();
                store = Arc::new(store.after_crash());
                replica = open(&store, 0, 1);
            }
        }
    }
    under_way.extend(replica.take_rows(usize::MAX));
    under_way.into_iter().for_each(|checkpoint| write(&mut replica, &store, Some(checkpoint)));
    (effects, checkpoint(&mut replica, &store))
}

fn write(replica: &mut Replica, store: &MemoryStore, checkpoint: Option<Checkpoint>) {
    if let Some(checkpoint) = checkpoint {
        let number = checkpoint.number;
        let mut changes = Batch::default();
        checkpoint.encode(&mut changes);
        store.commit(&mut changes);
        replica.checkpoint_written(number);
    }
}

/// One log of two, with its stream.
struct Node {
    log: u32,
    store: Arc<MemoryStore>,
    replica: Replica,
    stream: Stream,
}

impl Node {
    fn new(log: u32) -> Self {
        let store = Arc::new(MemoryStore::default());
        Self { log, replica: open(&store, log, 2), store, stream: Stream::new() }
    }

    fn apply_next(&mut self) -> bool {
        let more = (self.replica.applied_sequence() as usize) < self.stream.len();
        if more {
            turn(&mut self.replica, &self.stream);
        }
        more
    }

    /// Rows of one kind, as of the last checkpoint.
    fn each<R: Rows>(&self, mut visit: impl FnMut(R::Key, R::Value)) {
        self.store.scan(&keys::prefix(R::KIND), &keys::end(R::KIND), &mut |key, value| {
            visit(R::decode_key(&key[1..]), R::decode_value(value));
            ControlFlow::Continue(())
        });
    }

    fn crash(&mut self) {
        self.store = Arc::new(self.store.after_crash());
        self.replica = open(&self.store, self.log, 2);
    }

    /// What its stream makes of an empty store.
    fn replayed(&self) -> LogInspection {
        let mut fresh = Self { stream: self.stream.clone(), ..Self::new(self.log) };
        while fresh.apply_next() {}
        checkpoint(&mut fresh.replica, &fresh.store)
    }
}

/// What happens to one of two logs.
#[derive(Clone, Debug)]
enum Move {
    Append(Entry),
    Apply(u32),
    /// What is in the outbox goes to the other log. When that is not acknowledged, it goes again.
    Carry {
        from: u32,
        acknowledged: bool,
    },
    Write(u32),
    Crash(u32),
}

fn move_of_two_logs() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => entry(6).prop_map(Move::Append),
        8 => (0..2_u32).prop_map(Move::Apply),
        4 => (0..2_u32, any::<bool>()).prop_map(|(from, acknowledged)| Move::Carry { from, acknowledged }),
        2 => (0..2_u32).prop_map(Move::Write),
        1 => (0..2_u32).prop_map(Move::Crash),
    ]
}

type References = (BTreeMap<u64, u64>, BTreeMap<u64, u64>, BTreeMap<String, u64>);

fn counts(counters: &mut BTreeMap<u64, u64>, id: u64, count: u64) -> ControlFlow<()> {
    if count > 0 {
        counters.insert(id, count);
    }
    ControlFlow::Continue(())
}

struct TwoLogs {
    nodes: [Node; 2],
    now_ms: i64,
    tickets: u64,
}

impl TwoLogs {
    fn new() -> Self {
        let mut logs = Self { nodes: [Node::new(0), Node::new(1)], now_ms: START_MS, tickets: 1 };
        for commands in beginning() {
            logs.append(Entry::Commands(commands));
            logs.come_to_rest();
        }
        logs
    }

    fn append(&mut self, entry: Entry) {
        let now_ms = self.now_ms;
        let commands = match entry {
            Entry::Commands(commands) => commands,
            Entry::Tick => return self.nodes.iter_mut().for_each(|node| node.stream.push((now_ms, tick()))),
        };
        for node in &mut self.nodes {
            let here =
                |command: &&Command| routing::place(&Partitioner::new(2), command).is_some_and(|place| place.log == node.log);
            let commands: Vec<_> = commands.iter().filter(here).cloned().collect();
            node.stream.push((now_ms, envelope_of(records(commands, self.tickets))));
            self.tickets += 1000;
        }
    }

    /// `false` when the outbox is empty.
    fn carry(&mut self, from: u32, acknowledged: bool) -> bool {
        let to = 1 - from;
        let outbox = &mut self.nodes[from as usize].replica.outbox;
        if !outbox.targets().contains(&to) {
            return false;
        }
        let (last, envelope) = outbox.envelope(from, to).expect("there is something to take");
        if acknowledged {
            outbox.acknowledged(to, last);
        }
        self.nodes[to as usize].stream.push((self.now_ms, envelope));
        true
    }

    fn make(&mut self, action: Move) {
        match action {
            Move::Append(entry) => self.append(entry),
            Move::Apply(log) => {
                self.nodes[log as usize].apply_next();
            }
            Move::Carry { from, acknowledged } => {
                self.carry(from, acknowledged);
            }
            Move::Write(log) => {
                let node = &mut self.nodes[log as usize];
                checkpoint(&mut node.replica, &node.store);
            }
            Move::Crash(log) => self.nodes[log as usize].crash(),
        }
    }

    fn come_to_rest(&mut self) {
        let mut moved = true;
        while moved {
            self.nodes.iter_mut().for_each(|node| while node.apply_next() {});
            moved = [0, 1].map(|from| self.carry(from, true)).contains(&true);
        }
    }

    /// Units of each SKU that orders and reservations of both logs hold, as (reserved, sold).
    fn held(&mut self) -> BTreeMap<u64, (u64, u64)> {
        let mut held: BTreeMap<u64, (u64, u64)> = GOODS.map(|goods_id| (goods_id, (0, 0))).collect();
        let mut add = |lines: &[LineRow]| {
            for line in lines {
                let (reserved, sold) = held.entry(line.goods_id).or_default();
                match line.stock() {
                    LineStock::Reserved => *reserved += line.quantity,
                    LineStock::Sold => *sold += line.quantity,
                    LineStock::None | LineStock::Returned => {}
                }
            }
        };
        for node in &self.nodes {
            node.each::<Orders>(|_, order| add(&order.lines));
            node.each::<Reservations>(|_, reservation| add(&reservation.lines));
        }
        held.remove(&7);
        held
    }

    /// Of goods: how many favourites they count, and of how many users of both logs they are one.
    fn favourites(&mut self) -> BTreeMap<u64, (u64, u64)> {
        let mut favourites = BTreeMap::<_, (u64, u64)>::new();
        for node in &self.nodes {
            node.each::<GoodsRows>(|goods_id, goods| favourites.entry(goods_id).or_default().0 += goods.favourites);
            node.each::<Favourites>(|(_, goods_id), _| favourites.entry(goods_id).or_default().1 += 1);
        }
        favourites
    }

    /// How often goods of both logs refer to each category, brand and number.
    fn referred(&mut self) -> References {
        let mut references = References::default();
        let (categories, brands, numbers) = &mut references;
        for node in &self.nodes {
            node.each::<GoodsDetails>(|goods_id, row| {
                *categories.entry(row.category_id).or_default() += 1;
                *brands.entry(row.brand_id).or_default() += 1;
                numbers.insert(row.goods_sn, goods_id);
            });
        }
        references.0.remove(&0);
        references.1.remove(&0);
        references.2.remove("");
        references
    }

    /// The same, as the catalogue counts it.
    fn catalogued(&mut self) -> References {
        let place = Partitioner::new(2).of_catalogue();
        let state = &self.nodes[place.log as usize].replica.state;
        let (mut categories, mut brands, mut numbers) = References::default();
        state.categories.scan(&0, |id, row| counts(&mut categories, *id, row.goods));
        state.brands.scan(&0, |id, row| counts(&mut brands, *id, row.goods));
        state.goods_sns.scan(&String::new(), |goods_sn, goods_id| {
            numbers.insert(goods_sn.clone(), *goods_id);
            ControlFlow::Continue(())
        });
        (categories, brands, numbers)
    }

    fn counted(&mut self) -> BTreeMap<u64, (u64, u64)> {
        let mut counted = BTreeMap::new();
        for state in self.nodes.iter().map(|node| &node.replica.state) {
            state.stocks.scan(&0, |goods_id, stock| {
                counted.insert(*goods_id, (stock.reserved, stock.sold));
                ControlFlow::Continue(())
            });
        }
        counted
    }

    /// What each user should have: deposits without what was paid, by orders and by confirmed tries.
    fn owned_minor(&mut self) -> BTreeMap<u64, i64> {
        let mut owned = BTreeMap::new();
        let mut add = |user_id: u64, minor: i64| *owned.entry(user_id).or_default() += minor;
        for node in &self.nodes {
            node.each::<Keys>(|key, row| {
                let result = row.outcome.as_ref().and_then(|outcome| outcome.result.as_ref());
                let Some(outcome::Result::Balance(balance)) = result else { return };
                let (_, delta) = key.rsplit_once(':').expect("the key of an adjustment");
                add(balance.user_id, delta.parse().expect("a number"));
            });
            node.each::<Orders>(|_, order| {
                let payment = order.payment.as_ref().expect("orders have a payment");
                let is_paid = payment.method() == PaymentMethod::Balance && payment.paid_at_ms > 0;
                add(order.user_id, if is_paid { payment.refunded_minor - order.total_minor } else { 0 });
            });
            node.each::<PaymentHolds>(|key, hold| {
                add(key.user_id, if hold.status() == PaymentHoldStatus::Confirmed { -hold.amount_minor } else { 0 });
            });
        }
        owned.remove(&commands::USER);
        owned
    }

    fn balances_minor(&mut self) -> BTreeMap<u64, i64> {
        let mut balances = BTreeMap::new();
        for node in &self.nodes {
            node.each::<Balances>(|user_id, row| {
                balances.insert(user_id, row.available_minor + row.frozen_minor);
            });
        }
        balances
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_has_one_meaning(
        entries in vec((later_ms(), entry(100)), 1..20),
        plan in vec(disturbance(), 0..60),
    ) {
        let stream = stream(entries);
        prop_assert_eq!(disturbed_run(&stream, plan), run(&stream));
    }

    #[test]
    fn two_logs_agree_in_the_end(moves in vec((0..20_000_i64, move_of_two_logs()), 1..240)) {
        let mut logs = TwoLogs::new();
        for (later_ms, action) in moves {
            logs.now_ms += later_ms;
            logs.make(action);
        }
        logs.come_to_rest();
        for node in &mut logs.nodes {
            let inspection = checkpoint(&mut node.replica, &node.store);
            prop_assert_eq!((inspection.sagas_running, inspection.sagas_stuck), (0, 0));
            prop_assert_eq!(node.replayed(), inspection);
        }
        prop_assert_eq!(logs.held(), logs.counted());
        for (goods_id, (counted, users)) in logs.favourites() {
            // An entry that was removed and made again counts from 0.
            prop_assert!(counted <= users, "goods {} count {} favourites, but are one of {} users", goods_id, counted, users);
        }
        prop_assert_eq!(logs.owned_minor(), logs.balances_minor());
        prop_assert_eq!(logs.referred(), logs.catalogued());
    }
}
