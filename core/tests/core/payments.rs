//! Payments from their creation to their end: amounts, logs, refunds, and who may do what.

use emshop_core::order::payment::{REFUND_PARTS_MAX, REFUND_WINDOW_MS};
use emshop_core::order::view;
use emshop_proto::errors::Code;
use emshop_proto::internal::{OrderQuery, query, query_reply};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    CancelOrderRequest, Command, Money, Operator, OperatorKind, OrderStatus, PaymentStatus, RefundPaymentRequest,
};

use crate::commands::*;
use crate::shop::*;

use OrderStatus::{Completed, Delivered, Paid, Returning, Shipped};

const EXPIRY_MS: i64 = EXPIRES_IN_SECONDS as i64 * 1000;
const PLACED_BY: Operator = Operator { kind: OperatorKind::User as i32, user_id: USER, role: 0, subject: None };
const ADMIN: Operator = Operator { kind: OperatorKind::Admin as i32, user_id: 1, role: 0, subject: None };
const PROVIDER: Operator = Operator { kind: OperatorKind::Provider as i32, user_id: 0, role: 0, subject: None };

/// What the shelves of [`Shop::with_two_goods`] take in the log.
const GOODS_ENVELOPES: u64 = 2;

/// Order "o" of 30.00.
fn submitted() -> Shop {
    let mut shop = Shop::with_two_goods();
    shop.operator = Some(PLACED_BY);
    assert_done(&shop.send_one(submit(order("o", &[(1, 2), (2, 4)]))));
    shop.operator = Some(ADMIN);
    shop
}

fn paid() -> Shop {
    let mut shop = submitted();
    assert_done(&shop.send_one(confirm("o")));
    shop
}

/// The paid order "o", moved on to a status.
fn moved_on(to: OrderStatus) -> Shop {
    let mut shop = paid();
    let way: &[OnOrder] = match to {
        Paid => &[],
        Shipped => &[ship],
        Delivered => &[ship, deliver],
        Completed => &[ship, deliver, complete],
        Returning => &[ship, deliver, request_return],
        other => panic!("nothing here moves an order to {other:?}"),
    };
    for command in way {
        assert_done(&shop.send_one(command("o")));
    }
    shop
}

fn refunded_minor(shop: &mut Shop) -> i64 {
    shop.payment("o").refunded.expect("an amount").amount_minor
}

#[test]
fn an_amount_within_its_limits() {
    let table = [
        (0, 1, Some(Code::PaymentAmountInvalid)),
        (1, 1, None),
        (9_999_999, 1, None),
        (10_000_000, 1, Some(Code::PaymentAmountInvalid)),
        (3_333_333, 3, None),
        (5_000_000, 2, Some(Code::PaymentAmountInvalid)),
        (i64::MAX, 2, Some(Code::TotalTooLarge)),
    ];
    for (price_minor, quantity, refusal) in table {
        let mut shop = Shop::new(1);
        shop.stock_up(1, price_minor, 10);
        let answer = shop.send_one(submit(order("o", &[(1, quantity)])));
        assert_eq!(refused(&answer), refusal, "{quantity} at {price_minor}");
        match refusal {
            Some(code) => {
                let told = (code == Code::PaymentAmountInvalid).then(|| Money::new(price_minor * quantity as i64, "CNY"));
                assert_eq!((refusal_of(answer).actual_total, shop.levels(1)), (told, (10, 0, 0)));
            }
            None => assert_done(&shop.send_one(confirm("o"))),
        }
    }
}

/// The payment's log, a line a change: what, from and to, of how much, who, in which envelope, why.
fn log(shop: &mut Shop, order_id: &str) -> String {
    let row = shop.order_row(order_id);
    let line = |change: emshop_proto::v1::PaymentChange| {
        let name = |name: &str, prefix: &str| name.trim_start_matches(prefix).to_lowercase();
        let action = name(change.action().as_str_name(), "PAYMENT_ACTION_");
        let [from, to] = [change.from(), change.to()].map(|status| name(status.as_str_name(), "PAYMENT_STATUS_"));
        let amount = change.amount.as_ref().map(|money| format!(" {}", money.amount_minor)).unwrap_or_default();
        let by = change.operator.as_ref().map_or_else(String::new, |by| {
            let kind = name(by.kind().as_str_name(), "OPERATOR_KIND_");
            if by.user_id == 0 { kind } else { format!("{kind} {}", by.user_id) }
        });
        let why = if change.reason.is_empty() { String::new() } else { format!(": {}", change.reason) };
        format!("{action} {from} > {to}{amount} by {by} at {}{why}\n", change.log_sequence - GOODS_ENVELOPES)
    };
    view::payment_with_log(&row).log.into_iter().map(line).collect()
}

#[test]
fn the_log_tells_every_way_that_a_payment_goes() {
    let refund_because = |amount_minor: i64, key: &str, reason: &str| {
        let amount = (amount_minor != 0).then(|| Money::new(amount_minor, "CNY"));
        let (order_id, reason) = ("o".to_owned(), reason.to_owned());
        let request = RefundPaymentRequest { order_id, amount, reason, ..RefundPaymentRequest::default() };
        keyed(key, Body::RefundPayment(request))
    };
    let cancel_because = |reason: &str| {
        let (order_id, reason) = ("o".to_owned(), reason.to_owned());
        Command::from(Body::CancelOrder(CancelOrderRequest { order_id, reason, user_id: 0 }))
    };
    let table: Vec<(Vec<(Operator, Command)>, &str)> = vec![
        (vec![(PROVIDER, confirm("o"))], "confirm pending > paid 3000 by provider at 2\n"),
        (vec![(PLACED_BY, cancel_payment("o"))], "cancel pending > cancelled by user 7 at 2\n"),
        (vec![(PLACED_BY, cancel_because("too dear"))], "cancel pending > cancelled by user 7 at 2: too dear\n"),
        (vec![(PROVIDER, fail_payment("o"))], "fail pending > failed by provider at 2\n"),
        (
            vec![(ADMIN, confirm("o")), (PLACED_BY, cancel_because("changed my mind"))],
            "confirm pending > paid 3000 by admin 1 at 2\nrefund paid > refunded 3000 by user 7 at 3: changed my mind\n",
        ),
        (
            vec![
                (PROVIDER, confirm("o")),
                (ADMIN, refund_because(1000, "k1", "late")),
                (ADMIN, refund_because(1000, "k1", "late")),
                (ADMIN, refund_because(9000, "k2", "too much")),
                (ADMIN, refund_because(500, "k3", "")),
                (ADMIN, refund_because(0, "k4", "lost")),
            ],
            "confirm pending > paid 3000 by provider at 2\nrefund_part paid > paid 1000 by admin 1 at 3: late\n\
             refund_part paid > paid 500 by admin 1 at 6\nrefund paid > refunded 1500 by admin 1 at 7: lost\n",
        ),
    ];
    let created = "create unspecified > pending by user 7 at 1\n";
    for (commands, expected) in table {
        let mut shop = submitted();
        for (operator, command) in commands {
            shop.operator = Some(operator);
            shop.send_one(command);
        }
        assert_eq!(log(&mut shop, "o"), format!("{created}{expected}"));
    }

    let mut shop = submitted();
    shop.tick_after(EXPIRY_MS);
    assert_eq!(log(&mut shop, "o"), format!("{created}expire pending > cancelled by system at 2\n"));

    let mut shop = submitted();
    assert_done(&shop.send_one(submit(order_without_carrier("astray", &[(1, 1)]))));
    shop.operator = Some(PROVIDER);
    shop.send_one(confirm("astray"));
    let expected = "create unspecified > pending by admin 1 at 2\nconfirm pending > paid 1000 by provider at 3\n\
        refund paid > refunded 1000 by provider at 3\n";
    assert_eq!(log(&mut shop, "astray"), expected);

    let mut shop = submitted();
    shop.send_one(submit(order("short", &[(1, 11)])));
    let expected = "create unspecified > pending by admin 1 at 2\ncancel pending > cancelled by admin 1 at 2\n";
    assert_eq!(log(&mut shop, "short"), expected);
}

/// Who begins a saga is who did what it changes, also when another log was asked in between.
#[test]
fn the_log_names_whoever_began_it_across_logs() {
    let mut shop = Shop::new(2);
    let [far] = shop.goods_of(1);
    shop.stock_up(far, 1000, 10);
    let id = shop.id_of(0, "o");
    shop.operator = Some(PLACED_BY);
    shop.send_one(submit(order(&id, &[(far, 1)])));
    shop.send_one(confirm(&id));
    shop.send_one(cancel(&id));
    let log = view::payment_with_log(&shop.order_row(&id)).log;
    assert_eq!(log.iter().map(|change| change.operator.clone()).collect::<Vec<_>>(), [const { Some(PLACED_BY) }; 3]);
    assert!(log.is_sorted_by(|before, after| before.log_sequence < after.log_sequence), "{log:?}");
}

/// What is on its way or there is refunded in parts; all of it only comes back by a return.
#[test]
fn refunds_by_where_the_order_is() {
    let table = [
        (Paid, None, None),
        (Shipped, None, Some(Code::OrderStatusInvalid)),
        (Delivered, None, Some(Code::OrderStatusInvalid)),
        (Completed, None, Some(Code::OrderStatusInvalid)),
        (Returning, Some(Code::OrderStatusInvalid), Some(Code::OrderStatusInvalid)),
    ];
    for (status, part, all) in table {
        let mut shop = moved_on(status);
        assert_eq!(refused(&shop.send_one(refund("o", 1000, "part"))), part, "a part of an order {status:?}");
        let left_minor = 3000 - refunded_minor(&mut shop);
        for command in [refund("o", 0, "all"), refund("o", left_minor, "the same")] {
            let mut shop = moved_on(status);
            shop.send_one(refund("o", 1000, "part"));
            assert_eq!(refused(&shop.send_one(command)), all, "all of an order {status:?}");
            assert_eq!(shop.order("o").status(), if all.is_none() { OrderStatus::Refunded } else { status });
        }
    }
}

#[test]
fn a_completed_order_is_refunded_for_thirty_days() {
    assert_eq!(REFUND_WINDOW_MS, 30 * 86_400_000);
    let mut shop = moved_on(Completed);
    shop.now_ms += REFUND_WINDOW_MS - 1;
    assert_done(&shop.send_one(refund("o", 1000, "k1")));
    shop.now_ms += 1;
    assert_refused(&shop.send_one(refund("o", 1000, "k2")), Code::OrderStatusInvalid);
    assert!(shop.send_one(refund("o", 1000, "k1")).repeated);
    assert_eq!(refunded_minor(&mut shop), 1000);
    let mut shop = moved_on(Delivered);
    shop.now_ms += REFUND_WINDOW_MS;
    assert_done(&shop.send_one(refund("o", 1000, "k1")));
}

/// However it is cut, what goes back is what was paid, and the parts keep their keys.
#[test]
fn parts_add_up_to_the_whole() {
    for parts in [&[2999][..], &[1, 1, 1], &[1000, 1000, 999], &[1500, 1499]] {
        for status in [Paid, Shipped, Delivered, Completed] {
            let mut shop = moved_on(status);
            let mut sum_minor = 0;
            for (number, part_minor) in parts.iter().enumerate() {
                let command = || refund("o", *part_minor, &format!("k{number}"));
                assert_done(&shop.send_one(command()));
                assert!(shop.send_one(command()).repeated);
                sum_minor += part_minor;
                assert_eq!(refunded_minor(&mut shop), sum_minor);
            }
            assert_refused(&shop.send_one(refund("o", 3001 - sum_minor, "too much")), Code::PaymentAmountInvalid);
            assert_eq!((refunded_minor(&mut shop), shop.order("o").status()), (sum_minor, status));
        }
    }
}

#[test]
fn refunds_that_make_no_sense() {
    let mut shop = paid();
    let euros =
        RefundPaymentRequest { order_id: "o".to_owned(), amount: Some(Money::new(1, "EUR")), ..RefundPaymentRequest::default() };
    assert_refused(&shop.send_one(Body::RefundPayment(euros).into()), Code::CurrencyMismatch);
    assert_refused(&shop.send_one(refund("o", -1, "k1")), Code::PaymentAmountInvalid);
    assert_refused(&shop.send_one(refund("o", 3001, "k2")), Code::PaymentAmountInvalid);
    assert_eq!(refunded_minor(&mut shop), 0);
}

/// It never had a price, so that no currency is its own.
#[test]
fn an_order_that_was_refused_is_not_refunded_in_any_currency() {
    let mut shop = Shop::with_two_goods();
    assert_refused(&shop.send_one(submit(order("o", &[(1, 11)]))), Code::StockInsufficientForReservation);
    for amount_minor in [0, 1] {
        assert_refused(&shop.send_one(refund("o", amount_minor, &amount_minor.to_string())), Code::PaymentStatusInvalid);
    }
}

#[test]
fn a_payment_has_a_limited_number_of_parts() {
    let mut shop = paid();
    for number in 0..REFUND_PARTS_MAX {
        assert_done(&shop.send_one(refund("o", 1, &format!("k{number}"))));
    }
    assert_refused(&shop.send_one(refund("o", 1, "one more")), Code::PaymentStatusInvalid);
    assert_done(&shop.send_one(refund("o", 0, "the rest")));
    assert_eq!(refunded_minor(&mut shop), 3000);
}

/// An order of goods in another log, which answers only when [`Shop::carry`] is called.
fn with_far_goods(request: impl Fn(&str, &[(u64, u64)]) -> emshop_proto::v1::SubmitOrderRequest) -> (Shop, String) {
    let mut shop = Shop::new(2);
    let [far] = shop.goods_of(1);
    shop.stock_up(far, 1000, 10);
    let id = shop.id_of(0, "o");
    assert_done(&shop.send_one(submit(request(&id, &[(far, 2)]))));
    (shop, id)
}

/// The same command again, while the first one waits for another log, waits with it; others are told to come again.
#[test]
fn repeats_wait_for_the_first() {
    let table: [(bool, OnOrder); 4] =
        [(false, confirm), (false, cancel_payment), (false, fail_payment), (true, |id| refund(id, 0, "all"))];
    for (is_paid, command) in table {
        let (mut shop, id) = with_far_goods(order);
        if is_paid {
            assert_done(&shop.send_one(confirm(&id)));
        }
        let [first, repeat, other] = shop.send_only([command(&id), command(&id), refund(&id, 500, "part")]);
        assert_refused(&shop.outcome(other).expect("answered at once"), Code::OrderInProgress);
        assert_eq!((shop.outcome(first), shop.outcome(repeat)), (None, None));
        shop.carry();
        let first = shop.outcome(first).expect("the other log has answered");
        let repeat = shop.outcome(repeat).expect("the other log has answered");
        assert_done(&first);
        assert_eq!((repeat.result, repeat.repeated), (first.result, true));
    }
}

/// What could not be decided yet is not kept under the key.
#[test]
fn a_refund_that_came_too_early_may_come_again() {
    let (mut shop, id) = with_far_goods(order);
    let [_, early] = shop.send_only([confirm(&id), refund(&id, 500, "k")]);
    assert_refused(&shop.outcome(early).expect("answered at once"), Code::OrderInProgress);
    shop.carry();
    assert_done(&shop.send_one(refund(&id, 500, "k")));
}

/// The refusal of the parcel is on its way back through the other log when the confirmation comes again.
#[test]
fn a_repeat_learns_that_nobody_carries_the_parcel() {
    let (mut shop, id) = with_far_goods(order_without_carrier);
    let [first] = shop.send_only([confirm(&id)]);
    while shop.order(&id).refusal.is_none() {
        assert!(shop.carry_once());
    }
    let [repeat, other_number] = shop.send_only([confirm(&id), confirm_with(&id, "sn-2", None)]);
    assert_refused(&shop.outcome(other_number).expect("answered at once"), Code::PaymentAlreadyPaid);
    assert_eq!(shop.outcome(repeat), None);
    shop.carry();
    let first = shop.outcome(first).expect("all is taken back");
    let repeat = shop.outcome(repeat).expect("all is taken back");
    assert_refused(&first, Code::LogisticsCompanyNotSupported);
    assert_eq!((repeat.result, repeat.repeated), (first.result, true));
}

#[test]
fn a_confirmation_is_known_by_its_number_and_amount() {
    let of = |minor| confirm_with("o", "sn-1", Some(Money::new(minor, "CNY")));
    let mut shop = submitted();
    assert_refused(&shop.send_one(of(2999)), Code::PaymentAmountInvalid);
    assert_done(&shop.send_one(of(3000)));
    assert!(shop.send_one(of(3000)).repeated);
    assert!(shop.send_one(confirm("o")).repeated);
    assert_refused(&shop.send_one(of(3001)), Code::PaymentAmountInvalid);
    assert_refused(&shop.send_one(confirm_with("o", "sn-2", None)), Code::PaymentAlreadyPaid);

    // Once the money has gone back, the number is still known; another one never was.
    shop.send_one(refund("o", 0, "all"));
    assert!(shop.send_one(confirm("o")).repeated);
    assert_eq!(shop.payment("o").status(), PaymentStatus::Refunded);
    assert_refused(&shop.send_one(of(3001)), Code::PaymentAmountInvalid);
    assert_refused(&shop.send_one(confirm_with("o", "sn-2", None)), Code::PaymentStatusInvalid);
}

#[test]
fn only_its_user_gives_a_payment_up() {
    let mut shop = submitted();
    shop.operator = Some(Operator { user_id: USER + 1, ..PLACED_BY });
    assert_refused(&shop.send_one(cancel_payment("o")), Code::PaymentNotFound);
    shop.assert_stands("o", OrderStatus::Pending, PaymentStatus::Pending, None);
    shop.operator = Some(PLACED_BY);
    assert_done(&shop.send_one(cancel_payment("o")));
}

#[test]
fn only_its_user_reads_a_payment() {
    let mut shop = paid();
    let mut asked_by = |viewer| match shop.ask(0, viewer, query::Body::Payment(OrderQuery { order_id: "o".to_owned() })) {
        query_reply::Body::Payment(payment) => Ok(payment.log.len()),
        query_reply::Body::Refusal(refusal) => Err(refusal.reason),
        other => panic!("{other:?}"),
    };
    assert_eq!([asked_by(0), asked_by(USER)], [Ok(2), Ok(2)]);
    assert_eq!(asked_by(USER + 1), Err("PAYMENT_NOT_FOUND".to_owned()));
}
