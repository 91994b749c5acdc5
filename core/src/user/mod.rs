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

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{MobileReply, MobileRequest, OwnerKind, RegisterUser, SetPassword, UserRow};
use emshop_proto::v1::{
    Role, SetUserRoleRequest, SetUserStatusRequest, UpdateProfileRequest, User, UserChanged, UserStatus, event, outcome,
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
pub(crate) fn set_password(state: &mut State, ctx: &Context, command: &SetPassword) -> Answer {
    if existing(state, command.user_id).is_some_and(|row| row.password_hash != command.replaced_hash) {
        return Code::PasswordIncorrect.into();
    }
    change(state, ctx, command.user_id, |row| row.password_hash.clone_from(&command.password_hash))
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

pub(crate) fn set_status(state: &mut State, ctx: &Context, request: &SetUserStatusRequest) -> Answer {
    change(state, ctx, request.user_id, |row| row.status = request.status)
}

pub(crate) fn set_role(state: &mut State, ctx: &Context, request: &SetUserRoleRequest) -> Answer {
    change(state, ctx, request.user_id, |row| row.role = request.role)
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
    }
}
