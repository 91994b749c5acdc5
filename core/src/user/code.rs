//! One-time codes: sent by SMS, or read from a captcha. Only their hashes are known here.

use emshop_proto::errors::Code;
use emshop_proto::ids;
use emshop_proto::internal::{CodeRow, IssueCode, UseCode};
use emshop_proto::v1::{Done, Refusal, outcome};

use crate::context::{Context, Turn};
use crate::effects::Answer;
use crate::state::State;
use crate::state::timers::{Timer, TimerKind};
use crate::timer;

/// After so many wrong tries a code is dead.
pub const FAILED_TRIES_MAX: u32 = 5;
/// Time between two codes under one limited key.
pub const ISSUE_INTERVAL_MS: i64 = 60 * 1000;
/// A limited key gives so many codes within a window. The first code opens it, and the first after its end the next one.
pub const ISSUED_MAX: u32 = 10;
/// The time in which so many codes are issued at most, in milliseconds.
pub const ISSUE_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// Makes a code valid, in place of the one before it.
pub(crate) fn issue(state: &mut State, ctx: &Context, command: &IssueCode) -> Answer {
    let before = state.codes.get(&command.key).cloned();
    let (issued, window_at_ms) = match &before {
        Some(row) if ctx.time_ms < row.window_at_ms + ISSUE_WINDOW_MS => (row.issued, row.window_at_ms),
        _ => (0, ctx.time_ms),
    };
    if let Some(row) = before.as_ref().filter(|_| command.limited) {
        let after_window = if issued < ISSUED_MAX { 0 } else { window_at_ms + ISSUE_WINDOW_MS };
        let next_ms = after_window.max(row.issued_at_ms + ISSUE_INTERVAL_MS);
        if ctx.time_ms < next_ms {
            return Refusal { retry_after_ms: next_ms.abs_diff(ctx.time_ms), ..Code::SmsTooOften.refusal() }.into();
        }
    }
    if let Some(row) = before {
        timer::remove(state, &timer(&command.key, &row));
    }
    let expires_at_ms = ctx.time_ms + i64::from(command.expires_in_seconds) * 1000;
    let window_end_ms = if command.limited { window_at_ms + ISSUE_WINDOW_MS } else { 0 };
    let row = CodeRow {
        code_hash: command.code_hash.clone(),
        expires_at_ms,
        failed_tries: 0,
        used: false,
        used_key: String::new(),
        issued_at_ms: ctx.time_ms,
        issued: issued + 1,
        window_at_ms,
        forgotten_at_ms: expires_at_ms.max(window_end_ms),
    };
    timer::set(state, &timer(&command.key, &row));
    state.codes.insert(command.key.clone(), row);
    done()
}

/// Uses a code up, or counts a failed try.
pub(crate) fn use_up(state: &mut State, ctx: &Context, command: &UseCode, idempotency_key: &str) -> Answer {
    match check(state, ctx, &command.key, &command.code_hash, idempotency_key) {
        Ok(Use::First) => done(),
        Ok(Use::Repeated) => done().repeated(),
        // Whoever reads a captcha for a machine is told as little as possible.
        Err(_) if ids::is_captcha_key(&command.key) => Code::CaptchaIncorrect.into(),
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
    if !state.codes.get(&key).is_some_and(|row| may_be_used(row) && is_alive(row, ctx)) {
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

/// Whether somebody has the code that was sent last, though it may be used up already.
pub(crate) fn is_known(state: &mut State, ctx: &Context, key: &str, code_hash: &[u8]) -> bool {
    state.codes.get(&key.to_owned()).is_some_and(|row| is_alive(row, ctx) && row.code_hash == code_hash)
}

fn is_alive(row: &CodeRow, ctx: &Context) -> bool {
    row.failed_tries < FAILED_TRIES_MAX && ctx.time_ms < row.expires_at_ms
}

/// Neither the code nor how many there were matters any more.
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
