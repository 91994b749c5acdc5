//! One-time codes that were sent by SMS, and captchas that were used. Only hashes of codes are known here, made with a key that is not.

use emshop_proto::errors::Code;
use emshop_proto::internal::{CodeRow, IssueCode, UseCode, UseOnce};
use emshop_proto::v1::{Done, Refusal, outcome};

use crate::context::{Context, Turn};
use crate::effects::Answer;
use crate::state::State;
use crate::state::timers::{Timer, TimerKind};
use crate::timer;

/// After so many wrong tries a code is dead.
pub const FAILED_TRIES_MAX: u32 = 5;
/// Time between two codes of one budget.
pub const ISSUE_INTERVAL_MS: i64 = 60 * 1000;
/// A budget is so many codes within a window. The first code opens it, and the first after its end the next one.
pub const ISSUED_MAX: u32 = 10;
/// The time in which so many codes are issued at most, in milliseconds.
pub const ISSUE_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// Makes a code valid, if as many were not issued lately.
pub(crate) fn issue(state: &mut State, ctx: &Context, command: &IssueCode) -> Answer {
    if !command.budget_key.is_empty()
        && let Err(retry_after_ms) = spend(state, ctx, &command.budget_key)
    {
        return Refusal { retry_after_ms, ..Code::SmsTooOften.refusal() }.into();
    }
    let expires_at_ms = ctx.time_ms + i64::from(command.expires_in_seconds) * 1000;
    let row = CodeRow {
        code_hash: command.code_hash.clone(),
        expires_at_ms,
        issued_at_ms: ctx.time_ms,
        forgotten_at_ms: expires_at_ms,
        ..CodeRow::default()
    };
    keep(state, &command.key, row);
    done()
}

/// Takes a code out of a budget; otherwise tells how many milliseconds later there is one.
fn spend(state: &mut State, ctx: &Context, key: &str) -> Result<(), u64> {
    let before = state.codes.get(&key.to_owned()).cloned().unwrap_or_default();
    let is_open = before.issued > 0 && ctx.time_ms < before.window_at_ms + ISSUE_WINDOW_MS;
    let (issued, window_at_ms) = if is_open { (before.issued, before.window_at_ms) } else { (0, ctx.time_ms) };
    let after_window = if issued < ISSUED_MAX { 0 } else { window_at_ms + ISSUE_WINDOW_MS };
    let next_ms = if before.issued > 0 { after_window.max(before.issued_at_ms + ISSUE_INTERVAL_MS) } else { 0 };
    if ctx.time_ms < next_ms {
        return Err(next_ms.abs_diff(ctx.time_ms));
    }
    let forgotten_at_ms = (window_at_ms + ISSUE_WINDOW_MS).max(ctx.time_ms + ISSUE_INTERVAL_MS);
    let row = CodeRow { issued_at_ms: ctx.time_ms, issued: issued + 1, window_at_ms, forgotten_at_ms, ..CodeRow::default() };
    keep(state, key, row);
    Ok(())
}

/// Notes that something was used. Under the key that it was used with it may be used again.
pub(crate) fn use_once(state: &mut State, ctx: &Context, command: &UseOnce, idempotency_key: &str) -> Answer {
    match state.codes.get(&command.key) {
        Some(row) if !row.used_key.is_empty() && row.used_key == idempotency_key => done().repeated(),
        Some(_) => Code::CaptchaIncorrect.into(),
        None => {
            let forgotten_at_ms = ctx.time_ms + i64::from(command.expires_in_seconds) * 1000;
            let used_key = idempotency_key.to_owned();
            keep(state, &command.key, CodeRow { used: true, used_key, forgotten_at_ms, ..CodeRow::default() });
            done()
        }
    }
}

fn keep(state: &mut State, key: &str, row: CodeRow) {
    let key = key.to_owned();
    if let Some(before) = state.codes.get(&key).cloned() {
        timer::remove(state, &timer(&key, &before));
    }
    timer::set(state, &timer(&key, &row));
    state.codes.insert(key, row);
}

/// Uses a code up, or counts a failed try.
pub(crate) fn use_up(state: &mut State, ctx: &Context, command: &UseCode, idempotency_key: &str) -> Answer {
    match check(state, ctx, &command.key, &command.code_hash, idempotency_key) {
        Ok(Use::First) => done(),
        Ok(Use::Repeated) => done().repeated(),
        Err(code) => code.into(),
    }
}

/// How a right code was used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Use {
    First,
    Repeated,
}

/// As [`use_up`], for those who need the code to be right for something else.
///
/// Under the key that it was used with it may be used again. Not by [`crate::idempotency::once`]: that would answer for a day, and not
/// count who guesses codes under a known key.
pub(crate) fn check(state: &mut State, ctx: &Context, key: &str, code_hash: &[u8], idempotency_key: &str) -> Result<Use, Code> {
    let key = key.to_owned();
    let may_be_used = |row: &CodeRow| !row.used || (!row.used_key.is_empty() && row.used_key == idempotency_key);
    if !state.codes.get(&key).is_some_and(|row| may_be_used(row) && is_alive(row, ctx.time_ms)) {
        return Err(Code::SmsCodeNotFound);
    }
    let row = state.codes.change(&key).expect("just looked at");
    if row.code_hash != code_hash {
        row.failed_tries += 1;
        return Err(Code::SmsCodeIncorrect);
    }
    if row.used {
        return Ok(Use::Repeated);
    }
    row.used = true;
    row.used_key = idempotency_key.to_owned();
    Ok(Use::First)
}

/// Whether somebody has the code that was sent, though it may be used up already.
pub(crate) fn is_known(state: &mut State, time_ms: i64, key: &str, code_hash: &[u8]) -> bool {
    state.codes.get(&key.to_owned()).is_some_and(|row| is_alive(row, time_ms) && row.code_hash == code_hash)
}

fn is_alive(row: &CodeRow, time_ms: i64) -> bool {
    row.failed_tries < FAILED_TRIES_MAX && time_ms < row.expires_at_ms
}

/// Neither the code, nor how many there were, nor that it was used matters any more.
pub(crate) fn forget(turn: &mut Turn, key: &str) {
    let key = key.to_owned();
    let row = turn.state.codes.get(&key).unwrap_or_else(|| panic!("the code {key} had a timer, but is not there"));
    assert!(row.forgotten_at_ms <= turn.ctx.time_ms, "the code {key} is forgotten too early");
    turn.state.codes.remove(&key);
}

fn timer(key: &str, row: &CodeRow) -> Timer {
    Timer { due_ms: row.forgotten_at_ms, what: TimerKind::CodeExpiry(key.to_owned()) }
}

fn done() -> Answer {
    Answer::new(outcome::Result::Done(Done {}))
}
