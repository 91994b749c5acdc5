//! A shop of one or more logs in memory. Every turn ends with a checkpoint over which all invariants are checked.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use emshop_core::books::OrderMark;
use emshop_core::entry::Entry;
use emshop_core::order::view;
use emshop_core::replica::Replica;
use emshop_core::state::batch::Batch;
use emshop_core::state::keys::Kind;
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::store::{StateReader, StateStore};
use emshop_core::{inspect, queries};
use emshop_proto::errors::Code;
use emshop_proto::internal::{
    AccountCommand, Envelope, OrderRow, Query, Record, Tick, account_command, query, query_reply, record,
};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing;
use emshop_proto::v1::{
    CloseReason, Command, LogInspection, LogisticsOrder, LogisticsStatus, Money, Operator, Order, OrderStatus, Outcome, Payment,
    PaymentStatus, Refusal, Reservation, ReservationStatus, SagaStatus, SagaStep, Track, outcome,
};
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::commands;
use crate::events::{self, NumberedEvent};

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
    /// Who gives the commands.
    pub operator: Option<Operator>,
    outcomes: BTreeMap<u64, Outcome>,
    tickets: u64,
}

/// Stock of a SKU as `(available, reserved, sold)`.
pub type Levels = (u64, u64, u64);

pub fn open(store: &Arc<MemoryStore>, log: u32, logs: u32) -> Replica {
    let store = Arc::clone(store) as Arc<dyn StateStore>;
    Replica::open(&store, "test", log, Partitioner::new(logs)).expect("the store is of this cluster")
}

/// As the ingress makes it: the hash leaves the key out.
pub fn record_of(command: Command, ticket: u64) -> Record {
    let bytes = command.encode_to_vec();
    let body_hash = xxh3_64(&Command { idempotency_key: String::new(), ..command }.encode_to_vec());
    Record { ticket, body_hash, body: Some(record::Body::Command(bytes.into())), ..Record::default() }
}

pub fn envelope_of(records: Vec<Record>) -> Envelope {
    Envelope { writer: WRITER, records, channel: None }
}

pub fn tick() -> Envelope {
    let tick = Record { body: Some(record::Body::Tick(Tick::default())), ..Record::default() };
    Envelope { records: vec![tick], ..Envelope::default() }
}

/// Writes all changes to the store and inspects it.
pub fn checkpoint(replica: &mut Replica, store: &MemoryStore) -> LogInspection {
    let checkpoint = replica.checkpoint();
    let number = checkpoint.number;
    let mut changes = Batch::default();
    checkpoint.encode(&mut changes);
    store.commit(&mut changes);
    replica.checkpoint_written(number);
    replica.forget_rows(usize::MAX);
    let inspection = inspect(store);
    assert_eq!(inspection.violations, Vec::<String>::new(), "after sequence {}", inspection.applied_sequence);
    inspection
}

impl Shop {
    pub fn new(logs: u32) -> Self {
        let log = |log| {
            let store = Arc::new(MemoryStore::default());
            Log { replica: open(&store, log, logs), store, events: Vec::new() }
        };
        let (logs, partitioner) = ((0..logs).map(log).collect(), Partitioner::new(logs));
        let outcomes = BTreeMap::new();
        Self { logs, partitioner, now_ms: START_MS, channels_repeat: false, operator: None, outcomes, tickets: 0 }
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

    /// A user who lives in a log.
    pub fn user_of(&self, log: u32) -> u64 {
        (1..).find(|user_id| self.partitioner.of_user(*user_id).log == log).expect("numbers do not end")
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

    /// The answer to a command that nothing goes from log to log for.
    pub fn send_one_uncarried(&mut self, command: Command) -> Outcome {
        let [ticket] = self.send_only([command]);
        self.outcome(ticket).expect("it is answered at once")
    }

    /// Sends a command in somebody's name.
    pub fn send_as(&mut self, operator: Option<Operator>, command: Command) -> Outcome {
        self.send_changed(command, |record| record.operator = operator)
    }

    /// Sends a command whose record is another one than it would be.
    pub fn send_changed(&mut self, command: Command, change: impl FnOnce(&mut Record)) -> Outcome {
        self.tickets += 1;
        let (ticket, place) = (self.tickets, routing::place(&self.partitioner, &command).expect("a command has a body"));
        let mut record = record_of(command, ticket);
        change(&mut record);
        self.apply(place.log, envelope_of(vec![record]));
        self.carry();
        self.outcome(ticket).expect("a quiet shop has answered")
    }

    /// Sends commands, but nothing goes from log to log yet. Returns the tickets for [`Shop::outcome`].
    pub fn send_only<const N: usize>(&mut self, commands: [Command; N]) -> [u64; N] {
        let mut by_log: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
        let tickets = commands.map(|command| {
            self.tickets += 1;
            let place = routing::place(&self.partitioner, &command).expect("a command has a body");
            let record = Record { operator: self.operator.clone(), ..record_of(command, self.tickets) };
            by_log.entry(place.log).or_default().push(record);
            self.tickets
        });
        for (log, records) in by_log {
            self.apply(log, envelope_of(records));
        }
        tickets
    }

    /// Sends what only an ingress may; nothing goes from log to log yet. Returns the ticket for [`Shop::outcome`].
    pub fn send_account_only(&mut self, body: account_command::Body, key: &str, body_hash: u64) -> u64 {
        self.send_account_as(None, body, key, body_hash)
    }

    /// As [`Shop::send_account_only`], in somebody's name.
    pub fn send_account_as(&mut self, operator: Option<Operator>, body: account_command::Body, key: &str, body_hash: u64) -> u64 {
        self.tickets += 1;
        let command = AccountCommand { body: Some(body), idempotency_key: key.to_owned() };
        let place = routing::place_of_account(&self.partitioner, &command).expect("a command has a body");
        let body = Some(record::Body::AccountCommand(command));
        let record = Record { ticket: self.tickets, body_hash, operator, body, ..Record::default() };
        self.apply(place.log, envelope_of(vec![record]));
        self.tickets
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
        let effects = replica.turn(replica.applied_sequence() + 1, now_ms, Entry::read(envelope).expect("just made"));
        checkpoint(replica, store);
        events.extend(events::decode(effects.events));
        for (ticket, outcome) in effects.outcomes.into_values().flatten() {
            let before = self.outcomes.insert(ticket, outcome);
            assert_eq!(before, None, "ticket {ticket} was answered twice");
        }
    }

    pub fn levels(&mut self, goods_id: u64) -> Levels {
        let place = self.partitioner.of_goods(goods_id);
        let stocks = &mut self.logs[place.log as usize].replica.state.stocks;
        let stock = stocks.get(&goods_id).copied().unwrap_or_default();
        (stock.available, stock.reserved, stock.sold)
    }

    pub fn order_row(&mut self, order_id: &str) -> OrderRow {
        let place = self.partitioner.of_order(order_id);
        let state = &mut self.logs[place.log as usize].replica.state;
        let number = state.order_number(order_id).expect("the order is there");
        OrderRow::clone(state.orders.get(&number).expect("an indexed order exists"))
    }

    pub fn order(&mut self, order_id: &str) -> Order {
        view::order(&self.order_row(order_id))
    }

    pub fn payment(&mut self, order_id: &str) -> Payment {
        view::payment(&self.order_row(order_id))
    }

    /// Makes the saga of a pending order one that is stuck while it takes the order back.
    pub fn stick(&mut self, order_id: &str) {
        let partitioner = self.partitioner;
        let log = partitioner.of_order(order_id).log;
        let state = &mut self.logs[log as usize].replica.state;
        let number = state.order_number(order_id).expect("there is such an order");
        let row = state.orders.change(&number).expect("an indexed order exists").make_mut();
        let before = OrderMark::of(row, log, &partitioner);
        row.set_close_reason(CloseReason::Cancelled);
        let saga = row.saga.as_mut().expect("orders have a saga");
        saga.set_status(SagaStatus::Stuck);
        saga.set_step(SagaStep::ReserveStock);
        state.books.order_changed(&before, &OrderMark::of(row, log, &partitioner));
        state.stuck_orders.insert(number, ());
    }

    /// What the engine of a log answers to a read of this user; of anybody when it is 0.
    pub fn ask(&mut self, log: u32, viewer: u64, question: query::Body) -> query_reply::Body {
        let query = Query { viewer, body: Some(question) };
        let reply = queries::answer(&mut self.logs[log as usize].replica, query).expect("no inspection");
        reply.body.expect("replies have a body")
    }

    pub fn parcel(&mut self, order_id: &str) -> LogisticsOrder {
        view::logistics_order(&self.order_row(order_id)).expect("the order has a parcel")
    }

    /// The tracks of an order's parcel, a line each: minutes after `START_MS`, status, location, words, operator.
    pub fn tracks(&mut self, order_id: &str) -> String {
        let tracks = view::tracks(&self.order_row(order_id)).expect("the order has a parcel").tracks;
        let line = |track: Track| {
            let minutes = (track.at_ms - START_MS) / 60_000;
            let status = track.status().as_str_name().trim_start_matches("LOGISTICS_STATUS_").to_owned();
            format!("{minutes} {status} {} | {} | {}\n", track.location, track.description, track.operator_name)
        };
        tracks.into_iter().map(line).collect()
    }

    /// Names of the events of one log after the first `last` ones.
    pub fn events_after(&self, log: u32, last: usize) -> Vec<&'static str> {
        self.logs[log as usize].events[last..].iter().map(|event| event.event_type.name()).collect()
    }

    /// What a user has, as (available, frozen).
    pub fn balance(&mut self, user_id: u64) -> (i64, i64) {
        let place = self.partitioner.of_user(user_id);
        let balances = &mut self.logs[place.log as usize].replica.state.balances;
        balances.get(&user_id).map_or((0, 0), |row| (row.available_minor, row.frozen_minor))
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
    pub fn rows(&self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut rows = Vec::new();
        for log in &self.logs {
            log.store.scan(&[0], &[0xFF], &mut |key, value| {
                if ![Kind::Log as u8, Kind::Outbox as u8].contains(&key[0]) {
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

/// What a table of commands expects of one.
#[derive(Debug, PartialEq)]
pub enum Expected {
    Done,
    Repeated,
    Refused(Code),
}

pub fn seen(outcome: &Outcome) -> Expected {
    match refused(outcome) {
        Some(code) => Expected::Refused(code),
        None if outcome.repeated => Expected::Repeated,
        None => Expected::Done,
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
