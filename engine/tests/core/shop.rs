//! A shop of one or more logs in memory. Every turn ends with a checkpoint over which all invariants are checked.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use emshop_engine::inspect;
use emshop_engine::machine::view;
use emshop_engine::turn::{NumberedEvent, Replica};
use emshop_proto::errors::Code;
use emshop_proto::internal::{ClusterRow, Envelope, OrderRow, Record, Tick, TurnOutcomes, record};
use emshop_proto::partitioner::{PARTITIONS, Partitioner};
use emshop_proto::routing;
use emshop_proto::v1::{
    Command, LogInspection, LogisticsStatus, Money, Order, OrderStatus, Outcome, Payment, PaymentStatus, Refusal, Reservation,
    ReservationStatus, outcome,
};
use emshop_storage::state::keys::Kind;
use emshop_storage::state::memory::MemoryStore;
use emshop_storage::state::{Change, StateStore};
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::commands;

pub const START_MS: i64 = 1_700_000_000_000;
const WRITER: u64 = 1;

pub struct Log {
    pub store: Arc<MemoryStore>,
    pub replica: Replica,
    pub events: Vec<NumberedEvent>,
}

pub struct Shop {
    pub logs: Vec<Log>,
    pub partitioner: Partitioner,
    pub now_ms: i64,
    /// Every envelope between logs arrives a second time.
    pub channels_repeat: bool,
    outcomes: BTreeMap<u64, Outcome>,
    tickets: u64,
}

/// Stock of a SKU as `(available, reserved, sold)`.
pub type Levels = (u64, u64, u64);

pub fn open(store: &Arc<MemoryStore>, log: u32, logs: u32, shards: usize) -> Replica {
    let cluster = ClusterRow { cluster_id: "test".to_owned(), log, logs, partitions: PARTITIONS };
    let store = Arc::clone(store) as Arc<dyn StateStore>;
    Replica::open(&store, cluster, shards).expect("the store is of this cluster")
}

pub fn record_of(command: Command, ticket: u64) -> Record {
    let body_hash = xxh3_64(&command.encode_to_vec());
    Record { ticket, body_hash, body: Some(record::Body::Command(command)) }
}

pub fn envelope_of(records: Vec<Record>) -> Envelope {
    Envelope { writer: WRITER, records, channel: None }
}

pub fn tick() -> Envelope {
    let tick = Record { body: Some(record::Body::Tick(Tick {})), ..Record::default() };
    Envelope { records: vec![tick], ..Envelope::default() }
}

/// Writes all changes to the store and inspects it.
pub fn checkpoint(replica: &mut Replica, store: &MemoryStore) -> LogInspection {
    let checkpoint = replica.checkpoint();
    store.commit(checkpoint.changes);
    replica.checkpoint_written(checkpoint.number);
    let inspection = inspect(store);
    assert_eq!(inspection.violations, Vec::<String>::new(), "after sequence {}", inspection.applied_sequence);
    inspection
}

impl Shop {
    pub fn new(logs: u32) -> Self {
        let log = |log| {
            let store = Arc::new(MemoryStore::default());
            Log { replica: open(&store, log, logs, 1), store, events: Vec::new() }
        };
        let (logs, partitioner) = ((0..logs).map(log).collect(), Partitioner::new(logs));
        Self { logs, partitioner, now_ms: START_MS, channels_repeat: false, outcomes: BTreeMap::new(), tickets: 0 }
    }

    /// One log that sells goods 1 at 10.00 and goods 2 at 2.50, ten of each.
    pub fn with_two_goods() -> Self {
        let mut shop = Self::new(1);
        shop.stock_up(1, 1000, 10);
        shop.stock_up(2, 250, 10);
        shop
    }

    pub fn stock_up(&mut self, goods_id: u64, price_minor: i64, on_hand: u64) {
        let price = Money::new(price_minor, "CNY");
        self.send([commands::goods(goods_id, price), commands::set_stock(goods_id, on_hand, "first")]);
    }

    /// The first `N` goods that live in a log.
    pub fn goods_of<const N: usize>(&self, log: u32) -> [u64; N] {
        let mut found = (1..).filter(|goods_id| self.partitioner.of_goods(*goods_id).log == log);
        std::array::from_fn(|_| found.next().expect("numbers do not end"))
    }

    /// An id of an order or a reservation that lives in a log.
    pub fn id_of(&self, log: u32, name: &str) -> String {
        let mut ids = (0..).map(|number: u32| format!("{name}-{number}"));
        ids.find(|id| self.partitioner.of_text(id).log == log).expect("numbers do not end")
    }

    /// Sends commands as one envelope a log, lets the logs talk until they are quiet, and returns the outcomes in order.
    pub fn send<const N: usize>(&mut self, commands: [Command; N]) -> [Outcome; N] {
        let tickets = self.send_only(commands);
        self.carry();
        tickets.map(|ticket| self.outcome(ticket).expect("a quiet shop has answered"))
    }

    pub fn send_one(&mut self, command: Command) -> Outcome {
        let [outcome] = self.send([command]);
        outcome
    }

    /// Sends commands, but nothing goes from log to log yet. Returns the tickets for [`Shop::outcome`].
    pub fn send_only<const N: usize>(&mut self, commands: [Command; N]) -> [u64; N] {
        let mut by_log: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
        let tickets = commands.map(|command| {
            self.tickets += 1;
            let place = routing::place(&self.partitioner, &command).expect("a command has a body");
            by_log.entry(place.log).or_default().push(record_of(command, self.tickets));
            self.tickets
        });
        for (log, records) in by_log {
            self.apply(log, envelope_of(records));
        }
        tickets
    }

    pub fn outcome(&mut self, ticket: u64) -> Option<Outcome> {
        self.outcomes.remove(&ticket)
    }

    /// Time passes in all logs.
    pub fn tick_after(&mut self, ms: i64) {
        self.now_ms += ms;
        self.tick();
        self.carry();
    }

    /// What is due fires, but nothing goes from log to log yet.
    pub fn tick(&mut self) {
        for log in 0..self.logs.len() as u32 {
            self.apply(log, tick());
        }
    }

    /// Carries steps between logs until there are none.
    pub fn carry(&mut self) {
        while self.carry_once() {}
    }

    /// Carries what waits in the outboxes now. `false` when there was nothing.
    pub fn carry_once(&mut self) -> bool {
        let mut under_way = Vec::new();
        for (source, log) in self.logs.iter_mut().enumerate() {
            for target in log.replica.outbox.targets() {
                let (last, envelope) = log.replica.outbox.envelope(source as u32, target).expect("there is something to take");
                log.replica.outbox.acknowledged(target, last);
                under_way.push((target, envelope));
            }
        }
        let carried = !under_way.is_empty();
        for (target, envelope) in under_way {
            if self.channels_repeat {
                self.apply(target, envelope.clone());
            }
            self.apply(target, envelope);
        }
        carried
    }

    pub fn apply(&mut self, log: u32, envelope: Envelope) {
        let now_ms = self.now_ms;
        let Log { store, replica, events } = &mut self.logs[log as usize];
        let effects = replica.turn(replica.applied_sequence() + 1, now_ms, envelope);
        checkpoint(replica, store);
        events.extend(effects.events);
        for TurnOutcomes { outcomes } in effects.outcomes.into_values() {
            for answer in outcomes {
                let before = self.outcomes.insert(answer.ticket, answer.outcome.expect("answers have an outcome"));
                assert_eq!(before, None, "ticket {} was answered twice", answer.ticket);
            }
        }
    }

    pub fn levels(&mut self, goods_id: u64) -> Levels {
        let place = self.partitioner.of_goods(goods_id);
        let stocks = &mut self.logs[place.log as usize].replica.partition(place).state.stocks;
        let stock = stocks.get(&goods_id).copied().unwrap_or_default();
        (stock.available, stock.reserved, stock.sold)
    }

    pub fn order_row(&mut self, order_id: &str) -> OrderRow {
        let place = self.partitioner.of_text(order_id);
        let state = &mut self.logs[place.log as usize].replica.partition(place).state;
        let number = *state.order_ids.get(&order_id.to_owned()).expect("the order is there");
        OrderRow::clone(state.orders.get(&number).expect("an indexed order exists"))
    }

    pub fn order(&mut self, order_id: &str) -> Order {
        view::order(&self.order_row(order_id))
    }

    pub fn payment(&mut self, order_id: &str) -> Payment {
        view::payment(&self.order_row(order_id))
    }

    pub fn orders(&self) -> u64 {
        self.logs.iter().map(|log| inspect(log.store.as_ref()).orders).sum()
    }

    /// Asserts where an order, its payment and its parcel stand.
    pub fn assert_stands(&mut self, order_id: &str, order: OrderStatus, payment: PaymentStatus, parcel: Option<LogisticsStatus>) {
        let row = self.order_row(order_id);
        let found =
            (row.status(), row.payment.expect("orders have a payment").status(), row.parcel.map(|parcel| parcel.status()));
        assert_eq!(found, (order, payment, parcel), "of order {order_id}");
    }

    /// The saga steps of an order, a line each; refused ones with their code.
    pub fn timeline(&mut self, order_id: &str) -> String {
        let line = |event: emshop_proto::v1::SagaEvent| match event.refused_code {
            0 => format!("{}\n", event.name),
            code => format!("{} refused {code}\n", event.name),
        };
        self.order(order_id).timeline.into_iter().map(line).collect()
    }

    /// Every row that commands make: all but how far the logs and the channels are.
    pub fn rows(&self) -> Vec<Change> {
        let mut rows = Vec::new();
        for log in &self.logs {
            log.store.scan(&[0], &[0xFF, 0xFF], &mut |key, value| {
                if ![Kind::Log as u8, Kind::Outbox as u8].contains(&key[1]) {
                    rows.push((key.to_vec(), Some(value.to_vec())));
                }
                ControlFlow::Continue(())
            });
        }
        rows
    }
}

/// The code an outcome was refused with; `None` when it was not.
pub fn refused(outcome: &Outcome) -> Option<Code> {
    match outcome.result.as_ref().expect("outcomes have a result") {
        outcome::Result::Refusal(refusal) => Some(Code::from_number(refusal.code).expect("a code of the table")),
        _ => None,
    }
}

#[track_caller]
pub fn refusal_of(outcome: Outcome) -> Refusal {
    match outcome.result {
        Some(outcome::Result::Refusal(refusal)) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

#[track_caller]
pub fn reservation_of(outcome: Outcome) -> Reservation {
    match outcome.result {
        Some(outcome::Result::Reservation(reservation)) => reservation,
        other => panic!("not a reservation: {other:?}"),
    }
}

#[track_caller]
pub fn assert_reservation(outcome: Outcome, status: ReservationStatus, repeated: bool) {
    let flag = outcome.repeated;
    assert_eq!((reservation_of(outcome).status(), flag), (status, repeated));
}

#[track_caller]
pub fn assert_done(outcome: &Outcome) {
    assert_eq!((refused(outcome), outcome.repeated), (None, false), "{outcome:?}");
}

#[track_caller]
pub fn assert_refused(outcome: &Outcome, code: Code) {
    assert_eq!(refused(outcome), Some(code), "{outcome:?}");
}
