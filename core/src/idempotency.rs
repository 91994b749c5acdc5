//! Idempotency keys of commands that the state alone cannot recognise as repeats. They are forgotten after a day of log time.

use emshop_proto::errors::Code;
use emshop_proto::internal::KeyRow;
use emshop_proto::v1::outcome;

use crate::context::Context;
use crate::effects::Answer;
use crate::state::State;
use crate::state::rows::{Timer, TimerKind};

pub const KEY_LIFETIME_MS: i64 = 24 * 60 * 60 * 1000;

/// Carries `command` out unless it was under this key before; then answers as it did.
pub fn once(state: &mut State, ctx: &Context, key: String, body_hash: u64, command: impl FnOnce(&mut State) -> Answer) -> Answer {
    if let Some(row) = state.keys.get(&key) {
        return if row.body_hash == body_hash { stored(row) } else { Code::IdempotencyKeyReused.into() };
    }
    let answer = command(state);
    let outcome = answer.clone().into_outcome(ctx.position());
    remember(state, ctx, key, KeyRow { body_hash, outcome: Some(outcome) });
    answer
}

/// Keeps a key for its lifetime. Without an outcome the state answers when the command comes again.
pub fn remember(state: &mut State, ctx: &Context, key: String, row: KeyRow) {
    state.keys.insert(key.clone(), row);
    state.timers.insert(Timer { due_ms: ctx.time_ms + KEY_LIFETIME_MS, what: TimerKind::KeyExpiry(key) }, ());
}

fn stored(row: &KeyRow) -> Answer {
    let result = row.outcome.as_ref().and_then(|outcome| outcome.result.clone()).expect("keys keep an outcome");
    let result = match result {
        outcome::Result::Refusal(refusal) => Err(refusal),
        done => Ok(done),
    };
    Answer { result, repeated: true }
}
