//! Sessions of users: opened by logins, refreshed by a secret that is good once, ended by whoever shows one that is not.

use emshop_core::idempotency::KEY_LIFETIME_MS;
use emshop_core::user::session::SESSIONS_MAX;
use emshop_proto::errors::Code;
use emshop_proto::internal::account_command::Body as Account;
use emshop_proto::internal::{CreateServiceAccount, EndSession, OpenSession, RefreshSession, SetPassword};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AccessChanged, Command, LogoutEverywhereRequest, Outcome, Role, SetUserStatusRequest, UserStatus, event, outcome,
};

use crate::shop::*;
use crate::users::{CODE, account, mobile_of, register, registration, send_code};

const USER: u64 = 7;
const LIFETIME_S: u32 = 600;
const LIFETIME_MS: i64 = LIFETIME_S as i64 * 1_000;

fn shop() -> Shop {
    let mut shop = Shop::new(1);
    let mobile = mobile_of(&shop, 0);
    send_code(&mut shop, &mobile);
    assert_done(&register(&mut shop, registration(USER, &mobile, CODE)));
    shop
}

fn open(shop: &mut Shop, session_id: u64, secret: &str, auth_epoch: u64) -> Outcome {
    let secret_hash = secret.as_bytes().to_vec();
    let command = OpenSession { user_id: USER, session_id, secret_hash, lifetime_seconds: LIFETIME_S, auth_epoch };
    account(shop, "", Account::OpenSession(command), 0)
}

fn refresh(shop: &mut Shop, session_id: u64, secret: &str, next: &str, key: &str) -> Outcome {
    let (secret_hash, next_secret_hash) = (secret.as_bytes().to_vec(), next.as_bytes().to_vec());
    let command = RefreshSession { user_id: USER, session_id, secret_hash, next_secret_hash, lifetime_seconds: LIFETIME_S };
    account(shop, key, Account::RefreshSession(command), 0)
}

fn end(shop: &mut Shop, user_id: u64, session_id: u64, secret: &str) -> Outcome {
    let secret_hash = secret.as_bytes().to_vec();
    account(shop, "", Account::EndSession(EndSession { user_id, session_id, secret_hash }), 0)
}

/// The sessions that the world was told to be over.
fn ended(shop: &Shop) -> Vec<u64> {
    let of_event = |body: &Option<event::Body>| match body {
        Some(event::Body::Access(AccessChanged { user_id: USER, ended_session_id, .. })) => Some(*ended_session_id),
        _ => None,
    };
    shop.logs[0].events.iter().filter_map(|event| of_event(&event.event.body)).collect()
}

#[test]
fn a_secret_is_good_once_and_one_that_comes_again_ends_its_session() {
    let mut shop = shop();
    assert_done(&open(&mut shop, 1, "a", 0));
    assert_done(&open(&mut shop, 2, "x", 0));
    assert!(!refresh(&mut shop, 1, "a", "b", "k").repeated);
    // The answer was lost; and in a hundred years the key is not remembered for anything else.
    assert!(refresh(&mut shop, 1, "a", "b", "k").repeated);
    assert_done(&refresh(&mut shop, 1, "b", "c", "l"));
    assert_eq!(ended(&shop), [0; 0]);
    assert_refused(&refresh(&mut shop, 1, "a", "b", "k"), Code::TokenRevoked);
    assert_eq!(ended(&shop), [1]);
    assert_refused(&refresh(&mut shop, 1, "c", "d", "m"), Code::TokenRevoked);
    assert_done(&refresh(&mut shop, 2, "x", "y", ""));
    assert_refused(&refresh(&mut shop, 2, "x", "y", ""), Code::TokenRevoked);
    assert_eq!(ended(&shop), [1, 2], "without a key there is no repeat");
}

#[test]
fn a_session_ends_with_its_time_and_with_the_epoch() {
    let mut shop = shop();
    assert_done(&open(&mut shop, 1, "a", 0));
    shop.now_ms += LIFETIME_MS - 1;
    assert_done(&refresh(&mut shop, 1, "a", "b", "k"));
    shop.now_ms += LIFETIME_MS - 1;
    assert_done(&refresh(&mut shop, 1, "b", "c", "l"));
    shop.now_ms += LIFETIME_MS;
    assert_refused(&refresh(&mut shop, 1, "c", "d", "m"), Code::TokenExpired);

    assert_done(&open(&mut shop, 2, "a", 0));
    let everywhere = Body::LogoutEverywhere(LogoutEverywhereRequest { user_id: USER });
    assert_done(&shop.send_one(Command::from(everywhere)));
    assert_refused(&refresh(&mut shop, 2, "a", "b", "k"), Code::TokenRevoked);
    assert_refused(&open(&mut shop, 3, "a", 0), Code::TokenRevoked);
    assert_done(&open(&mut shop, 3, "a", 1));
}

#[test]
fn of_too_many_the_one_goes_that_was_refreshed_longest_ago() {
    let mut shop = shop();
    let all = 1..=SESSIONS_MAX as u64;
    all.for_each(|session_id| assert_done(&open(&mut shop, session_id, "a", 0)));
    assert_done(&refresh(&mut shop, 1, "a", "b", "k"));
    assert_done(&open(&mut shop, 100, "a", 0));
    assert_eq!(ended(&shop), [2]);
    assert_refused(&refresh(&mut shop, 2, "a", "b", "k"), Code::TokenRevoked);
    assert_done(&refresh(&mut shop, 1, "b", "c", "l"));
    // Those whose time is over make room by themselves.
    shop.now_ms += LIFETIME_MS;
    assert_done(&open(&mut shop, 101, "a", 0));
    assert_eq!(ended(&shop), [2]);
}

#[test]
fn a_session_is_ended_once() {
    let mut shop = shop();
    assert_done(&open(&mut shop, 1, "a", 0));
    let table = [
        (USER, 2, "a", true),
        (USER + 1, 1, "a", true),
        (USER, 1, "its number stands in each token", true),
        (USER, 1, "a", false),
        (USER, 1, "a", true),
    ];
    for (user_id, session_id, secret, repeated) in table {
        let outcome = end(&mut shop, user_id, session_id, secret);
        assert_eq!((refused(&outcome), outcome.repeated), (None, repeated), "{user_id} {session_id} {secret}");
    }
    assert_eq!(ended(&shop), [1]);
    assert_refused(&open(&mut shop, 1, "a", 7), Code::TokenRevoked);
}

/// A program is a user with a key, and without whatever else a user is known by.
#[test]
fn a_service_account_is_a_user_without_number_and_password() {
    let mut shop = shop();
    let (account_id, key_hash) = (USER + 1, b"hash of a key".to_vec());
    let create = |shop: &mut Shop, key_hash: &[u8]| {
        let (name, role) = ("back office".to_owned(), Role::Finance.into());
        let command = CreateServiceAccount { user_id: account_id, name, role, key_hash: key_hash.to_vec() };
        account(shop, "", Account::CreateServiceAccount(command), 0)
    };
    let created = create(&mut shop, &key_hash);
    let Some(outcome::Result::User(user)) = created.result.clone() else { panic!("{created:?}") };
    assert_eq!((user.nick_name.as_str(), user.role(), user.service_account), ("back office", Role::Finance, true));
    let again = create(&mut shop, &key_hash);
    assert_eq!((again.result, again.repeated), (created.result, true));
    assert_refused(&create(&mut shop, b"of another request"), Code::IdempotencyKeyReused);

    let set_password = SetPassword { user_id: account_id, password_hash: "$x".to_owned(), replaced_hash: String::new() };
    assert_refused(&account(&mut shop, "k", Account::SetPassword(set_password), 0), Code::PasswordIncorrect);
    let disable = SetUserStatusRequest { user_id: account_id, status: UserStatus::Disabled.into() };
    assert_done(&shop.send_one(Command::from(Body::SetUserStatus(disable))));
    let told = shop.logs[0].events.last().and_then(|event| event.event.body.clone());
    let expected = AccessChanged { user_id: account_id, auth_epoch: 1, ended_session_id: 0 };
    assert_eq!(told, Some(event::Body::Access(expected)));
    shop.now_ms += KEY_LIFETIME_MS;
    assert_refused(&create(&mut shop, &key_hash), Code::IdempotencyKeyReused);
}
