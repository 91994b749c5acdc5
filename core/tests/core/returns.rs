//! Delivered orders: completed by their receiver, by themselves, or sent back.

use emshop_core::order::journal;
use emshop_proto::errors::Code;
use emshop_proto::logistics::COMPLETION_SECONDS;
use emshop_proto::v1::{
    CloseReason, Command, CompleteOrderRequest, LogisticsStatus, Money, Operator, OperatorKind, OrderStatus, PaymentAction,
    PaymentStatus, ResolveReturnRequest, SagaStatus, SimulateDeliveryRequest, SimulateShipmentRequest, command, outcome,
};

use crate::commands::*;
use crate::shop::*;

const COMPLETION_MS: i64 = COMPLETION_SECONDS as i64 * 1000;

/// Order "o" of 30.00 is with its receiver.
fn delivered() -> Shop {
    let mut shop = Shop::with_two_goods();
    shop.send_one(submit(order("o", &[(1, 2), (2, 4)])));
    for command in [confirm("o"), ship("o"), deliver("o")] {
        assert_done(&shop.send_one(command));
    }
    shop
}

fn assert_order(shop: &mut Shop, status: OrderStatus) {
    shop.assert_stands("o", status, PaymentStatus::Paid, Some(LogisticsStatus::Delivered));
    assert_eq!((shop.levels(1), shop.levels(2)), ((8, 0, 2), (6, 0, 4)));
}

#[test]
fn a_delivered_order_completes_by_itself_when_it_is_time_and_not_before() {
    let mut shop = delivered();
    let completes_at_ms = START_MS + COMPLETION_MS;
    assert_eq!((shop.order("o").completes_at_ms, COMPLETION_MS), (completes_at_ms, 7 * 86_400_000));
    shop.tick_after(COMPLETION_MS - 1);
    assert_order(&mut shop, OrderStatus::Delivered);
    let events = shop.logs[0].events.len();
    shop.tick_after(1);
    assert_order(&mut shop, OrderStatus::Completed);
    assert_eq!(shop.events_after(0, events), ["order.moved"]);
    assert_eq!(shop.order("o").completes_at_ms, 0);
    assert_refused(&shop.send_one(request_return("o")), Code::OrderStatusInvalid);
    assert!(shop.send_one(complete("o")).repeated);
}

/// By each command that leads to a delivery.
#[test]
fn the_time_to_completion_comes_with_the_command() {
    let order_id = || "o".to_owned();
    let mut by_hand = delivered_by(deliver_with(SimulateDeliveryRequest {
        order_id: order_id(),
        completes_after_seconds: 60,
        ..SimulateDeliveryRequest::default()
    }));
    let ship =
        SimulateShipmentRequest { order_id: order_id(), completes_after_seconds: 60, ..SimulateShipmentRequest::default() };
    let mut by_itself = delivered_by(Command::from(command::Body::SimulateShipment(ship)));
    by_itself.tick_after(1620 * 60_000);
    let mut after_all = delivered();
    after_all.send_one(request_return("o"));
    let declined = ResolveReturnRequest { order_id: order_id(), completes_after_seconds: 60, ..ResolveReturnRequest::default() };
    assert_done(&after_all.send_one(resolve_return(declined)));
    for shop in [&mut by_hand, &mut by_itself, &mut after_all] {
        assert_order(shop, OrderStatus::Delivered);
        shop.tick_after(59_999);
        assert_order(shop, OrderStatus::Delivered);
        shop.tick_after(1);
        assert_order(shop, OrderStatus::Completed);
    }
}

/// A paid order whose parcel is shipped, by `command` itself or before it.
fn delivered_by(command: Command) -> Shop {
    let mut shop = Shop::with_two_goods();
    shop.send_one(submit(order("o", &[(1, 2), (2, 4)])));
    shop.send_one(confirm("o"));
    if !matches!(command.body, Some(command::Body::SimulateShipment(_))) {
        shop.send_one(ship("o"));
    }
    assert_done(&shop.send_one(command));
    shop
}

#[test]
fn only_its_user_completes_or_returns_an_order() {
    let mut shop = delivered();
    let stranger = CompleteOrderRequest { order_id: "o".to_owned(), user_id: USER + 1 };
    let by_stranger = Command::from(command::Body::CompleteOrder(stranger));
    assert_refused(&shop.send_one(by_stranger), Code::OrderNotYours);
    let acting = |kind: OperatorKind, user_id| Some(Operator { kind: kind.into(), user_id, ..Operator::default() });
    assert_refused(&shop.send_as(acting(OperatorKind::User, USER + 1), request_return("o")), Code::OrderNotFound);
    assert_order(&mut shop, OrderStatus::Delivered);
    assert_done(&shop.send_as(acting(OperatorKind::User, USER), request_return("o")));
    assert_done(&shop.send_as(acting(OperatorKind::Admin, 1), decline_return("o")));
    assert_done(&shop.send_as(acting(OperatorKind::User, USER), complete("o")));
}

/// Who, when, from what to what, and why.
#[test]
fn the_history_tells_every_change() {
    let mut shop = Shop::with_two_goods();
    let user = Operator { kind: OperatorKind::User.into(), user_id: USER, ..Operator::default() };
    let admin = Operator { kind: OperatorKind::Admin.into(), user_id: 1, ..Operator::default() };
    let system = Operator { kind: OperatorKind::System.into(), user_id: 0, ..Operator::default() };
    let commands = [
        (&user, submit(order("o", &[(1, 2)]))),
        (&user, confirm("o")),
        (&admin, ship("o")),
        (&admin, deliver("o")),
        (&user, request_return("o")),
        (&admin, decline_return("o")),
    ];
    for (operator, command) in commands {
        shop.now_ms += 1;
        assert_done(&shop.send_as(Some(operator.clone()), command));
    }
    shop.tick_after(COMPLETION_MS);
    let history = shop.order("o").history;
    assert!(history.is_sorted_by_key(|change| change.log_sequence) && history[0].log_sequence > 0);
    let found: Vec<_> = history
        .iter()
        .map(|change| {
            let operator = change.operator.as_ref().expect("somebody did it");
            (change.from(), change.to(), change.at_ms - START_MS, operator, change.reason.as_str())
        })
        .collect();
    use OrderStatus::*;
    let expected = [
        (Unspecified, Pending, 1, &user, ""),
        (Pending, Paid, 2, &user, ""),
        (Paid, Shipped, 3, &admin, ""),
        (Shipped, Delivered, 4, &admin, ""),
        (Delivered, Returning, 5, &user, "broken"),
        (Returning, Delivered, 6, &admin, "worn"),
        (Delivered, Completed, 6 + COMPLETION_MS, &system, ""),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_return_stops_the_completion_and_a_decline_sets_it_anew() {
    let mut shop = delivered();
    let requested = shop.send_one(request_return("o"));
    assert_done(&requested);
    assert_order(&mut shop, OrderStatus::Returning);
    assert_eq!(shop.order("o").completes_at_ms, 0);
    shop.tick_after(COMPLETION_MS * 2);
    assert_order(&mut shop, OrderStatus::Returning);
    let declined = shop.send_one(decline_return("o"));
    assert_done(&declined);
    assert_order(&mut shop, OrderStatus::Delivered);
    assert_eq!(shop.order("o").completes_at_ms, shop.now_ms + COMPLETION_MS);
    let again = shop.send_one(decline_return("o"));
    assert_eq!((again.result, again.repeated), (declined.result, true));
    // It may be asked for once more.
    assert_done(&shop.send_one(request_return("o")));
    assert_done(&shop.send_one(decline_return("o")));
    shop.tick_after(COMPLETION_MS);
    assert_order(&mut shop, OrderStatus::Completed);
}

#[test]
fn an_accepted_return_gives_back_goods_and_the_rest_of_the_money() {
    for (refunded_before, rest) in [(0, 3000), (1200, 1800)] {
        let mut shop = Shop::with_two_goods();
        shop.send_one(submit(order("o", &[(1, 2), (2, 4)])));
        shop.send_one(confirm("o"));
        if refunded_before > 0 {
            assert_done(&shop.send_one(refund("o", refunded_before, "part")));
        }
        for command in [ship("o"), deliver("o"), request_return("o")] {
            assert_done(&shop.send_one(command));
        }
        let events = shop.logs[0].events.len();
        let accepted = shop.send_one(accept_return("o"));
        assert_done(&accepted);
        let delivered = Some(LogisticsStatus::Delivered);
        shop.assert_stands("o", OrderStatus::Returned, PaymentStatus::Refunded, delivered);
        assert_eq!((shop.levels(1), shop.levels(2)), ((10, 0, 0), (10, 0, 0)));
        assert_eq!(shop.payment("o").refunded, Some(Money::new(3000, "CNY")));
        let last = journal::entries(&shop.order_row("o")).into_iter().rfind(|entry| entry.amount_minor != 0).expect("a refund");
        assert_eq!((last.payment_action(), last.amount_minor), (PaymentAction::Refund, rest));
        assert_eq!(shop.order("o").close_reason(), CloseReason::Returned);
        let told = shop.events_after(0, events);
        assert_eq!(told, ["payment.refunded", "order.closed"]);
        assert!(shop.timeline("o").ends_with("Inventory/Reback\nOrder/RevertPaymentStatus\nPayment/RefundPayment\n"));
        let again = shop.send_one(accept_return("o"));
        assert_eq!((again.result, again.repeated), (accepted.result, true));
    }
}

/// The goods live in both logs: while the far ones are on their way back nothing else may happen to the order.
#[test]
fn a_return_over_two_logs_takes_its_time() {
    let mut shop = Shop::new(2);
    shop.channels_repeat = true;
    let ([near], [far]) = (shop.goods_of(0), shop.goods_of(1));
    shop.stock_up(near, 100, 10);
    shop.stock_up(far, 100, 10);
    let id = shop.id_of(0, "o");
    shop.send_one(submit(order(&id, &[(near, 1), (far, 2)])));
    for command in [confirm(&id), ship(&id), deliver(&id), request_return(&id)] {
        assert_done(&shop.send_one(command));
    }
    let [ticket] = shop.send_only([accept_return(&id)]);
    assert_eq!(shop.outcome(ticket), None);
    for command in [accept_return(&id), decline_return(&id), request_return(&id), complete(&id), cancel(&id), deliver(&id)] {
        assert_refused(&shop.send_one_uncarried(command), Code::OrderInProgress);
    }
    shop.tick_after(COMPLETION_MS);
    let outcome = shop.outcome(ticket).expect("the other log has replied");
    let Some(outcome::Result::Order(receipt)) = outcome.result else { panic!("{outcome:?}") };
    assert_eq!(receipt.status(), OrderStatus::Returned);
    assert_eq!((shop.levels(near), shop.levels(far)), ((10, 0, 0), (10, 0, 0)));
    assert_eq!(shop.order(&id).saga_status(), SagaStatus::Compensated);
}

/// The receiver's word and the timer of the same moment: the log decides.
#[test]
fn a_return_races_the_completion_like_a_command() {
    let mut shop = delivered();
    shop.now_ms += COMPLETION_MS;
    assert_done(&shop.send_one(request_return("o")));
    shop.tick();
    assert_order(&mut shop, OrderStatus::Returning);

    let mut shop = delivered();
    shop.tick_after(COMPLETION_MS);
    assert_refused(&shop.send_one(request_return("o")), Code::OrderStatusInvalid);

    let mut shop = delivered();
    let [won, lost] = shop.send([complete("o"), request_return("o")]);
    assert_done(&won);
    assert_refused(&lost, Code::OrderStatusInvalid);
    assert_order(&mut shop, OrderStatus::Completed);
}
