//! Reads the whole state of a log and recomputes what must hold, independently of the code that keeps it so.

mod accounts;
mod books;
mod catalogue;
mod keeps;
mod limits;
mod orders;
mod payments;
mod remembered;
mod stocks;

use std::ops::ControlFlow;

use crate::state::keys::{self, Kind};
use crate::state::store::StateReader;
use emshop_proto::internal::{
    ClusterRow, CountersRow, FavouriteRow, GoodsRow, HoldRow, LogRow, MessageRow, OrderRow, ReservationRow, UnpaidOrdersRow,
    UserUnitsRow,
};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::{LogInspection, OrderStatus, SagaStatus};
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use crate::order;
use crate::state::rows;
use crate::state::table::Rows;
use crate::state::timers::{self, TimerKind};
use accounts::Accounts;
use books::Books;
use keeps::Keeps;
use limits::Limits;
use orders::Orders;
use payments::Payments;
use remembered::Remembered;
use stocks::Stocks;

/// Broken invariants that are spelled out; the rest is counted.
const VIOLATIONS_MAX: usize = 20;

/// Inspects the rows of one log as of a checkpoint.
pub fn inspect(store: &dyn StateReader) -> LogInspection {
    let mut check = Check::new(store);
    let mut digest = Xxh3::new();
    for kind in Kind::ALL {
        store.scan(&keys::prefix(kind), &keys::end(kind), &mut |key, value| {
            // What is still to be sent, and how far it was, is not a consequence of the log alone.
            if kind != Kind::Outbox {
                digest.update(key);
                digest.update(&(value.len() as u32).to_le_bytes());
                digest.update(value);
            }
            check.row(kind, &key[1..], value);
            ControlFlow::Continue(())
        });
    }
    check.finish(digest.digest128())
}

struct Check {
    partitioner: Partitioner,
    log: LogRow,
    cluster: ClusterRow,
    counts: LogInspection,
    orders: Orders,
    payments: Payments,
    stocks: Stocks,
    catalogue: catalogue::Check,
    accounts: Accounts,
    keeps: Keeps,
    remembered: Remembered,
    limits: Limits,
    books: Books,
}

impl Check {
    fn new(store: &dyn StateReader) -> Self {
        let whole_log = |kind| store.get(&keys::prefix(kind)).unwrap_or_default();
        let cluster: ClusterRow = read(&whole_log(Kind::Cluster));
        let log: LogRow = read(&whole_log(Kind::Log));
        let counts = LogInspection {
            log: cluster.log,
            applied_sequence: log.applied_sequence,
            strange_entries: log.strange_entries,
            durable_sequence: log.applied_sequence,
            events: log.events,
            ..LogInspection::default()
        };
        Self {
            partitioner: Partitioner::from_assignment(&cluster.assignment).unwrap_or_else(|_| Partitioner::new(1)),
            log,
            cluster,
            counts,
            orders: Orders::default(),
            payments: Payments::default(),
            stocks: Stocks::default(),
            catalogue: catalogue::Check::default(),
            accounts: Accounts::default(),
            keeps: Keeps::default(),
            remembered: Remembered::default(),
            limits: Limits::default(),
            books: Books::default(),
        }
    }

    fn row(&mut self, kind: Kind, key: &[u8], value: &[u8]) {
        self.catalogue.row(kind, key, value);
        match kind {
            Kind::Order => self.order(rows::Orders::decode_key(key), &read(value)),
            Kind::Timer => {
                let timers = rows::Timers::decode_key(key).timers(&read(value));
                timers.into_iter().for_each(|timer| self.timer(timer));
            }
            Kind::Stock => {
                self.counts.stocks += 1;
                let row = read(value);
                self.books.stock(&row);
                self.stocks.stock(rows::Stocks::decode_key(key), row, self.log.untold_from_sequence);
            }
            Kind::StockHistory => self.stocks.history(rows::StockHistory::decode_key(key), read(value)),
            Kind::Hold => {
                let (goods_id, row) = (rows::Holds::decode_key(key).goods_id, read::<HoldRow>(value));
                self.stocks.hold(goods_id, row.stock(), row.quantity);
                self.limits.hold(goods_id, &row);
                self.books.hold(&row);
            }
            Kind::Reservation => self.reservation(rows::Reservations::decode_key(key), &read(value)),
            Kind::Goods => {
                self.counts.goods += 1;
                self.keeps.goods(rows::GoodsRows::decode_key(key), read::<GoodsRow>(value).favourites);
            }
            Kind::Key => {
                self.counts.idempotency_keys += 1;
                self.remembered.key(&rows::Keys::decode_key(key), &read(value));
            }
            Kind::Counters => self.accounts.counter(read::<CountersRow>(value).users),
            Kind::CartItem => self.keeps.cart_item(rows::CartItems::decode_key(key), &read(value)),
            Kind::Favourite => {
                let _: FavouriteRow = read(value);
                self.keeps.favourite(rows::Favourites::decode_key(key).1);
            }
            Kind::Address => self.keeps.address(rows::Addresses::decode_key(key).user_id, &read(value)),
            Kind::Message => drop(read::<MessageRow>(value)),
            Kind::Erasure => self.accounts.erasure(rows::Erasures::decode_key(key), &read(value)),
            Kind::User => self.accounts.user(rows::Users::decode_key(key), read(value), &self.partitioner),
            Kind::Mobile => self.accounts.mobile(rows::Mobiles::decode_key(key), &read(value), &self.partitioner),
            Kind::Code => self.accounts.code(rows::Codes::decode_key(key), &read(value)),
            Kind::Balance => self.payments.balance(rows::Balances::decode_key(key), &read(value)),
            Kind::PaymentHold => self.payments.hold(rows::PaymentHolds::decode_key(key), &read(value)),
            Kind::StuckOrder => self.orders.stuck(rows::StuckOrders::decode_key(key)),
            Kind::UnpaidOrders => {
                self.limits.unpaid_orders(rows::UnpaidOrders::decode_key(key), read::<UnpaidOrdersRow>(value).orders);
            }
            Kind::UserUnits => self.limits.user_units(rows::UserUnits::decode_key(key), read::<UserUnitsRow>(value).units),
            // Indexes are read by those who follow them; the rest is the catalogue's, or of the whole log.
            Kind::OrderId
            | Kind::OrderIdPage
            | Kind::UserOrder
            | Kind::ReservationId
            | Kind::GoodsSn
            | Kind::CategoryBrand
            | Kind::GoodsDetail
            | Kind::GoodsChange
            | Kind::Category
            | Kind::Brand
            | Kind::Banner
            | Kind::Log
            | Kind::Outbox
            | Kind::Cluster => {}
        }
    }

    fn order(&mut self, number: u64, row: &OrderRow) {
        self.counts.orders += 1;
        match row.status() {
            OrderStatus::Pending => self.counts.orders_pending += 1,
            OrderStatus::Paid => self.counts.orders_paid += 1,
            OrderStatus::Cancelled => self.counts.orders_cancelled += 1,
            OrderStatus::Refunded => self.counts.orders_refunded += 1,
            _ => {}
        }
        match order::saga(row).status() {
            SagaStatus::Running | SagaStatus::Compensating => self.counts.sagas_running += 1,
            SagaStatus::Stuck => self.counts.sagas_stuck += 1,
            SagaStatus::Completed | SagaStatus::Compensated | SagaStatus::Unspecified => {}
        }
        self.counts.parcels += u64::from(row.parcel.is_some());
        self.stocks.lines(&row.lines, self.cluster.log, &self.partitioner);
        self.orders.order(number, row, self.log.log_time_ms);
        self.limits.order(row, self.cluster.log, &self.partitioner);
        self.books.order(row, self.cluster.log, &self.partitioner);
        self.payments.order(row);
    }

    fn reservation(&mut self, number: u64, row: &ReservationRow) {
        self.counts.reservations += 1;
        self.counts.sagas_running += u64::from(row.saga.is_some());
        self.stocks.lines(&row.lines, self.cluster.log, &self.partitioner);
        self.stocks.reservation(number, row);
        self.books.reservation(&row.lines, self.cluster.log, &self.partitioner);
    }

    fn timer(&mut self, timer: timers::Timer) {
        self.counts.timers += 1;
        match timer.what {
            TimerKind::OrderExpiry(_) | TimerKind::OrderCompletion(_) | TimerKind::ParcelStation(_) => {
                self.orders.timer(timer);
            }
            TimerKind::ReservationExpiry(number) => self.stocks.reservation_timer(number, timer.due_ms),
            TimerKind::PaymentHoldExpiry(hold) => self.payments.hold_timer(hold, timer.due_ms),
            TimerKind::CodeExpiry(key) => self.accounts.code_timer(key, timer.due_ms),
            TimerKind::Erasure(user_id) => self.accounts.erasure_timer(user_id, timer.due_ms),
            TimerKind::KeyExpiry(key) => self.remembered.timer(&key, timer.due_ms),
        }
    }

    fn finish(mut self, digest: u128) -> LogInspection {
        self.counts.sagas_running += self.accounts.registering;
        let mut violations = self.orders.violations();
        violations.extend(self.payments.violations());
        violations.extend(self.stocks.violations());
        violations.extend(self.catalogue.finish(self.cluster.log, &self.partitioner));
        violations.extend(self.accounts.violations());
        violations.extend(self.keeps.violations(self.cluster.logs));
        violations.extend(self.remembered.violation());
        violations.extend(self.limits.violations());
        violations.extend(self.books.violations(&self.log));
        if self.log.events_by_type.values().any(|last| *last > self.log.events) {
            violations.push("an event has a number above the last one".to_owned());
        }
        let more = violations.len().saturating_sub(VIOLATIONS_MAX);
        violations.truncate(VIOLATIONS_MAX);
        if more > 0 {
            violations.push(format!("and {more} more"));
        }
        self.counts.violations = violations;
        self.counts.digest = format!("{digest:032x}");
        self.counts
    }
}

fn read<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).unwrap_or_else(|error| panic!("a row of the state cannot be decoded: {error}"))
}
