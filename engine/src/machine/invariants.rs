//! Reads the whole state of a log and recomputes what must hold, independently of the code that keeps it so.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use emshop_proto::internal::{
    ClusterRow, GoodsRow, HoldRow, LineRow, LineStock, LogRow, OrderRow, PartitionRow, ReservationRow, StockRow,
};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::{CloseReason, LogInspection, LogisticsStatus, OrderStatus, PaymentStatus, ReservationStatus, SagaStatus};
use emshop_storage::state::StateStore;
use emshop_storage::state::keys::{self, Kind, WHOLE_LOG};
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use super::order;
use super::state::{Holds, Orders, Stocks, Timer, TimerKind, Timers};
use super::table::Rows;

/// Broken invariants that are spelled out; the rest is counted.
const VIOLATIONS_MAX: usize = 20;

/// Inspects the store of one log as of its last checkpoint.
pub fn inspect(store: &dyn StateStore) -> LogInspection {
    let mut check = Check::new(store);
    let mut digest = Xxh3::new();
    for partition in (0..check.cluster.partitions as u8).chain([WHOLE_LOG]) {
        for kind in Kind::ALL {
            store.scan(&keys::prefix(partition, kind), &[partition, kind as u8 + 1], &mut |key, value| {
                // What is still to be sent, and how far it was, is not a consequence of the log alone.
                if kind != Kind::Outbox {
                    digest.update(key);
                    digest.update(&(value.len() as u32).to_le_bytes());
                    digest.update(value);
                }
                check.row(kind, partition, &key[2..], value);
                ControlFlow::Continue(())
            });
        }
    }
    check.finish(digest.digest128())
}

struct Check {
    partitioner: Partitioner,
    log: LogRow,
    cluster: ClusterRow,
    counts: LogInspection,
    stocks: HashMap<u64, StockRow>,
    /// (reserved, sold) as orders, reservations and holds say.
    held: HashMap<u64, (u64, u64)>,
    /// (partition, number) of orders that must have an expiry timer, and of the timers that there are.
    unpaid: HashSet<(u8, u64)>,
    /// Orders that are being taken back, with their timer or without: it may be what began it.
    closing: HashSet<(u8, u64)>,
    expiries: HashSet<(u8, u64)>,
    violations: u64,
}

impl Check {
    fn new(store: &dyn StateStore) -> Self {
        let whole_log = |kind| store.get(&keys::prefix(WHOLE_LOG, kind)).unwrap_or_default();
        let cluster: ClusterRow = read(&whole_log(Kind::Cluster));
        let log: LogRow = read(&whole_log(Kind::Log));
        let counts = LogInspection {
            log: cluster.log,
            applied_sequence: log.applied_sequence,
            durable_sequence: log.applied_sequence,
            events: log.events,
            ..LogInspection::default()
        };
        Self {
            partitioner: Partitioner::new(cluster.logs.max(1)),
            log,
            cluster,
            counts,
            stocks: HashMap::new(),
            held: HashMap::new(),
            unpaid: HashSet::new(),
            closing: HashSet::new(),
            expiries: HashSet::new(),
            violations: 0,
        }
    }

    fn row(&mut self, kind: Kind, partition: u8, key: &[u8], value: &[u8]) {
        match kind {
            Kind::Order => self.order(partition, Orders::decode_key(key), &read(value)),
            Kind::Timer => self.timer(partition, Timers::decode_key(key)),
            Kind::Stock => self.stock(Stocks::decode_key(key), read(value)),
            Kind::Goods => {
                let _: GoodsRow = read(value);
                self.counts.goods += 1;
            }
            Kind::Reservation => self.reservation(&read(value)),
            Kind::Hold => self.hold(Holds::decode_key(key).goods_id, &read(value)),
            Kind::Key => self.counts.idempotency_keys += 1,
            Kind::Partition => {
                let _: PartitionRow = read(value);
            }
            Kind::OrderId | Kind::UserOrder | Kind::ReservationId | Kind::Log | Kind::Outbox | Kind::Cluster => {}
        }
    }

    fn order(&mut self, partition: u8, number: u64, row: &OrderRow) {
        self.counts.orders += 1;
        let status = row.status();
        match status {
            OrderStatus::Pending => self.counts.orders_pending += 1,
            OrderStatus::Paid => self.counts.orders_paid += 1,
            OrderStatus::Cancelled => self.counts.orders_cancelled += 1,
            OrderStatus::Refunded => self.counts.orders_refunded += 1,
            _ => {}
        }
        self.counts.parcels += u64::from(row.parcel.is_some());
        self.lines(&row.lines);
        if matches!(order::saga(row).status(), SagaStatus::Compensating | SagaStatus::Stuck) {
            self.closing.insert((partition, number));
        } else if order::payment(row).status() == PaymentStatus::Pending {
            self.unpaid.insert((partition, number));
        }
        match order::saga(row).status() {
            SagaStatus::Running | SagaStatus::Compensating => self.counts.sagas_running += 1,
            SagaStatus::Stuck => self.counts.sagas_stuck += 1,
            SagaStatus::Completed | SagaStatus::Compensated => self.settled_order(row),
            SagaStatus::Unspecified => self.violation(format!("order {} has no saga", row.order_id)),
        }
    }

    /// Payment, stock, parcel and total agree with the status of an order whose saga has ended.
    fn settled_order(&mut self, row: &OrderRow) {
        let payment = order::payment(row);
        let parcel = row.parcel.as_ref().map(|parcel| parcel.status());
        let all = |stock: LineStock| row.lines.iter().all(|line| line.stock() == stock);
        let none_held = !row.lines.iter().any(|line| matches!(line.stock(), LineStock::Reserved | LineStock::Sold));
        let agrees = match row.status() {
            OrderStatus::Pending => payment.status() == PaymentStatus::Pending && all(LineStock::Reserved) && parcel.is_none(),
            OrderStatus::Paid => {
                payment.status() == PaymentStatus::Paid && all(LineStock::Sold) && parcel == Some(LogisticsStatus::Pending)
            }
            OrderStatus::Cancelled => {
                let closed = matches!(payment.status(), PaymentStatus::Cancelled | PaymentStatus::Failed);
                closed && none_held && parcel.is_none()
            }
            OrderStatus::Refunded => {
                let gone = matches!(parcel, None | Some(LogisticsStatus::Cancelled));
                payment.status() == PaymentStatus::Refunded && payment.refunded_minor == row.total_minor && none_held && gone
            }
            _ => false,
        };
        if !agrees {
            self.violation(format!(
                "order {} is {:?}, but its payment is {:?}, its parcel {parcel:?}",
                row.order_id,
                row.status(),
                payment.status()
            ));
        }
        let total: i64 = row.lines.iter().map(|line| line.unit_price_minor * line.quantity as i64).sum();
        if row.close_reason() != CloseReason::Refused && total != row.total_minor {
            self.violation(format!("order {} has total {}, but its lines give {total}", row.order_id, row.total_minor));
        }
        if !(0..=row.total_minor).contains(&payment.refunded_minor) {
            self.violation(format!("order {} refunded {} of {}", row.order_id, payment.refunded_minor, row.total_minor));
        }
    }

    fn reservation(&mut self, row: &ReservationRow) {
        self.counts.reservations += 1;
        self.counts.sagas_running += u64::from(row.saga.is_some());
        self.lines(&row.lines);
        let expected = match row.status() {
            ReservationStatus::Reserved => LineStock::Reserved,
            ReservationStatus::Sold => LineStock::Sold,
            _ => return,
        };
        if row.saga.is_none() && row.lines.iter().any(|line| line.stock() != expected) {
            self.violation(format!("reservation {} is {:?}, but not all its lines are", row.business_id, row.status()));
        }
    }

    /// Lines whose SKU is in this log; those of other logs are counted there, by their holds.
    fn lines(&mut self, lines: &[LineRow]) {
        for line in lines.iter().filter(|line| self.partitioner.of_goods(line.goods_id).log == self.cluster.log) {
            hold(&mut self.held, line.goods_id, line.stock(), line.quantity);
        }
    }

    fn hold(&mut self, goods_id: u64, row: &HoldRow) {
        hold(&mut self.held, goods_id, row.stock(), row.quantity);
    }

    fn stock(&mut self, goods_id: u64, row: StockRow) {
        self.counts.stocks += 1;
        if row.received != row.available + row.reserved + row.sold {
            self.violation(format!("goods {goods_id}: received is not available + reserved + sold: {row:?}"));
        }
        self.stocks.insert(goods_id, row);
    }

    fn timer(&mut self, partition: u8, timer: Timer) {
        self.counts.timers += 1;
        if let TimerKind::OrderExpiry(number) = timer.what {
            self.expiries.insert((partition, number));
        }
    }

    fn finish(mut self, digest: u128) -> LogInspection {
        for (goods_id, (reserved, sold)) in std::mem::take(&mut self.held) {
            let stock = self.stocks.remove(&goods_id).unwrap_or_default();
            if (stock.reserved, stock.sold) != (reserved, sold) {
                self.violation(format!("goods {goods_id}: {stock:?}, but its owners hold {reserved} reserved and {sold} sold"));
            }
        }
        for (goods_id, stock) in std::mem::take(&mut self.stocks) {
            if (stock.reserved, stock.sold) != (0, 0) {
                self.violation(format!("goods {goods_id}: {stock:?}, but nobody holds any"));
            }
        }
        let astray = self.unpaid.symmetric_difference(&self.expiries).filter(|order| !self.closing.contains(order)).count();
        if astray > 0 {
            self.violation(format!("{astray} unpaid orders have no expiry timer, or timers no unpaid order"));
        }
        if self.log.events_by_type.values().any(|last| *last > self.log.events) {
            self.violation("an event has a number above the last one".to_owned());
        }
        if self.violations > VIOLATIONS_MAX as u64 {
            self.counts.violations.push(format!("and {} more", self.violations - VIOLATIONS_MAX as u64));
        }
        self.counts.digest = format!("{digest:032x}");
        self.counts
    }

    fn violation(&mut self, sentence: String) {
        self.violations += 1;
        if self.counts.violations.len() < VIOLATIONS_MAX {
            self.counts.violations.push(sentence);
        }
    }
}

fn hold(held: &mut HashMap<u64, (u64, u64)>, goods_id: u64, stock: LineStock, quantity: u64) {
    let (reserved, sold) = held.entry(goods_id).or_default();
    match stock {
        LineStock::Reserved => *reserved += quantity,
        LineStock::Sold => *sold += quantity,
        LineStock::None | LineStock::Returned => {}
    }
}

fn read<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).unwrap_or_else(|error| panic!("a row of the state cannot be decoded: {error}"))
}
