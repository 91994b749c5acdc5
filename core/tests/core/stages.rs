//! Every stage of an order's life against every command about it: what is carried out, what is a repeat, and that the rest is refused and
//! changes nothing.

use emshop_core::order;
use emshop_core::order::{journal, payment};
use emshop_proto::errors::Code;
use emshop_proto::internal::query::Body as Question;
use emshop_proto::internal::query_reply::Body as Answer;
use emshop_proto::internal::{OrderQuery, UserOrdersQuery};
use emshop_proto::v1::{
    CancelOrderRequest, Command, LogisticsStatus, Operator, OperatorKind, Order, OrderStatus, PaymentStatus, Subject, command,
};

use crate::commands::*;
use crate::shop::*;

/// Commands by the names that the table below has for them.
const COMMANDS: [(&str, OnOrder); 21] = [
    ("confirm", confirm),
    ("cancel payment", cancel_payment),
    ("fail payment", fail_payment),
    ("cancel", cancel),
    ("complete", complete),
    ("request return", request_return),
    ("accept return", accept_return),
    ("decline return", decline_return),
    ("create parcel", create_parcel),
    ("ship", ship),
    ("deliver", deliver),
    ("cancel parcel", cancel_parcel),
    ("to pending", |id| move_parcel(id, LogisticsStatus::Pending)),
    ("to shipped", |id| move_parcel(id, LogisticsStatus::Shipped)),
    ("to in transit", |id| move_parcel(id, LogisticsStatus::InTransit)),
    ("to delivering", |id| move_parcel(id, LogisticsStatus::Delivering)),
    ("to delivered", |id| move_parcel(id, LogisticsStatus::Delivered)),
    ("to rejected", |id| move_parcel(id, LogisticsStatus::Rejected)),
    ("to returning", |id| move_parcel(id, LogisticsStatus::Returning)),
    ("to returned", |id| move_parcel(id, LogisticsStatus::Returned)),
    ("to cancelled", |id| move_parcel(id, LogisticsStatus::Cancelled)),
];

fn named(name: &str) -> OnOrder {
    COMMANDS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no command is called {name}")).1
}

struct Stage {
    /// Commands that lead there from a submitted order.
    way: &'static [&'static str],
    order: OrderStatus,
    payment: PaymentStatus,
    parcel: Option<LogisticsStatus>,
    done: &'static [&'static str],
    repeated: &'static [&'static str],
}

impl Stage {
    fn shop(&self) -> Shop {
        let mut shop = Shop::with_two_goods();
        assert_done(&shop.send_one(submit(order("o", &[(1, 2), (2, 4)]))));
        for name in self.way {
            assert_done(&shop.send_one(named(name)("o")));
        }
        shop.assert_stands("o", self.order, self.payment, self.parcel);
        shop
    }
}

use {LogisticsStatus as L, OrderStatus as O, PaymentStatus as P};

#[rustfmt::skip]
const STAGES: &[Stage] = &[
    Stage { way: &[], order: O::Pending, payment: P::Pending, parcel: None,
        done: &["confirm", "cancel payment", "fail payment", "cancel"], repeated: &[] },
    Stage { way: &["cancel"], order: O::Cancelled, payment: P::Cancelled, parcel: None,
        done: &[], repeated: &["cancel", "cancel payment"] },
    Stage { way: &["fail payment"], order: O::Cancelled, payment: P::Failed, parcel: None,
        done: &[], repeated: &["fail payment"] },
    Stage { way: &["confirm"], order: O::Paid, payment: P::Paid, parcel: Some(L::Pending),
        done: &["cancel", "ship", "cancel parcel", "to shipped", "to cancelled"], repeated: &["confirm", "to pending"] },
    Stage { way: &["confirm", "cancel parcel"], order: O::Paid, payment: P::Paid, parcel: Some(L::Cancelled),
        done: &["cancel", "create parcel"], repeated: &["confirm", "cancel parcel", "to cancelled"] },
    Stage { way: &["confirm", "cancel parcel", "create parcel"], order: O::Paid, payment: P::Paid, parcel: Some(L::Pending),
        done: &["cancel", "ship", "cancel parcel", "to shipped", "to cancelled"], repeated: &["confirm", "create parcel", "to pending"] },
    Stage { way: &["confirm", "cancel"], order: O::Refunded, payment: P::Refunded, parcel: Some(L::Cancelled),
        done: &[], repeated: &["confirm", "cancel", "cancel parcel", "to cancelled"] },
    Stage { way: &["confirm", "ship"], order: O::Shipped, payment: P::Paid, parcel: Some(L::Shipped),
        done: &["deliver", "to in transit", "to delivered"], repeated: &["confirm", "ship", "to shipped"] },
    Stage { way: &["confirm", "ship", "to in transit"], order: O::Shipped, payment: P::Paid, parcel: Some(L::InTransit),
        done: &["deliver", "to delivering"], repeated: &["confirm", "to in transit"] },
    Stage { way: &["confirm", "ship", "to in transit", "to delivering"], order: O::Shipped, payment: P::Paid, parcel: Some(L::Delivering),
        done: &["deliver", "to delivered", "to rejected"], repeated: &["confirm", "to delivering"] },
    Stage { way: &["confirm", "ship", "deliver"], order: O::Delivered, payment: P::Paid, parcel: Some(L::Delivered),
        done: &["complete", "request return"], repeated: &["confirm", "deliver", "to delivered"] },
    Stage { way: &["confirm", "ship", "deliver", "complete"], order: O::Completed, payment: P::Paid, parcel: Some(L::Delivered),
        done: &[], repeated: &["confirm", "complete", "deliver", "to delivered"] },
    Stage { way: &["confirm", "ship", "deliver", "request return"], order: O::Returning, payment: P::Paid, parcel: Some(L::Delivered),
        done: &["accept return", "decline return"], repeated: &["confirm", "request return", "deliver", "to delivered"] },
    Stage { way: &["confirm", "ship", "deliver", "request return", "decline return"], order: O::Delivered, payment: P::Paid,
        parcel: Some(L::Delivered),
        done: &["complete", "request return"], repeated: &["confirm", "decline return", "deliver", "to delivered"] },
    Stage { way: &["confirm", "ship", "deliver", "request return", "accept return"], order: O::Returned, payment: P::Refunded,
        parcel: Some(L::Delivered),
        done: &[], repeated: &["confirm", "request return", "accept return", "deliver", "to delivered"] },
    Stage { way: &["confirm", "ship", "to in transit", "to delivering", "to rejected"], order: O::Shipped, payment: P::Paid,
        parcel: Some(L::Rejected),
        done: &["to returning"], repeated: &["confirm", "to rejected"] },
    Stage { way: &["confirm", "ship", "to in transit", "to delivering", "to rejected", "to returning"], order: O::Shipped,
        payment: P::Paid, parcel: Some(L::Returning),
        done: &["to returned"], repeated: &["confirm", "to returning"] },
    Stage { way: &["confirm", "ship", "to in transit", "to delivering", "to rejected", "to returning", "to returned"], order: O::Refunded,
        payment: P::Refunded, parcel: Some(L::Returned),
        done: &[], repeated: &["confirm", "to returned"] },
];

#[test]
fn every_command_at_every_stage() {
    for stage in STAGES {
        for (name, command) in COMMANDS {
            let mut shop = stage.shop();
            let (rows, events) = (shop.rows(), shop.logs[0].events.len());
            let outcome = shop.send_one(command("o"));
            let found = (refused(&outcome).is_none(), outcome.repeated);
            let expected = match (stage.done.contains(&name), stage.repeated.contains(&name)) {
                (true, _) => (true, false),
                (_, true) => (true, true),
                _ => (false, false),
            };
            assert_eq!(found, expected, "{name} after {:?}: {outcome:?}", stage.way);
            if expected != (true, false) {
                assert_eq!((shop.rows(), shop.logs[0].events.len()), (rows, events), "{name} after {:?}", stage.way);
            }
        }
        for name in stage.done.iter().chain(stage.repeated) {
            named(name);
        }
    }
}

/// What an order and its payment have been through is a way through their tables.
#[test]
fn histories_follow_the_tables() {
    for stage in STAGES {
        let row = stage.shop().order_row("o");
        let moves = journal::history(&row);
        moves.iter().map(|change| change.to()).fold(OrderStatus::Unspecified, |from, to| {
            assert!(order::may_follow(from, to), "{:?}: from {from:?} to {to:?}", stage.way);
            to
        });
        let log = journal::payment_log(&row);
        log.iter().map(|change| change.to()).fold(PaymentStatus::Unspecified, |from, to| {
            // A refund is noted once it is over.
            let legal = payment::may_follow(from, to) || (from, to) == (PaymentStatus::Paid, PaymentStatus::Refunded);
            assert!(legal, "{:?}: from {from:?} to {to:?}", stage.way);
            to
        });
    }
}

/// Who ended an order that was not fulfilled, and why, as its last change says.
#[test]
fn histories_say_who_ended_an_order_and_why() {
    let user = Operator { kind: OperatorKind::User.into(), user_id: USER, ..Operator::default() };
    // Who has no account here is named in the records all the same.
    let subject = Subject { issuer: "https://login.example".to_owned(), id: "f3a1".to_owned() };
    let admin = Operator { kind: OperatorKind::Admin.into(), subject: Some(Box::new(subject)), ..Operator::default() };
    let system = Operator { kind: OperatorKind::System.into(), user_id: 0, ..Operator::default() };
    let last = |shop: &mut Shop| {
        let change = shop.order("o").history.pop().expect("it has ended");
        (change.from(), change.to(), change.operator.expect("somebody did it"), change.reason)
    };
    let stage = |way: &[&str]| STAGES.iter().find(|stage| stage.way == way).expect("a stage of the table").shop();

    let request = CancelOrderRequest { order_id: "o".to_owned(), reason: "too late".to_owned(), ..CancelOrderRequest::default() };
    let cancel = Command::from(command::Body::CancelOrder(request));
    let mut shop = stage(&[]);
    assert_done(&shop.send_as(Some(user.clone()), cancel.clone()));
    assert_eq!(last(&mut shop), (O::Pending, O::Cancelled, user.clone(), "too late".to_owned()));
    let mut shop = stage(&["confirm"]);
    assert_done(&shop.send_as(Some(user.clone()), cancel));
    assert_eq!(last(&mut shop), (O::Refunding, O::Refunded, user, "too late".to_owned()));
    assert!(shop.tracks("o").ends_with("订单已取消: too late | 系统自动\n"));

    let mut shop = stage(&[]);
    shop.tick_after(i64::from(EXPIRES_IN_SECONDS) * 1000);
    assert_eq!(last(&mut shop), (O::Pending, O::Cancelled, system, String::new()));

    let mut shop = stage(&["confirm", "ship", "to in transit", "to delivering", "to rejected", "to returning"]);
    assert_done(&shop.send_as(Some(admin.clone()), move_parcel("o", L::Returned)));
    assert_eq!(last(&mut shop), (O::Refunding, O::Refunded, admin, String::new()));

    // To its user they are somebody of the staff.
    let query = || OrderQuery { order_id: "o".to_owned() };
    let shown = |shop: &mut Shop, viewer| {
        let (order, payment) = (shop.ask(0, viewer, Question::Order(query())), shop.ask(0, viewer, Question::Payment(query())));
        let listed = shop.ask(0, viewer, Question::UserOrders(UserOrdersQuery { user_id: USER, limit: 9, ..Default::default() }));
        let (Answer::Order(order), Answer::Payment(payment), Answer::UserOrders(orders)) = (order, payment, listed) else {
            panic!("they are there")
        };
        let listed = orders.orders.into_iter().next().and_then(|listed| listed.order).expect("it is listed");
        let of_order = |order: Order| {
            let steps = order.timeline.into_iter().filter_map(|event| event.operator);
            steps.chain(order.history.into_iter().filter_map(|change| change.operator)).collect::<Vec<_>>()
        };
        let of_payment = payment.log.into_iter().filter_map(|change| change.operator).collect();
        [of_order(order), of_order(listed), of_payment]
    };
    let has_subject = |by: &Operator| by.subject.is_some();
    assert!(shown(&mut shop, 0).iter().take(2).all(|all| all.iter().any(has_subject)));
    let to_user = shown(&mut shop, USER);
    assert!(to_user.iter().take(2).all(|all| all.iter().any(|by| by.kind() == OperatorKind::Admin)));
    assert!(!to_user.iter().flatten().any(has_subject));
}

/// The refusals that a parcel's commands give for want of the right status, by the way to that status.
#[test]
fn parcels_say_why_they_do_not_move() {
    use Code::*;
    let (shipped, transit) = (["confirm", "ship"].as_slice(), ["confirm", "ship", "to in transit"].as_slice());
    let delivered = ["confirm", "ship", "deliver"].as_slice();
    let rejected = ["confirm", "ship", "to in transit", "to delivering", "to rejected"].as_slice();
    let cancelled = ["confirm", "cancel parcel"].as_slice();
    let table: &[(&[&str], &str, Code)] = &[
        (&[], "ship", LogisticsOrderNotFound),
        (&[], "create parcel", OrderStatusInvalid),
        (&["confirm"], "create parcel", LogisticsOrderExists),
        (&["confirm"], "deliver", LogisticsNotShipped),
        (&["confirm"], "to delivered", LogisticsStatusTransitionInvalid),
        (shipped, "cancel parcel", LogisticsAlreadyShipped),
        (shipped, "to cancelled", LogisticsAlreadyShipped),
        (shipped, "to delivering", LogisticsStatusTransitionInvalid),
        (shipped, "create parcel", LogisticsOrderExists),
        (shipped, "cancel", OrderStatusInvalid),
        (transit, "ship", LogisticsAlreadyShipped),
        (transit, "cancel parcel", LogisticsAlreadyShipped),
        (transit, "to shipped", LogisticsStatusTransitionInvalid),
        (delivered, "ship", LogisticsAlreadyDelivered),
        (delivered, "cancel parcel", LogisticsAlreadyDelivered),
        (delivered, "to rejected", LogisticsStatusTransitionInvalid),
        (rejected, "ship", LogisticsAlreadyShipped),
        (rejected, "cancel parcel", LogisticsOrderCannotCancel),
        (rejected, "deliver", LogisticsOrderStatusInvalid),
        (cancelled, "ship", LogisticsOrderStatusInvalid),
        (cancelled, "deliver", LogisticsOrderStatusInvalid),
        (cancelled, "to shipped", LogisticsStatusTransitionInvalid),
        (&["confirm", "cancel"], "create parcel", OrderStatusInvalid),
        (&["confirm"], "complete", OrderStatusInvalid),
        (shipped, "request return", OrderStatusInvalid),
        (delivered, "accept return", OrderStatusInvalid),
    ];
    for (way, name, code) in table {
        let stage = STAGES.iter().find(|stage| stage.way == *way).expect("a stage of the table");
        let outcome = stage.shop().send_one(named(name)("o"));
        assert_eq!(refused(&outcome), Some(*code), "{name} after {way:?}");
    }
    let commands: [fn() -> Command; 4] =
        [|| ship("unknown"), || deliver("unknown"), || cancel_parcel("unknown"), || move_parcel("unknown", L::Shipped)];
    for command in commands {
        assert_refused(&Shop::new(1).send_one(command()), LogisticsOrderNotFound);
    }
    for command in [create_parcel, complete, request_return, accept_return] {
        assert_refused(&Shop::new(1).send_one(command("unknown")), OrderNotFound);
    }
    let paid = STAGES.iter().find(|stage| stage.way == ["confirm"]).expect("a stage of the table");
    let refusal = refusal_of(paid.shop().send_one(move_parcel("o", L::Delivered)));
    assert_eq!(refusal.message, "The logistics order cannot go from PENDING to DELIVERED");
}
