//! What is left of a user who is deleted: what the books need, and nothing that says who they were.
//!
//! The account goes at once. What else says something of a person is taken away by a timer in each log, some rows at a time, since turns wait
//! for it: addresses, messages, cart and favourites where the user lived, and receivers, addresses and reasons of orders wherever these
//! are. An order that is still on its way needs its receiver, so it is looked for again each day; and for some days longer than a token
//! lives, so that nothing stays that was on its way when the account went.

use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{DeleteUser, ErasureRow, MobileRequest, OrderPlace, OwnerKind, Step, UserRow, step};
use emshop_proto::v1::{OperatorKind, Role, UserChanged, UserStatus, event};

use super::{answer, cart, favourite, tell_access};
use crate::context::Turn;
use crate::effects::Handled;
use crate::order;
use crate::planted::{self, Bug};
use crate::state::State;
use crate::state::order_index::UserOrder;
use crate::state::rows::Newest;
use crate::state::timers::{Timer, TimerKind};
use crate::timer;

/// Rows that one tick looks at, of however many users.
pub(crate) const ROWS_PER_TICK_MAX: usize = 256;
const AGAIN_AFTER_MS: i64 = 24 * 60 * 60 * 1000;
/// What was on its way when the account went has long arrived by then.
const WATCHED_MS: i64 = 8 * AGAIN_AFTER_MS;

pub(crate) fn delete(turn: &mut Turn, command: &DeleteUser) -> Handled {
    let user_id = command.user_id;
    let row = match turn.state.users.get(&user_id) {
        Some(row) if !row.registering => row.clone(),
        _ => return Err(Code::UserNotFound.into()),
    };
    check(turn, user_id, &row, &command.shown_hash)?;
    if row.status() == UserStatus::Deleted {
        return answer(user_id, &row).repeated().now();
    }
    // The epoch after the last one: no token is good any more.
    let auth_epoch = row.auth_epoch + 1;
    let (created_at_ms, updated_at_ms) = (row.created_at_ms, turn.ctx.time_ms);
    let mut left = UserRow { created_at_ms, updated_at_ms, auth_epoch, ..UserRow::default() };
    left.set_role(Role::User);
    left.set_status(UserStatus::Deleted);
    let deleted = answer(user_id, &left);
    turn.state.users.insert(user_id, left);
    tell_access(turn, user_id, auth_epoch);
    turn.fx.event(EventType::UserDeleted, event::Body::UserChanged(UserChanged { user_id }));
    let owner = turn.ctx.owner(OwnerKind::User, user_id);
    turn.ask(owner, MobileRequest { mobile: row.mobile, user_id, release: true, ..MobileRequest::default() });
    for log in 0..turn.ctx.partitioner.logs() {
        if log == turn.ctx.log {
            begin(turn, user_id);
        } else {
            turn.fx.step(log, Step { owner: Some(owner), body: Some(step::Body::EraseUser(user_id)), trace: None });
        }
    }
    deleted.now()
}

/// Whether whoever asks for it may delete this account.
fn check(turn: &mut Turn, user_id: u64, row: &UserRow, shown_hash: &str) -> Result<(), Code> {
    let is_staff = turn.ctx.operator.as_ref().is_none_or(|operator| operator.kind() == OperatorKind::Admin);
    let is_deleted = row.status() == UserStatus::Deleted;
    match turn.ctx.acting_user() {
        Some(user) if user != user_id => return Err(Code::PermissionDenied),
        Some(_) if row.password_hash != shown_hash && !is_deleted => return Err(Code::PasswordIncorrect),
        None if !is_staff => return Err(Code::PermissionDenied),
        _ => {}
    }
    // Who works for the shop is made a user first, by whoever may do that.
    if row.role() != Role::User {
        return Err(Code::PermissionDenied);
    }
    let money = turn.state.balances.get(&user_id).map_or(0, |balance| balance.available_minor | balance.frozen_minor);
    if money != 0 && !is_deleted { Err(Code::UserHasBalance) } else { Ok(()) }
}

/// Nothing is kept for a user who was deleted, whoever asks for it: it would stay. Who never registered may have something.
///
/// # Errors
/// `USER_NOT_FOUND`.
pub(crate) fn check_there(state: &mut State, user_id: u64) -> Result<(), Code> {
    let is_deleted = state.users.get(&user_id).is_some_and(|row| row.status() == UserStatus::Deleted);
    if is_deleted { Err(Code::UserNotFound) } else { Ok(()) }
}

/// From now on this log forgets who a user was.
pub(crate) fn begin(turn: &mut Turn, user_id: u64) {
    if turn.state.erasures.get(&user_id).is_none() {
        let now = turn.ctx.time_ms;
        put(turn.state, user_id, ErasureRow { begun_at_ms: now, due_ms: now, ..ErasureRow::default() });
    }
}

/// The timer of an erasure.
pub fn timer(user_id: u64, row: &ErasureRow) -> Timer {
    Timer { due_ms: row.due_ms, what: TimerKind::Erasure(user_id) }
}

fn put(state: &mut State, user_id: u64, row: ErasureRow) {
    timer::set(state, &timer(user_id, &row));
    state.erasures.insert(user_id, row);
}

/// Takes some of what there is away, as far as there is `room` for it in this tick, and sets the timer again if there may be more.
pub(crate) fn go_on(turn: &mut Turn, user_id: u64, room: &mut usize) {
    let row = turn.state.erasures.get(&user_id).copied();
    let mut row = row.unwrap_or_else(|| panic!("a timer erases user {user_id}, who is not to be erased"));
    let now = turn.ctx.time_ms;
    erase_belongings(turn, user_id, room);
    let is_through = *room > 0 && erase_orders(turn.state, user_id, &mut row, room);
    if !is_through {
        put(turn.state, user_id, ErasureRow { due_ms: now, ..row });
    } else if (row.waits_for_orders || now < row.begun_at_ms + WATCHED_MS) && !planted::is(Bug::ForgottenOnce) {
        let due_ms = now + AGAIN_AFTER_MS;
        put(turn.state, user_id, ErasureRow { begun_at_ms: row.begun_at_ms, due_ms, ..ErasureRow::default() });
    } else {
        turn.state.erasures.remove(&user_id);
    }
}

/// What the user kept.
fn erase_belongings(turn: &mut Turn, user_id: u64, room: &mut usize) {
    let most = *room;
    // Addresses first: there are so few that all go at once, and the default one with the others.
    let addresses = numbers(|visit| turn.state.addresses.scan(&Newest::first(user_id), |key, _| visit(*key)), user_id, most);
    if addresses.len() == most {
        *room = 0;
        return;
    }
    let messages = numbers(|visit| turn.state.messages.scan(&Newest::first(user_id), |key, _| visit(*key)), user_id, most);
    let items: Vec<_> = cart::items(turn.state, user_id).into_iter().map(|item| item.goods_id).collect();
    let favourites = favourite::settled(turn.state, user_id);
    let mut take = |found: &[u64]| {
        let taken = found.len().min(*room);
        *room -= taken;
        taken
    };
    for number in &addresses[..take(&addresses)] {
        turn.state.addresses.remove(&Newest { user_id, number: *number });
    }
    for number in &messages[..take(&messages)] {
        turn.state.messages.remove(&Newest { user_id, number: *number });
    }
    for goods_id in &items[..take(&items)] {
        turn.state.cart_items.remove(&(user_id, *goods_id));
    }
    for goods_id in &favourites[..take(&favourites)] {
        favourite::forget(turn, user_id, *goods_id);
    }
}

/// Numbers of what a user has, newest first, and no more than `most`.
fn numbers(scan: impl FnOnce(&mut dyn FnMut(Newest) -> ControlFlow<()>), user_id: u64, most: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    scan(&mut |key| {
        if key.user_id != user_id || numbers.len() == most {
            return ControlFlow::Break(());
        }
        numbers.push(key.number);
        ControlFlow::Continue(())
    });
    numbers
}

/// Looks at the next orders of a user, newest first; `true` when all were looked at.
fn erase_orders(state: &mut State, user_id: u64, row: &mut ErasureRow, room: &mut usize) -> bool {
    let after = row.after.unwrap_or(OrderPlace { created_at_ms: i64::MAX, number: u64::MAX, log: 0 });
    let from = UserOrder { user_id, created_at_ms: after.created_at_ms, number: after.number.saturating_sub(1) };
    let (mut found, mut is_through) = (Vec::new(), true);
    state.order_index.of_user(&from, |order| {
        if found.len() == *room {
            is_through = false;
            return ControlFlow::Break(());
        }
        found.push(order);
        ControlFlow::Continue(())
    });
    *room -= found.len();
    for UserOrder { created_at_ms, number, .. } in found {
        row.after = Some(OrderPlace { created_at_ms, number, log: 0 });
        let order = order::existing(state, number);
        if !order::row::is_at_its_end(order) {
            row.waits_for_orders = true;
        } else if !order.is_nobodys {
            let order = state.orders.change(&number).expect("an indexed order exists").make_mut();
            order::row::forget_user(order);
        }
    }
    is_through
}
