//! Payments by their logs, balances by what is tried of them.

use std::collections::BTreeMap;

use emshop_proto::internal::{BalanceRow, OrderRow, PaymentHoldRow};
use emshop_proto::v1::{PaymentAction, PaymentHoldStatus, PaymentStatus};

use crate::order;
use crate::state::rows::UserText;

/// What the rows of one log say of payments.
#[derive(Default)]
pub struct Payments {
    /// What is frozen of each user's balance, as the balance says, and as the tries do.
    frozen_minor: BTreeMap<u64, i64>,
    tried_minor: BTreeMap<u64, i64>,
    /// When the time of each hold is over, if it is still tried.
    holds: BTreeMap<UserText, Option<i64>>,
    timers: BTreeMap<UserText, Vec<i64>>,
    violations: Vec<String>,
}

impl Payments {
    /// The log of an order's payment tells how it stands and what was refunded.
    pub fn order(&mut self, row: &OrderRow) {
        let payment = order::payment(row);
        let log = order::journal::payment_log(row);
        let last = log.last().map_or(PaymentStatus::Unspecified, |change| change.to());
        if last != payment.status() {
            let status = payment.status();
            self.violations
                .push(format!("the payment of order {} is {status:?}, but its log ends with {last:?}", order::row::id(row)));
        }
        let refunds = [PaymentAction::RefundPart, PaymentAction::Refund];
        let refunds = order::journal::payment_entries(row, &refunds);
        let refunded_minor: i64 = refunds.map(|change| change.amount_minor).sum();
        if refunded_minor != payment.refunded_minor {
            let counted = payment.refunded_minor;
            self.violations.push(format!("order {} refunded {counted}, but its log {refunded_minor}", order::row::id(row)));
        }
        if !log.is_sorted_by_key(|change| change.log_sequence) {
            self.violations.push(format!("the payment log of order {} is out of order", order::row::id(row)));
        }
    }

    pub fn balance(&mut self, user_id: u64, row: &BalanceRow) {
        if row.available_minor < 0 || row.frozen_minor < 0 {
            self.violations.push(format!("the balance of user {user_id} is negative: {row:?}"));
        }
        self.frozen_minor.insert(user_id, row.frozen_minor);
    }

    pub fn hold(&mut self, key: UserText, row: &PaymentHoldRow) {
        let is_tried = row.status() == PaymentHoldStatus::Tried;
        if is_tried {
            *self.tried_minor.entry(key.user_id).or_default() += row.amount_minor;
        }
        self.holds.insert(key, is_tried.then_some(row.expires_at_ms));
    }

    pub fn hold_timer(&mut self, key: UserText, due_ms: i64) {
        self.timers.entry(key).or_default().push(due_ms);
    }

    /// What does not hold, a sentence each.
    pub fn violations(mut self) -> impl Iterator<Item = String> {
        for (user_id, frozen_minor) in self.frozen_minor {
            let tried_minor = self.tried_minor.remove(&user_id).unwrap_or(0);
            if tried_minor != frozen_minor {
                self.violations.push(format!("user {user_id} has {frozen_minor} frozen, but tries hold {tried_minor}"));
            }
        }
        self.violations.extend(self.tried_minor.into_keys().map(|user_id| format!("user {user_id} has tries, but no balance")));
        for (key, over_ms) in self.holds {
            let timers = self.timers.remove(&key).unwrap_or_default();
            let [due_ms] = timers[..] else {
                self.violations.push(format!("payment hold {key:?} has {} timers", timers.len()));
                continue;
            };
            if over_ms.is_some_and(|over_ms| over_ms != due_ms) {
                self.violations.push(format!("payment try {key:?} is over at {over_ms:?}, but its timer is due at {due_ms}"));
            }
        }
        self.violations.extend(self.timers.into_keys().map(|key| format!("timers of payment hold {key:?}, which is not there")));
        self.violations.into_iter()
    }
}
