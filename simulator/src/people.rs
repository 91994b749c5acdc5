//! Customers as people: they sign up, say who they are and where they live, and have themselves deleted.

use std::collections::BTreeSet;

use emshop_proto::internal::{AccountCommand, DeleteUser, IssueCode, RegisterUser, account_command};
use emshop_proto::v1::{
    Address, CreateAddressRequest, CreateMessageRequest, Operator, OperatorKind, Receiver, UserMessage, command,
};
use rand::Rng;
use rand::rngs::StdRng;

use crate::client::Wish;
use crate::plan::Plan;

/// What stands around the words by which somebody can be told.
const OPEN: &[u8] = "«".as_bytes();
const CLOSE: &[u8] = "»".as_bytes();

const CODE: &[u8] = b"the code";
const CODE_LIFETIME_SECONDS: u32 = 300;

/// By which a user can be told, wherever it stands.
pub fn name(user: u64) -> String {
    format!("«user {user}»")
}

/// By which it can be told who an order is for.
pub fn name_on(order: &str) -> String {
    format!("«{order}»")
}

/// All such words in some bytes.
pub fn names_in(bytes: &[u8]) -> BTreeSet<String> {
    let (mut names, mut rest) = (BTreeSet::new(), bytes);
    let find = |bytes: &[u8], mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark);
    while let Some(start) = find(rest, OPEN) {
        let length = find(&rest[start..], CLOSE).map_or(rest.len() - start, |length| length + CLOSE.len());
        names.insert(String::from_utf8_lossy(&rest[start..start + length]).into_owned());
        rest = &rest[start + length..];
    }
    names
}

/// Of a user, who has only one.
fn number(user: u64) -> String {
    format!("+86 {}", name(user))
}

/// What a user shows to know.
fn password(user: u64) -> String {
    format!("hash of {}", name(user))
}

fn code_key(user: u64) -> String {
    format!("sms:register:1:{}", number(user))
}

/// Where an order goes to, and to whom.
pub fn destination(order: &str) -> (String, Option<Receiver>) {
    let name = name_on(order);
    (format!("where {name} lives"), Some(Receiver { name: name.clone(), phone: format!("+86 {name}") }))
}

/// A code is sent to the user's number.
pub fn code(user: u64) -> Wish {
    let (code_hash, expires_in_seconds) = (CODE.to_vec(), CODE_LIFETIME_SECONDS);
    let issue = IssueCode { key: code_key(user), code_hash, expires_in_seconds, ..IssueCode::default() };
    account(account_command::Body::IssueCode(issue), None)
}

/// The user signs up with that code.
pub fn registration(user_id: u64) -> Wish {
    let register = RegisterUser {
        user_id,
        mobile: number(user_id),
        nick_name: name(user_id),
        password_hash: password(user_id),
        code_hash: CODE.to_vec(),
        code_key: code_key(user_id),
    };
    account(account_command::Body::RegisterUser(register), None)
}

/// Somebody wants an account deleted: staff, its user, or another one; now and then without the right password.
pub fn deletion(plan: &Plan, random: &mut StdRng) -> Wish {
    let user_id = random.random_range(1..=plan.users);
    let by = if random.random_bool(0.8) { user_id } else { random.random_range(1..=plan.users) };
    let user = Operator { kind: OperatorKind::User.into(), user_id: by, ..Operator::default() };
    let shown_hash = if random.random_bool(0.8) { password(user_id) } else { "a guess".to_owned() };
    let operator = random.random_bool(0.6).then_some(user);
    account(account_command::Body::DeleteUser(DeleteUser { user_id, shown_hash }), operator)
}

fn account(body: account_command::Body, operator: Option<Operator>) -> Wish {
    Wish::Account(AccountCommand { body: Some(body), ..AccountCommand::default() }, operator)
}

/// What somebody leaves with the shop.
pub fn belonging(plan: &Plan, random: &mut StdRng) -> command::Body {
    let user_id = random.random_range(1..=plan.users);
    let name = name(user_id);
    if random.random_bool(0.5) {
        let message = UserMessage { subject: name.clone(), text: format!("a letter of {name}"), ..UserMessage::default() };
        return command::Body::CreateMessage(CreateMessageRequest { user_id, message: Some(message) });
    }
    let address = Address {
        street: format!("where {name} lives"),
        receiver_name: name,
        receiver_phone: number(user_id),
        ..Address::default()
    };
    command::Body::CreateAddress(CreateAddressRequest { user_id, address: Some(address) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let bytes =
            [[0xff, 0xc2].as_slice(), name(3).as_bytes(), b"..", name_on("o1").as_bytes(), name(3).as_bytes(), &OPEN[..1]]
                .concat();
        assert_eq!(names_in(&bytes), BTreeSet::from(["«user 3»".to_owned(), "«o1»".to_owned()]));
        assert_eq!(names_in("«half".as_bytes()), BTreeSet::from(["«half".to_owned()]));
    }
}
