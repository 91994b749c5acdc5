//! An order while a record works on it: out of its table, so that what it asks of the rest of the log is a call.

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{OrderRow, SagaRow, Waiter};
use emshop_proto::logistics::COMPLETION_SECONDS;
use emshop_proto::v1::{
    CloseReason, LogisticsStatus, OrderStatus, PaymentAction, PaymentStatus, Refusal, SagaKind, SagaStatus, SagaStep, outcome,
};

use super::row::{self, By, completion, set_status};
use super::{parcel, payment, route, steps, view};
use crate::books::OrderMark;
use crate::context::{Turn, WAITERS_MAX, is_waited_for};
use crate::effects::{Answer, Answered, Handled};
use crate::limits;
use crate::state::timers::Timer;
use crate::timer;

/// An order out of its table, with the turn that works on it.
pub struct Case<'c, 't> {
    /// The order.
    pub row: &'c mut OrderRow,
    /// Of the order in its log.
    pub number: u64,
    /// The turn.
    pub turn: &'c mut Turn<'t>,
    /// Who gets to know how the saga ends. If it has to wait for another log, the row remembers.
    pub waiter: Option<Waiter>,
}

impl Case<'_, '_> {
    /// Works on an order, which is changed by it.
    ///
    /// # Panics
    /// When there is no order of this number.
    pub fn open<T>(turn: &mut Turn, number: u64, work: impl FnOnce(&mut Case) -> T) -> T {
        let mut row = turn.state.orders.take(&number).unwrap_or_else(|| panic!("there is no order of number {number}"));
        let before = OrderMark::of(&row, turn.ctx.log, turn.ctx.partitioner);
        let done = work(&mut Case { row: row.make_mut(), number, turn, waiter: None });
        turn.state.books.order_changed(&before, &OrderMark::of(&row, turn.ctx.log, turn.ctx.partitioner));
        turn.state.orders.put_back(number, row);
        done
    }

    /// Whoever gave the command that is being applied.
    pub fn by(&self, reason: &str) -> By {
        By::command(&self.turn.ctx, reason)
    }

    /// What the saga under way changes is the doing of whoever began it.
    pub fn by_saga(&self) -> By {
        let SagaRow { operator, reason, .. } = row::saga(self.row);
        let (at_ms, log_sequence) = (self.turn.ctx.time_ms, self.turn.ctx.sequence);
        By { operator: operator.clone(), reason: reason.clone(), at_ms, log_sequence }
    }

    /// The timer of its payment.
    pub fn expiry(&self) -> Timer {
        row::expiry(self.row, self.number)
    }

    /// Moves the order on in the name of the saga under way.
    pub fn set_status(&mut self, to: OrderStatus) {
        let by = self.by_saga();
        limits::count_unpaid(self.turn.state, self.row, to);
        set_status(self.row, to, by);
    }

    /// As [`Case::set_status`], of the payment.
    pub fn set_payment_status(&mut self, to: PaymentStatus, action: PaymentAction) {
        let by = self.by_saga();
        payment::set_status(self.row, to, action, by);
    }

    /// Moves the order on without a saga, and tells the world.
    pub fn move_to(&mut self, to: OrderStatus, by: By) {
        set_status(self.row, to, by);
        self.turn.fx.event(EventType::OrderMoved, view::order_event(self.row));
    }

    /// The parcel is with its receiver, or stays there: unless they say otherwise in time, the order completes by itself.
    pub fn deliver(&mut self, completes_after_seconds: u32, by: By) {
        let after_seconds = if completes_after_seconds == 0 { COMPLETION_SECONDS } else { completes_after_seconds };
        self.row.completes_at_ms = by.at_ms + i64::from(after_seconds) * 1000;
        timer::set(self.turn.state, &completion(self.row, self.number));
        self.move_to(OrderStatus::Delivered, by);
    }

    /// The receiver has made up their mind about a delivered order.
    pub fn decide(&mut self, to: OrderStatus, reason: &str) {
        timer::remove(self.turn.state, &completion(self.row, self.number));
        self.row.completes_at_ms = 0;
        self.move_to(to, self.by(reason));
    }

    /// Begins a saga and takes it as far as it goes without another log.
    pub fn start(&mut self, kind: SagaKind, by: By, waiter: Option<Waiter>) {
        self.begin(kind, SagaStatus::Running, steps::of(kind)[0].step, by, waiter);
    }

    /// Takes back all that was done for an order whose saga has ended and that is not at an end itself.
    pub fn close(&mut self, reason: CloseReason, by: By, waiter: Option<Waiter>) {
        self.row.set_close_reason(reason);
        route::stop(self);
        let (kind, step) = match (self.row.status(), self.row.parcel.as_ref().map(|parcel| parcel.status())) {
            (OrderStatus::Pending, _) => (SagaKind::SubmitOrder, SagaStep::ReserveStock),
            (_, Some(LogisticsStatus::Pending)) => (SagaKind::PaymentSuccess, SagaStep::CreateLogisticsOrder),
            // The parcel has gone its way, or was cancelled before.
            _ => (SagaKind::PaymentSuccess, SagaStep::ConfirmSell),
        };
        self.begin(kind, SagaStatus::Compensating, step, by, waiter);
    }

    fn begin(&mut self, kind: SagaKind, status: SagaStatus, step: SagaStep, by: By, waiter: Option<Waiter>) {
        let began_after_ms = self.turn.ctx.time_ms - self.row.created_at_ms;
        let mut saga = SagaRow { operator: by.operator, reason: by.reason, began_after_ms, ..SagaRow::default() };
        self.turn.fx.tally.start(kind);
        saga.set_kind(kind);
        saga.set_status(status);
        saga.set_step(step);
        self.row.saga = Some(saga);
        self.go_on(waiter);
    }

    /// Goes on with a saga that was stuck, at the step whose compensation was refused.
    pub fn unstick(&mut self, waiter: Waiter) {
        self.turn.state.stuck_orders.remove(&self.number);
        row::saga_mut(self.row).set_status(SagaStatus::Compensating);
        self.go_on(Some(waiter));
    }

    fn go_on(&mut self, waiter: Option<Waiter>) {
        self.waiter = waiter.filter(is_waited_for);
        steps::run(self);
        row::saga_mut(self.row).waiters.extend(self.waiter.take());
    }

    /// Tells everyone who waits how the saga ended, and the world.
    pub fn finish(&mut self, status: SagaStatus) {
        // A payment that was refused leaves the order as it was.
        let unchanged = status == SagaStatus::Compensated && self.row.status() == OrderStatus::Pending;
        match (row::saga(self.row).kind(), status) {
            (SagaKind::PaymentSuccess, SagaStatus::Completed) => self.event(EventType::OrderPaid),
            (_, SagaStatus::Completed) => self.event(EventType::OrderSubmitted),
            (_, SagaStatus::Compensated) if !unchanged => self.event(EventType::OrderClosed),
            _ => {}
        }
        let saga = row::saga(self.row);
        let took_ms = self.turn.ctx.time_ms - self.row.created_at_ms - saga.began_after_ms;
        self.turn.fx.tally.end(saga.kind(), status, took_ms);
        if status == SagaStatus::Stuck {
            self.turn.state.stuck_orders.insert(self.number, ());
        }
        let later = self.waiter.take();
        for waiter in std::mem::take(&mut row::saga_mut(self.row).waiters).into_iter().chain(later) {
            let answer = self.answer(status, &waiter);
            self.turn.answer(waiter, answer);
        }
        if unchanged {
            self.row.refusal = None;
        }
        // Its time was over while the saga was under way, so that its timer found it busy.
        if status != SagaStatus::Stuck && self.row.status() == OrderStatus::Pending && self.is_over() {
            self.close(CloseReason::Expired, self.by(""), None);
        }
    }

    /// The time to pay is over by log time.
    pub fn is_over(&self) -> bool {
        self.turn.ctx.time_ms >= row::payment(self.row).expires_at_ms
    }

    fn event(&mut self, event_type: EventType) {
        self.turn.fx.event(event_type, view::order_event(self.row));
    }

    fn answer(&self, status: SagaStatus, waiter: &Waiter) -> Answer {
        match (&self.row.refusal, status) {
            (_, SagaStatus::Stuck) if waiter.resolves => Code::StockReleaseFailed.into(),
            _ if waiter.resolves => Answer::new(outcome::Result::Order(row::receipt(self.row))),
            (Some(refusal), SagaStatus::Compensated | SagaStatus::Stuck) => Refusal::clone(refusal).into(),
            (None, SagaStatus::Stuck) => Code::StockReleaseFailed.into(),
            _ if waiter.wants_payment => Answer::new(outcome::Result::Payment(view::payment(self.row))),
            _ if waiter.wants_parcel => parcel::answer(self.row),
            _ => Answer::new(outcome::Result::Order(row::receipt(self.row))),
        }
    }
}

/// Adds somebody who waits for the saga that is under way.
///
/// # Errors
/// When too many do.
pub(crate) fn latch(turn: &mut Turn, number: u64, waiter: Waiter) -> Handled {
    if row::saga(row::existing(turn.state, number)).waiters.len() >= WAITERS_MAX {
        return Err(Code::OrderInProgress.into());
    }
    Case::open(turn, number, |case| row::saga_mut(case.row).waiters.push(waiter));
    Ok(Answered::Later)
}
