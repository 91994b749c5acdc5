//! Sagas that cannot take back what they did: left alone until an operator goes on with them.

use emshop_proto::errors::Code;
use emshop_proto::internal::{Channel, Envelope, StockAction, StockReply, WaitingQuery, record, step};
use emshop_proto::v1::{
    Command, Operator, OperatorKind, OrderStatus, Outcome, PaymentStatus, SagaResolution, SagaStatus, SubmitOrderRequest,
    WaitsFor,
};

use crate::commands::*;
use crate::shop::*;
use crate::waiting;

const EXPIRY_MS: i64 = EXPIRES_IN_SECONDS as i64 * 1000;

/// Two logs, and an order in the first one for goods of the other, which does not take them back.
struct Stuck {
    shop: Shop,
    id: String,
    far: u64,
    /// What the other log is asked to take back.
    action: StockAction,
    /// Number of the next step from the other log.
    next_number: u64,
}

impl Stuck {
    /// A pending order that was cancelled.
    fn cancelled() -> Self {
        let mut stuck = Self::submitted(order, StockAction::Release);
        let [ticket] = stuck.shop.send_only([cancel(&stuck.id)]);
        stuck.refuse();
        assert_refused(&stuck.shop.outcome(ticket).expect("whoever waits is told"), Code::StockReleaseFailed);
        stuck
    }

    /// A paid order whose parcel nobody carries.
    fn paid() -> Self {
        let mut stuck = Self::submitted(order_without_carrier, StockAction::Reback);
        let [ticket] = stuck.shop.send_only([confirm(&stuck.id)]);
        // The sale, and its reply.
        assert!(stuck.shop.carry_once() && stuck.shop.carry_once());
        stuck.next_number += 1;
        stuck.refuse();
        assert_refused(&stuck.shop.outcome(ticket).expect("whoever waits is told"), Code::LogisticsCompanyNotSupported);
        stuck
    }

    fn submitted(order: fn(&str, &[(u64, u64)]) -> SubmitOrderRequest, action: StockAction) -> Self {
        let mut shop = Shop::new(2);
        let [far] = shop.goods_of(1);
        shop.stock_up(far, 100, 10);
        let id = shop.id_of(0, "o");
        assert_done(&shop.send_one(submit(order(&id, &[(far, 1)]))));
        Self { shop, id, far, action, next_number: 2 }
    }

    /// The other log refuses what it is asked, which it will not get before the next time that the logs talk.
    fn refuse(&mut self) {
        let (_, mut asked) = self.shop.logs[0].replica.outbox.envelope(0, 1).expect("it is asked");
        asked.records.truncate(1);
        let Some(record::Body::Step(step)) = &mut asked.records[0].body else { panic!("not a step") };
        let (action, refusal) = (self.action.into(), Some(Code::StockReleaseFailed.refusal()));
        step.body = Some(step::Body::Reply(StockReply { action, refusal, ..StockReply::default() }));
        let channel = Some(Channel { source_log: 1, first_number: self.next_number, cause: None });
        self.shop.apply(0, Envelope { channel, ..asked });
        self.next_number += 1;
        assert_eq!(self.shop.order(&self.id).saga_status(), SagaStatus::Stuck);
        assert_eq!(emshop_core::inspect(self.shop.logs[0].store.as_ref()).sagas_stuck, 1);
    }

    fn resolve(&mut self, resolution: SagaResolution, key: &str) -> u64 {
        let version = if resolution == SagaResolution::WriteOff { self.version() } else { 0 };
        let [ticket] = self.shop.send_only([resolve_saga(&self.id, resolution, version, key)]);
        ticket
    }

    /// As an operator sees it.
    fn version(&mut self) -> u32 {
        let query = WaitingQuery {
            limit: 1,
            since_ms: self.shop.now_ms,
            waits_for: WaitsFor::Operator.into(),
            ..WaitingQuery::default()
        };
        waiting::ask(&mut self.shop, query).orders[0].version
    }

    /// The saga is at its end, and all of its units where they were.
    fn assert_ended(&mut self, ticket: u64, status: OrderStatus, payment: PaymentStatus) {
        self.shop.carry();
        let outcome = self.shop.outcome(ticket).expect("the operator is told");
        assert_done(&outcome);
        self.shop.assert_stands(&self.id, status, payment, None);
        assert_eq!(self.shop.order(&self.id).saga_status(), SagaStatus::Compensated);
        assert_eq!(self.shop.levels(self.far), (10, 0, 0));
        assert_refused(&self.shop.send_one(resolve_saga(&self.id, SagaResolution::Retry, 0, "late")), Code::OrderStatusInvalid);
    }
}

fn told_at_once(stuck: &mut Stuck, command: fn(&str) -> Command) -> Outcome {
    let [ticket] = stuck.shop.send_only([command(&stuck.id)]);
    stuck.shop.outcome(ticket).expect("told at once")
}

/// Timers and commands began it anew behind the back of whoever looked into it, and a second refusal stopped the log.
#[test]
fn a_stuck_saga_is_left_alone() {
    let of_pending: [fn(&str) -> Command; 4] = [cancel, confirm, cancel_payment, fail_payment];
    let of_paid: [fn(&str) -> Command; 4] = [cancel, |id| refund(id, 0, ""), |id| refund(id, 50, "k"), create_parcel];
    for (mut stuck, commands) in [(Stuck::cancelled(), of_pending), (Stuck::paid(), of_paid)] {
        let before = stuck.shop.order(&stuck.id);
        for command in commands {
            assert_refused(&told_at_once(&mut stuck, command), Code::OrderStatusInvalid);
        }
        stuck.shop.now_ms += EXPIRY_MS;
        stuck.shop.tick();
        assert_eq!(stuck.shop.order(&stuck.id), before);
    }
}

#[test]
fn an_operator_has_it_tried_again() {
    let table = [
        (Stuck::cancelled(), OrderStatus::Cancelled, PaymentStatus::Cancelled),
        (Stuck::paid(), OrderStatus::Refunded, PaymentStatus::Refunded),
    ];
    for (mut stuck, status, payment) in table {
        let ticket = stuck.resolve(SagaResolution::Retry, "k");
        assert_eq!(stuck.shop.outcome(ticket), None, "the other log is asked");
        stuck.assert_ended(ticket, status, payment);
        assert!(stuck.shop.send_one(resolve_saga(&stuck.id, SagaResolution::Retry, 0, "k")).repeated);
    }
}

#[test]
fn an_operator_writes_off_what_is_refused_again() {
    let table = [
        (Stuck::cancelled(), OrderStatus::Cancelled, PaymentStatus::Cancelled),
        (Stuck::paid(), OrderStatus::Refunded, PaymentStatus::Refunded),
    ];
    for (mut stuck, status, payment) in table {
        let ticket = stuck.resolve(SagaResolution::Retry, "one");
        assert_refused(&told_at_once(&mut stuck, cancel), Code::OrderInProgress);
        stuck.refuse();
        assert_refused(&stuck.shop.outcome(ticket).expect("the operator is told"), Code::StockReleaseFailed);

        let asked = stuck.shop.logs[0].replica.outbox.envelope(0, 1).expect("it was asked before");
        let ticket = stuck.resolve(SagaResolution::WriteOff, "two");
        assert_eq!(stuck.shop.logs[0].replica.outbox.envelope(0, 1), Some(asked), "the other log is left alone");
        assert_eq!(stuck.shop.levels(stuck.far).0, 9, "it counts the units as before");
        // What it was asked before comes at last.
        stuck.assert_ended(ticket, status, payment);
    }
}

/// It got stuck again, perhaps at another step, since the operator has looked.
#[test]
fn nothing_is_written_off_that_nobody_has_looked_at() {
    let mut stuck = Stuck::cancelled();
    let seen = stuck.version();
    stuck.resolve(SagaResolution::Retry, "one");
    stuck.refuse();
    for (version, code) in [(seen, Code::OrderStatusInvalid), (0, Code::ValidationFailed)] {
        let command = resolve_saga(&stuck.id, SagaResolution::WriteOff, version, "two");
        assert_refused(&stuck.shop.send_one(command), code);
    }
    assert_refused(&stuck.shop.send_one(resolve_saga(&stuck.id, SagaResolution::Retry, seen, "three")), Code::OrderStatusInvalid);
    assert!(stuck.version() > seen);
    let ticket = stuck.resolve(SagaResolution::WriteOff, "four");
    stuck.assert_ended(ticket, OrderStatus::Cancelled, PaymentStatus::Cancelled);
}

#[test]
fn the_timeline_says_who_went_on_and_why() {
    let mut stuck = Stuck::cancelled();
    let operator = Some(Operator { user_id: 9, kind: OperatorKind::Admin.into(), ..Operator::default() });
    stuck.shop.operator = operator.clone();
    stuck.shop.now_ms += 5;
    stuck.resolve(SagaResolution::WriteOff, "k");
    let timeline = stuck.shop.order(&stuck.id).timeline;
    let at = timeline.iter().position(|event| event.resolution() == SagaResolution::WriteOff).expect("it is noted");
    let event = &timeline[at];
    assert_eq!((event.name.as_str(), event.at_ms, &event.operator), ("Inventory/ReleaseReserved", stuck.shop.now_ms, &operator));
    assert_eq!(event.reason, "looked at");
    assert_eq!(timeline[at - 1].refused_code, Code::StockReleaseFailed.number());
    let rest: Vec<_> = timeline[at + 1..].iter().map(|event| event.name.as_str()).collect();
    assert_eq!(rest, ["Inventory/ReleaseReserved", "Payment/CancelPayment", "Order/CreateOrderCompensate"]);
}

#[test]
fn only_a_stuck_saga_is_resolved() {
    let mut shop = Shop::with_two_goods();
    assert_refused(&shop.send_one(resolve_saga("o", SagaResolution::Retry, 0, "k")), Code::OrderNotFound);
    assert_done(&shop.send_one(submit(order("o", &[(1, 1)]))));
    assert_refused(&shop.send_one(resolve_saga("o", SagaResolution::WriteOff, 9, "k2")), Code::OrderStatusInvalid);
    assert_eq!(shop.levels(1), (9, 1, 0));
}
