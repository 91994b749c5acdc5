//! Orders and their payments.

use emshop_proto::errors::Code;
use emshop_proto::internal::{OwnerKind, StockAction};
use emshop_proto::v1::{CloseReason, ConfirmPaymentRequest, OrderStatus, PaymentMethod, PaymentStatus, SubmitOrderRequest};

use super::stock::{At, Carried, Line};
use super::{Said, Turn, Waiting, Who, Wrong, again, payment, refused};

/// The one company that the shop works with here.
pub const COMPANY: u32 = 1;

/// What is under way with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Reserving,
    Releasing,
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
    pub(super) timer: Option<i64>,
    user: u64,
    hash: u64,
    by_balance: bool,
    company: u32,
    total: i64,
    expires_at: i64,
    close: CloseReason,
    phase: Phase,
    refusal: Option<Code>,
    sn: String,
    waiting: Vec<Waiting>,
}

impl Order {
    pub fn is_busy(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// It should have been closed a minute ago at least.
    pub fn is_overdue(&self, now_ms: i64) -> bool {
        self.status == OrderStatus::Pending && self.expires_at + 60_000 < now_ms
    }

    fn receipt(&self, status: OrderStatus) -> String {
        format!("order {} of {}", status.as_str_name(), self.total)
    }
}

impl Turn<'_> {
    pub(super) fn submit(&mut self, who: Who, hash: u64, request: &SubmitOrderRequest) -> Result<(), Wrong> {
        if let Some(number) = self.here().order_numbers.get(&request.order_id).copied() {
            return self.submit_again(who, hash, number);
        }
        let expires_at = self.here().time_ms + i64::from(request.expires_in_seconds) * 1000;
        let line =
            |line: &emshop_proto::v1::GoodsQuantity| Line { goods: line.goods_id, quantity: line.quantity, at: At::Nowhere };
        let order = Order {
            id: request.order_id.clone(),
            status: OrderStatus::Pending,
            lines: request.lines.iter().map(line).collect(),
            payment: PaymentStatus::Pending,
            timer: Some(expires_at),
            user: request.user_id,
            hash,
            by_balance: request.payment_method() == PaymentMethod::Balance,
            company: request.logistics_company,
            total: 0,
            expires_at,
            close: CloseReason::Unspecified,
            phase: Phase::Reserving,
            refusal: None,
            sn: String::new(),
            waiting: vec![Waiting { who, again: false, wants_payment: false }],
        };
        self.here().orders.push(order);
        let number = self.here().orders.len();
        self.here().order_numbers.insert(request.order_id.clone(), number);
        self.go(number)
    }

    fn submit_again(&mut self, who: Who, hash: u64, number: usize) -> Result<(), Wrong> {
        let order = self.order(number);
        let answer = match order {
            _ if order.hash != hash => refused(Code::IdempotencyKeyReused),
            Order { phase: Phase::Reserving, .. } => {
                order.waiting.push(Waiting { who, again: true, wants_payment: false });
                return Ok(());
            }
            Order { close: CloseReason::Refused, refusal: Some(code), .. } => again(refused(*code)),
            _ => again(order.receipt(OrderStatus::Pending)),
        };
        self.tell(who, answer);
        Ok(())
    }

    pub(super) fn confirm(&mut self, who: Who, request: &ConfirmPaymentRequest) -> Result<(), Wrong> {
        self.pay(who, &request.order_id, &request.third_party_sn, false)
    }

    pub(super) fn pay_with_balance(&mut self, who: Who, id: &str) -> Result<(), Wrong> {
        self.pay(who, id, "", true)
    }

    fn pay(&mut self, who: Who, id: &str, sn: &str, by_balance: bool) -> Result<(), Wrong> {
        let Some(number) = self.find_order(&who, id, Code::PaymentNotFound) else { return Ok(()) };
        let now = self.here().time_ms;
        let order = self.order(number);
        let being_paid = matches!(order.phase, Phase::TakingMoney | Phase::Selling)
            || order.phase == Phase::TakingBack && order.close == CloseReason::ParcelFailed;
        let same = order.sn == sn;
        use PaymentStatus::{Cancelled, Failed, Pending, Refunded};
        let answer = match (order.payment, order.close) {
            _ if order.by_balance != by_balance => refused(Code::PaymentMethodInvalid),
            (Pending, _) if order.is_busy() && !being_paid => refused(Code::OrderInProgress),
            (Pending, _) if !being_paid && now >= order.expires_at => refused(Code::PaymentExpired),
            (Pending, _) if !being_paid => {
                order.sn = sn.to_owned();
                order.waiting.push(Waiting { who, again: false, wants_payment: true });
                order.phase = if order.by_balance { Phase::TakingMoney } else { Phase::Selling };
                if !order.by_balance {
                    self.paid(number);
                }
                return self.go(number);
            }
            (Cancelled, CloseReason::Expired) => refused(Code::PaymentExpired),
            (Cancelled, _) => refused(Code::PaymentAlreadyCancelled),
            (Failed, _) => refused(Code::PaymentStatusInvalid),
            (Refunded, _) if !same => refused(Code::PaymentStatusInvalid),
            _ if !same => refused(Code::PaymentAlreadyPaid),
            _ if being_paid => {
                order.waiting.push(Waiting { who, again: true, wants_payment: true });
                return Ok(());
            }
            (Refunded, CloseReason::ParcelFailed) => again(refused(order.refusal.ok_or("a failed parcel without a reason")?)),
            (status, _) => again(payment(status)),
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
                order.waiting.push(Waiting { who, again: false, wants_payment: false });
                return self.close(number, CloseReason::Cancelled);
            }
            OrderStatus::Cancelled | OrderStatus::Refunded if order.close == CloseReason::Cancelled => {
                again(order.receipt(order.status))
            }
            _ => refused(Code::OrderStatusInvalid),
        };
        self.tell(who, answer);
        Ok(())
    }

    pub(super) fn cancel_payment(&mut self, who: Who, id: &str) -> Result<(), Wrong> {
        let Some(number) = self.find_order(&who, id, Code::PaymentNotFound) else { return Ok(()) };
        let order = self.order(number);
        let answer = match (order.payment, order.is_busy()) {
            (PaymentStatus::Cancelled, true) if order.close == CloseReason::PaymentCancelled => {
                order.waiting.push(Waiting { who, again: true, wants_payment: true });
                return Ok(());
            }
            (_, true) => refused(Code::OrderInProgress),
            (PaymentStatus::Cancelled, false) => again(payment(PaymentStatus::Cancelled)),
            (PaymentStatus::Pending, false) => {
                order.payment = PaymentStatus::Cancelled;
                order.waiting.push(Waiting { who, again: false, wants_payment: true });
                return self.close(number, CloseReason::PaymentCancelled);
            }
            _ => refused(Code::PaymentCannotCancel),
        };
        self.tell(who, answer);
        Ok(())
    }

    /// All of a payment.
    pub(super) fn refund(&mut self, who: Who, id: &str) -> Result<(), Wrong> {
        let Some(number) = self.find_order(&who, id, Code::PaymentNotFound) else { return Ok(()) };
        let order = self.order(number);
        let is_refund = order.close == CloseReason::Refunded;
        let answer = match (order.payment, order.status) {
            _ if order.is_busy() => refused(Code::OrderInProgress),
            (PaymentStatus::Refunded, _) if is_refund => again(payment(PaymentStatus::Refunded)),
            (PaymentStatus::Paid, OrderStatus::Paid) => {
                order.waiting.push(Waiting { who, again: false, wants_payment: true });
                return self.close(number, CloseReason::Refunded);
            }
            _ => refused(Code::PaymentStatusInvalid),
        };
        self.tell(who, answer);
        Ok(())
    }

    pub(super) fn expire_order(&mut self, number: usize) -> Result<(), Wrong> {
        let order = self.order(number);
        order.timer = None;
        // One that is under way looks at the clock when that ends.
        if order.is_busy() { Ok(()) } else { self.close(number, CloseReason::Expired) }
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

    fn paid(&mut self, number: usize) {
        let order = self.order(number);
        order.payment = PaymentStatus::Paid;
        order.status = OrderStatus::Paid;
        order.timer = None;
    }

    /// Takes an order back.
    fn close(&mut self, number: usize, reason: CloseReason) -> Result<(), Wrong> {
        let order = self.order(number);
        order.close = reason;
        order.phase = if order.status == OrderStatus::Pending { Phase::Releasing } else { Phase::TakingBack };
        self.go(number)
    }

    /// Goes on with an order until another log is asked, or nothing is left to do.
    fn go(&mut self, number: usize) -> Result<(), Wrong> {
        let by = (self.log, OwnerKind::Order, number as u64);
        loop {
            let mut order = self.order(number).clone();
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
            let carried = self.carry(by, &mut order.lines, action(order.phase), true)?;
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
                    return self.end(number, None);
                }
            }
        }
    }

    /// Notes that all units are where the phase brings them.
    fn done(&mut self, number: usize) -> Result<(), Wrong> {
        let Order { phase, user, total, by_balance, .. } = *self.order(number);
        match phase {
            Phase::Reserving => {
                let lines = self.order(number).lines.clone();
                let price =
                    |line: &Line| self.model.logs.iter().find_map(|log| log.prices.get(&line.goods)).copied().unwrap_or(0);
                let total = lines.iter().map(|line| price(line) * line.quantity as i64).sum();
                self.order(number).total = total;
            }
            Phase::Releasing => {
                let order = self.order(number);
                order.status = OrderStatus::Cancelled;
                order.timer = None;
                if order.payment == PaymentStatus::Pending {
                    order.payment = PaymentStatus::Cancelled;
                }
            }
            Phase::TakingBack => {
                if by_balance {
                    let (log, delta) = (self.model.partitioner.of_user(user).log, total);
                    if log == self.log {
                        self.move_money(user, delta);
                    } else {
                        let by = (self.log, OwnerKind::Order, number as u64);
                        self.say(log, Said::Money { by, user, delta });
                    }
                }
                let order = self.order(number);
                order.payment = PaymentStatus::Refunded;
                order.status = OrderStatus::Refunded;
            }
            Phase::Idle | Phase::TakingMoney | Phase::Selling => {}
        }
        Ok(())
    }

    /// Tells those who wait how it ended. A payment that was refused leaves the order as it was.
    fn end(&mut self, number: usize, refusal: Option<Code>) -> Result<(), Wrong> {
        let now = self.here().time_ms;
        let order = self.order(number);
        let told = refusal.or(match (order.phase, order.close) {
            (Phase::Releasing, CloseReason::Refused) | (Phase::TakingBack, CloseReason::ParcelFailed) => order.refusal,
            _ => None,
        });
        order.phase = Phase::Idle;
        let (waiting, receipt, status) = (std::mem::take(&mut order.waiting), order.receipt(order.status), order.payment);
        let over = order.status == OrderStatus::Pending && now >= order.expires_at;
        self.tell_all(waiting, |one| match told {
            Some(code) => refused(code),
            None if one.wants_payment => payment(status),
            None => receipt.clone(),
        });
        if over { self.close(number, CloseReason::Expired) } else { Ok(()) }
    }

    /// The order with this id; when there is none, that is the answer.
    fn find_order(&mut self, who: &Who, id: &str, code: Code) -> Option<usize> {
        let found = self.here().order_numbers.get(id).copied();
        if found.is_none() {
            self.tell(who.clone(), refused(code));
        }
        found
    }

    fn order(&mut self, number: usize) -> &mut Order {
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
