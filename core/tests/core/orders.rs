//! Orders from submit to their end, by both sagas, with every step that can fail.

use emshop_core::idempotency::KEY_LIFETIME_MS;
use emshop_proto::errors::Code;
use emshop_proto::v1::{
    CancelOrderRequest, CloseReason, Command, LogisticsStatus, Money, Operator, OperatorKind, OrderStatus, PaymentStatus,
    Shortage, SubmitOrderRequest, command, outcome,
};

use crate::commands::*;
use crate::shop::*;

const EXPIRY_MS: i64 = EXPIRES_IN_SECONDS as i64 * 1000;

/// Order "o" of 2 × goods 1 and 4 × goods 2, total 30.00.
fn submitted() -> Shop {
    let mut shop = Shop::with_two_goods();
    assert_done(&shop.send_one(submit(order("o", &[(1, 2), (2, 4)]))));
    shop
}

fn paid() -> Shop {
    let mut shop = submitted();
    assert_done(&shop.send_one(confirm("o")));
    shop
}

fn assert_pending(shop: &mut Shop) {
    shop.assert_stands("o", OrderStatus::Pending, PaymentStatus::Pending, None);
    assert_eq!((shop.levels(1), shop.levels(2)), ((8, 2, 0), (6, 4, 0)));
}

fn assert_paid(shop: &mut Shop) {
    shop.assert_stands("o", OrderStatus::Paid, PaymentStatus::Paid, Some(LogisticsStatus::Pending));
    assert_eq!((shop.levels(1), shop.levels(2)), ((8, 0, 2), (6, 0, 4)));
}

fn assert_closed(shop: &mut Shop, payment: PaymentStatus, reason: CloseReason) {
    shop.assert_stands("o", OrderStatus::Cancelled, payment, None);
    assert_eq!((shop.levels(1), shop.levels(2)), ((10, 0, 0), (10, 0, 0)));
    assert_eq!(shop.order("o").close_reason(), reason);
}

fn assert_refunded(shop: &mut Shop, reason: CloseReason, parcel: Option<LogisticsStatus>) {
    shop.assert_stands("o", OrderStatus::Refunded, PaymentStatus::Refunded, parcel);
    assert_eq!((shop.levels(1), shop.levels(2)), ((10, 0, 0), (10, 0, 0)));
    assert_eq!(shop.order("o").close_reason(), reason);
    assert_eq!(shop.payment("o").refunded, Some(Money::new(3000, "CNY")));
}

#[test]
fn an_order_is_submitted_and_paid() {
    let mut shop = submitted();
    assert_pending(&mut shop);
    assert_eq!(shop.order("o").total, Some(Money::new(3000, "CNY")));
    shop.now_ms += 5;
    let paid = shop.send_one(confirm("o"));
    assert_paid(&mut shop);
    assert_eq!(shop.payment("o").paid_at_ms, START_MS + 5);
    assert_eq!(paid.result, Some(outcome::Result::Payment(shop.payment("o"))));
    let timeline = "Order/CreateOrder\nPayment/CreatePayment\nInventory/ReserveStock\n\
        Payment/ConfirmPayment\nOrder/UpdatePaymentStatus\nInventory/ConfirmSell\nLogistics/CreateLogisticsOrder\n";
    assert_eq!(shop.timeline("o"), timeline);
}

#[test]
fn short_stock_refuses_with_the_shortages() {
    let mut shop = Shop::with_two_goods();
    let refusal = refusal_of(shop.send_one(submit(order("o", &[(1, 11), (2, 4)]))));
    assert_eq!(refusal.code, Code::StockInsufficientForReservation.number());
    assert_eq!(refusal.shortages, [Shortage { goods_id: 1, requested: 11, available: 10 }]);
    assert_closed(&mut shop, PaymentStatus::Cancelled, CloseReason::Refused);
}

#[test]
fn a_refused_order_answers_the_same_when_stock_is_back() {
    let mut shop = Shop::with_two_goods();
    let first = shop.send_one(submit(order("o", &[(1, 11)])));
    shop.send_one(adjust_stock(1, 5, "more"));
    let again = shop.send_one(submit(order("o", &[(1, 11)])));
    assert_eq!((again.result, again.repeated), (first.result, true));
    assert_eq!(shop.levels(1), (15, 0, 0));
}

/// Goods of two logs, since within one the order is refused before anything is held.
#[test]
fn what_other_logs_reserved_is_given_back_first() {
    let mut shop = Shop::new(2);
    let ([near], [other]) = (shop.goods_of(0), shop.goods_of(1));
    shop.stock_up(near, 250, 10);
    shop.stock_up(other, 250, 10);
    let id = shop.id_of(0, "o");
    assert_refused(&shop.send_one(submit(order(&id, &[(near, 2), (other, 11)]))), Code::StockInsufficientForReservation);
    let timeline = "Order/CreateOrder\nPayment/CreatePayment\nInventory/ReserveStock refused 110305\n\
        Inventory/ReleaseReserved\nPayment/CancelPayment\nOrder/CreateOrderCompensate\n";
    assert_eq!(shop.timeline(&id), timeline);
    assert_eq!((shop.levels(near), shop.levels(other)), ((10, 0, 0), (10, 0, 0)));
}

#[test]
fn unknown_goods_outweigh_a_shortage() {
    let mut shop = Shop::with_two_goods();
    let refusal = refusal_of(shop.send_one(submit(order("o", &[(1, 11), (2, 1), (999, 1)]))));
    assert_eq!((refusal.code, refusal.unknown_goods_ids), (Code::GoodsNotFound.number(), vec![999]));
    assert_closed(&mut shop, PaymentStatus::Cancelled, CloseReason::Refused);
}

#[test]
fn another_total_than_expected_refuses() {
    let mut shop = Shop::with_two_goods();
    let expecting =
        |order_id: &str, total| submit(SubmitOrderRequest { expected_total: Some(total), ..order(order_id, &[(1, 2), (2, 4)]) });
    let refusal = refusal_of(shop.send_one(expecting("o", Money::new(2999, "CNY"))));
    assert_eq!((refusal.code, refusal.actual_total), (Code::PriceChanged.number(), Some(Money::new(3000, "CNY"))));
    assert_closed(&mut shop, PaymentStatus::Cancelled, CloseReason::Refused);
    assert_refused(&shop.send_one(expecting("o2", Money::new(3000, "EUR"))), Code::CurrencyMismatch);
    assert_done(&shop.send_one(expecting("o3", Money::new(3000, "CNY"))));
}

#[test]
fn goods_in_two_currencies_are_no_order() {
    let mut shop = Shop::with_two_goods();
    shop.send([goods(3, Money::new(100, "EUR")), set_stock(3, 10, "first")]);
    assert_refused(&shop.send_one(submit(order("o", &[(1, 2), (2, 1), (3, 1)]))), Code::CurrencyMismatch);
    assert_closed(&mut shop, PaymentStatus::Cancelled, CloseReason::Refused);
    assert_eq!(shop.levels(3), (10, 0, 0));
}

#[test]
fn an_unknown_company_refunds_the_payment() {
    let mut shop = Shop::with_two_goods();
    shop.send_one(submit(order_without_carrier("o", &[(1, 2), (2, 4)])));
    let first = shop.send_one(confirm("o"));
    assert_refused(&first, Code::LogisticsCompanyNotSupported);
    assert_eq!(refusal_of(first.clone()).code, 1_001_021);
    assert_refunded(&mut shop, CloseReason::ParcelFailed, None);
    let timeline = "Order/CreateOrder\nPayment/CreatePayment\nInventory/ReserveStock\n\
        Payment/ConfirmPayment\nOrder/UpdatePaymentStatus\nInventory/ConfirmSell\nLogistics/CreateLogisticsOrder refused 1001021\n\
        Inventory/Reback\nOrder/RevertPaymentStatus\nPayment/RefundPayment\n";
    assert_eq!(shop.timeline("o"), timeline);
    let again = shop.send_one(confirm("o"));
    assert_eq!((again.result, again.repeated), (first.result, true));
}

#[test]
fn cancel_before_payment_releases() {
    let mut shop = submitted();
    let cancelled = shop.send_one(cancel("o"));
    assert_done(&cancelled);
    assert_closed(&mut shop, PaymentStatus::Cancelled, CloseReason::Cancelled);
    let again = shop.send_one(cancel("o"));
    assert_eq!((again.result, again.repeated), (cancelled.result, true));
    assert_refused(&shop.send_one(confirm("o")), Code::PaymentAlreadyCancelled);
}

#[test]
fn cancel_after_payment_refunds() {
    let mut shop = paid();
    assert_done(&shop.send_one(cancel("o")));
    assert_refunded(&mut shop, CloseReason::Cancelled, Some(LogisticsStatus::Cancelled));
    assert!(shop.send_one(cancel("o")).repeated);
    assert_refused(&shop.send_one(confirm_with("o", "sn-2", None)), Code::PaymentStatusInvalid);
}

#[test]
fn only_its_user_cancels_an_order() {
    let mut shop = submitted();
    let by = |user_id| {
        let request = CancelOrderRequest { order_id: "o".to_owned(), user_id, ..CancelOrderRequest::default() };
        Command::from(command::Body::CancelOrder(request))
    };
    assert_refused(&shop.send_one(by(USER + 1)), Code::OrderNotYours);
    let stranger = || Some(Operator { kind: OperatorKind::User.into(), user_id: USER + 1, ..Operator::default() });
    for user_id in [0, USER, USER + 1] {
        assert_refused(&shop.send_as(stranger(), by(user_id)), Code::OrderNotFound);
    }
    let theirs = SubmitOrderRequest { user_id: USER + 1, ..order("o", &[(1, 1)]) };
    assert_refused(&shop.send_as(stranger(), submit(theirs)), Code::IdempotencyKeyReused);
    assert_refused(&shop.send_one(cancel("unknown")), Code::OrderNotFound);
    assert_pending(&mut shop);
    assert_done(&shop.send_one(by(USER)));
}

#[test]
fn a_payment_is_given_up() {
    let mut shop = submitted();
    assert_done(&shop.send_one(cancel_payment("o")));
    assert_closed(&mut shop, PaymentStatus::Cancelled, CloseReason::PaymentCancelled);
    assert!(shop.send_one(cancel_payment("o")).repeated);
}

#[test]
fn a_failed_payment_cancels_the_order() {
    let mut shop = submitted();
    assert_done(&shop.send_one(fail_payment("o")));
    assert_closed(&mut shop, PaymentStatus::Failed, CloseReason::PaymentFailed);
    assert!(shop.send_one(fail_payment("o")).repeated);
    assert_refused(&shop.send_one(confirm("o")), Code::PaymentStatusInvalid);
    assert_refused(&shop.send_one(cancel_payment("o")), Code::PaymentCannotCancel);
}

#[test]
fn an_unpaid_order_expires_when_it_is_due_and_not_before() {
    let mut shop = submitted();
    shop.tick_after(EXPIRY_MS - 1);
    assert_pending(&mut shop);
    shop.tick_after(1);
    assert_closed(&mut shop, PaymentStatus::Cancelled, CloseReason::Expired);
    assert_refused(&shop.send_one(confirm("o")), Code::PaymentExpired);
    assert_refused(&shop.send_one(cancel("o")), Code::OrderStatusInvalid);
}

#[test]
fn a_late_confirmation_is_refused_before_the_tick_too() {
    let mut shop = submitted();
    shop.now_ms += EXPIRY_MS;
    assert_refused(&shop.send_one(confirm("o")), Code::PaymentExpired);
    assert_pending(&mut shop);
    shop.tick();
    assert_closed(&mut shop, PaymentStatus::Cancelled, CloseReason::Expired);
}

#[test]
fn a_paid_order_does_not_expire() {
    let mut shop = paid();
    shop.tick_after(EXPIRY_MS * 2);
    assert_paid(&mut shop);
}

/// Confirm, cancel and give-up in one envelope, in every order: the first one is done, and the second one finds what it left.
#[test]
fn a_race_has_one_winner() {
    let racers: [(OnOrder, OrderStatus); 4] = [
        (confirm, OrderStatus::Paid),
        (cancel, OrderStatus::Cancelled),
        (cancel_payment, OrderStatus::Cancelled),
        (fail_payment, OrderStatus::Cancelled),
    ];
    for (first_number, (first, status)) in racers.into_iter().enumerate() {
        for (second_number, (second, _)) in racers.into_iter().enumerate() {
            let mut shop = submitted();
            let [won, lost] = shop.send([first("o"), second("o")]);
            assert_done(&won);
            // What was paid can still be cancelled: then it is paid back.
            let cancelled = (first_number, second_number) == (0, 1);
            assert!(cancelled || lost.repeated || refused(&lost).is_some(), "{lost:?}");
            assert_eq!(shop.order("o").status(), if cancelled { OrderStatus::Refunded } else { status });
        }
    }
}

/// The tick comes in the log before or after the command of the same moment.
#[test]
fn expiry_races_like_a_command() {
    let mut shop = submitted();
    shop.now_ms += EXPIRY_MS;
    assert_done(&shop.send_one(cancel("o")));
    shop.tick();
    assert_closed(&mut shop, PaymentStatus::Cancelled, CloseReason::Cancelled);

    let mut shop = submitted();
    shop.now_ms += EXPIRY_MS - 1;
    assert_done(&shop.send_one(confirm("o")));
    shop.tick_after(1);
    assert_paid(&mut shop);
}

#[test]
fn parts_of_a_payment_are_refunded() {
    let mut shop = paid();
    assert_done(&shop.send_one(refund("o", 1000, "k1")));
    assert_done(&shop.send_one(refund("o", 1000, "k2")));
    assert!(shop.send_one(refund("o", 1000, "k2")).repeated);
    assert_eq!(shop.payment("o").refunded, Some(Money::new(2000, "CNY")));
    assert_paid(&mut shop);
    assert_refused(&shop.send_one(refund("o", 500, "k2")), Code::IdempotencyKeyReused);
    assert_refused(&shop.send_one(refund("o", 1001, "k3")), Code::PaymentAmountInvalid);
    let last = shop.send_one(refund("o", 1000, "k4"));
    assert_done(&last);
    assert_refunded(&mut shop, CloseReason::Refunded, Some(LogisticsStatus::Cancelled));
    let again = shop.send_one(refund("o", 1000, "k4"));
    assert_eq!((again.result, again.repeated), (last.result, true), "the refund of the rest is known by its key too");
}

#[test]
fn a_whole_payment_is_refunded() {
    let mut shop = paid();
    assert_done(&shop.send_one(refund("o", 0, "k")));
    assert_refunded(&mut shop, CloseReason::Refunded, Some(LogisticsStatus::Cancelled));
    assert!(shop.send_one(refund("o", 0, "k")).repeated);
}

#[test]
fn only_a_paid_payment_is_refunded() {
    let mut shop = submitted();
    assert_refused(&shop.send_one(refund("o", 0, "k1")), Code::PaymentStatusInvalid);
    assert_refused(&shop.send_one(refund("o", 1000, "k2")), Code::PaymentStatusInvalid);
    assert_refused(&shop.send_one(refund("unknown", 0, "k")), Code::PaymentNotFound);
    assert_pending(&mut shop);
}

#[test]
fn a_submit_again_answers_the_same() {
    let mut shop = Shop::with_two_goods();
    let request = || submit(order("o", &[(1, 2), (2, 4)]));
    let [first, second] = shop.send([request(), request()]);
    assert_eq!((&second.result, first.repeated, second.repeated), (&first.result, false, true));
    assert_pending(&mut shop);
    shop.send_one(confirm("o"));
    let after_payment = shop.send_one(request());
    assert_eq!((after_payment.result, after_payment.repeated), (first.result, true));
    assert_paid(&mut shop);
    assert_refused(&shop.send_one(submit(order("o", &[(1, 3)]))), Code::IdempotencyKeyReused);
    assert_eq!(shop.orders(), 1);
}

/// Each envelope once more: the state is what it was, and nobody is told anything else.
#[test]
fn every_message_is_delivered_twice() {
    let mut shop = Shop::with_two_goods();
    let steps: [fn() -> Command; 24] = [
        || goods(1, Money::new(1000, "CNY")),
        || set_stock(1, 10, "first"),
        || adjust_stock(1, 5, "more"),
        || submit(order("o", &[(1, 2), (2, 4)])),
        || submit(order("short", &[(1, 200)])),
        || submit(order_without_carrier("astray", &[(1, 1)])),
        || confirm("o"),
        || confirm("astray"),
        || refund("o", 100, "part"),
        || cancel("o"),
        || reserve("r", &[(1, 1), (2, 1)]),
        || sell("r"),
        || reserve_within("timed", &[(2, 1)], 35),
        || set_threshold(2, 5),
        || submit(order("p", &[(1, 1)])),
        || confirm("p"),
        || cancel_parcel("p"),
        || create_parcel("p"),
        || ship("p"),
        || move_parcel("p", LogisticsStatus::InTransit),
        || deliver("p"),
        || request_return("p"),
        || decline_return("p"),
        || complete("p"),
    ];
    for step in steps {
        let first = shop.send_one(step());
        let (rows, events) = (shop.rows(), shop.logs[0].events.len());
        let second = shop.send_one(step());
        assert_eq!((second.result, second.repeated), (first.result, true));
        assert_eq!((shop.rows(), shop.logs[0].events.len()), (rows, events));
    }
}

#[test]
fn keys_are_forgotten_after_a_day() {
    let mut shop = Shop::with_two_goods();
    assert_done(&shop.send_one(adjust_stock(1, 5, "k")));
    shop.tick_after(KEY_LIFETIME_MS - 1);
    assert!(shop.send_one(adjust_stock(1, 5, "k")).repeated);
    shop.tick_after(1);
    assert_done(&shop.send_one(adjust_stock(1, 5, "k")));
    assert_eq!(shop.levels(1), (20, 0, 0));
}

/// The order waits for another log when its time is up, and is closed when that answers, without another tick.
#[test]
fn expiry_while_another_log_is_asked() {
    for quantity in [1, 11] {
        let mut shop = Shop::new(2);
        let ([near], [far]) = (shop.goods_of(0), shop.goods_of(1));
        shop.stock_up(near, 100, 10);
        shop.stock_up(far, 100, 10);
        let id = shop.id_of(0, "o");
        shop.send_only([submit(order(&id, &[(near, 1), (far, quantity)]))]);
        shop.now_ms += EXPIRY_MS;
        shop.tick();
        shop.carry();
        shop.assert_stands(&id, OrderStatus::Cancelled, PaymentStatus::Cancelled, None);
        assert_eq!((shop.levels(near), shop.levels(far)), ((10, 0, 0), (10, 0, 0)));
    }
}
