//! Orders. What is paid for them is in [`super::payments`], what becomes of their parcels in [`super::parcels`].

use emshop_proto::errors::Code;
use emshop_proto::internal::{OwnerKind, StockAction};
use emshop_proto::v1::{
    CloseReason, GoodsQuantity, LogisticsStatus, OrderStatus, PaymentMethod, PaymentStatus, SubmitOrderRequest,
};

use super::parcels::Parcel;
use super::said::Said;
use super::stock::{Carried, Line};
use super::{Turn, Waiting, Wants, Who, Wrong, again, refused};

/// The one company that the shop works with here.
pub const COMPANY: u32 = 1;

/// What is under way with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Idle,
    TakingItems,
    Reserving,
    Releasing,
    PuttingBack,
    TakingMoney,
    Selling,
    TakingBack,
}

/// An order with its payment.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: String,
    pub status: OrderStatus,
    pub lines: Vec<Line>,
    pub payment: PaymentStatus,
    /// How much of it was given back.
    pub refunded: i64,
    pub parcel: Option<Parcel>,
    /// When it is over if nobody pays.
    pub(super) timer: Option<i64>,
    /// When it is completed if its receiver says nothing.
    pub(super) completes_at: Option<i64>,
    /// It is delivered, and was to be sent back.
    pub(super) declined: bool,
    pub(super) user: u64,
    pub(super) hash: u64,
    pub(super) from_cart: bool,
    /// Its user submitted it: the shop's limits hold for it.
    pub(super) is_limited: bool,
    pub(super) by_balance: bool,
    pub(super) company: u32,
    pub(super) total: i64,
    /// How long it may take to be paid, until its items are there.
    pub(super) expires_at: i64,
    pub(super) close: CloseReason,
    pub(super) phase: Phase,
    pub(super) refusal: Option<Code>,
    pub(super) sn: String,
    pub(super) waiting: Vec<Waiting>,
}

impl Order {
    /// One that was just submitted.
    pub(super) fn new(id: &str, user: u64, hash: u64, who: Who) -> Self {
        Self {
            id: id.to_owned(),
            status: OrderStatus::Pending,
            lines: Vec::new(),
            payment: PaymentStatus::Pending,
            refunded: 0,
            parcel: None,
            timer: None,
            completes_at: None,
            declined: false,
            user,
            hash,
            from_cart: false,
            is_limited: who.is_user,
            by_balance: false,
            company: COMPANY,
            total: 0,
            expires_at: 0,
            close: CloseReason::Unspecified,
            phase: Phase::Reserving,
            refusal: None,
            sn: String::new(),
            waiting: vec![Waiting { who, again: false, wants: Wants::Thing }],
        }
    }

    pub fn is_busy(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// It should have been closed a minute ago at least.
    pub fn is_overdue(&self, now_ms: i64) -> bool {
        self.status == OrderStatus::Pending && self.expires_at + 60_000 < now_ms
    }

    pub(super) fn receipt(&self, status: OrderStatus) -> String {
        format!("order {} of {}", status.as_str_name(), self.total)
    }

    pub(super) fn paid(&self) -> String {
        super::words::payment(self.payment, self.refunded)
    }

    /// What its user has paid for it and not got back.
    pub(super) fn kept(&self) -> i64 {
        let is_paid = matches!(self.payment, PaymentStatus::Paid | PaymentStatus::Refunded);
        if is_paid { self.total - self.refunded } else { 0 }
    }
}

impl Turn<'_> {
    pub(super) fn submit(&mut self, who: Who, hash: u64, request: &SubmitOrderRequest) -> Result<(), Wrong> {
        if let Some(number) = self.here().order_numbers.get(&request.order_id).copied() {
            return self.submit_again(who, hash, number);
        }
        if self.has_enough_unpaid(&who, request.user_id) {
            self.tell(who, refused(Code::UnpaidOrdersTooMany));
            return Ok(());
        }
        let expires_at = self.here().time_ms + self.time_to_pay(&who, request.expires_in_seconds);
        let line = |line: &GoodsQuantity| Line { goods: line.goods_id, quantity: line.quantity, ..Line::default() };
        let number = self.add_order(Order {
            lines: request.lines.iter().map(line).collect(),
            timer: Some(expires_at),
            by_balance: request.payment_method() == PaymentMethod::Balance,
            company: request.logistics_company,
            expires_at,
            ..Order::new(&request.order_id, request.user_id, hash, who)
        });
        self.go(number)
    }

    /// A user has as many unpaid orders in this log as one may.
    pub(super) fn has_enough_unpaid(&mut self, who: &Who, user: u64) -> bool {
        let most = self.here().limits.unpaid_orders as usize;
        let is_unpaid = |order: &&Order| order.is_limited && order.user == user && order.status == OrderStatus::Pending;
        who.is_user && most > 0 && self.here().orders.iter().filter(is_unpaid).count() >= most
    }

    /// In milliseconds, of an order that asks for so many seconds.
    pub(super) fn time_to_pay(&mut self, who: &Who, seconds: u32) -> i64 {
        let most = self.here().limits.payment_seconds;
        let seconds = if who.is_user && most > 0 { seconds.min(most) } else { seconds };
        i64::from(seconds) * 1000
    }

    /// A new one; its number.
    pub(super) fn add_order(&mut self, order: Order) -> usize {
        let here = self.here();
        let number = here.orders.len() + 1;
        here.order_numbers.insert(order.id.clone(), number);
        here.orders.push(order);
        number
    }

    pub(super) fn submit_again(&mut self, who: Who, hash: u64, number: usize) -> Result<(), Wrong> {
        let order = self.order(number);
        let answer = match order {
            _ if order.hash != hash => refused(Code::IdempotencyKeyReused),
            Order { phase: Phase::TakingItems | Phase::Reserving, .. } => {
                order.waiting.push(Waiting { who, again: true, wants: Wants::Thing });
                return Ok(());
            }
            Order { close: CloseReason::Refused, refusal: Some(code), .. } => again(refused(*code)),
            _ => again(order.receipt(OrderStatus::Pending)),
        };
        self.tell(who, answer);
        Ok(())
    }

    pub(super) fn cancel(&mut self, who: Who, id: &str) -> Result<(), Wrong> {
        let Some(number) = self.find_order(&who, id, Code::OrderNotFound) else { return Ok(()) };
        let order = self.order(number);
        let answer = match order.status {
            _ if order.is_busy() => refused(Code::OrderInProgress),
            OrderStatus::Pending | OrderStatus::Paid => {
                return self.close(number, CloseReason::Cancelled, who, Wants::Thing);
            }
            OrderStatus::Cancelled | OrderStatus::Refunded if order.close == CloseReason::Cancelled => {
                again(order.receipt(order.status))
            }
            _ => refused(Code::OrderStatusInvalid),
        };
        self.tell(who, answer);
        Ok(())
    }

    pub(super) fn expire_order(&mut self, number: usize) -> Result<(), Wrong> {
        let order = self.order(number);
        order.timer = None;
        // One that is under way looks at the clock when that ends.
        if order.is_busy() { Ok(()) } else { self.expire(number) }
    }

    fn expire(&mut self, number: usize) -> Result<(), Wrong> {
        self.close(number, CloseReason::Expired, Who::default(), Wants::Thing)
    }

    pub(super) fn order_replied(&mut self, number: usize, refusal: Option<Code>) -> Result<(), Wrong> {
        let Some(mut order) = self.here().orders.get(number - 1).cloned() else {
            return Err(format!("a reply to order number {number}, which is not there"));
        };
        match (order.phase, refusal) {
            (Phase::Reserving, Some(code)) => refuse(&mut order, code),
            (Phase::TakingMoney, Some(code)) => {
                self.here().orders[number - 1] = order;
                return self.end(number, Some(code));
            }
            (Phase::TakingMoney, None) => {
                self.paid(number);
                self.order(number).phase = Phase::Selling;
                return self.go(number);
            }
            (_, Some(code)) => return Err(format!("order {} was refused {}", order.id, code.name())),
            (phase, None) => self.settle(&mut order.lines, action(phase)),
        }
        self.here().orders[number - 1] = order;
        self.go(number)
    }

    pub(super) fn paid(&mut self, number: usize) {
        let order = self.order(number);
        order.payment = PaymentStatus::Paid;
        order.status = OrderStatus::Paid;
        order.timer = None;
    }

    /// Takes an order back, and a parcel that is not on its way yet.
    pub(super) fn close(&mut self, number: usize, reason: CloseReason, who: Who, wants: Wants) -> Result<(), Wrong> {
        let order = self.order(number);
        order.close = reason;
        order.waiting.push(Waiting { who, again: false, wants });
        if let Some(parcel) = order.parcel.as_mut().filter(|parcel| parcel.status == LogisticsStatus::Pending) {
            parcel.status = LogisticsStatus::Cancelled;
        }
        order.phase = if order.status == OrderStatus::Pending { Phase::Releasing } else { Phase::TakingBack };
        self.go(number)
    }

    /// Goes on with an order until another log is asked, or nothing is left to do.
    pub(super) fn go(&mut self, number: usize) -> Result<(), Wrong> {
        let by = (self.log, OwnerKind::Order, number as u64);
        loop {
            let mut order = self.order(number).clone();
            if matches!(order.phase, Phase::TakingItems | Phase::PuttingBack) {
                let Some(reply) = self.ask_cart(number) else { return Ok(()) };
                if self.cart_replied(number, reply)? {
                    continue;
                }
                return Ok(());
            }
            if order.phase == Phase::TakingMoney {
                let (user, delta) = (order.user, -order.total);
                let log = self.model.partitioner.of_user(user).log;
                if log != self.log {
                    self.say(log, Said::Money { by, user, delta });
                    return Ok(());
                }
                if let Some(code) = self.move_money(user, delta) {
                    return self.end(number, Some(code));
                }
                self.paid(number);
                self.order(number).phase = Phase::Selling;
                continue;
            }
            let most = self.here().limits.order_units;
            if order.phase == Phase::Reserving
                && order.is_limited
                && most > 0
                && order.lines.iter().any(|line| line.quantity > most)
            {
                refuse(self.order(number), Code::OrderUnitsTooMany);
                continue;
            }
            let user = if order.is_limited { order.user } else { 0 };
            let carried = self.carry(by, &mut order.lines, action(order.phase), user)?;
            let phase = order.phase;
            self.here().orders[number - 1] = order;
            match (carried, phase) {
                (Carried::Waiting, _) => return Ok(()),
                (Carried::Refused(code), Phase::Reserving) => refuse(self.order(number), code),
                (Carried::Refused(code), _) => return Err(format!("order number {number} was refused {}", code.name())),
                (Carried::Done, Phase::Selling) if self.order(number).company != COMPANY => {
                    let order = self.order(number);
                    order.refusal = Some(Code::LogisticsCompanyNotSupported);
                    order.close = CloseReason::ParcelFailed;
                    order.phase = Phase::TakingBack;
                }
                (Carried::Done, _) => {
                    self.done(number)?;
                    if self.order(number).phase != Phase::PuttingBack {
                        return self.end(number, None);
                    }
                }
            }
        }
    }

    /// Notes that all units are where the phase brings them.
    fn done(&mut self, number: usize) -> Result<(), Wrong> {
        match self.order(number).phase {
            Phase::Reserving => {
                let lines = self.order(number).lines.clone();
                let price =
                    |line: &Line| self.model.logs.iter().find_map(|log| log.prices.get(&line.goods)).copied().unwrap_or(0);
                let total = lines.iter().map(|line| price(line) * line.quantity as i64).sum();
                self.order(number).total = total;
            }
            Phase::Releasing => {
                let order = self.order(number);
                order.timer = None;
                if order.payment == PaymentStatus::Pending {
                    order.payment = PaymentStatus::Cancelled;
                }
                if order.from_cart && order.close == CloseReason::Refused {
                    order.phase = Phase::PuttingBack;
                } else {
                    order.status = OrderStatus::Cancelled;
                }
            }
            Phase::TakingBack => {
                let order = self.order(number);
                let left = order.total - order.refunded;
                order.payment = PaymentStatus::Refunded;
                order.refunded = order.total;
                let is_return = order.status == OrderStatus::Returning;
                order.status = if is_return { OrderStatus::Returned } else { OrderStatus::Refunded };
                self.pay_back(number, left);
            }
            Phase::Selling => {
                let order = self.order(number);
                order.parcel = Some(Parcel::new(order.company));
            }
            Phase::Idle | Phase::TakingItems | Phase::PuttingBack | Phase::TakingMoney => {}
        }
        Ok(())
    }

    /// Tells those who wait how it ended. A payment that was refused leaves the order as it was.
    pub(super) fn end(&mut self, number: usize, refusal: Option<Code>) -> Result<(), Wrong> {
        let now = self.here().time_ms;
        let order = self.order(number);
        let told = refusal.or(match (order.phase, order.close) {
            (Phase::Releasing, CloseReason::Refused) | (Phase::TakingBack, CloseReason::ParcelFailed) => order.refusal,
            _ => None,
        });
        order.phase = Phase::Idle;
        let (waiting, receipt, paid) = (std::mem::take(&mut order.waiting), order.receipt(order.status), order.paid());
        let parcel = order.parcel.as_ref().map(Parcel::to_string).unwrap_or_default();
        let over = order.status == OrderStatus::Pending && now >= order.expires_at;
        self.tell_all(waiting, |one| match (told, one.wants) {
            (Some(code), _) => refused(code),
            (None, Wants::Payment) => paid.clone(),
            (None, Wants::Parcel) => parcel.clone(),
            (None, Wants::Thing) => receipt.clone(),
        });
        if over { self.expire(number) } else { Ok(()) }
    }

    pub(super) fn find_order(&mut self, who: &Who, id: &str, code: Code) -> Option<usize> {
        let found = self.here().order_numbers.get(id).copied();
        if found.is_none() {
            self.tell(who.clone(), refused(code));
        }
        found
    }

    pub(super) fn order(&mut self, number: usize) -> &mut Order {
        &mut self.here().orders[number - 1]
    }
}

fn refuse(order: &mut Order, code: Code) {
    order.refusal = Some(code);
    order.close = CloseReason::Refused;
    order.phase = Phase::Releasing;
}

fn action(phase: Phase) -> StockAction {
    match phase {
        Phase::Reserving => StockAction::Reserve,
        Phase::Releasing => StockAction::Release,
        Phase::Selling => StockAction::Sell,
        _ => StockAction::Reback,
    }
}
