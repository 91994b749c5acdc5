//! Payments of orders, and what of them goes back.

use emshop_proto::errors::Code;
use emshop_proto::internal::OwnerKind;
use emshop_proto::v1::{CloseReason, ConfirmPaymentRequest, OrderStatus, PaymentStatus, RefundPaymentRequest};

use super::orders::{Order, Phase};
use super::said::Said;
use super::{Turn, Waiting, Wants, Who, Wrong, again, refused};

impl Turn<'_> {
    pub(super) fn confirm(&mut self, who: Who, request: &ConfirmPaymentRequest) -> Result<(), Wrong> {
        self.pay(who, &request.order_id, &request.third_party_sn, false)
    }

    pub(super) fn pay_with_balance(&mut self, who: Who, id: &str) -> Result<(), Wrong> {
        self.pay(who, id, "", true)
    }

    fn pay(&mut self, who: Who, id: &str, sn: &str, by_balance: bool) -> Result<(), Wrong> {
        let Some(number) = self.find_payment(&who, id) else { return Ok(()) };
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
                order.waiting.push(Waiting { who, again: false, wants: Wants::Payment });
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
                order.waiting.push(Waiting { who, again: true, wants: Wants::Payment });
                return Ok(());
            }
            (Refunded, CloseReason::ParcelFailed) => again(refused(order.refusal.ok_or("a failed parcel without a reason")?)),
            _ => again(order.paid()),
        };
        self.tell(who, answer);
        Ok(())
    }

    pub(super) fn cancel_payment(&mut self, who: Who, id: &str) -> Result<(), Wrong> {
        let Some(number) = self.find_payment(&who, id) else { return Ok(()) };
        let order = self.order(number);
        let answer = match (order.payment, order.is_busy()) {
            (PaymentStatus::Cancelled, true) if order.close == CloseReason::PaymentCancelled => {
                order.waiting.push(Waiting { who, again: true, wants: Wants::Payment });
                return Ok(());
            }
            (_, true) => refused(Code::OrderInProgress),
            (PaymentStatus::Cancelled, false) => again(order.paid()),
            (PaymentStatus::Pending, false) => {
                order.payment = PaymentStatus::Cancelled;
                return self.close(number, CloseReason::PaymentCancelled, who, Wants::Payment);
            }
            _ => refused(Code::PaymentCannotCancel),
        };
        self.tell(who, answer);
        Ok(())
    }

    /// All of a payment, or a part. (No run is so long that a completed order cannot be refunded any more.)
    pub(super) fn refund(&mut self, who: Who, request: &RefundPaymentRequest) -> Result<(), Wrong> {
        use OrderStatus::{Completed, Delivered, Paid, Shipped};
        let Some(number) = self.find_payment(&who, &request.order_id) else { return Ok(()) };
        let order = self.order(number);
        let is_refund = order.close == CloseReason::Refunded;
        let (left, amount) = (order.total - order.refunded, request.amount.as_ref().map(|amount| amount.amount_minor));
        let answer = match (order.payment, order.status) {
            _ if order.is_busy() => refused(Code::OrderInProgress),
            (PaymentStatus::Refunded, _) if is_refund && amount.is_none() => again(order.paid()),
            (PaymentStatus::Paid, Paid | Shipped | Delivered | Completed) => match amount {
                Some(amount) if amount < 1 || amount > left => refused(Code::PaymentAmountInvalid),
                Some(amount) if amount < left => {
                    order.refunded += amount;
                    let answer = order.paid();
                    self.pay_back(number, amount);
                    answer
                }
                _ if order.status == Paid => return self.close(number, CloseReason::Refunded, who, Wants::Payment),
                _ => refused(Code::OrderStatusInvalid),
            },
            (PaymentStatus::Paid, _) => refused(Code::OrderStatusInvalid),
            _ => refused(Code::PaymentStatusInvalid),
        };
        self.tell(who, answer);
        Ok(())
    }

    /// What was paid from a balance goes back there.
    pub(super) fn pay_back(&mut self, number: usize, delta: i64) {
        let Order { user, by_balance, .. } = *self.order(number);
        let log = self.model.partitioner.of_user(user).log;
        if !by_balance || delta == 0 {
            return;
        }
        if log == self.log {
            self.move_money(user, delta);
        } else {
            self.say(log, Said::Money { by: (self.log, OwnerKind::Order, number as u64), user, delta });
        }
    }

    /// The order with this id; when there is none, that is the answer.
    /// An order whose payment has begun; when there is none, that is the answer.
    fn find_payment(&mut self, who: &Who, id: &str) -> Option<usize> {
        let number = self.find_order(who, id, Code::PaymentNotFound)?;
        let order = self.order(number);
        if order.payment != PaymentStatus::Unspecified {
            return Some(number);
        }
        let code = if order.is_busy() { Code::OrderInProgress } else { Code::PaymentNotFound };
        self.tell(who.clone(), refused(code));
        None
    }
}
