//! Stock by what its owners hold, and by its history.

use std::collections::{HashMap, HashSet};

use emshop_proto::internal::{LineRow, LineStock, ReservationRow, StockChangeRow, StockHistoryRow, StockRow};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::{ReservationStatus, StockCause};

use crate::stock::is_low;
use crate::stock::reservation::has_ended;

/// What the rows of one log say of stock.
#[derive(Default)]
pub struct Stocks {
    stocks: HashMap<u64, StockRow>,
    /// (reserved, sold) as orders, reservations and holds say.
    held: HashMap<u64, (u64, u64)>,
    /// Partition, number and time of reservations that must have an expiry timer, and of the timers that there are.
    expiring: HashSet<(u64, i64)>,
    expiries: HashSet<(u64, i64)>,
    /// The newest change of each SKU so far, with its sequence.
    changed: HashMap<u64, (u64, StockChangeRow)>,
    violations: Vec<String>,
}

impl Stocks {
    /// Levels are told up to the turn `untold_from`; 0 when all are.
    pub fn stock(&mut self, goods_id: u64, row: StockRow, untold_from: u64) {
        if row.received != row.available + row.reserved + row.sold {
            self.violations.push(format!("goods {goods_id}: received is not available + reserved + sold: {row:?}"));
        }
        let is_told = untold_from == 0 || row.changed_sequence < untold_from;
        if is_told && row.told_low != is_low(&row) {
            self.violations.push(format!("goods {goods_id}: it was not told rightly whether they are low: {row:?}"));
        }
        self.stocks.insert(goods_id, row);
    }

    /// Units of one SKU that somebody holds.
    pub fn hold(&mut self, goods_id: u64, stock: LineStock, quantity: u64) {
        let (reserved, sold) = self.held.entry(goods_id).or_default();
        match stock {
            LineStock::Reserved => *reserved += quantity,
            LineStock::Sold => *sold += quantity,
            LineStock::None | LineStock::Returned => {}
        }
    }

    /// Lines whose SKU is in log `log`; those of other logs are counted there, by their holds.
    pub fn lines(&mut self, lines: &[LineRow], log: u32, partitioner: &Partitioner) {
        for line in lines.iter().filter(|line| partitioner.of_goods(line.goods_id).log == log) {
            self.hold(line.goods_id, line.stock(), line.quantity);
        }
    }

    pub fn reservation(&mut self, number: u64, row: &ReservationRow) {
        let is_limited = row.status() == ReservationStatus::Reserved && row.saga.is_none() && row.expires_at_ms != 0;
        if is_limited || has_ended(row.status()) {
            self.expiring.insert((number, row.expires_at_ms));
        }
        let expected = match row.status() {
            ReservationStatus::Reserved => LineStock::Reserved,
            ReservationStatus::Sold => LineStock::Sold,
            _ => return,
        };
        if row.saga.is_none() && row.lines.iter().any(|line| line.stock() != expected) {
            self.violations.push(format!("reservation {} is {:?}, but not all its lines are", row.business_id, row.status()));
        }
    }

    pub fn reservation_timer(&mut self, number: u64, due_ms: i64) {
        self.expiries.insert((number, due_ms));
    }

    /// Each change follows from the one before it, as long as that is there.
    pub fn history(&mut self, sequence: u64, row: StockHistoryRow) {
        for change in row.changes {
            let Some((before_sequence, before)) = self.changed.insert(change.goods_id, (sequence, change)) else {
                continue;
            };
            // Of several changes in one row the first one has the link.
            let linked = if before_sequence == sequence { 0 } else { before_sequence };
            if change.previous_sequence != linked || !follows(&before, &change) {
                self.violations.push(format!("goods {} at sequence {sequence}: {change:?} after {before:?}", change.goods_id));
            }
        }
    }

    fn newest_change(&mut self, goods_id: u64, stock: &StockRow) {
        let newest = self.changed.remove(&goods_id);
        let told = newest.map(|(sequence, change)| (sequence, change.available, change.reserved, change.sold));
        let stands = (stock.changed_sequence, stock.available, stock.reserved, stock.sold);
        // Of what has not changed since there is a history, it tells nothing.
        if told.unwrap_or((0, stands.1, stands.2, stands.3)) != stands {
            self.violations.push(format!("goods {goods_id}: {stock:?}, but the newest change in its history is {newest:?}"));
        }
    }

    fn holders(&mut self) {
        for (goods_id, (reserved, sold)) in std::mem::take(&mut self.held) {
            let stock = self.stocks.remove(&goods_id).unwrap_or_default();
            if (stock.reserved, stock.sold) != (reserved, sold) {
                let held = format!("its owners hold {reserved} reserved and {sold} sold");
                self.violations.push(format!("goods {goods_id}: {stock:?}, but {held}"));
            }
        }
        for (goods_id, stock) in std::mem::take(&mut self.stocks) {
            if (stock.reserved, stock.sold) != (0, 0) {
                self.violations.push(format!("goods {goods_id}: {stock:?}, but nobody holds any"));
            }
        }
    }

    pub fn violations(mut self) -> Vec<String> {
        let stocks = std::mem::take(&mut self.stocks);
        stocks.iter().for_each(|(goods_id, stock)| self.newest_change(*goods_id, stock));
        self.stocks = stocks;
        for goods_id in std::mem::take(&mut self.changed).into_keys() {
            self.violations.push(format!("goods {goods_id} have a history, but no stock"));
        }
        self.holders();
        let astray = self.expiring.symmetric_difference(&self.expiries).count();
        if astray > 0 {
            let sentence = format!("{astray} reservations with a time-out have no timer for it, or timers no such reservation");
            self.violations.push(sentence);
        }
        self.violations
    }
}

/// A change is what its cause makes of the stock before it.
fn follows(before: &StockChangeRow, change: &StockChangeRow) -> bool {
    let same = |of: fn(&StockChangeRow) -> u64| of(before) == of(change);
    let moved = match change.cause() {
        StockCause::Set | StockCause::Adjust => same(|row| row.reserved) && same(|row| row.sold),
        StockCause::Reserve => change.delta < 0 && same(|row| row.available + row.reserved) && same(|row| row.sold),
        StockCause::Release => change.delta > 0 && same(|row| row.available + row.reserved) && same(|row| row.sold),
        StockCause::Sell => change.delta == 0 && same(|row| row.reserved + row.sold),
        StockCause::Reback => change.delta > 0 && same(|row| row.available + row.sold) && same(|row| row.reserved),
        StockCause::Unspecified => false,
    };
    moved && before.available.checked_add_signed(change.delta) == Some(change.available)
}
