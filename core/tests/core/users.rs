//! Users and their mobile numbers; in one log, and in two.

use std::collections::BTreeMap;

use emshop_core::idempotency::KEY_LIFETIME_MS;
use emshop_core::queries;
use emshop_core::user::code::ISSUE_INTERVAL_MS;
use emshop_proto::access::ROLES;
use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::ids;
use emshop_proto::internal::account_command::Body as Account;
use emshop_proto::internal::{
    IssueCode, MobileQuery, Query, RegisterUser, SetPassword, UseCode, UseOnce, UserQuery, Users, UsersQuery, query, query_reply,
};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AccessChanged, Command, Gender, LogoutEverywhereRequest, Operator, OperatorKind, Outcome, Role, SetUserRoleRequest,
    SetUserStatusRequest, SmsPurpose, UpdateProfileRequest, User, UserChanged, UserStatus, event, outcome,
};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::shop::*;

/// Changes a user as a command should have.
type Expect = fn(&mut User);

pub const CODE: &[u8] = b"right";
pub const WRONG: &[u8] = b"wrong";
pub const CODE_LIFETIME_S: u32 = 300;

/// Two users and a number: all in one log, or the number in the other one.
fn shops() -> Vec<(Shop, [u64; 2], String)> {
    let shops = [1, 2].map(|logs| {
        let mut shop = Shop::new(logs);
        shop.channels_repeat = true;
        let (users, mobile) = (users_of(&shop, 0), mobile_of(&shop, logs - 1));
        (shop, users, mobile)
    });
    shops.into()
}

fn users_of<const N: usize>(shop: &Shop, log: u32) -> [u64; N] {
    let mut found = (1..).filter(|user_id| shop.partitioner.of_user(*user_id).log == log);
    std::array::from_fn(|_| found.next().expect("numbers do not end"))
}

pub fn mobile_of(shop: &Shop, log: u32) -> String {
    let mut numbers = (13_800_000_000_u64..).map(|number| number.to_string());
    numbers.find(|mobile| shop.partitioner.of_mobile(mobile).log == log).expect("numbers do not end")
}

pub fn registration(user_id: u64, mobile: &str, code: &[u8]) -> RegisterUser {
    RegisterUser {
        user_id,
        mobile: mobile.to_owned(),
        nick_name: "Li".to_owned(),
        password_hash: "$hash".to_owned(),
        code_hash: code.to_vec(),
        code_key: code_key_of(mobile),
    }
}

/// As the ingress does it: the body hash leaves the code out.
fn register_only(shop: &mut Shop, registration: RegisterUser) -> u64 {
    let hashed = RegisterUser { code_hash: Vec::new(), code_key: String::new(), ..registration.clone() };
    shop.send_account_only(Account::RegisterUser(registration), "", xxh3_64(&hashed.encode_to_vec()))
}

pub fn register(shop: &mut Shop, registration: RegisterUser) -> Outcome {
    let ticket = register_only(shop, registration);
    shop.carry();
    shop.outcome(ticket).expect("a quiet shop has answered")
}

pub fn account(shop: &mut Shop, key: &str, body: Account, body_hash: u64) -> Outcome {
    let ticket = shop.send_account_only(body, key, body_hash);
    shop.outcome(ticket).expect("answered in its turn")
}

/// As the ingress does it: the body hash leaves out what is replaced.
fn set_password(shop: &mut Shop, user_id: u64, replaced_hash: &str, password_hash: &str, key: &str) -> Outcome {
    let hashed = SetPassword { user_id, password_hash: password_hash.to_owned(), replaced_hash: String::new() };
    let body_hash = xxh3_64(&hashed.encode_to_vec());
    let command = SetPassword { replaced_hash: replaced_hash.to_owned(), ..hashed };
    account(shop, key, Account::SetPassword(command), body_hash)
}

/// Uses a captcha, under an idempotency key.
pub fn use_once(shop: &mut Shop, key: &str, idempotency_key: &str) -> Outcome {
    let used = UseOnce { key: key.to_owned(), expires_in_seconds: CODE_LIFETIME_S };
    account(shop, idempotency_key, Account::UseOnce(used), 0)
}

/// A code under a key, out of a budget if it has one.
pub fn issue(shop: &mut Shop, key: &str, budget_key: &str) -> Outcome {
    let (key, budget_key) = (key.to_owned(), budget_key.to_owned());
    let code = IssueCode { key, code_hash: CODE.to_vec(), expires_in_seconds: CODE_LIFETIME_S, budget_key };
    account(shop, "", Account::IssueCode(code), 0)
}

pub fn use_code(shop: &mut Shop, key: &str, code: &[u8]) -> Outcome {
    use_code_under(shop, key, code, "")
}

/// Under an idempotency key.
pub fn use_code_under(shop: &mut Shop, key: &str, code: &[u8], idempotency_key: &str) -> Outcome {
    account(shop, idempotency_key, Account::UseCode(UseCode { key: key.to_owned(), code_hash: code.to_vec() }), 0)
}

fn code_key_of(mobile: &str) -> String {
    ids::code_key(SmsPurpose::Register, "v", mobile)
}

/// Sends a code to a number, as soon as it may be.
pub fn send_code(shop: &mut Shop, mobile: &str) {
    shop.now_ms += ISSUE_INTERVAL_MS;
    assert_done(&issue(shop, &code_key_of(mobile), &ids::code_budget_key(SmsPurpose::Register, mobile)));
}

/// A user who is there.
pub fn registered(shop: &mut Shop, user_id: u64) {
    registered_with(shop, user_id);
}

/// The same, with a number of log 0, which is told.
pub fn registered_with(shop: &mut Shop, user_id: u64) -> String {
    let mobile = mobile_of(shop, 0);
    send_code(shop, &mobile);
    assert_done(&register(shop, registration(user_id, &mobile, CODE)));
    mobile
}

#[track_caller]
fn user_of(outcome: Outcome) -> User {
    match outcome.result {
        Some(outcome::Result::User(user)) => user,
        other => panic!("not a user: {other:?}"),
    }
}

fn ask(shop: &mut Shop, log: u32, body: query::Body) -> query_reply::Body {
    let reply = queries::answer(&mut shop.logs[log as usize].replica, Query { body: Some(body), viewer: 0 });
    reply.and_then(|reply| reply.body).expect("an answer")
}

fn find(shop: &mut Shop, user_id: u64) -> Option<User> {
    let log = shop.partitioner.of_user(user_id).log;
    match ask(shop, log, query::Body::User(UserQuery { user_id })) {
        query_reply::Body::User(user) => Some(user),
        query_reply::Body::Refusal(refusal) => {
            assert_eq!(refusal.code, Code::UserNotFound.number());
            None
        }
        other => panic!("{other:?}"),
    }
}

fn owner_of(shop: &mut Shop, mobile: &str) -> Option<u64> {
    let log = shop.partitioner.of_mobile(mobile).log;
    match ask(shop, log, query::Body::Mobile(MobileQuery { mobile: mobile.to_owned() })) {
        query_reply::Body::Mobile(user) => Some(user.user_id),
        query_reply::Body::Refusal(_) => None,
        other => panic!("{other:?}"),
    }
}

/// They stand in a row that each of them writes again.
#[test]
fn repeats_of_a_registration_wait_for_it_up_to_a_bound() {
    for (mut shop, [user_id, _], mobile) in shops().into_iter().filter(|(shop, ..)| shop.logs.len() == 2) {
        send_code(&mut shop, &mobile);
        let tickets: Vec<_> = (0..120).map(|_| register_only(&mut shop, registration(user_id, &mobile, CODE))).collect();
        let (waiting, refused) = tickets.split_at(100);
        for ticket in refused {
            assert_refused(&shop.outcome(*ticket).expect("answered at once"), Code::OutcomeUnknown);
        }
        shop.carry();
        for ticket in waiting {
            assert_eq!(user_of(shop.outcome(*ticket).expect("the number's log has answered")).user_id, user_id);
        }
    }
}

#[test]
fn a_user_is_there_once_the_number_is_theirs() {
    for (mut shop, [user_id, _], mobile) in shops() {
        send_code(&mut shop, &mobile);
        let ticket = register_only(&mut shop, registration(user_id, &mobile, CODE));
        if shop.logs.len() == 2 {
            assert_eq!((find(&mut shop, user_id), shop.logs[0].events.len()), (None, 0), "nobody sees who is registering");
            let command = Body::SetUserStatus(SetUserStatusRequest { user_id, status: UserStatus::Disabled.into() });
            assert_refused(&shop.send_one(Command::from(command)), Code::UserNotFound);
        }
        shop.carry();
        let user = user_of(shop.outcome(ticket).expect("the number's partition has answered"));
        let expected = User {
            user_id,
            mobile: mobile.clone(),
            nick_name: "Li".to_owned(),
            role: Role::User.into(),
            status: UserStatus::Active.into(),
            created_at_ms: shop.now_ms,
            updated_at_ms: shop.now_ms,
            ..User::default()
        };
        assert_eq!(user, expected);
        assert_eq!((find(&mut shop, user_id), owner_of(&mut shop, &mobile)), (Some(expected.clone()), Some(user_id)));
        let events: Vec<_> = shop.logs[0].events.iter().map(|event| (event.event_type, event.event.body.clone())).collect();
        assert_eq!(events, [(EventType::UserRegistered, Some(event::Body::UserChanged(UserChanged { user_id })))]);
    }
}

#[test]
fn a_number_belongs_to_one_user() {
    for (mut shop, [first, second], mobile) in shops() {
        send_code(&mut shop, &mobile);
        assert_done(&register(&mut shop, registration(first, &mobile, CODE)));
        assert_refused(&register(&mut shop, registration(second, &mobile, CODE)), Code::UserAlreadyExists);
        // Without the code nobody is told that the number is taken.
        assert_refused(&register(&mut shop, registration(second, &mobile, WRONG)), Code::SmsCodeNotFound);
        send_code(&mut shop, &mobile);
        assert_refused(&register(&mut shop, registration(second, &mobile, WRONG)), Code::SmsCodeIncorrect);
        assert_refused(&register(&mut shop, registration(second, &mobile, CODE)), Code::UserAlreadyExists);
        shop.now_ms += i64::from(CODE_LIFETIME_S) * 1000;
        assert_refused(&register(&mut shop, registration(second, &mobile, CODE)), Code::SmsCodeNotFound);
        assert_eq!((find(&mut shop, second), owner_of(&mut shop, &mobile)), (None, Some(first)));
    }
}

#[test]
fn of_two_at_once_one_gets_the_number() {
    for (mut shop, [first, second], mobile) in shops() {
        send_code(&mut shop, &mobile);
        let tickets = [first, second].map(|user_id| register_only(&mut shop, registration(user_id, &mobile, CODE)));
        shop.carry();
        let [got, missed] = tickets.map(|ticket| shop.outcome(ticket).expect("answered"));
        assert_done(&got);
        assert_refused(&missed, Code::UserAlreadyExists);
        assert_eq!((find(&mut shop, second), owner_of(&mut shop, &mobile)), (None, Some(first)));
    }
}

#[test]
fn a_refused_registration_leaves_nothing_and_can_be_tried_again() {
    for (mut shop, [user_id, _], mobile) in shops() {
        assert_refused(&register(&mut shop, registration(user_id, &mobile, CODE)), Code::SmsCodeNotFound);
        assert_eq!(shop.rows().len(), shop.logs.len(), "only whose state it is");
        send_code(&mut shop, &mobile);
        let before = shop.rows().len();
        assert_refused(&register(&mut shop, registration(user_id, &mobile, WRONG)), Code::SmsCodeIncorrect);
        assert_eq!((shop.rows().len(), find(&mut shop, user_id)), (before, None));
        assert_done(&register(&mut shop, registration(user_id, &mobile, CODE)));
    }
}

#[test]
fn a_repeated_registration_answers_as_the_first_one() {
    for (mut shop, [user_id, _], mobile) in shops() {
        send_code(&mut shop, &mobile);
        let first = register(&mut shop, registration(user_id, &mobile, CODE));
        // The code was used up, and is not what tells a repeat.
        let again = register(&mut shop, registration(user_id, &mobile, WRONG));
        assert_eq!((&again.result, again.repeated), (&first.result, true));
        let good = || registration(user_id, &mobile, CODE);
        let others = [
            RegisterUser { password_hash: "$other".to_owned(), ..good() },
            RegisterUser { nick_name: "Wang".to_owned(), ..good() },
            RegisterUser { mobile: "13900000000".to_owned(), ..good() },
        ];
        for other in others {
            assert_refused(&register(&mut shop, other), Code::IdempotencyKeyReused);
        }
        assert_eq!(shop.logs[0].events.len(), 1);

        // Once the password is another one, the first opens nothing any more.
        assert_done(&set_password(&mut shop, user_id, "$hash", "$new", ""));
        assert_refused(&register(&mut shop, good()), Code::IdempotencyKeyReused);
    }
}

#[test]
fn a_registration_is_forgotten_as_a_key_after_a_day() {
    for (mut shop, [user_id, _], mobile) in shops() {
        send_code(&mut shop, &mobile);
        register(&mut shop, registration(user_id, &mobile, CODE));
        shop.tick_after(KEY_LIFETIME_MS - 1);
        assert!(register(&mut shop, registration(user_id, &mobile, CODE)).repeated);
        shop.tick_after(1);
        assert_refused(&register(&mut shop, registration(user_id, &mobile, CODE)), Code::UserAlreadyExists);
    }
}

/// While the number's log is asked, a repeat waits for the same answer.
#[test]
fn repeats_while_the_number_is_asked_for() {
    for (code, refused_code) in [(CODE, None), (WRONG, Some(Code::SmsCodeIncorrect))] {
        let (mut shop, [user_id, _], mobile) = shops().pop().expect("the one with two logs");
        send_code(&mut shop, &mobile);
        let first = register_only(&mut shop, registration(user_id, &mobile, code));
        let repeat = register_only(&mut shop, registration(user_id, &mobile, CODE));
        let other = RegisterUser { password_hash: "$other".to_owned(), ..registration(user_id, &mobile, CODE) };
        let other = register_only(&mut shop, other);
        assert_refused(&shop.outcome(other).expect("answered at once"), Code::IdempotencyKeyReused);
        assert_eq!((shop.outcome(first), shop.outcome(repeat)), (None, None));
        shop.carry();
        let [first, repeat] = [first, repeat].map(|ticket| shop.outcome(ticket).expect("answered"));
        assert_eq!((refused(&first), first.repeated), (refused_code, false));
        assert_eq!((repeat.result, repeat.repeated), (first.result, true));
    }
}

#[test]
fn users_change() {
    for (mut shop, [user_id, unknown], mobile) in shops() {
        send_code(&mut shop, &mobile);
        let mut user = user_of(register(&mut shop, registration(user_id, &mobile, CODE)));
        let profile = |user_id, nick_name: Option<&str>, gender: Option<Gender>, birthday: Option<&str>| {
            Body::UpdateProfile(UpdateProfileRequest {
                user_id,
                nick_name: nick_name.map(str::to_owned),
                gender: gender.map(i32::from),
                birthday: birthday.map(str::to_owned),
            })
        };
        let status = |user_id, status: UserStatus| Body::SetUserStatus(SetUserStatusRequest { user_id, status: status.into() });
        let role = |user_id, role: Role| Body::SetUserRole(SetUserRoleRequest { user_id, role: role.into() });
        let steps: [(Body, Expect); 7] = [
            (profile(user_id, Some("Wang"), None, None), |user| user.nick_name = "Wang".to_owned()),
            (profile(user_id, None, Some(Gender::Female), Some("1990-02-28")), |user| {
                user.set_gender(Gender::Female);
                user.birthday = "1990-02-28".to_owned();
            }),
            (profile(user_id, None, Some(Gender::Unspecified), Some("")), |user| {
                user.set_gender(Gender::Unspecified);
                user.birthday = String::new();
            }),
            (status(user_id, UserStatus::Disabled), |user| {
                user.set_status(UserStatus::Disabled);
                user.auth_epoch = 1;
            }),
            (status(user_id, UserStatus::Active), |user| {
                user.set_status(UserStatus::Active);
                user.auth_epoch = 2;
            }),
            (role(user_id, Role::Admin), |user| {
                user.set_role(Role::Admin);
                user.auth_epoch = 3;
            }),
            (role(user_id, Role::Super), |user| {
                user.set_role(Role::Super);
                user.auth_epoch = 4;
            }),
        ];
        for (body, expect) in steps {
            shop.now_ms += 1;
            expect(&mut user);
            user.updated_at_ms = shop.now_ms;
            let command = Command::from(body);
            let first = shop.send_one(command.clone());
            assert_eq!((user_of(first.clone()), first.repeated), (user.clone(), false));
            shop.now_ms += 1;
            let again = shop.send_one(command);
            assert_eq!((again.result, again.repeated), (first.result, true), "what is so already is a repeat");
        }
        let on_unknown =
            [profile(unknown, Some("x"), None, None), status(unknown, UserStatus::Active), role(unknown, Role::User)];
        for body in on_unknown {
            assert_refused(&shop.send_one(Command::from(body)), Code::UserNotFound);
        }
        assert_refused(&set_password(&mut shop, unknown, "$hash", "$x", ""), Code::UserNotFound);
    }
}

/// What an operator is, is looked at where the row is, by whichever way the command came.
#[test]
fn nobody_changes_themself_or_somebody_who_is_not_below_them() {
    let (mut shop, [user_id, other], mobile) = shops().remove(0);
    send_code(&mut shop, &mobile);
    assert_done(&register(&mut shop, registration(user_id, &mobile, CODE)));
    let status = |status: UserStatus| Body::SetUserStatus(SetUserStatusRequest { user_id, status: status.into() });
    let role = |role: Role| Body::SetUserRole(SetUserRoleRequest { user_id, role: role.into() });
    let by = |user_id, role: Role| {
        Some(Operator { kind: OperatorKind::Admin.into(), user_id, role: role.into(), ..Operator::default() })
    };
    let everywhere = || Command::from(Body::LogoutEverywhere(LogoutEverywhereRequest { user_id }));
    for is in ROLES {
        user_of(shop.send_as(by(other, Role::Super), Command::from(role(is))));
        user_of(shop.send_as(by(user_id, is), everywhere()));
        for acts in [Role::Support, Role::Warehouse, Role::Finance, Role::Admin, Role::Super] {
            let may = is.is_below(acts) || acts == Role::Super;
            for wanted in [UserStatus::Disabled, UserStatus::Active] {
                let outcome = shop.send_as(by(other, acts), Command::from(status(wanted)));
                assert_eq!(refused(&outcome), (!may).then_some(Code::RoleNotBelow), "{acts:?} on {is:?}");
            }
            let outcome = shop.send_as(by(other, acts), everywhere());
            assert_eq!(refused(&outcome), (!may).then_some(Code::RoleNotBelow), "{acts:?} puts out {is:?}");
            for own in [status(UserStatus::Disabled), role(Role::User), role(Role::Super)] {
                assert_refused(&shop.send_as(by(user_id, acts), Command::from(own)), Code::RoleNotBelow);
            }
            assert_eq!(user_of(shop.send_one(Command::from(status(UserStatus::Active)))).role(), is, "nothing has changed");
        }
    }
    let unknown = Body::SetUserStatus(SetUserStatusRequest { user_id: other + 1, status: UserStatus::Active.into() });
    let place = shop.send_as(by(other, Role::Admin), Command::from(unknown));
    assert_refused(&place, Code::UserNotFound);
}

/// Whatever a token was given for, and only that: each time once, and the world is told.
#[test]
fn changes_of_access_begin_another_epoch() {
    let (mut shop, [user_id, unknown], mobile) = shops().remove(0);
    send_code(&mut shop, &mobile);
    assert_done(&register(&mut shop, registration(user_id, &mobile, CODE)));
    let told_before = shop.logs[0].events.len();
    let status = |status: UserStatus| Body::SetUserStatus(SetUserStatusRequest { user_id, status: status.into() });
    let everywhere = |user_id| Body::LogoutEverywhere(LogoutEverywhereRequest { user_id });
    let nick_name = UpdateProfileRequest { user_id, nick_name: Some("Wang".to_owned()), ..UpdateProfileRequest::default() };
    let steps = [
        (Body::UpdateProfile(nick_name), 0),
        (status(UserStatus::Active), 0),
        (status(UserStatus::Disabled), 1),
        (status(UserStatus::Disabled), 1),
        (Body::SetUserRole(SetUserRoleRequest { user_id, role: Role::Finance.into() }), 2),
        (everywhere(user_id), 3),
        (everywhere(user_id), 4),
    ];
    for (body, auth_epoch) in steps {
        assert_eq!(user_of(shop.send_one(Command::from(body.clone()))).auth_epoch, auth_epoch, "{body:?}");
    }
    assert_eq!(user_of(set_password(&mut shop, user_id, "$hash", "$one", "k")).auth_epoch, 5);
    assert_eq!(user_of(set_password(&mut shop, user_id, "$hash", "$one", "k")).auth_epoch, 5, "a repeat is answered as then");
    assert_refused(&set_password(&mut shop, user_id, "$hash", "$two", "l"), Code::PasswordIncorrect);
    assert_refused(&shop.send_one(Command::from(everywhere(unknown))), Code::UserNotFound);
    let told = shop.logs[0].events[told_before..].iter().map(|event| (event.event_type, event.event.body.clone()));
    let expected = (1..=5).map(|auth_epoch| {
        (EventType::AccessChanged, Some(event::Body::Access(AccessChanged { user_id, auth_epoch, ended_session_id: 0 })))
    });
    assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

/// Two who have both shown to know the old password: what the second one has shown is not so any more.
#[test]
fn of_two_new_passwords_at_once_one_is_set() {
    let (mut shop, [user_id, _], mobile) = shops().remove(0);
    send_code(&mut shop, &mobile);
    assert_done(&register(&mut shop, registration(user_id, &mobile, CODE)));
    assert_done(&set_password(&mut shop, user_id, "$hash", "$one", "k1"));
    assert_refused(&set_password(&mut shop, user_id, "$hash", "$two", "k2"), Code::PasswordIncorrect);
    assert_refused(&set_password(&mut shop, user_id, "", "$two", "k3"), Code::PasswordIncorrect);

    // Not remembered: the second one knows better now.
    assert_done(&set_password(&mut shop, user_id, "$one", "$two", "k2"));
    // The first one again: answered as then, though it can show nothing, and the second one's password stays.
    let again = set_password(&mut shop, user_id, "", "$one", "k1");
    assert_eq!((refused(&again), again.repeated), (None, true));
    assert_refused(&set_password(&mut shop, user_id, "$two", "$three", "k1"), Code::IdempotencyKeyReused);
    assert_done(&set_password(&mut shop, user_id, "$two", "$four", "k4"));
}

#[test]
fn users_are_listed_by_id_with_their_total() {
    let mut shop = Shop::new(1);
    for user_id in 1..=40 {
        let mobile = (13_900_000_000 + user_id).to_string();
        send_code(&mut shop, &mobile);
        assert_done(&register(&mut shop, registration(user_id, &mobile, CODE)));
        if user_id % 4 == 0 {
            let command = Body::SetUserRole(SetUserRoleRequest { user_id, role: Role::Admin.into() });
            assert_done(&shop.send_one(Command::from(command)));
        }
    }
    let mut list = |after_user_id, role: Role, status: UserStatus| {
        let query = UsersQuery { after_user_id, limit: 7, role: role.into(), status: status.into(), service_accounts: false };
        match ask(&mut shop, 0, query::Body::Users(query)) {
            query_reply::Body::Users(Users { users, after, total: 40 }) => {
                (users.iter().map(|user| user.user_id).collect::<Vec<_>>(), after)
            }
            other => panic!("{other:?}"),
        }
    };
    let (any_role, any_status) = (Role::Unspecified, UserStatus::Unspecified);
    assert_eq!(list(0, any_role, any_status), ((1..=7).collect(), 7));
    assert_eq!(list(36, any_role, any_status), ((37..=40).collect(), 0));
    assert_eq!(list(u64::MAX, any_role, any_status), (vec![], 0));
    assert_eq!(list(8, Role::Admin, UserStatus::Active), (vec![12, 16, 20, 24, 28, 32, 36], 36));
    assert_eq!(list(36, Role::User, any_status), (vec![37, 38, 39], 0));
    assert_eq!(list(0, any_role, UserStatus::Disabled), (vec![], 0));
}

#[derive(Clone, Debug)]
enum Action {
    SendCode(usize),
    Register { user_id: u64, mobile: usize, right: bool },
    Carry,
    Wait,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => (0..3_usize).prop_map(Action::SendCode),
        4 => (1..=6_u64, 0..3_usize, proptest::bool::weighted(0.8))
            .prop_map(|(user_id, mobile, right)| Action::Register { user_id, mobile, right }),
        2 => Just(Action::Carry),
        1 => Just(Action::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes in between, and though everything between the logs comes twice: one number, one user.
    #[test]
    fn numbers_and_users_belong_together_over_all_logs(actions in vec(action(), 1..40)) {
        let mut shop = Shop::new(2);
        shop.channels_repeat = true;
        let mobiles = [mobile_of(&shop, 0), mobile_of(&shop, 1), "13700000000".to_owned()];
        for action in actions {
            match action {
                Action::SendCode(mobile) => {
                    let mobile = &mobiles[mobile];
                    issue(&mut shop, &code_key_of(mobile), &ids::code_budget_key(SmsPurpose::Register, mobile));
                },
                Action::Register { user_id, mobile, right } => {
                    register_only(&mut shop, registration(user_id, &mobiles[mobile], if right { CODE } else { WRONG }));
                }
                Action::Carry => drop(shop.carry_once()),
                Action::Wait => shop.tick_after(ISSUE_INTERVAL_MS),
            }
        }
        shop.carry();
        let registered = (1..=6).filter_map(|user_id| find(&mut shop, user_id)).map(|user| (user.mobile, user.user_id));
        let registered: Vec<_> = registered.collect();
        let by_mobile: BTreeMap<_, _> = registered.iter().cloned().collect();
        prop_assert_eq!(registered.len(), by_mobile.len(), "a number has two users");
        for mobile in &mobiles {
            prop_assert_eq!(owner_of(&mut shop, mobile), by_mobile.get(mobile).copied());
        }
    }
}
