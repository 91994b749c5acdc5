//! Idempotency keys of commands that the state alone cannot recognise as repeats. They are forgotten after a day of log time.

use emshop_proto::errors::Code;
use emshop_proto::internal::KeyRow;
use emshop_proto::v1::outcome;

use crate::context::Turn;
use crate::effects::{Answer, Handled, Refused};
use crate::state::timers::{Timer, TimerKind};
use crate::timer;

/// How long a key is remembered, in milliseconds of log time.
pub const KEY_LIFETIME_MS: i64 = 24 * 60 * 60 * 1000;

/// Carries `command` out unless it was under this key before; then answers as it did.
pub(crate) fn once(turn: &mut Turn, key: String, command: impl FnOnce(&mut Turn) -> Result<Answer, Refused>) -> Handled {
    let body_hash = turn.ctx.body_hash;
    if let Some(row) = turn.state.keys.get(&key) {
        return if row.body_hash == body_hash { stored(row).now() } else { Err(Code::IdempotencyKeyReused.into()) };
    }
    let answer = command(turn).unwrap_or_else(Answer::from);
    let outcome = answer.clone().into_outcome(turn.ctx.position());
    remember(turn, key, KeyRow { body_hash, outcome: Some(outcome) });
    answer.now()
}

/// Keeps a key for its lifetime. Without an outcome the state answers when the command comes again.
pub(crate) fn remember(turn: &mut Turn, key: String, row: KeyRow) {
    turn.state.keys.insert(key.clone(), row);
    timer::set(turn.state, &Timer { due_ms: turn.ctx.time_ms + KEY_LIFETIME_MS, what: TimerKind::KeyExpiry(key) });
}

fn stored(row: &KeyRow) -> Answer {
    let result = row.outcome.as_ref().and_then(|outcome| outcome.result.clone()).expect("keys keep an outcome");
    let result = match result {
        outcome::Result::Refusal(refusal) => Err(refusal),
        done => Ok(done),
    };
    Answer { result, repeated: true }
}
