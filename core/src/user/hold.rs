//! Payment tries of outside transaction managers: parts of a balance, frozen under a business id.
//!
//! A try that is not confirmed in time is cancelled: by its timer, or by whoever looks at it before that has fired. A cancel that comes
//! before its try leaves a row that is a tombstone, so the late try is refused. What has ended is kept for a week.

use emshop_proto::errors::Code;
use emshop_proto::internal::PaymentHoldRow;
use emshop_proto::v1::{
    CancelTriedPaymentRequest, ConfirmTriedPaymentRequest, Money, PaymentHold, PaymentHoldStatus, TryPaymentRequest, outcome,
};

use crate::context::{Context, Turn};
use crate::effects::Answer;
use crate::state::State;
use crate::state::rows::UserText;
use crate::state::timers::{Timer, TimerKind};
use crate::timer;
use crate::user::balance;

pub(crate) fn try_hold(state: &mut State, ctx: &Context, request: &TryPaymentRequest, body_hash: u64) -> Answer {
    let key = UserText { user_id: request.user_id, text: request.business_id.clone() };
    if let Some(row) = settled(state, ctx, &key) {
        return match row.status() {
            PaymentHoldStatus::Cancelled => Code::PaymentHoldCancelled.into(),
            _ if row.body_hash != body_hash => Code::IdempotencyKeyReused.into(),
            // As it was answered.
            _ => done(&key, &with_status(row, PaymentHoldStatus::Tried)).repeated(),
        };
    }
    let amount = request.amount.clone().unwrap_or_default();
    match balance::with_available(state, request.user_id, &amount) {
        Ok(balance) => {
            balance.available_minor -= amount.amount_minor;
            balance.frozen_minor += amount.amount_minor;
        }
        Err(code) => return code.into(),
    }
    let Money { amount_minor, currency } = amount;
    let expires_at_ms = ctx.time_ms + i64::from(request.timeout_seconds) * 1000;
    let row = PaymentHoldRow { currency, amount_minor, expires_at_ms, body_hash, ..PaymentHoldRow::default() };
    let row = with_status(&row, PaymentHoldStatus::Tried);
    timer::set(state, &timer(&key, expires_at_ms));
    let answer = done(&key, &row);
    state.payment_holds.insert(key, row);
    answer
}

pub(crate) fn confirm(state: &mut State, ctx: &Context, request: &ConfirmTriedPaymentRequest) -> Answer {
    let key = UserText { user_id: request.user_id, text: request.business_id.clone() };
    let Some(row) = settled(state, ctx, &key) else {
        return Code::PaymentHoldNotFound.into();
    };
    match row.status() {
        PaymentHoldStatus::Cancelled => return Code::PaymentHoldCancelled.into(),
        PaymentHoldStatus::Confirmed => return done(&key, row).repeated(),
        _ => {}
    }
    done(&key, &end(state, ctx, &key, PaymentHoldStatus::Confirmed))
}

pub(crate) fn cancel(state: &mut State, ctx: &Context, request: &CancelTriedPaymentRequest) -> Answer {
    let key = UserText { user_id: request.user_id, text: request.business_id.clone() };
    let Some(row) = settled(state, ctx, &key) else {
        let tombstone = with_status(&PaymentHoldRow::default(), PaymentHoldStatus::Cancelled);
        let answer = done(&key, &tombstone);
        keep(state, ctx, key, tombstone);
        return answer;
    };
    match row.status() {
        PaymentHoldStatus::Confirmed => return Code::PaymentHoldConfirmed.into(),
        PaymentHoldStatus::Cancelled => return done(&key, row).repeated(),
        _ => {}
    }
    done(&key, &end(state, ctx, &key, PaymentHoldStatus::Cancelled))
}

/// The timer of a hold is due: its try is over, or what had ended is forgotten.
pub(crate) fn expire(turn: &mut Turn, key: &UserText) {
    match existing(turn.state, key).status() {
        PaymentHoldStatus::Tried => drop(end(turn.state, &turn.ctx, key, PaymentHoldStatus::Cancelled)),
        _ => turn.state.payment_holds.remove(key),
    }
}

/// The hold as it is by log time, whether its timer has fired or not.
fn settled<'a>(state: &'a mut State, ctx: &Context, key: &UserText) -> Option<&'a PaymentHoldRow> {
    let row = state.payment_holds.get(key)?;
    if row.status() == PaymentHoldStatus::Tried && ctx.time_ms >= row.expires_at_ms {
        end(state, ctx, key, PaymentHoldStatus::Cancelled);
    }
    state.payment_holds.get(key)
}

/// Takes what is frozen when it is confirmed, gives it back when it is cancelled.
fn end(state: &mut State, ctx: &Context, key: &UserText, status: PaymentHoldStatus) -> PaymentHoldRow {
    let row = with_status(existing(state, key), status);
    timer::remove(state, &timer(key, row.expires_at_ms));
    let balance = balance::existing(state, key.user_id);
    balance.frozen_minor -= row.amount_minor;
    assert!(balance.frozen_minor >= 0, "less is frozen of the balance of user {} than its tries hold", key.user_id);
    if status == PaymentHoldStatus::Cancelled {
        balance.available_minor += row.amount_minor;
    }
    keep(state, ctx, key.clone(), row.clone());
    row
}

/// Remembers what has ended.
fn keep(state: &mut State, ctx: &Context, key: UserText, row: PaymentHoldRow) {
    timer::set(state, &timer(&key, ctx.time_ms + timer::ENDED_KEPT_MS));
    state.payment_holds.insert(key, row);
}

fn existing<'a>(state: &'a mut State, key: &UserText) -> &'a PaymentHoldRow {
    state.payment_holds.get(key).unwrap_or_else(|| panic!("a timer of hold {key:?}, which is not there"))
}

fn timer(key: &UserText, due_ms: i64) -> Timer {
    Timer { due_ms, what: TimerKind::PaymentHoldExpiry(key.clone()) }
}

fn with_status(row: &PaymentHoldRow, status: PaymentHoldStatus) -> PaymentHoldRow {
    PaymentHoldRow { status: status.into(), ..row.clone() }
}

fn done(key: &UserText, row: &PaymentHoldRow) -> Answer {
    // A tombstone never was of any amount.
    let amount = (row.amount_minor > 0).then(|| Money::new(row.amount_minor, &row.currency));
    Answer::new(outcome::Result::PaymentHold(PaymentHold {
        business_id: key.text.clone(),
        user_id: key.user_id,
        amount,
        status: row.status,
        expires_at_ms: row.expires_at_ms,
    }))
}
