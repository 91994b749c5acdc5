//! Timers as rows.

use emshop_proto::internal::TimerRow;

use crate::state::rows::{UserText, read_at, read_text, text};

/// Something to be done when log time reaches `due_ms`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timer {
    /// Log time.
    pub due_ms: i64,
    /// What fires.
    pub what: TimerKind,
}

/// What is done when a timer fires.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimerKind {
    /// The order of this number has not been paid in time.
    OrderExpiry(u64),
    /// The idempotency key is forgotten.
    KeyExpiry(String),
    /// The delivered order of this number is completed by itself.
    OrderCompletion(u64),
    /// The parcel of the order of this number comes to the next station of its simulated way.
    ParcelStation(u64),
    /// The reservation of this number was not confirmed in time, or has ended and is forgotten.
    ReservationExpiry(u64),
    /// The payment try was not confirmed in time.
    PaymentHoldExpiry(UserText),
    /// The one-time code is forgotten.
    CodeExpiry(String),
    /// What there is of the user who was deleted is taken away.
    Erasure(u64),
}

/// Key of the row of timers that are due at once and of one kind. Those of orders and reservations share it, since many are set in one
/// turn and due in one millisecond: the row has their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerKey {
    /// Log time.
    pub due_ms: i64,
    /// Stored in every key: never used twice, and ascending as the variants of [`TimerKind`] are.
    kind: u8,
    /// What has no number.
    text: Vec<u8>,
}

impl TimerKey {
    /// Before all timers that are due then.
    pub fn first(due_ms: i64) -> Self {
        Self { due_ms, kind: 0, text: Vec::new() }
    }

    /// Writes the key.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.due_ms as u64).to_be_bytes());
        bytes.push(self.kind);
        bytes.extend_from_slice(&self.text);
    }

    /// Reads a key.
    pub fn decode(bytes: &[u8]) -> Self {
        Self { due_ms: read_at(bytes, 0) as i64, kind: bytes[8], text: bytes[9..].to_vec() }
    }

    /// The timers of a row.
    pub fn timers(&self, row: &TimerRow) -> Vec<Timer> {
        let numbered: fn(u64) -> TimerKind = match self.kind {
            1 => TimerKind::OrderExpiry,
            3 => TimerKind::OrderCompletion,
            4 => TimerKind::ParcelStation,
            5 => TimerKind::ReservationExpiry,
            8 => TimerKind::Erasure,
            2 => return vec![self.timer(TimerKind::KeyExpiry(read_text(&self.text)))],
            6 => return vec![self.timer(TimerKind::PaymentHoldExpiry(UserText::decode(&self.text)))],
            7 => return vec![self.timer(TimerKind::CodeExpiry(read_text(&self.text)))],
            other => panic!("no kind of timer has number {other}"),
        };
        row.numbers.iter().map(|number| self.timer(numbered(*number))).collect()
    }

    fn timer(&self, what: TimerKind) -> Timer {
        Timer { due_ms: self.due_ms, what }
    }
}

impl Timer {
    /// The row that has this timer, and the number that it has in there if it has one.
    pub fn place(&self) -> (TimerKey, Option<u64>) {
        let mut named = Vec::new();
        let (kind, number) = match &self.what {
            TimerKind::OrderExpiry(order) => (1, Some(*order)),
            TimerKind::OrderCompletion(order) => (3, Some(*order)),
            TimerKind::ParcelStation(order) => (4, Some(*order)),
            TimerKind::ReservationExpiry(reservation) => (5, Some(*reservation)),
            TimerKind::Erasure(user_id) => (8, Some(*user_id)),
            TimerKind::KeyExpiry(key) => {
                text(key, &mut named);
                (2, None)
            }
            TimerKind::PaymentHoldExpiry(hold) => {
                hold.encode(&mut named);
                (6, None)
            }
            TimerKind::CodeExpiry(key) => {
                text(key, &mut named);
                (7, None)
            }
        };
        (TimerKey { due_ms: self.due_ms, kind, text: named }, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::rows::Timers;
    use crate::state::rows::tests::sorted;

    #[test]
    fn rows_sort_by_time_and_kind_and_give_their_timers_back() {
        let hold = UserText { user_id: 1, text: "b".into() };
        let kinds = [
            TimerKind::OrderExpiry(300),
            TimerKind::KeyExpiry("k".into()),
            TimerKind::KeyExpiry("k1".into()),
            TimerKind::OrderCompletion(1),
            TimerKind::ParcelStation(1),
            TimerKind::ReservationExpiry(1),
            TimerKind::PaymentHoldExpiry(hold),
            TimerKind::CodeExpiry("c".into()),
            TimerKind::Erasure(1),
        ];
        let timers = kinds.into_iter().map(|what| Timer { due_ms: 5, what });
        let timers: Vec<_> = timers.chain([Timer { due_ms: 256, what: TimerKind::OrderExpiry(1) }]).collect();
        let places: Vec<_> = timers.iter().map(Timer::place).collect();
        sorted::<Timers>(&places.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
        for (timer, (key, number)) in timers.into_iter().zip(places) {
            assert_eq!(key.timers(&TimerRow { numbers: number.into_iter().collect() }), [timer]);
            assert!(key > TimerKey::first(key.due_ms));
        }
    }

    #[test]
    fn golden_key_bytes() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let key = |what| Timer { due_ms: 0x0102, what }.place().0;
        let keys = [key(TimerKind::OrderExpiry(7)), key(TimerKind::KeyExpiry("k".into()))];
        assert_eq!(
            sorted::<Timers>(&keys).iter().map(|key| hex(key)).collect::<Vec<_>>(),
            ["000000000000010201", "0000000000000102026b"]
        );
    }
}
