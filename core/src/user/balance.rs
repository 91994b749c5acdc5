//! Balances of users: what they can spend, and what payment tries hold of it.

use emshop_proto::errors::Code;
use emshop_proto::internal::{BalanceReply, BalanceRequest, BalanceRow, Owner, step};
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::v1::{AdjustBalanceRequest, Balance, Money, outcome};

use crate::context::{Ask, Turn};
use crate::effects::{Answer, Handled};
use crate::state::State;

/// Most that adjustments may bring a balance to, in minor units. What is paid back comes on top: it is never refused.
pub const BALANCE_MINOR_MAX: i64 = 1_000_000_000_000_000;

pub(crate) fn adjust(state: &mut State, request: &AdjustBalanceRequest) -> Handled {
    let delta = request.delta.as_ref().ok_or(Code::ValidationFailed)?;
    let row = change(state, request.user_id, delta)?;
    Answer::new(outcome::Result::Balance(view(request.user_id, &row))).now()
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
pub(crate) fn existing(state: &mut State, user_id: u64) -> &mut BalanceRow {
    state.balances.change(&user_id).unwrap_or_else(|| panic!("user {user_id} has no balance to come back to"))
}

impl Ask for BalanceRequest {
    /// Paying back is never refused and not replied to.
    type Reply = Option<BalanceReply>;

    fn place(&self, partitioner: &Partitioner) -> Place {
        partitioner.of_user(self.user_id)
    }

    /// Takes the money for a payment, or pays back what was taken once.
    fn serve(&self, turn: &mut Turn, _owner: &Owner) -> Option<BalanceReply> {
        let &BalanceRequest { user_id, delta_minor, ref currency } = self;
        if delta_minor >= 0 {
            let row = existing(turn.state, user_id);
            assert_eq!(row.currency, *currency, "user {user_id} paid in another currency than is paid back");
            row.available_minor = row.available_minor.checked_add(delta_minor).expect("what is paid back was there before");
            return None;
        }
        let amount = Money::new(-delta_minor, currency);
        let taken = with_available(turn.state, user_id, &amount).map(|row| row.available_minor -= amount.amount_minor);
        Some(BalanceReply { refused_code: taken.err().map_or(0, Code::number), delta_minor })
    }

    fn into_body(self) -> step::Body {
        step::Body::BalanceRequest(self)
    }
}

/// As a client sees it; without a currency where there never was anything.
pub fn view(user_id: u64, row: &BalanceRow) -> Balance {
    let money = |minor| Some(Money::new(minor, &row.currency));
    Balance { user_id, available: money(row.available_minor), frozen: money(row.frozen_minor) }
}
