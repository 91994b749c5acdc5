//! What went wrong in the system that this one replaces, by number, and that it does not go wrong here.

use emshop_proto::errors::Code;
use emshop_proto::internal::{
    Channel, Envelope, OrderQuery, Owner, OwnerKind, Record, Step, StockAction, StockReply, StockRequest, query, query_reply,
    record, step,
};
use emshop_proto::v1::{
    CloseReason, Command, LogisticsStatus, Money, OrderStatus, PaymentStatus, ReservationStatus, SagaStatus, StockCause, outcome,
};

use crate::commands::*;
use crate::shop::*;

fn with_order() -> Shop {
    let mut shop = Shop::with_two_goods();
    assert_done(&shop.send_one(submit(order("o", &[(1, 2), (2, 4)]))));
    shop
}

fn with_paid_order() -> Shop {
    let mut shop = with_order();
    assert_done(&shop.send_one(confirm("o")));
    shop
}

/// Two logs with an order in log 0 of two units out of ten of the returned goods, which live in log 1.
fn with_far_goods() -> (Shop, String, u64) {
    let mut shop = Shop::new(2);
    let [far] = shop.goods_of(1);
    shop.stock_up(far, 1000, 10);
    let id = shop.id_of(0, "o");
    assert_done(&shop.send_one(submit(order(&id, &[(far, 2)]))));
    (shop, id, far)
}

/// The simulated provider paid a payment, and order, stock and parcel never heard of it. Here one saga moves all four.
#[test]
fn w02_a_simulated_payment_moves_the_whole_order() {
    let mut shop = with_order();
    assert_done(&shop.send_one(simulate_success("o")));
    shop.assert_stands("o", OrderStatus::Paid, PaymentStatus::Paid, Some(LogisticsStatus::Pending));
    assert_eq!((shop.levels(1), shop.levels(2)), ((8, 0, 2), (6, 0, 4)));
    assert!(shop.send_one(simulate_success("o")).repeated);
}

/// Nobody looked for payments whose time was over, so their stock was held for ever. Here a timer ends them.
#[test]
fn w03_an_unpaid_order_gives_its_stock_back() {
    let mut shop = with_order();
    shop.tick_after(i64::from(EXPIRES_IN_SECONDS) * 1000);
    shop.assert_stands("o", OrderStatus::Cancelled, PaymentStatus::Cancelled, None);
    assert_eq!((shop.levels(1), shop.levels(2)), ((10, 0, 0), (10, 0, 0)));
}

/// A sell that came again hit a duplicate key, and the saga never ended. Here a repeated step changes nothing and is replied to.
#[test]
fn w05_a_repeated_stock_step_ends_its_saga() {
    let (mut shop, id, far) = with_far_goods();
    shop.channels_repeat = true;
    assert_done(&shop.send_one(confirm(&id)));
    shop.send_one(confirm(&id));
    assert_eq!((shop.order(&id).saga_status(), shop.levels(far)), (SagaStatus::Completed, (8, 0, 2)));
}

/// A submit that came again inserted a second order. Here the order's id is its key.
#[test]
fn w06_a_repeated_submit_is_one_order() {
    let mut shop = Shop::with_two_goods();
    let request = || submit(order("o", &[(1, 2)]));
    let [first, again] = shop.send([request(), request()]);
    assert_eq!((first.result == again.result, again.repeated), (true, true));
    assert!(shop.send_one(request()).repeated);
    assert_eq!((shop.orders(), shop.levels(1)), (1, (8, 2, 0)));
}

/// Missing goods were retried without end while stock was held. Here they refuse the order, which holds nothing then.
#[test]
fn w07_unknown_goods_refuse_and_hold_nothing() {
    let mut shop = Shop::with_two_goods();
    assert_refused(&shop.send_one(submit(order("o", &[(1, 2), (999, 1)]))), Code::GoodsNotFound);
    assert_eq!((shop.order("o").saga_status(), shop.levels(1)), (SagaStatus::Compensated, (10, 0, 0)));
}

/// The compensation of an order did nothing, so a ghost stayed pending. Here it is cancelled and says why.
#[test]
fn w08_a_compensated_order_is_no_ghost() {
    let mut shop = Shop::with_two_goods();
    shop.send_one(submit(order("o", &[(1, 11)])));
    shop.assert_stands("o", OrderStatus::Cancelled, PaymentStatus::Cancelled, None);
    let order = shop.order("o");
    assert_eq!((order.close_reason(), order.refusal.is_some()), (CloseReason::Refused, true));
    assert!(shop.timeline("o").ends_with("Order/CreateOrderCompensate\n"));
}

/// A commit that failed was reported as done. Here what was answered is what a process finds that starts after a crash.
#[test]
fn w09_what_was_answered_is_there_after_a_crash() {
    let mut shop = Shop::with_two_goods();
    let lost = std::sync::Arc::new(shop.logs[0].store.after_crash());
    let first = shop.send_one(submit(order("o", &[(1, 2)])));
    let expected = shop.rows();

    // The log still has the envelope that the state lost.
    shop.logs[0].replica = open(&lost, 0, 1);
    shop.logs[0].store = lost;
    let replayed = shop.send_one(submit(order("o", &[(1, 2)])));
    assert_eq!((replayed, shop.rows()), (first, expected));
}

/// The total was computed and dropped. Here it is stored, answered, and what the payment is about.
#[test]
fn w10_the_total_is_stored() {
    let mut shop = Shop::with_two_goods();
    let answer = shop.send_one(submit(order("o", &[(1, 2), (2, 4)])));
    let Some(outcome::Result::Order(receipt)) = answer.result else { panic!("not a receipt") };
    let total = Some(Money::new(3000, "CNY"));
    assert_eq!([receipt.total, shop.order("o").total, shop.payment("o").amount], [total.clone(), total.clone(), total]);
}

/// Clients named the amount to pay, and a payment that came again was refused. Here the goods entries make the amount.
#[test]
fn w11_clients_do_not_choose_the_amount() {
    let mut shop = with_order();
    let pay = |minor, currency| confirm_with("o", "sn-1", Some(Money::new(minor, currency)));
    assert_refused(&shop.send_one(pay(1, "CNY")), Code::PaymentAmountInvalid);
    assert_refused(&shop.send_one(pay(3000, "EUR")), Code::PaymentAmountInvalid);
    shop.assert_stands("o", OrderStatus::Pending, PaymentStatus::Pending, None);
    assert_done(&shop.send_one(pay(3000, "CNY")));
    assert!(shop.send_one(pay(3000, "CNY")).repeated);
}

/// A payment could be cancelled only by a number that was made later. Here the order's id names it from the start.
#[test]
fn w12_a_payment_is_named_before_it_exists() {
    let payment_id = emshop_proto::ids::payment_id("o");
    let mut shop = with_order();
    assert_eq!(shop.order("o").payment_id, payment_id);
    assert_eq!(emshop_proto::ids::order_id_of_payment(&payment_id), Some("o"));
    assert_done(&shop.send_one(cancel_payment("o")));
}

/// Refunded and failed payments could be cancelled. Here only a pending one can.
#[test]
fn w13_only_a_pending_payment_is_cancelled() {
    let mut failed = with_order();
    failed.send_one(fail_payment("o"));
    let mut refunded = with_paid_order();
    refunded.send_one(refund("o", 0, "k"));
    let shops = [(with_paid_order(), PaymentStatus::Paid), (failed, PaymentStatus::Failed), (refunded, PaymentStatus::Refunded)];
    for (mut shop, status) in shops {
        assert_refused(&shop.send_one(cancel_payment("o")), Code::PaymentCannotCancel);
        assert_eq!(shop.payment("o").status(), status);
    }
}

/// Cancel and confirm checked first and acted later, so both succeeded. Here the first of them in the log wins.
#[test]
fn w14_cancel_and_confirm_have_one_winner() {
    let mut shop = with_order();
    let [won, lost] = shop.send([cancel_payment("o"), confirm("o")]);
    assert_done(&won);
    assert_refused(&lost, Code::PaymentAlreadyCancelled);
    assert_refused(&shop.send_one(confirm("o")), Code::PaymentAlreadyCancelled);
    shop.assert_stands("o", OrderStatus::Cancelled, PaymentStatus::Cancelled, None);

    let mut shop = with_order();
    let [won, lost] = shop.send([confirm("o"), cancel_payment("o")]);
    assert_done(&won);
    assert_refused(&lost, Code::PaymentCannotCancel);
    assert_refused(&shop.send_one(cancel_payment("o")), Code::PaymentCannotCancel);
    shop.assert_stands("o", OrderStatus::Paid, PaymentStatus::Paid, Some(LogisticsStatus::Pending));
}

/// A reservation was a row that no stock stood behind, and to reserve again after a release hit a unique key. Here it takes units that
/// nobody else gets, is refused when there are none, and a second one is refused for what it is.
#[test]
fn w16_a_reservation_takes_stock() {
    let mut shop = Shop::with_two_goods();
    assert_reservation(shop.send_one(reserve("r", &[(1, 9)])), ReservationStatus::Reserved, false);
    assert_refused(&shop.send_one(reserve("r2", &[(1, 2)])), Code::StockInsufficientForReservation);
    assert_refused(&shop.send_one(submit(order("o", &[(1, 2)]))), Code::StockInsufficientForReservation);
    assert_eq!(shop.levels(1), (1, 9, 0));
    shop.send_one(release("r"));
    assert_refused(&shop.send_one(reserve("r", &[(1, 9)])), Code::StockReservationReleased);
    assert_eq!(shop.levels(1), (10, 0, 0));
}

/// A partial refund marked the whole payment as refunded. Here parts add up, and the payment stays paid until nothing is left of it.
#[test]
fn w15_parts_of_a_refund_add_up() {
    let mut shop = with_paid_order();
    for (part, (amount_minor, sum_minor)) in [(1, 1), (999, 1000), (1500, 2500)].into_iter().enumerate() {
        assert_done(&shop.send_one(refund("o", amount_minor, &format!("k{part}"))));
        let payment = shop.payment("o");
        assert_eq!((payment.status(), payment.refunded), (PaymentStatus::Paid, Some(Money::new(sum_minor, "CNY"))));
    }
    assert_refused(&shop.send_one(refund("o", 501, "too much")), Code::PaymentAmountInvalid);
    assert_done(&shop.send_one(refund("o", 500, "the rest")));
    shop.assert_stands("o", OrderStatus::Refunded, PaymentStatus::Refunded, Some(LogisticsStatus::Cancelled));
    assert_eq!(shop.payment("o").refunded, Some(Money::new(3000, "CNY")));
}

/// Two sellers saw the same stock, since locks were let go before the commit. Here a SKU has one writer.
#[test]
fn w17_the_last_units_are_sold_once() {
    let mut shop = Shop::with_two_goods();
    let orders: [Command; 16] = std::array::from_fn(|number| submit(order(&format!("o{number}"), &[(1, 1)])));
    let outcomes = shop.send(orders);
    let sold = outcomes.iter().filter(|outcome| refused(outcome).is_none()).count();
    assert_eq!((sold, shop.levels(1)), (10, (0, 10, 0)));
}

/// A sale was recorded though no stock was cut, and giving it back made units. Here a refused reserve leaves nothing to give back.
#[test]
fn w18_what_was_not_taken_is_not_given_back() {
    let mut shop = Shop::with_two_goods();
    assert_refused(&shop.send_one(reserve("r", &[(1, 11)])), Code::StockInsufficientForReservation);
    assert_refused(&shop.send_one(sell("r")), Code::StockConfirmFailed);
    shop.send_one(reback("r"));
    assert_eq!(shop.levels(1), (10, 0, 0));
    let stock = shop.logs[0].replica.state.stocks.get(&1).copied().expect("an entry");
    assert_eq!(stock.changed_sequence, 1, "its history ends with the first stock");
}

/// A reback that failed was answered as done. Here the answer comes only when the other log has given the units back.
#[test]
fn w19_a_compensation_is_answered_when_it_is_done() {
    let (mut shop, id, far) = with_far_goods();
    shop.send_one(confirm(&id));
    let [ticket] = shop.send_only([cancel(&id)]);
    assert_eq!((shop.outcome(ticket), shop.levels(far)), (None, (8, 0, 2)));
    shop.carry();
    assert_done(&shop.outcome(ticket).expect("the other log has replied"));
    assert_eq!(shop.levels(far), (10, 0, 0));
}

/// A reback left its lock behind, and the next call waited for it to lapse. Here the very next command goes on, and no time passes.
#[test]
fn w20_nothing_stays_locked_after_a_reback() {
    let mut shop = Shop::with_two_goods();
    for id in ["r1", "r2", "r3"] {
        assert_reservation(shop.send_one(reserve(id, &[(1, 10)])), ReservationStatus::Reserved, false);
        assert_reservation(shop.send_one(sell(id)), ReservationStatus::Sold, false);
        assert_reservation(shop.send_one(reback(id)), ReservationStatus::Released, false);
    }
    assert_eq!(shop.now_ms, START_MS);
}

/// A reback that overtook its sell was forgotten, and the late sell kept the units. Here it leaves a tombstone, in its own log and
/// in that of the goods.
#[test]
fn w21_a_late_reserve_meets_a_tombstone() {
    let mut shop = Shop::with_two_goods();
    assert_reservation(shop.send_one(reback("r")), ReservationStatus::Released, false);
    assert_refused(&shop.send_one(reserve("r", &[(1, 2)])), Code::StockReservationReleased);
    assert_eq!(shop.levels(1), (10, 0, 0));

    let mut shop = Shop::new(2);
    let [far] = shop.goods_of(1);
    shop.stock_up(far, 1000, 10);
    let id = shop.id_of(0, "o");
    let [ticket] = shop.send_only([submit(order(&id, &[(far, 2)]))]);
    let (last, asked) = shop.logs[0].replica.outbox.envelope(0, 1).expect("the request");
    shop.logs[0].replica.outbox.acknowledged(1, last);
    shop.apply(1, release_then(asked));
    shop.logs[1].replica.outbox.acknowledged(0, 1);
    let (last, mut replies) = shop.logs[1].replica.outbox.envelope(1, 0).expect("the reply to the reserve");
    shop.logs[1].replica.outbox.acknowledged(0, last);
    replies.channel = Some(Channel { source_log: 1, first_number: 1, cause: None });
    shop.apply(0, replies);
    assert_refused(&shop.outcome(ticket).expect("the saga has ended"), Code::StockReservationReleased);
    assert_eq!(shop.levels(far), (10, 0, 0));
}

/// The same request as a release, and then itself.
fn release_then(mut asked: Envelope) -> Envelope {
    let mut release = asked.records[0].clone();
    request_of(&mut release).set_action(StockAction::Release);
    asked.records.insert(0, release);
    asked
}

fn request_of(record: &mut Record) -> &mut StockRequest {
    match &mut record.body {
        Some(record::Body::Step(step)) => match &mut step.body {
            Some(step::Body::Request(request)) => request,
            other => panic!("not a request: {other:?}"),
        },
        other => panic!("not a step: {other:?}"),
    }
}

/// Setting stock twice made two rows, and each sale cut both. Here it sets the one there is.
#[test]
fn w22_stock_is_set_not_added() {
    let mut shop = Shop::with_two_goods();
    shop.send([set_stock(1, 20, "k1"), set_stock(1, 30, "k2")]);
    shop.send_one(submit(order("o", &[(1, 2)])));
    assert_eq!(shop.levels(1), (28, 2, 0));
    assert_eq!(emshop_core::inspect(shop.logs[0].store.as_ref()).stocks, 2);
}

/// What was sold stood in one field, and more than about ten goods did not fit. Here as many as a request may have are reserved, sold
/// and given back, each as it was.
#[test]
fn w23_many_lines_fit() {
    const LINES: usize = 200;
    let mut shop = Shop::new(1);
    let goods: [u64; LINES] = shop.goods_of(0);
    shop.send::<LINES>(goods.map(|goods_id| set_stock(goods_id, goods_id + 1, "first")));
    let lines = goods.map(|goods_id| (goods_id, goods_id));
    assert_reservation(shop.send_one(reserve("r", &lines)), ReservationStatus::Reserved, false);
    assert_reservation(shop.send_one(sell("r")), ReservationStatus::Sold, false);
    assert!(goods.iter().all(|goods_id| shop.levels(*goods_id) == (1, 0, *goods_id)));
    assert_reservation(shop.send_one(reback("r")), ReservationStatus::Released, false);
    assert!(goods.iter().all(|goods_id| shop.levels(*goods_id) == (goods_id + 1, 0, 0)));
}

/// Compensating what was never done failed for ever. Here it succeeds or refuses for good, and nothing is left running.
#[test]
fn w25_a_null_compensation_ends() {
    let mut shop = Shop::with_two_goods();
    assert_done(&shop.send_one(release("r")));
    assert_done(&shop.send_one(reback("r2")));
    assert_refused(&shop.send_one(cancel("unknown")), Code::OrderNotFound);
    assert_refused(&shop.send_one(cancel_payment("unknown")), Code::PaymentNotFound);
    assert_eq!(emshop_core::inspect(shop.logs[0].store.as_ref()).sagas_running, 0);
}

/// A closed order could be paid, and another provider's number replaced the first. Here both are refused.
#[test]
fn w26_a_closed_order_is_not_paid() {
    let mut shop = with_order();
    shop.send_one(cancel("o"));
    assert_refused(&shop.send_one(confirm("o")), Code::PaymentAlreadyCancelled);
    shop.assert_stands("o", OrderStatus::Cancelled, PaymentStatus::Cancelled, None);

    let mut shop = with_paid_order();
    assert_refused(&shop.send_one(confirm_with("o", "sn-2", None)), Code::PaymentAlreadyPaid);
    assert_eq!(shop.payment("o").third_party_sn, "sn-1");
}

/// The command that changed an order's status failed always. Here each change has its command, and the parcel takes the order along.
#[test]
fn w27_an_order_is_moved_to_its_end() {
    let mut shop = with_paid_order();
    let moves: [(OnOrder, OrderStatus); 3] =
        [(ship, OrderStatus::Shipped), (deliver, OrderStatus::Delivered), (complete, OrderStatus::Completed)];
    for (command, status) in moves {
        assert_done(&shop.send_one(command("o")));
        assert_eq!(shop.order("o").status(), status);
    }
}

/// A parcel could be cancelled on its way, and each cancel left another track. Here only before its shipment, and once.
#[test]
fn w28_a_parcel_is_cancelled_once_and_before_its_shipment() {
    let mut shop = with_paid_order();
    let first = shop.send_one(cancel_parcel("o"));
    assert_done(&first);
    let tracks = shop.tracks("o");
    let again = shop.send_one(cancel_parcel("o"));
    assert_eq!((again.result == first.result, again.repeated, shop.tracks("o")), (true, true, tracks));
    assert_refused(&shop.send_one(cancel_parcel("unknown")), Code::LogisticsOrderNotFound);

    let mut shop = with_paid_order();
    shop.send_one(ship("o"));
    for status in [LogisticsStatus::InTransit, LogisticsStatus::Delivering] {
        shop.send_one(move_parcel("o", status));
        assert_refused(&shop.send_one(cancel_parcel("o")), Code::LogisticsAlreadyShipped);
        assert_eq!(shop.parcel("o").status(), status);
    }
}

/// Any parcel could be delivered. Here one that was cancelled, or never sent, stays where it is.
#[test]
fn w29_a_cancelled_parcel_is_not_delivered() {
    let mut shop = with_paid_order();
    assert_refused(&shop.send_one(deliver("o")), Code::LogisticsNotShipped);
    shop.send_one(cancel_parcel("o"));
    assert_refused(&shop.send_one(deliver("o")), Code::LogisticsOrderStatusInvalid);
    let by_hand = shop.send_one(move_parcel("o", LogisticsStatus::Delivered));
    assert_refused(&by_hand, Code::LogisticsStatusTransitionInvalid);
    shop.assert_stands("o", OrderStatus::Paid, PaymentStatus::Paid, Some(LogisticsStatus::Cancelled));
}

/// A thread slept for two hours and then only wrote a log line, if the process still lived. Here the way is in the state, and goes on in
/// another process.
#[test]
fn w30_tracks_come_by_themselves_after_a_restart_too() {
    let mut shop = with_paid_order();
    shop.send_one(ship("o"));
    shop.tick_after(60 * 60_000);
    let store = std::sync::Arc::new(shop.logs[0].store.after_crash());
    shop.logs[0].replica = open(&store, 0, 1);
    shop.logs[0].store = store;
    shop.tick_after(26 * 60 * 60_000);
    assert_eq!(shop.tracks("o").lines().count(), 9);
    shop.assert_stands("o", OrderStatus::Delivered, PaymentStatus::Paid, Some(LogisticsStatus::Delivered));
}

/// Numbers were a second and four digits of chance. Here each order of each partition has its own, and it leads back to the order.
#[test]
fn w34_tracking_numbers_do_not_collide() {
    let mut shop = Shop::new(2);
    let [goods] = shop.goods_of(0);
    shop.stock_up(goods, 100, 50);
    let mut seen = std::collections::HashMap::new();
    for number in 0..50 {
        let id = format!("o{number}");
        shop.send_one(submit(order(&id, &[(goods, 1)])));
        shop.send_one(confirm(&id));
        let tracking_number = shop.parcel(&id).tracking_number;
        let found = emshop_proto::logistics::tracking_number::order_of(&tracking_number).expect("ours");
        assert_eq!(found.partition, shop.partitioner.of_order(&id).partition);
        assert_eq!(seen.insert(tracking_number, id), None);
    }
}

/// Anybody could read where any parcel goes and to whom. Here a user reads their own; who moves parcels, the access table says.
#[test]
fn w39_a_stranger_reads_no_parcel() {
    let mut shop = with_paid_order();
    let query = || OrderQuery { order_id: "o".to_owned() };
    let questions = [
        (query::Body::LogisticsOrder(query()), Code::LogisticsOrderNotFound),
        (query::Body::Tracks(query()), Code::LogisticsOrderNotFound),
        (query::Body::Order(query()), Code::OrderNotFound),
    ];
    for (question, missing) in questions {
        let answer = shop.ask(0, USER + 1, question.clone());
        let query_reply::Body::Refusal(refusal) = answer else { panic!("{answer:?}") };
        assert_eq!(refusal.code, missing.number());
        let answer = shop.ask(0, USER, question);
        assert!(!matches!(answer, query_reply::Body::Refusal(_)), "{answer:?}");
    }
}

/// Prices and totals were floats, and drifted. Here they are integers from the entry to the last refund: right to the fen, or refused.
#[test]
fn w35_money_is_an_integer() {
    // As floats of yuan none of these come out even: 0.1 × 3 + 0.01, 99.99 × 1000 + 0.01, 0.07 × 99,999 + 0.01.
    for (price, quantity) in [(10, 3), (9_999, 1_000), (7, 99_999)] {
        let mut shop = Shop::new(1);
        shop.stock_up(1, price, 100_000);
        shop.stock_up(2, 1, 10);
        let answer = shop.send_one(submit(order("o", &[(1, quantity), (2, 1)])));
        let Some(outcome::Result::Order(receipt)) = answer.result else { panic!("{answer:?}") };
        let total = price * quantity as i64 + 1;
        assert_eq!(receipt.total, Some(Money::new(total, "CNY")));
        assert_done(&shop.send_one(confirm_with("o", "sn-1", receipt.total)));
        for (part, key) in [(total / 3, "k1"), (total / 3, "k2"), (total - 2 * (total / 3), "k3")] {
            assert_done(&shop.send_one(refund("o", part, key)));
        }
        shop.assert_stands("o", OrderStatus::Refunded, PaymentStatus::Refunded, Some(LogisticsStatus::Cancelled));
    }
    let mut shop = Shop::new(1);
    shop.stock_up(1, 1_000_000_000_000, 1_000_000_000);
    assert_refused(&shop.send_one(submit(order("too-much", &[(1, 9_223_373)]))), Code::TotalTooLarge);
}

/// A panic was turned into success, and the saga went on. Here it goes up, and the process stops before anything is written.
#[test]
fn w45_a_panic_is_not_success() {
    let mut shop = with_order();
    let before = shop.rows();
    let owner = Owner { log: 0, kind: OwnerKind::Order.into(), number: 99 };
    let reply = step::Body::Reply(StockReply { action: StockAction::Reserve.into(), ..StockReply::default() });
    let to_nobody = record::Body::Step(Step { owner: Some(owner), body: Some(reply), ..Step::default() });
    let broken = Envelope { records: vec![Record { body: Some(to_nobody), ..Record::default() }], ..Envelope::default() };
    let applied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shop.apply(0, broken)));
    assert!(applied.is_err());
    assert_eq!(shop.rows(), before);
}

/// A reback believed the amounts it was sent. Here the recorded ones count.
#[test]
fn w46_recorded_amounts_are_given_back() {
    let (mut shop, id, far) = with_far_goods();
    shop.send_one(confirm(&id));
    shop.send_only([cancel(&id)]);
    let (last, mut asked) = shop.logs[0].replica.outbox.envelope(0, 1).expect("the reback");
    shop.logs[0].replica.outbox.acknowledged(1, last);
    request_of(&mut asked.records[0]).lines[0].quantity = 1000;
    shop.apply(1, asked);
    assert_eq!(shop.levels(far), (10, 0, 0));
    // And the history tells what was given back, not what was asked for.
    let sequence = shop.logs[1].replica.applied_sequence();
    let row = shop.logs[1].replica.state.stock_history.get(&sequence).expect("a history");
    assert_eq!(row.changes.iter().map(|change| (change.cause(), change.delta)).collect::<Vec<_>>(), [(StockCause::Reback, 2)]);
}

/// A paid payment had no time unless the provider's number was given. Here it always has the log's.
#[test]
fn w47_a_paid_payment_has_its_time() {
    for third_party_sn in ["sn-1", ""] {
        let mut shop = with_order();
        shop.now_ms += 1234;
        assert_done(&shop.send_one(confirm_with("o", third_party_sn, None)));
        assert_eq!(shop.payment("o").paid_at_ms, START_MS + 1234);
    }
}

/// A parcel that could not be cancelled made its compensation fail for ever. Here parcels are cancelled only while they can be, and the
/// same cancel again is answered.
#[test]
fn w48_cancelling_a_parcel_ends_its_saga() {
    let mut shop = with_paid_order();
    let first = shop.send_one(cancel("o"));
    let again = shop.send_one(cancel("o"));
    assert_eq!((again.result == first.result, again.repeated), (true, true));
    shop.assert_stands("o", OrderStatus::Refunded, PaymentStatus::Refunded, Some(LogisticsStatus::Cancelled));
    assert_eq!(shop.order("o").saga_status(), SagaStatus::Compensated);

    // Nothing is left of the parcel that could be cancelled.
    let mut shop = with_paid_order();
    shop.send_one(cancel_parcel("o"));
    assert_done(&shop.send_one(cancel("o")));
    assert_eq!(shop.order("o").saga_status(), SagaStatus::Compensated);
    assert!(!shop.timeline("o").contains("CancelLogisticsOrder"));

    // A shipped one does not let its saga begin.
    let mut shop = with_paid_order();
    shop.send_one(ship("o"));
    assert_refused(&shop.send_one(cancel("o")), Code::OrderStatusInvalid);
    assert_eq!(shop.order("o").saga_status(), SagaStatus::Completed);
}
