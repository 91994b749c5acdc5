//! Users, and their registration: a saga with the log of the mobile number.
//!
//! Until that has answered, the row is registering and nobody else sees the user. A refusal takes the row away again, so
//! that nothing is left and the same key can be tried again.

pub mod address;
pub mod balance;
pub mod cart;
pub mod code;
pub mod erasure;
pub mod favourite;
pub mod hold;
pub mod letter;
pub mod mobile;
pub mod service;
pub mod session;

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{MobileReply, MobileRequest, OwnerKind, RegisterUser, SetPassword, UserRow};
use emshop_proto::v1::{
    AccessChanged, LogoutEverywhereRequest, OperatorKind, Role, SetUserRoleRequest, SetUserStatusRequest, UpdateProfileRequest,
    User, UserChanged, UserStatus, event, outcome,
};

use crate::context::{Context, Turn, WAITERS_MAX};
use crate::effects::{Answer, Answered, Handled};
use crate::idempotency::{KEY_LIFETIME_MS, too_many_wait};
use crate::state::State;

pub(crate) fn register(turn: &mut Turn, command: RegisterUser) -> Handled {
    let RegisterUser { user_id, mobile, nick_name, password_hash, code_hash, code_key } = command;
    if turn.state.users.get(&user_id).is_some() {
        return repeat_register(turn, user_id, &password_hash);
    }
    let mut row = UserRow {
        mobile: mobile.clone(),
        password_hash,
        nick_name,
        created_at_ms: turn.ctx.time_ms,
        updated_at_ms: turn.ctx.time_ms,
        body_hash: turn.ctx.body_hash,
        registering: true,
        waiters: vec![turn.ctx.waiter.clone()],
        ..UserRow::default()
    };
    row.set_role(Role::User);
    row.set_status(UserStatus::Active);
    turn.state.users.insert(user_id, row);
    let owner = turn.ctx.owner(OwnerKind::User, user_id);
    if let Some(reply) = turn.ask(owner, MobileRequest { mobile, user_id, code_hash, code_key, release: false }) {
        mobile_reply(turn, user_id, reply.expect("who asks for a number hears of it"));
    }
    Ok(Answered::Later)
}

/// The user id is made from number and key, so a user who is there already was registered under the same key.
fn repeat_register(turn: &mut Turn, user_id: u64, password_hash: &str) -> Handled {
    let row = turn.state.users.get(&user_id).expect("a user who is there");
    // A key is forgotten like any other: it must not stand in for a login for ever.
    if !row.registering && turn.ctx.time_ms - row.created_at_ms >= KEY_LIFETIME_MS {
        return Err(Code::UserAlreadyExists.into());
    }
    // The password may have been changed since: the old one opens nothing any more.
    if row.body_hash != turn.ctx.body_hash || row.password_hash != password_hash {
        return Err(Code::IdempotencyKeyReused.into());
    }
    if !row.registering {
        return answer(user_id, row).repeated().now();
    }
    if row.waiters.len() >= WAITERS_MAX {
        return Err(too_many_wait().into());
    }
    let waiter = turn.ctx.repeated_waiter();
    turn.state.users.change(&user_id).expect("a user who is there").waiters.push(waiter);
    Ok(Answered::Later)
}

/// The log of the mobile number has given the number to the user, or refused it.
pub(crate) fn mobile_reply(turn: &mut Turn, user_id: u64, reply: MobileReply) {
    let row = turn.state.users.change(&user_id);
    let row = row.unwrap_or_else(|| panic!("a mobile number's reply to user {user_id}, who is not there"));
    assert!(row.registering, "a mobile number's reply to user {user_id}, who is registered");
    row.registering = false;
    let waiters = std::mem::take(&mut row.waiters);
    let told = match Code::from_number(reply.refused_code) {
        Some(code) => {
            turn.state.users.remove(&user_id);
            Answer::from(code)
        }
        None => {
            assert_eq!(reply.refused_code, 0, "a refusal with a code that is not in the table");
            let user = view(user_id, row);
            turn.state.counters.entry(&()).users += 1;
            turn.fx.event(EventType::UserRegistered, event::Body::UserChanged(UserChanged { user_id }));
            Answer::new(outcome::Result::User(user))
        }
    };
    turn.tell(waiters, &told);
}

/// Only in place of the password that whoever changes it has shown to know: another one may have come in between.
pub(crate) fn set_password(turn: &mut Turn, command: &SetPassword) -> Answer {
    // A service account has none that could be known.
    let is_known = |row: &UserRow| !row.password_hash.is_empty() && row.password_hash == command.replaced_hash;
    if existing(turn.state, command.user_id).is_some_and(|row| !is_known(row)) {
        return Code::PasswordIncorrect.into();
    }
    change_access(turn, command.user_id, |row| replace(&mut row.password_hash, command.password_hash.clone()))
}

pub(crate) fn update_profile(state: &mut State, ctx: &Context, request: &UpdateProfileRequest) -> Answer {
    change(state, ctx, request.user_id, |row| {
        if let Some(nick_name) = &request.nick_name {
            row.nick_name.clone_from(nick_name);
        }
        if let Some(gender) = request.gender {
            row.gender = gender;
        }
        if let Some(birthday) = &request.birthday {
            row.birthday.clone_from(birthday);
        }
    })
}

pub(crate) fn set_status(turn: &mut Turn, request: &SetUserStatusRequest) -> Answer {
    match check_rank(turn.state, &turn.ctx, request.user_id) {
        Ok(()) => change_access(turn, request.user_id, |row| replace(&mut row.status, request.status)),
        Err(code) => code.into(),
    }
}

pub(crate) fn set_role(turn: &mut Turn, request: &SetUserRoleRequest) -> Answer {
    match check_rank(turn.state, &turn.ctx, request.user_id) {
        // Only a super admin gets here, so that no role is above theirs.
        Ok(()) => change_access(turn, request.user_id, |row| replace(&mut row.role, request.role)),
        Err(code) => code.into(),
    }
}

pub(crate) fn log_out_everywhere(turn: &mut Turn, request: &LogoutEverywhereRequest) -> Answer {
    // Whoever could keep those out who are above them could keep in whom these would put out.
    let rank = match &turn.ctx.operator {
        Some(operator) if operator.kind() == OperatorKind::Admin && operator.user_id != request.user_id => {
            check_rank(turn.state, &turn.ctx, request.user_id)
        }
        _ => Ok(()),
    };
    match rank {
        Ok(()) => change_access(turn, request.user_id, |_| true),
        Err(code) => code.into(),
    }
}

/// Nobody changes what they are themself, nor what somebody is who is not below them. Super admins are not below each other, but there is
/// nobody above them: one whose account is stolen must not stay one for ever.
fn check_rank(state: &mut State, ctx: &Context, user_id: u64) -> Result<(), Code> {
    let Some(operator) = &ctx.operator else { return Ok(()) };
    let is_below = |row: &UserRow| operator.role() == Role::Super || row.role().is_below(operator.role());
    let may = operator.user_id != user_id && existing(state, user_id).is_none_or(is_below);
    if may { Ok(()) } else { Err(Code::RoleNotBelow) }
}

/// Changes a user. What leaves everything as it is, is a repeat.
fn change(state: &mut State, ctx: &Context, user_id: u64, change: impl FnOnce(&mut UserRow)) -> Answer {
    let Some(before) = existing(state, user_id) else {
        return Code::UserNotFound.into();
    };
    let mut row = before.clone();
    change(&mut row);
    if row == *before {
        return answer(user_id, before).repeated();
    }
    row.updated_at_ms = ctx.time_ms;
    let changed = answer(user_id, &row);
    state.users.insert(user_id, row);
    changed
}

/// Changes what tokens are given for: those from before are revoked when `change_row` says that something has changed.
fn change_access(turn: &mut Turn, user_id: u64, change_row: impl FnOnce(&mut UserRow) -> bool) -> Answer {
    let mut is_changed = false;
    let answer = change(turn.state, &turn.ctx, user_id, |row| {
        is_changed = change_row(row);
        if is_changed {
            row.auth_epoch += 1;
            row.sessions.clear();
        }
    });
    if is_changed && let Ok(outcome::Result::User(User { auth_epoch, .. })) = answer.result {
        tell_access(turn, user_id, auth_epoch);
    }
    answer
}

/// Tokens of before this epoch are revoked.
fn tell_access(turn: &mut Turn, user_id: u64, auth_epoch: u64) {
    let changed = AccessChanged { user_id, auth_epoch, ended_session_id: 0 };
    turn.fx.event(EventType::AccessChanged, event::Body::Access(changed));
}

/// Whether there was another value.
fn replace<T: PartialEq>(value: &mut T, by: T) -> bool {
    std::mem::replace(value, by) != *value
}

/// A user who is registered, and has not been deleted.
pub(crate) fn existing(state: &mut State, user_id: u64) -> Option<&UserRow> {
    state.users.get(&user_id).filter(|row| !row.registering && row.status() != UserStatus::Deleted)
}

fn answer(user_id: u64, row: &UserRow) -> Answer {
    Answer::new(outcome::Result::User(view(user_id, row)))
}

/// Without anything of the password.
pub fn view(user_id: u64, row: &UserRow) -> User {
    User {
        user_id,
        mobile: row.mobile.clone(),
        nick_name: row.nick_name.clone(),
        gender: row.gender,
        birthday: row.birthday.clone(),
        role: row.role,
        status: row.status,
        created_at_ms: row.created_at_ms,
        updated_at_ms: row.updated_at_ms,
        auth_epoch: row.auth_epoch,
        service_account: !row.key_hash.is_empty(),
    }
}
