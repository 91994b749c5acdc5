//! Balances: adjusted, paid from and paid back to, within one log and with the user in another log than the order.

use emshop_core::stock::levels::SLICE_MS;
use emshop_core::user::balance::BALANCE_MINOR_MAX;
use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::v1::{
    Balance, CloseReason, LogisticsStatus, Money, Operator, OperatorKind, OrderStatus, PaymentStatus, SagaStatus,
    SubmitOrderRequest, outcome,
};

use crate::commands::*;
use crate::shop::*;

const EXPIRY_MS: i64 = EXPIRES_IN_SECONDS as i64 * 1000;
const DEPOSIT: i64 = 5000;

struct Case {
    shop: Shop,
    /// Of 2 × 10.00, submitted.
    order_id: String,
    /// Has 50.00.
    user_id: u64,
    goods_id: u64,
}

/// Order and user in one log, in two, and in two with the goods in a third.
fn cases() -> Vec<Case> {
    let of_logs = |logs: u32| {
        let mut shop = Shop::new(logs);
        let [goods_id] = shop.goods_of(if logs == 3 { 2 } else { 0 });
        let user_id = shop.user_of(if logs == 1 { 0 } else { 1 });
        shop.stock_up(goods_id, 1000, 10);
        shop.channels_repeat = true;
        let order_id = shop.id_of(0, "o");
        assert_done(&shop.send_one(adjust_balance(user_id, DEPOSIT, "deposit")));
        assert_done(&shop.send_one(submit(order_by_balance(&order_id, user_id, &[(goods_id, 2)]))));
        Case { shop, order_id, user_id, goods_id }
    };
    [1, 2, 3].map(of_logs).into()
}

/// Those whose user is asked in another log.
fn far_cases() -> impl Iterator<Item = Case> {
    cases().into_iter().skip(1)
}

impl Case {
    /// Leaves the user with this much.
    fn left_with(mut self, available_minor: i64) -> Self {
        let delta_minor = available_minor - DEPOSIT;
        assert_done(&self.shop.send_one(adjust_balance(self.user_id, delta_minor, "leave")));
        self
    }

    #[track_caller]
    fn assert_pending(&mut self) {
        self.shop.assert_stands(&self.order_id, OrderStatus::Pending, PaymentStatus::Pending, None);
        assert_eq!(self.shop.levels(self.goods_id), (8, 2, 0));
    }

    #[track_caller]
    fn assert_paid(&mut self) {
        let pending = Some(LogisticsStatus::Pending);
        self.shop.assert_stands(&self.order_id, OrderStatus::Paid, PaymentStatus::Paid, pending);
        assert_eq!((self.shop.levels(self.goods_id), self.balance()), ((8, 0, 2), DEPOSIT - 2000));
    }

    fn balance(&mut self) -> i64 {
        self.shop.balance(self.user_id).0
    }

    fn events(&self, event_type: EventType) -> usize {
        let events = self.shop.logs.iter().flat_map(|log| &log.events);
        events.filter(|event| event.event_type == event_type).count()
    }
}

#[test]
fn a_balance_is_adjusted_within_its_bounds() {
    let mut shop = Shop::new(1);
    let max = BALANCE_MINOR_MAX;
    let table = [
        ("CNY", -1, Some(Code::BalanceInsufficient), 0),
        ("CNY", 700, None, 700),
        ("EUR", 1, Some(Code::CurrencyMismatch), 700),
        ("EUR", -1, Some(Code::CurrencyMismatch), 700),
        ("CNY", -701, Some(Code::BalanceInsufficient), 700),
        ("CNY", -700, None, 0),
        ("EUR", 1, Some(Code::CurrencyMismatch), 0),
        ("CNY", max + 1, Some(Code::BalanceTooLarge), 0),
        ("CNY", max, None, max),
        ("CNY", 1, Some(Code::BalanceTooLarge), max),
        ("CNY", i64::MAX, Some(Code::BalanceTooLarge), max),
        ("CNY", -1, None, max - 1),
    ];
    for (row, (currency, delta_minor, refusal, available_minor)) in table.into_iter().enumerate() {
        let answer = shop.send_one(adjust_balance_in(currency, USER, delta_minor, &format!("k{row}")));
        assert_eq!((refused(&answer), shop.balance(USER)), (refusal, (available_minor, 0)), "row {row}");
    }
}

#[test]
fn frozen_money_counts_towards_the_bound() {
    let mut shop = Shop::new(1);
    shop.send_one(adjust_balance(USER, BALANCE_MINOR_MAX, "all"));
    assert_done(&shop.send_one(try_payment(USER, "b", 10)));
    assert_refused(&shop.send_one(adjust_balance(USER, 1, "more")), Code::BalanceTooLarge);
    assert_done(&shop.send_one(cancel_tried(USER, "b")));
    assert_eq!(shop.balance(USER), (BALANCE_MINOR_MAX, 0));
}

#[test]
fn a_key_is_for_one_body_of_one_user() {
    let mut shop = Shop::new(1);
    let [first, again] = shop.send([adjust_balance(USER, 5, "k"), adjust_balance(USER, 5, "k")]);
    let money = |minor| Some(Money::new(minor, "CNY"));
    let balance = Balance { user_id: USER, available: money(5), frozen: money(0) };
    assert_eq!(first.result, Some(outcome::Result::Balance(balance)));
    assert_eq!((&again.result, again.repeated), (&first.result, true));
    assert_refused(&shop.send_one(adjust_balance(USER, 6, "k")), Code::IdempotencyKeyReused);
    assert_done(&shop.send_one(adjust_balance(USER + 1, 5, "k")));
    assert_eq!((shop.balance(USER), shop.balance(USER + 1)), ((5, 0), (5, 0)));
}

#[test]
fn an_order_is_paid_from_the_balance() {
    for mut case in cases() {
        case.shop.now_ms += 5;
        let paid = case.shop.send_one(pay_with_balance(&case.order_id));
        assert_done(&paid);
        case.assert_paid();
        let payment = case.shop.payment(&case.order_id);
        assert_eq!((payment.paid_at_ms, paid.result), (START_MS + 5, Some(outcome::Result::Payment(payment))));
        let again = case.shop.send_one(pay_with_balance(&case.order_id));
        assert!(again.repeated && refused(&again).is_none());
        case.shop.tick_after(EXPIRY_MS);
        case.assert_paid();
        assert_eq!((case.events(EventType::PaymentConfirmed), case.events(EventType::OrderPaid)), (1, 1));
    }
}

/// The refusal is the answer, and the order waits as before: for money, for its user's mind, or for its time.
#[test]
fn too_little_leaves_the_order_payable() {
    let short = || cases().into_iter().map(|case| case.left_with(1999));
    for mut case in short() {
        // What has happened to stock so far is told.
        case.shop.tick_after(SLICE_MS);
        let events: usize = case.shop.logs.iter().map(|log| log.events.len()).sum();
        for _ in 0..3 {
            case.shop.now_ms += 1000;
            assert_refused(&case.shop.send_one(pay_with_balance(&case.order_id)), Code::BalanceInsufficient);
        }
        case.assert_pending();
        assert_eq!(case.balance(), 1999);
        assert_eq!(case.shop.logs.iter().map(|log| log.events.len()).sum::<usize>(), events, "nothing has happened");
        let order = case.shop.order(&case.order_id);
        assert_eq!((order.close_reason(), order.saga_status()), (CloseReason::Unspecified, SagaStatus::Compensated));
        assert_eq!(order.refusal, None);
        let tries: Vec<_> = order.timeline.iter().filter(|event| event.refused_code != 0).collect();
        assert_eq!(
            (tries.len(), tries[0].at_ms, tries[0].name.as_str()),
            (1, START_MS + SLICE_MS + 3000, "Payment/ConfirmPayment")
        );

        assert_done(&case.shop.send_one(adjust_balance(case.user_id, DEPOSIT - 1999, "more")));
        assert_done(&case.shop.send_one(pay_with_balance(&case.order_id)));
        case.assert_paid();
    }
    for give_up in [cancel, cancel_payment] {
        for mut case in short() {
            case.shop.send_one(pay_with_balance(&case.order_id));
            assert_done(&case.shop.send_one(give_up(&case.order_id)));
            case.shop.assert_stands(&case.order_id, OrderStatus::Cancelled, PaymentStatus::Cancelled, None);
            assert_eq!(case.shop.order(&case.order_id).refusal, None);
            assert_refused(&case.shop.send_one(pay_with_balance(&case.order_id)), Code::PaymentAlreadyCancelled);
            assert_eq!((case.balance(), case.shop.levels(case.goods_id)), (1999, (10, 0, 0)));
        }
    }
    for mut case in short() {
        case.shop.send_one(pay_with_balance(&case.order_id));
        case.shop.tick_after(EXPIRY_MS);
        assert_eq!(case.shop.order(&case.order_id).close_reason(), CloseReason::Expired);
        assert_refused(&case.shop.send_one(pay_with_balance(&case.order_id)), Code::PaymentExpired);
        assert_eq!((case.events(EventType::PaymentClosed), case.events(EventType::OrderClosed)), (1, 1));
    }
}

#[test]
fn what_a_balance_cannot_pay() {
    for logs in [1, 2] {
        let mut shop = Shop::new(logs);
        let [goods_id] = shop.goods_of(0);
        shop.stock_up(goods_id, 1000, 10);
        let (order_id, user_id) = (shop.id_of(0, "o"), shop.user_of(logs - 1));
        shop.send_one(submit(order_by_balance(&order_id, user_id, &[(goods_id, 2)])));
        assert_refused(&shop.send_one(pay_with_balance(&order_id)), Code::BalanceInsufficient);
        assert_done(&shop.send_one(adjust_balance_in("EUR", user_id, DEPOSIT, "euros")));
        assert_refused(&shop.send_one(pay_with_balance(&order_id)), Code::CurrencyMismatch);
        assert_eq!(shop.balance(user_id), (DEPOSIT, 0));
        assert_refused(&shop.send_one(pay_with_balance("unknown")), Code::PaymentNotFound);
    }
}

/// Frozen money is not spent twice.
#[test]
fn what_a_try_holds_pays_no_order() {
    for mut case in cases() {
        assert_done(&case.shop.send_one(try_payment(case.user_id, "b", DEPOSIT - 1999)));
        assert_refused(&case.shop.send_one(pay_with_balance(&case.order_id)), Code::BalanceInsufficient);
        assert_done(&case.shop.send_one(cancel_tried(case.user_id, "b")));
        assert_done(&case.shop.send_one(pay_with_balance(&case.order_id)));
        case.assert_paid();
    }
}

/// Nobody else can say that there is money, or that there is none.
#[test]
fn the_method_decides_who_confirms() {
    for mut case in cases() {
        for claim in [confirm, simulate_success, fail_payment] {
            assert_refused(&case.shop.send_one(claim(&case.order_id)), Code::PaymentMethodInvalid);
        }
        case.assert_pending();
        case.shop.send_one(pay_with_balance(&case.order_id));
        for claim in [confirm, simulate_success, fail_payment] {
            assert_refused(&case.shop.send_one(claim(&case.order_id)), Code::PaymentMethodInvalid);
        }
        case.assert_paid();
        let other = case.shop.id_of(0, "alipay");
        let request = SubmitOrderRequest { user_id: case.user_id, ..order(&other, &[(case.goods_id, 1)]) };
        assert_done(&case.shop.send_one(submit(request)));
        assert_refused(&case.shop.send_one(pay_with_balance(&other)), Code::PaymentMethodInvalid);
        assert_eq!(case.balance(), DEPOSIT - 2000);
    }
}

#[test]
fn only_its_user_spends_a_balance() {
    for mut case in cases() {
        let by = |kind: OperatorKind, user_id| Some(Operator { kind: kind.into(), user_id, ..Operator::default() });
        case.shop.operator = by(OperatorKind::User, case.user_id + 1);
        assert_refused(&case.shop.send_one(pay_with_balance(&case.order_id)), Code::PaymentNotFound);
        case.assert_pending();
        case.shop.operator = by(OperatorKind::User, case.user_id);
        assert_done(&case.shop.send_one(pay_with_balance(&case.order_id)));
        case.assert_paid();
    }
}

#[test]
fn commands_while_the_balance_is_asked() {
    for mut case in far_cases() {
        let id = &case.order_id;
        let [first, repeat, cancelled, given_up] =
            case.shop.send_only([pay_with_balance(id), pay_with_balance(id), cancel(id), cancel_payment(id)]);
        for early in [cancelled, given_up] {
            assert_refused(&case.shop.outcome(early).expect("answered at once"), Code::OrderInProgress);
        }
        assert_eq!((case.shop.outcome(first), case.shop.outcome(repeat)), (None, None));
        case.shop.carry();
        assert_done(&case.shop.outcome(first).expect("the balance has answered"));
        assert!(case.shop.outcome(repeat).expect("the balance has answered").repeated);
        case.assert_paid();
    }
}

/// The answer comes after the order's time: with the money it is paid all the same, without it the order ends.
#[test]
fn expiry_while_the_balance_is_asked() {
    for mut case in far_cases() {
        case.shop.now_ms += EXPIRY_MS - 1;
        let [ticket] = case.shop.send_only([pay_with_balance(&case.order_id)]);
        case.shop.now_ms += 1;
        case.shop.tick();
        case.shop.carry();
        assert_done(&case.shop.outcome(ticket).expect("the balance has answered"));
        case.shop.tick_after(EXPIRY_MS);
        case.assert_paid();
    }
    for mut case in far_cases().map(|case| case.left_with(0)) {
        case.shop.now_ms += EXPIRY_MS - 1;
        let [ticket] = case.shop.send_only([pay_with_balance(&case.order_id)]);
        case.shop.now_ms += 1;
        case.shop.tick();
        case.shop.carry();
        assert_refused(&case.shop.outcome(ticket).expect("the balance has answered"), Code::BalanceInsufficient);
        assert_refused(&case.shop.send_one(pay_with_balance(&case.order_id)), Code::PaymentExpired);
        case.shop.assert_stands(&case.order_id, OrderStatus::Cancelled, PaymentStatus::Cancelled, None);
        assert_eq!(case.shop.order(&case.order_id).close_reason(), CloseReason::Expired);
    }
}

/// In parts and as a whole, exactly once, and to whoever paid.
#[test]
fn what_was_paid_goes_back_once() {
    for mut case in cases() {
        case.shop.send_one(pay_with_balance(&case.order_id));
        for key in ["k1", "k2"] {
            assert_done(&case.shop.send_one(refund(&case.order_id, 700, key)));
            assert!(case.shop.send_one(refund(&case.order_id, 700, key)).repeated);
        }
        assert_eq!(case.balance(), DEPOSIT - 600);
        assert_done(&case.shop.send_one(refund(&case.order_id, 0, "rest")));
        assert!(case.shop.send_one(refund(&case.order_id, 0, "rest")).repeated);
        assert!(case.shop.send_one(pay_with_balance(&case.order_id)).repeated);
        case.shop.assert_stands(&case.order_id, OrderStatus::Refunded, PaymentStatus::Refunded, Some(LogisticsStatus::Cancelled));
        assert_eq!((case.balance(), case.shop.levels(case.goods_id)), (DEPOSIT, (10, 0, 0)));
    }
    for mut case in cases() {
        case.shop.send_one(pay_with_balance(&case.order_id));
        assert_done(&case.shop.send_one(cancel(&case.order_id)));
        assert_eq!((case.balance(), case.shop.levels(case.goods_id)), (DEPOSIT, (10, 0, 0)));
    }
}

#[test]
fn money_for_a_parcel_that_nobody_carries_goes_back() {
    for mut case in cases() {
        let id = case.shop.id_of(0, "astray");
        let astray = order_by_balance(&id, case.user_id, &[(case.goods_id, 2)]);
        case.shop.send_one(submit(SubmitOrderRequest { logistics_company: 99, ..astray }));
        let first = case.shop.send_one(pay_with_balance(&id));
        assert_refused(&first, Code::LogisticsCompanyNotSupported);
        case.shop.assert_stands(&id, OrderStatus::Refunded, PaymentStatus::Refunded, None);
        assert_eq!(case.balance(), DEPOSIT);
        let again = case.shop.send_one(pay_with_balance(&id));
        assert_eq!((again.result, again.repeated), (first.result, true));
        assert_eq!(case.balance(), DEPOSIT);
    }
}

/// More orders than there is money for, in one envelope: served in its order.
#[test]
fn a_balance_is_spent_in_log_order() {
    let mut shop = Shop::with_two_goods();
    shop.send_one(adjust_balance(USER, 2500, "deposit"));
    let ids = ["a", "b", "c"];
    shop.send(ids.map(|id| submit(order_by_balance(id, USER, &[(1, 1)]))));
    let answers = shop.send(ids.map(pay_with_balance));
    assert_eq!(answers.map(|answer| refused(&answer)), [None, None, Some(Code::BalanceInsufficient)]);
    assert_eq!(shop.balance(USER), (500, 0));
}
