//! Balances of users: what they can spend, and what payment tries hold of it.

use emshop_proto::errors::Code;
use emshop_proto::internal::{BalanceReply, BalanceRequest, BalanceRow, Owner, Step, step};
use emshop_proto::partitioner::Place;
use emshop_proto::v1::{AdjustBalanceRequest, Balance, Money, outcome};

use crate::context::Context;
use crate::effects::{Answer, Effects};
use crate::idempotency;
use crate::state::State;

/// Most that adjustments may bring a balance to, in minor units. What is paid back comes on top: it is never refused.
pub const BALANCE_MINOR_MAX: i64 = 1_000_000_000_000_000;

pub fn adjust(state: &mut State, ctx: &Context, request: &AdjustBalanceRequest, body_hash: u64) -> Answer {
    let key = format!("adjust-balance:{}:{}", request.user_id, request.idempotency_key);
    idempotency::once(state, ctx, key, body_hash, |state| {
        let delta = request.delta.clone().unwrap_or_default();
        match change(state, request.user_id, &delta) {
            Ok(row) => Answer::new(outcome::Result::Balance(view(request.user_id, &row))),
            Err(code) => code.into(),
        }
    })
}

fn change(state: &mut State, user_id: u64, delta: &Money) -> Result<BalanceRow, Code> {
    // The first adjustment chooses the currency.
    let first = || BalanceRow { currency: delta.currency.clone(), ..BalanceRow::default() };
    let mut row = state.balances.get(&user_id).cloned().unwrap_or_else(first);
    if row.currency != delta.currency {
        return Err(Code::CurrencyMismatch);
    }
    let available_minor = row.available_minor.checked_add(delta.amount_minor).ok_or(Code::BalanceTooLarge)?;
    if available_minor < 0 {
        return Err(Code::BalanceInsufficient);
    }
    if delta.amount_minor > 0 && available_minor > BALANCE_MINOR_MAX - row.frozen_minor {
        return Err(Code::BalanceTooLarge);
    }
    row.available_minor = available_minor;
    state.balances.insert(user_id, row.clone());
    Ok(row)
}

/// The balance of a user, if there is so much available.
pub fn with_available<'a>(state: &'a mut State, user_id: u64, amount: &Money) -> Result<&'a mut BalanceRow, Code> {
    let row = state.balances.get(&user_id).ok_or(Code::BalanceInsufficient)?;
    if row.currency != amount.currency {
        return Err(Code::CurrencyMismatch);
    }
    if row.available_minor < amount.amount_minor {
        return Err(Code::BalanceInsufficient);
    }
    Ok(existing(state, user_id))
}

/// # Panics
/// When the user has none: whoever asks has taken something from it before.
pub fn existing(state: &mut State, user_id: u64) -> &mut BalanceRow {
    state.balances.change(&user_id).unwrap_or_else(|| panic!("user {user_id} has no balance to come back to"))
}

/// Takes the money for a payment and replies, or pays back what was taken once, which needs no reply.
pub fn serve(state: &mut State, owner: Owner, request: &BalanceRequest, fx: &mut Effects) {
    let &BalanceRequest { user_id, delta_minor, ref currency } = request;
    if delta_minor >= 0 {
        let row = existing(state, user_id);
        assert_eq!(row.currency, *currency, "user {user_id} paid in another currency than is paid back");
        row.available_minor = row.available_minor.checked_add(delta_minor).expect("what is paid back was there before");
        return;
    }
    let amount = Money::new(-delta_minor, currency);
    let taken = with_available(state, user_id, &amount).map(|row| row.available_minor -= amount.amount_minor);
    let reply = BalanceReply { refused_code: taken.err().map_or(0, Code::number), delta_minor };
    let to = Place { log: owner.log, partition: owner.partition };
    fx.step(to, Step { owner: Some(owner), body: Some(step::Body::BalanceReply(reply)) });
}

/// As a client sees it; without a currency where there never was anything.
pub fn view(user_id: u64, row: &BalanceRow) -> Balance {
    let money = |minor| Some(Money::new(minor, &row.currency));
    Balance { user_id, available: money(row.available_minor), frozen: money(row.frozen_minor) }
}
