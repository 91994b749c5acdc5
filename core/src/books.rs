//! The books of a log: how many orders stand where, what was paid, how many units there are. They are kept as orders and stock change, so
//! that nobody has to go through everything to know; an inspection does, and compares.

use emshop_proto::internal::{BooksRow, LineRow, LineStock, MoneyBooks, OrderRow, StockRow, UnitsBooks};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::{OrderStatus, PaymentMethod, PaymentStatus, SagaStatus};

use crate::context::Context;
use crate::order::row;

/// Payments are counted by method and status: so many places for each method.
const PAYMENT_STATUSES: usize = 16;

/// What is counted of one log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Books(pub BooksRow);

/// What the books have of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OrderMark {
    status: usize,
    payment: usize,
    saga: usize,
    currency: u32,
    paid_minor: i64,
    refunded_minor: i64,
    held: Held,
}

/// Units that somebody holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Held {
    reserved: u64,
    sold: u64,
}

impl OrderMark {
    /// Of an order in log `log`.
    pub fn of(order: &OrderRow, log: u32, partitioner: &Partitioner) -> Self {
        let payment = row::payment(order);
        let is_paid = payment.paid_at_ms != 0;
        Self {
            status: place(order.status),
            payment: place(payment.method) * PAYMENT_STATUSES + place(payment.status),
            saga: place(row::saga(order).status),
            currency: order.currency,
            paid_minor: if is_paid { order.total_minor } else { 0 },
            refunded_minor: payment.refunded_minor,
            held: Held::by(&order.lines, log, partitioner),
        }
    }
}

impl Held {
    /// By lines, of SKUs of log `log`: those of other logs are held there.
    pub fn by(lines: &[LineRow], log: u32, partitioner: &Partitioner) -> Self {
        let mut held = Self::default();
        for line in lines.iter().filter(|line| partitioner.of_goods(line.goods_id).log == log) {
            held.add(line.stock(), line.quantity);
        }
        held
    }

    /// Of one SKU.
    pub fn of(stock: LineStock, quantity: u64) -> Self {
        let mut held = Self::default();
        held.add(stock, quantity);
        held
    }

    fn add(&mut self, stock: LineStock, quantity: u64) {
        match stock {
            LineStock::Reserved => self.reserved += quantity,
            LineStock::Sold => self.sold += quantity,
            LineStock::None | LineStock::Returned => {}
        }
    }
}

impl Books {
    /// An order is there that was not.
    pub(crate) fn new_order(&mut self, ctx: &Context, order: &OrderRow) {
        self.add_order(&OrderMark::of(order, ctx.log, ctx.partitioner));
    }

    /// An order has changed.
    pub fn order_changed(&mut self, before: &OrderMark, after: &OrderMark) {
        if before != after {
            self.count_order(before, u64::wrapping_sub);
            self.count_order(after, u64::wrapping_add);
            self.add_money(before, -1);
            self.add_money(after, 1);
        }
    }

    /// Counts an order.
    pub fn add_order(&mut self, order: &OrderMark) {
        self.count_order(order, u64::wrapping_add);
        self.add_money(order, 1);
    }

    fn count_order(&mut self, order: &OrderMark, count: fn(u64, u64) -> u64) {
        let books = &mut self.0;
        for (of, by) in [
            (at(&mut books.orders, order.status), 1),
            (at(&mut books.payments, order.payment), 1),
            (at(&mut books.sagas, order.saga), 1),
            (&mut books.held_reserved, order.held.reserved),
            (&mut books.held_sold, order.held.sold),
        ] {
            *of = count(*of, by);
        }
    }

    fn add_money(&mut self, order: &OrderMark, times: i64) {
        if (order.paid_minor, order.refunded_minor) == (0, 0) {
            return;
        }
        let money = &mut self.0.money;
        let place = money.binary_search_by_key(&order.currency, |books| books.currency).unwrap_or_else(|place| {
            money.insert(place, MoneyBooks { currency: order.currency, ..MoneyBooks::default() });
            place
        });
        let add = |to: &mut i64, amount: i64| *to = to.wrapping_add(times.wrapping_mul(amount));
        add(&mut money[place].paid_minor, order.paid_minor);
        add(&mut money[place].refunded_minor, order.refunded_minor);
    }

    /// Somebody who is no order holds other units than before.
    pub(crate) fn held_changed(&mut self, before: Held, after: Held) {
        move_on(&mut self.0.held_reserved, before.reserved, after.reserved);
        move_on(&mut self.0.held_sold, before.sold, after.sold);
    }

    /// Counts units that somebody holds who is no order.
    pub fn add_held(&mut self, held: Held) {
        self.held_changed(Held::default(), held);
    }

    /// The stock of a SKU has changed.
    pub(crate) fn stock_changed(&mut self, before: &StockRow, after: &StockRow) {
        let UnitsBooks { received, available, reserved, sold } = self.0.units.get_or_insert_default();
        move_on(received, before.received, after.received);
        move_on(available, before.available, after.available);
        move_on(reserved, before.reserved, after.reserved);
        move_on(sold, before.sold, after.sold);
        move_on(&mut self.0.skus_low, before.told_low.into(), after.told_low.into());
    }

    /// Counts the stock of a SKU.
    pub fn add_stock(&mut self, stock: &StockRow) {
        self.stock_changed(&StockRow::default(), stock);
    }

    /// How many orders have a status.
    pub fn orders(&self, status: OrderStatus) -> u64 {
        self.0.orders.get(place(status.into())).copied().unwrap_or(0)
    }

    /// How many orders are paid in such a way, and how that stands.
    pub fn payments(&self, method: PaymentMethod, status: PaymentStatus) -> u64 {
        let place = place(method.into()) * PAYMENT_STATUSES + place(status.into());
        self.0.payments.get(place).copied().unwrap_or(0)
    }

    /// How many orders have a saga that stands like that.
    pub fn sagas(&self, status: SagaStatus) -> u64 {
        self.0.sagas.get(place(status.into())).copied().unwrap_or(0)
    }

    /// The stock of all SKUs.
    pub fn units(&self) -> UnitsBooks {
        self.0.units.unwrap_or_default()
    }

    /// Whether they agree with each other: no unit is anywhere but in one place, and whoever holds some has them in the stock.
    pub fn agree(&self) -> bool {
        let UnitsBooks { received, available, reserved, sold } = self.units();
        let all = |counts: &[u64]| counts.iter().copied().fold(0, u64::wrapping_add);
        received == available.wrapping_add(reserved).wrapping_add(sold)
            && (reserved, sold) == (self.0.held_reserved, self.0.held_sold)
            && all(&self.0.orders) == all(&self.0.payments)
            && all(&self.0.orders) == all(&self.0.sagas)
            && self.0.money.iter().all(|money| (0..=money.paid_minor).contains(&money.refunded_minor))
    }
}

/// What is counted follows from what is there and decides nothing: if it were wrong, that would be told, and not stop a shop.
fn move_on(count: &mut u64, before: u64, after: u64) {
    *count = count.wrapping_sub(before).wrapping_add(after);
}

/// Where the count of such a number is.
fn place(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn at(counts: &mut Vec<u64>, place: usize) -> &mut u64 {
    if counts.len() <= place {
        counts.resize(place + 1, 0);
    }
    &mut counts[place]
}
