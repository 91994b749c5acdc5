//! The replay law: state, events and answers follow from the log alone. Not from shards, checkpoints, crashes, or how often
//! something came from another log.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use emshop_engine::turn::{Checkpoint, NumberedEvent, Replica, TurnEffects};
use emshop_proto::internal::{Envelope, LineRow, LineStock, Record, TurnOutcomes};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing;
use emshop_proto::v1::{Command, LogInspection, Money};
use emshop_storage::state::StateStore;
use emshop_storage::state::memory::MemoryStore;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::commands;
use crate::shop::{START_MS, checkpoint, envelope_of, open, record_of, tick};

const GOODS: std::ops::RangeInclusive<u64> = 1..=6;

/// What comes next in a log: commands, or a tick.
#[derive(Clone, Debug)]
enum Entry {
    Commands(Vec<Command>),
    Tick,
}

fn lines() -> impl Strategy<Value = Vec<(u64, u64)>> {
    // Goods 7 are not for sale. A SKU comes once: the ingress sums lines.
    proptest::collection::btree_map(1..=7_u64, 1..=4_u64, 1..=3).prop_map(|lines| lines.into_iter().collect())
}

fn command() -> impl Strategy<Value = Command> {
    let order = || (0..20_u8).prop_map(|number| format!("o{number}"));
    let business = || (0..8_u8).prop_map(|number| format!("r{number}"));
    let key = || (0..4_u8).prop_map(|number| format!("k{number}"));
    prop_oneof![
        6 => (order(), lines()).prop_map(|(id, lines)| commands::submit(commands::order(&id, &lines))),
        2 => (order(), lines()).prop_map(|(id, lines)| commands::submit(commands::order_without_carrier(&id, &lines))),
        5 => order().prop_map(|id| commands::confirm(&id)),
        2 => order().prop_map(|id| commands::cancel(&id)),
        1 => order().prop_map(|id| commands::cancel_payment(&id)),
        1 => order().prop_map(|id| commands::fail_payment(&id)),
        2 => (order(), 0..300_i64, key()).prop_map(|(id, amount, key)| commands::refund(&id, amount, &key)),
        2 => (GOODS, -5..10_i64, key()).prop_map(|(goods_id, delta, key)| commands::adjust_stock(goods_id, delta, &key)),
        1 => (GOODS, 0..30_u64, key()).prop_map(|(goods_id, on_hand, key)| commands::set_stock(goods_id, on_hand, &key)),
        2 => (business(), lines()).prop_map(|(id, lines)| commands::reserve(&id, &lines)),
        1 => business().prop_map(|id| commands::release(&id)),
        1 => business().prop_map(|id| commands::sell(&id)),
        1 => business().prop_map(|id| commands::reback(&id)),
    ]
}

fn entry(commands_max: usize) -> impl Strategy<Value = Entry> {
    prop_oneof![
        3 => vec(command(), 1..=commands_max).prop_map(Entry::Commands),
        1 => Just(Entry::Tick),
    ]
}

fn first_stock() -> Vec<Command> {
    let of = |goods_id| [commands::goods(goods_id, Money::new(100, "CNY")), commands::set_stock(goods_id, 20, "first")];
    GOODS.flat_map(of).collect()
}

fn records(commands: Vec<Command>, first_ticket: u64) -> Vec<Record> {
    commands.into_iter().zip(first_ticket..).map(|(command, ticket)| record_of(command, ticket)).collect()
}

/// Envelopes with the times at which the log took them: these may go back a little.
type Stream = Vec<(i64, Envelope)>;

fn stream(entries: Vec<(i64, Entry)>) -> Stream {
    let mut time_ms = START_MS;
    let first = (0, Entry::Commands(first_stock()));
    let entries = std::iter::once(first).chain(entries).enumerate();
    let stamped = entries.map(|(index, (later_ms, entry))| {
        time_ms += later_ms;
        let envelope = match entry {
            Entry::Commands(commands) => envelope_of(records(commands, 1000 * index as u64 + 1)),
            Entry::Tick => tick(),
        };
        (time_ms, envelope)
    });
    stamped.collect()
}

type Effects = (BTreeMap<u64, TurnOutcomes>, Vec<NumberedEvent>, Vec<u32>);

/// Applies the next envelope of the stream.
fn turn(replica: &mut Replica, stream: &Stream) -> Effects {
    let sequence = replica.applied_sequence() + 1;
    let (time_ms, envelope) = stream[sequence as usize - 1].clone();
    let TurnEffects { outcomes, events, channels } = replica.turn(sequence, time_ms, envelope);
    (outcomes, events, channels)
}

/// One run from the first envelope to the last, with one checkpoint at the end.
fn run(stream: &Stream, shards: usize) -> (Vec<Effects>, LogInspection) {
    let store = Arc::new(MemoryStore::default());
    let mut replica = open(&store, 0, 1, shards);
    let effects = stream.iter().map(|_| turn(&mut replica, stream)).collect();
    (effects, checkpoint(&mut replica, &store))
}

/// What may happen between two turns.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    Nothing,
    /// A checkpoint is taken; it is written some turns later.
    Take,
    /// The oldest checkpoint under way is written.
    Write,
    Flush,
    Crash,
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    use Disturbance::*;
    prop_oneof![2 => Just(Nothing), 3 => Just(Take), 3 => Just(Write), 2 => Just(Flush), 1 => Just(Crash)]
}

/// The same, with checkpoints and crashes in between; every envelope that is applied again has to make what it made before.
fn disturbed_run(stream: &Stream, plan: Vec<Disturbance>, shards: usize) -> (Vec<Effects>, LogInspection) {
    let mut store = Arc::new(MemoryStore::default());
    let mut replica = open(&store, 0, 1, shards);
    let (mut effects, mut under_way, mut plan) = (Vec::new(), VecDeque::new(), plan.into_iter());
    while (replica.applied_sequence() as usize) < stream.len() {
        let made = turn(&mut replica, stream);
        match effects.get(replica.applied_sequence() as usize - 1) {
            None => effects.push(made),
            Some(before) => assert_eq!(made, *before, "of envelope {}", replica.applied_sequence()),
        }
        match plan.next().unwrap_or(Disturbance::Nothing) {
            Disturbance::Nothing => {}
            Disturbance::Take => under_way.push_back(replica.checkpoint()),
            Disturbance::Write => write(&mut replica, &store, under_way.pop_front()),
            Disturbance::Flush => store.flush(),
            Disturbance::Crash => {
                under_way.clear();
                store = Arc::new(store.after_crash());
                replica = open(&store, 0, 1, shards);
            }
        }
    }
    under_way.into_iter().for_each(|checkpoint| write(&mut replica, &store, Some(checkpoint)));
    (effects, checkpoint(&mut replica, &store))
}

fn write(replica: &mut Replica, store: &MemoryStore, checkpoint: Option<Checkpoint>) {
    if let Some(checkpoint) = checkpoint {
        store.commit(checkpoint.changes);
        replica.checkpoint_written(checkpoint.number);
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
        Self { log, replica: open(&store, log, 2, 1), store, stream: Stream::new() }
    }

    fn apply_next(&mut self) -> bool {
        let more = (self.replica.applied_sequence() as usize) < self.stream.len();
        if more {
            turn(&mut self.replica, &self.stream);
        }
        more
    }

    fn crash(&mut self) {
        self.store = Arc::new(self.store.after_crash());
        self.replica = open(&self.store, self.log, 2, 1);
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

struct TwoLogs {
    nodes: [Node; 2],
    now_ms: i64,
    tickets: u64,
}

impl TwoLogs {
    fn new() -> Self {
        let mut logs = Self { nodes: [Node::new(0), Node::new(1)], now_ms: START_MS, tickets: 1 };
        logs.append(Entry::Commands(first_stock()));
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
                node.store.flush();
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
            ControlFlow::Continue(())
        };
        for partition in self.nodes.iter_mut().flat_map(|node| node.replica.partitions()) {
            partition.state.orders.scan(&0, |_, order| add(&order.lines));
            partition.state.reservations.scan(&0, |_, reservation| add(&reservation.lines));
        }
        held.remove(&7);
        held
    }

    fn counted(&mut self) -> BTreeMap<u64, (u64, u64)> {
        let mut counted = BTreeMap::new();
        for partition in self.nodes.iter_mut().flat_map(|node| node.replica.partitions()) {
            partition.state.stocks.scan(&0, |goods_id, stock| {
                counted.insert(*goods_id, (stock.reserved, stock.sold));
                ControlFlow::Continue(())
            });
        }
        counted
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_has_one_meaning(
        entries in vec((-10_000..400_000_i64, entry(100)), 1..20),
        plan in vec(disturbance(), 0..60),
    ) {
        let stream = stream(entries);
        let (effects, inspection) = run(&stream, 1);
        for shards in [2, 4] {
            prop_assert_eq!(&run(&stream, shards), &(effects.clone(), inspection.clone()), "with {} shards", shards);
        }
        prop_assert_eq!(disturbed_run(&stream, plan, 2), (effects, inspection));
    }

    #[test]
    fn two_logs_agree_in_the_end(moves in vec((0..100_000_i64, move_of_two_logs()), 1..120)) {
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
    }
}
