//! Service accounts: users that are programs, known by a key. Only its hash is known here.

use emshop_proto::errors::Code;
use emshop_proto::internal::{CreateServiceAccount, UserRow};
use emshop_proto::v1::UserStatus;

use super::answer;
use crate::context::Turn;
use crate::effects::Answer;
use crate::idempotency::KEY_LIFETIME_MS;

pub(crate) fn create(turn: &mut Turn, command: CreateServiceAccount) -> Answer {
    let CreateServiceAccount { user_id, name, role, key_hash } = command;
    let time_ms = turn.ctx.time_ms;
    if let Some(row) = turn.state.users.get(&user_id) {
        // The hash is of all that was asked for. Later the key is not told again.
        let is_same = row.key_hash == key_hash && time_ms - row.created_at_ms < KEY_LIFETIME_MS;
        return if is_same { answer(user_id, row).repeated() } else { Code::IdempotencyKeyReused.into() };
    }
    let mut row =
        UserRow { nick_name: name, role, key_hash, created_at_ms: time_ms, updated_at_ms: time_ms, ..UserRow::default() };
    row.set_status(UserStatus::Active);
    let created = answer(user_id, &row);
    turn.state.users.insert(user_id, row);
    turn.state.counters.entry(&()).users += 1;
    created
}
