//! Users who are deleted: what the books need stays, and nothing that says who they were. (Each turn ends with an inspection.)

use emshop_proto::errors::Code;
use emshop_proto::internal::account_command::Body as Account;
use emshop_proto::internal::{DeleteUser, MobileQuery, UserQuery, query, query_reply};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    Address, CancelOrderRequest, Command, CreateAddressRequest, CreateMessageRequest, MessageKind, Operator, OperatorKind,
    OrderStatus, Outcome, Receiver, Role, SetUserRoleRequest, SubmitOrderRequest, UpdateProfileRequest, UserMessage, UserStatus,
    outcome,
};

use crate::commands::*;
use crate::shop::*;
use crate::users::registered_with;

/// What is said of the user in the course of things.
const SAID: [&str; 6] = ["Wilhelmina", "13911112222", "Elsewhere 7", "my door is green", "call Wilhelmina", "Minnie"];
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

struct Scene {
    shop: Shop,
    user_id: u64,
    mobile: String,
    /// Of another log than the second one.
    ended: String,
    under_way: String,
}

impl Scene {
    /// A user of log 0 with an order at its end and one on its way in the other log, if there is one.
    fn new(logs: u32) -> Self {
        let mut shop = Shop::new(logs);
        let user_id = shop.user_of(0);
        let mobile = registered_with(&mut shop, user_id);
        let [goods_id] = shop.goods_of(0);
        shop.stock_up(goods_id, 1000, 10);
        let (ended, under_way) = (shop.id_of(0, "ended"), shop.id_of(logs - 1, "under-way"));
        let said = |text: &str| text.to_owned();
        for id in [&ended, &under_way] {
            let receiver = Some(Receiver { name: said(SAID[0]), phone: said(SAID[1]) });
            let order = SubmitOrderRequest { user_id, receiver, address: said(SAID[2]), ..order(id, &[(goods_id, 1)]) };
            assert_done(&shop.send_one(submit(order)));
            assert_done(&shop.send_one(confirm(id)));
        }
        let cancel = CancelOrderRequest { order_id: ended.clone(), user_id, reason: said(SAID[4]) };
        assert_done(&shop.send_one(Body::CancelOrder(cancel).into()));
        assert_done(&shop.send_one(ship(&under_way)));
        assert_done(&shop.send_one(deliver(&under_way)));
        let address = Some(Address {
            province: said("P"),
            city: said("C"),
            street: said(SAID[2]),
            receiver_name: said(SAID[0]),
            receiver_phone: said(SAID[1]),
            ..Address::default()
        });
        let text = said(SAID[3]);
        let message = UserMessage { kind: MessageKind::Complaint.into(), subject: said("door"), text, ..UserMessage::default() };
        let profile = UpdateProfileRequest { user_id, nick_name: Some(said(SAID[5])), ..UpdateProfileRequest::default() };
        let kept: [Command; 5] = [
            keyed("a", Body::CreateAddress(CreateAddressRequest { user_id, address })),
            keyed("m", Body::CreateMessage(CreateMessageRequest { user_id, message: Some(message) })),
            keyed("p", Body::UpdateProfile(profile)),
            add_to_cart(user_id, goods_id, 1, "c"),
            add_favourite(user_id, goods_id),
        ];
        shop.send(kept).iter().for_each(assert_done);
        Self { shop, user_id, mobile, ended, under_way }
    }

    fn delete(&mut self, operator: Option<Operator>, shown_hash: &str) -> Outcome {
        let command = DeleteUser { user_id: self.user_id, shown_hash: shown_hash.to_owned() };
        let ticket = self.shop.send_account_as(operator, Account::DeleteUser(command), "", 0);
        self.shop.carry();
        self.shop.outcome(ticket).expect("it is answered")
    }

    /// Which of the words some row still has.
    fn found(&self) -> Vec<&str> {
        let rows = self.shop.rows();
        let has = |bytes: &[u8], word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        let is_there =
            |word: &&str| rows.iter().any(|(key, value)| has(key, word) || value.as_ref().is_some_and(|value| has(value, word)));
        SAID.iter().copied().chain([self.mobile.as_str()]).filter(is_there).collect()
    }

    fn days(&mut self, days: i64) {
        for _ in 0..days {
            self.shop.tick_after(DAY_MS);
            // What is due at once is due with the next tick.
            self.shop.tick_after(1);
        }
    }
}

fn as_user(user_id: u64) -> Option<Operator> {
    Some(Operator { kind: OperatorKind::User.into(), user_id, ..Operator::default() })
}

#[test]
fn nothing_says_who_a_deleted_user_was() {
    for logs in [1, 2] {
        let mut scene = Scene::new(logs);
        assert_eq!(scene.found().len(), SAID.len() + 1, "there is something to be found");
        let (user_id, lines) = (scene.user_id, scene.shop.order(&scene.ended).lines);
        assert_done(&scene.delete(as_user(user_id), "$hash"));
        let asked = scene.shop.ask(0, 0, query::Body::User(UserQuery { user_id }));
        assert!(
            matches!(&asked, query_reply::Body::Refusal(refusal) if refusal.code == Code::UserNotFound.number()),
            "{asked:?}"
        );
        let log = scene.shop.partitioner.of_mobile(&scene.mobile).log;
        let asked = scene.shop.ask(log, 0, query::Body::Mobile(MobileQuery { mobile: scene.mobile.clone() }));
        assert!(matches!(asked, query_reply::Body::Refusal(_)), "the number is free again");

        // Answers under a key are remembered for a day. The order that is on its way has a receiver.
        scene.days(2);
        assert_eq!(scene.found(), [SAID[0], SAID[1], SAID[2]]);
        assert_eq!(scene.shop.order(&scene.under_way).address, SAID[2]);
        scene.days(7);
        assert_eq!(scene.shop.order_row(&scene.under_way).status(), OrderStatus::Completed);
        assert_eq!(scene.found(), [""; 0]);
        let left = scene.shop.order(&scene.ended);
        assert_eq!((left.user_id, left.status(), left.lines), (user_id, OrderStatus::Refunded, lines), "what the books need");

        // Nothing is left to be done, either.
        scene.days(3);
        let timers: u64 = scene.shop.logs.iter().map(|log| emshop_core::inspect(log.store.as_ref()).timers).sum();
        assert_eq!(timers, 0);
    }
}

#[test]
fn what_comes_by_an_old_token_goes_too() {
    let mut scene = Scene::new(2);
    let user_id = scene.user_id;
    assert_done(&scene.delete(None, ""));
    scene.days(5);
    let late = scene.shop.id_of(1, "late");
    let order = SubmitOrderRequest { user_id, address: "Elsewhere 9".to_owned(), ..order(&late, &[(9, 1)]) };
    assert_refused(&scene.shop.send_as(as_user(user_id), submit(order)), Code::GoodsNotFound);
    assert_eq!(scene.shop.order(&late).address, "Elsewhere 9");
    scene.days(5);
    let has = |value: &[u8]| value.windows(11).any(|window| window == b"Elsewhere 9");
    assert!(!scene.shop.rows().iter().any(|(_, value)| value.as_ref().is_some_and(|value| has(value))));
}

#[test]
fn nothing_is_kept_for_who_was_deleted() {
    let mut scene = Scene::new(1);
    let user_id = scene.user_id;
    assert_done(&scene.delete(None, ""));
    let [goods_id] = scene.shop.goods_of(0);
    let message = Some(UserMessage { text: "x".to_owned(), ..UserMessage::default() });
    let late: [Command; 4] = [
        keyed("late-a", Body::CreateAddress(CreateAddressRequest { user_id, address: Some(Address::default()) })),
        keyed("late-m", Body::CreateMessage(CreateMessageRequest { user_id, message })),
        add_to_cart(user_id, goods_id, 1, "late-c"),
        add_favourite(user_id, goods_id),
    ];
    for operator in [as_user(user_id), None] {
        for command in late.clone() {
            assert_refused(&scene.shop.send_as(operator.clone(), command), Code::UserNotFound);
        }
    }
}

/// However many are deleted at once: the turns of those who shop do not wait for all of them.
#[test]
fn a_tick_erases_so_many_rows_of_all_users_together() {
    let mut shop = Shop::new(1);
    let users: Vec<u64> = (1..=10).collect();
    let message = Some(UserMessage { text: SAID[3].to_owned(), ..UserMessage::default() });
    for user_id in &users {
        registered_with(&mut shop, *user_id);
        for _ in 0..60 {
            let create = CreateMessageRequest { user_id: *user_id, message: message.clone() };
            assert_done(&shop.send_one(Body::CreateMessage(create).into()));
        }
        let command = DeleteUser { user_id: *user_id, shown_hash: String::new() };
        shop.send_account_as(None, Account::DeleteUser(command), "", 0);
    }
    let left = |shop: &Shop| {
        let mut left = 0;
        for user_id in &users {
            shop.logs[0].replica.state.messages.scan(&emshop_core::state::rows::Newest::first(*user_id), |key, _| {
                left += usize::from(key.user_id == *user_id);
                if key.user_id == *user_id { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
            });
        }
        left
    };
    let mut before = left(&shop);
    assert!(before > 256, "not all go at once: {before}");
    while before > 0 {
        shop.tick_after(1);
        let now = left(&shop);
        assert!(now < before && before - now <= 256, "{before} {now}");
        before = now;
    }
}

#[test]
fn more_than_one_turn_can_take() {
    let mut scene = Scene::new(1);
    let user_id = scene.user_id;
    for number in 0..300 {
        let message = Some(UserMessage { text: SAID[3].to_owned(), ..UserMessage::default() });
        assert_done(&scene.shop.send_one(Body::CreateMessage(CreateMessageRequest { user_id, message }).into()));
        let id = format!("o{number}");
        let order = SubmitOrderRequest { user_id, address: SAID[2].to_owned(), ..order(&id, &[(9, 1)]) };
        assert_refused(&scene.shop.send_one(submit(order)), Code::GoodsNotFound);
    }
    assert_done(&scene.delete(None, ""));
    for _ in 0..6 {
        scene.shop.tick_after(1);
    }
    let state = &scene.shop.logs[0].replica.state;
    let mut messages = 0;
    state.messages.scan(&emshop_core::state::rows::Newest::first(user_id), |_, _| {
        messages += 1;
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(messages, 0);
    assert_eq!(scene.shop.order("o0").address, "");
}

/// Each turn ends with an inspection: of addresses one is the default, or there are none.
#[test]
fn addresses_go_together_however_much_else_there_is() {
    let mut scene = Scene::new(1);
    let user_id = scene.user_id;
    for _ in 0..230 {
        let message = Some(UserMessage { text: SAID[3].to_owned(), ..UserMessage::default() });
        assert_done(&scene.shop.send_one(Body::CreateMessage(CreateMessageRequest { user_id, message }).into()));
    }
    for number in 0..49 {
        let address = Some(Address { street: SAID[2].to_owned(), is_default: number == 48, ..Address::default() });
        let create = Body::CreateAddress(CreateAddressRequest { user_id, address });
        assert_done(&scene.shop.send_one(keyed(&format!("a{number}"), create)));
    }
    assert_done(&scene.delete(None, ""));
    for _ in 0..4 {
        scene.shop.tick_after(1);
    }
}

#[test]
fn who_may_delete_whom() {
    let mut scene = Scene::new(1);
    let user_id = scene.user_id;
    let admin = || Some(Operator { kind: OperatorKind::Admin.into(), user_id: 1, ..Operator::default() });
    assert_refused(&scene.delete(as_user(user_id + 1), "$hash"), Code::PermissionDenied);
    assert_refused(&scene.delete(as_user(user_id), "$another"), Code::PasswordIncorrect);
    let role = |role: Role| Body::SetUserRole(SetUserRoleRequest { user_id, role: role.into() });
    assert_done(&scene.shop.send_one(keyed("up", role(Role::Admin))));
    assert_refused(&scene.delete(admin(), ""), Code::PermissionDenied);
    assert_done(&scene.shop.send_one(keyed("down", role(Role::User))));
    assert_done(&scene.shop.send_one(adjust_balance(user_id, 100, "in")));
    assert_refused(&scene.delete(admin(), ""), Code::UserHasBalance);
    assert_done(&scene.shop.send_one(adjust_balance(user_id, -100, "out")));
    assert_done(&scene.delete(admin(), ""));
    let again = scene.delete(admin(), "");
    assert!(again.repeated);
    let Some(outcome::Result::User(user)) = again.result else { panic!("{again:?}") };
    assert_eq!((user.status(), user.mobile.as_str(), user.nick_name.as_str()), (UserStatus::Deleted, "", ""));
    scene.user_id = user_id + 1;
    assert_refused(&scene.delete(admin(), ""), Code::UserNotFound);
}
