//! Who users are, until they are deleted. (Each has a number of their own. No run has so much of a user that one tick would not take all of
//! it away, and none is so long that it would be looked for again the next day, or that a registration is forgotten.)

use std::collections::BTreeSet;

use emshop_proto::errors::Code;
use emshop_proto::internal::{DeleteUser, IssueCode, OwnerKind, RegisterUser, account_command};
use emshop_proto::v1::{AddCartItemRequest, Operator, OperatorKind, OrderStatus, UserStatus};

use super::said::Said;
use super::{Model, Ticket, Turn, Waiting, Wants, Who, Wrong, again, refused};
use crate::people;

/// Of one registration.
#[derive(Clone, Debug)]
pub struct User {
    status: UserStatus,
    mobile: String,
    password: String,
    hash: u64,
    /// Those who wait for their number.
    waiting: Vec<Waiting>,
}

/// A code that was sent.
#[derive(Clone, Debug)]
pub struct SentCode {
    hash: Vec<u8>,
    expires_at: i64,
    is_used: bool,
}

fn answer(status: UserStatus) -> String {
    format!("user {}", status.as_str_name())
}

impl Turn<'_> {
    /// What only an ingress may ask for.
    pub(super) fn account(
        &mut self,
        ticket: Ticket,
        operator: Option<Operator>,
        hash: u64,
        body: account_command::Body,
    ) -> Result<(), Wrong> {
        use account_command::Body;
        let answer = match body {
            Body::IssueCode(command) => self.issue(command),
            Body::RegisterUser(command) => {
                self.register(ticket, hash, command);
                return Ok(());
            }
            Body::DeleteUser(command) => self.delete(operator, &command),
            other => return Err(format!("the model knows nothing of {other:?}")),
        };
        self.note(ticket, answer);
        Ok(())
    }

    fn issue(&mut self, IssueCode { key, code_hash, expires_in_seconds, .. }: IssueCode) -> String {
        let expires_at = self.here().time_ms + i64::from(expires_in_seconds) * 1000;
        self.here().codes.insert(key, SentCode { hash: code_hash, expires_at, is_used: false });
        "done".to_owned()
    }

    fn register(&mut self, ticket: Ticket, hash: u64, command: RegisterUser) {
        let RegisterUser { user_id, mobile, password_hash, code_hash, code_key, .. } = command;
        let waiting = |again| Waiting { who: Who { ticket, ..Who::default() }, again, wants: Wants::Thing };
        if let Some(user) = self.here().users.get_mut(&user_id) {
            let answer = match user.status {
                _ if user.hash != hash || user.password != password_hash => refused(Code::IdempotencyKeyReused),
                UserStatus::Unspecified => return user.waiting.push(waiting(true)),
                status => again(answer(status)),
            };
            return self.note(ticket, answer);
        }
        let (status, password) = (UserStatus::Unspecified, password_hash);
        let user = User { status, mobile: mobile.clone(), password, hash, waiting: vec![waiting(false)] };
        self.here().users.insert(user_id, user);
        let log = self.model.partitioner.of_mobile(&mobile).log;
        if log == self.log {
            let refusal = self.give_number(&code_key, &code_hash).err();
            return self.number_replied(user_id, refusal);
        }
        self.say(log, Said::Number { by: (self.log, OwnerKind::User, user_id), mobile, code_key, code_hash });
    }

    /// A number is given to who knows what was sent there, once.
    pub(super) fn give_number(&mut self, code_key: &str, code_hash: &[u8]) -> Result<(), Code> {
        let now = self.here().time_ms;
        let code = self.here().codes.get_mut(code_key).filter(|code| now < code.expires_at && !code.is_used);
        let Some(code) = code.filter(|code| code.hash == code_hash) else { return Err(Code::SmsCodeNotFound) };
        code.is_used = true;
        Ok(())
    }

    pub(super) fn number_replied(&mut self, user_id: u64, refusal: Option<Code>) {
        let Some(user) = self.here().users.get_mut(&user_id) else { return };
        user.status = UserStatus::Active;
        let (waiting, told) = (std::mem::take(&mut user.waiting), refusal.map_or_else(|| answer(UserStatus::Active), refused));
        if refusal.is_some() {
            self.here().users.remove(&user_id);
        }
        self.tell_all(waiting, |_| told.clone());
    }

    fn delete(&mut self, operator: Option<Operator>, command: &DeleteUser) -> String {
        let DeleteUser { user_id, shown_hash } = command;
        let by_user = operator.filter(|operator| operator.kind() == OperatorKind::User).map(|operator| operator.user_id);
        let balance = self.here().balances.get(user_id).copied().unwrap_or(0);
        let Some(user) = self.here().users.get_mut(user_id).filter(|user| user.status != UserStatus::Unspecified) else {
            return refused(Code::UserNotFound);
        };
        let is_deleted = user.status == UserStatus::Deleted;
        match by_user {
            Some(other) if other != *user_id => return refused(Code::PermissionDenied),
            _ if is_deleted => return again(answer(UserStatus::Deleted)),
            Some(_) if user.password != *shown_hash => return refused(Code::PasswordIncorrect),
            _ if balance != 0 => return refused(Code::UserHasBalance),
            _ => {}
        }
        let mobile = std::mem::take(&mut user.mobile);
        // No repeat of the registration has this hash.
        *user =
            User { status: UserStatus::Deleted, mobile: String::new(), password: String::new(), hash: 0, waiting: Vec::new() };
        let by = (self.log, OwnerKind::User, *user_id);
        let log = self.model.partitioner.of_mobile(&mobile).log;
        if log != self.log {
            self.say(log, Said::NumberReleased { by, mobile });
        }
        for log in 0..self.model.logs.len() as u32 {
            if log == self.log {
                self.begin_to_forget(*user_id);
            } else {
                self.say(log, Said::Forget { by });
            }
        }
        answer(UserStatus::Deleted)
    }

    pub(super) fn begin_to_forget(&mut self, user: u64) {
        let now = self.here().time_ms;
        self.here().to_forget.entry(user).or_insert(Some(now));
    }

    /// Takes away what can be looked at.
    pub(super) fn forget(&mut self, user: u64) {
        self.here().to_forget.insert(user, None);
        self.here().carts.remove(&user);
    }

    /// Keeps something for a user, unless that one was deleted.
    pub(super) fn keep(&mut self, user: u64, what: &str) -> String {
        if self.is_deleted(user) { refused(Code::UserNotFound) } else { what.to_owned() }
    }

    pub(super) fn add_to_a_cart(&mut self, request: &AddCartItemRequest) -> String {
        if self.is_deleted(request.user_id) { refused(Code::UserNotFound) } else { self.add_to_cart(request) }
    }

    fn is_deleted(&mut self, user: u64) -> bool {
        self.here().users.get(&user).is_some_and(|user| user.status == UserStatus::Deleted)
    }
}

impl Model {
    /// Who was deleted.
    pub fn deleted(&self) -> BTreeSet<u64> {
        let users = self.logs.iter().flat_map(|log| &log.users);
        users.filter(|(_, user)| user.status == UserStatus::Deleted).map(|(user, _)| *user).collect()
    }

    /// Words that nothing may say any more a day after all has come to its end.
    pub fn forgotten(&self) -> BTreeSet<String> {
        use OrderStatus::{Cancelled, Completed, Refunded, Returned};
        let deleted = self.deleted();
        let orders = self.logs.iter().flat_map(|log| &log.orders).filter(|order| deleted.contains(&order.user));
        let ended = orders.filter(|order| matches!(order.status, Cancelled | Completed | Refunded | Returned));
        deleted.iter().map(|user| people::name(*user)).chain(ended.map(|order| people::name_on(&order.id))).collect()
    }
}
