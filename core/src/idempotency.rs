//! Idempotency keys: under one a command is carried out once, whatever others do between it and its repeat. They are forgotten after
//! a day of log time.

use emshop_proto::errors::{Code, Grpc};
use emshop_proto::internal::KeyRow;
use emshop_proto::routing::Key;
use emshop_proto::v1::{Refusal, outcome};

use crate::context::{Context, Turn, WAITERS_MAX};
use crate::effects::{Answer, Answered, Handled};
use crate::planted::{self, Bug};
use crate::state::timers::{Timer, TimerKind};
use crate::timer;

/// How long a key is remembered, in milliseconds of log time.
pub const KEY_LIFETIME_MS: i64 = 24 * 60 * 60 * 1000;

/// When to come again where too many wait for one command already.
const RETRY_MS: u64 = 1_000;

/// A client's key as the one of a kind of command, of a user (0 for whoever may act for anybody) and of what the command is about.
///
/// No two of these give the same: kind and user have no colon, and the length tells where the thing ends.
pub fn scoped(kind: &str, user_id: u64, thing: &Key, key: &str) -> String {
    let thing = thing.to_string();
    format!("{kind}:{user_id}:{}:{thing}:{key}", thing.len())
}

/// The key of a command that is being applied, as [`scoped`]; `None` when it has none.
pub(crate) fn key_of_command(ctx: &Context, kind: &str, thing: &Key, key: &str) -> Option<String> {
    (!key.is_empty()).then(|| scoped(kind, ctx.acting_user().unwrap_or(0), thing, key))
}

/// Carries `command` out unless it was under this key before; then answers as it did. Without a key it is carried out.
///
/// Of a command that a saga answers, whoever waits carries the key, and [`settle`] takes the answer.
pub(crate) fn once(turn: &mut Turn, key: Option<String>, command: impl FnOnce(&mut Turn) -> Handled) -> Handled {
    let Some(key) = key else { return command(turn) };
    if turn.state.keys.get(&key).is_some() {
        return repeat(turn, &key);
    }
    begin(turn, &key);
    turn.ctx.waiter.idempotency_key.clone_from(&key);
    let answer = match command(turn) {
        Ok(Answered::Later) => return Ok(Answered::Later),
        Ok(Answered::Now(answer)) => *answer,
        Err(refused) => refused.into(),
    };
    settle(turn, &key, &answer);
    answer.now()
}

fn begin(turn: &mut Turn, key: &str) {
    let lifetime_ms = if planted::is(Bug::KeyDroppedEarly) { 1_000 } else { KEY_LIFETIME_MS };
    let forgotten_at_ms = turn.ctx.time_ms + lifetime_ms;
    let row = KeyRow { body_hash: turn.ctx.body_hash, forgotten_at_ms, ..KeyRow::default() };
    timer::set(turn.state, &timer(key, &row));
    turn.state.keys.insert(key.to_owned(), row);
}

/// Of one who would have to wait with [`WAITERS_MAX`] others.
pub(crate) fn too_many_wait() -> Refusal {
    Refusal { retry_after_ms: RETRY_MS, ..Code::OutcomeUnknown.refusal() }
}

/// The same again: its answer, or the wait for it.
fn repeat(turn: &mut Turn, key: &String) -> Handled {
    let row = turn.state.keys.get(key).expect("the key was just there");
    if row.body_hash != turn.ctx.body_hash && !planted::is(Bug::OtherBodyAnswered) {
        return Err(Code::IdempotencyKeyReused.into());
    }
    if let Some(outcome) = &row.outcome {
        let result = match outcome.result.clone().expect("outcomes have a result") {
            outcome::Result::Refusal(refusal) => Err(refusal),
            done => Ok(done),
        };
        return Answer { result, repeated: true }.now();
    }
    if row.waiters.len() >= WAITERS_MAX {
        return Err(too_many_wait().into());
    }
    let waiter = turn.ctx.repeated_waiter();
    turn.state.keys.change(key).expect("the key was just there").waiters.push(waiter);
    Ok(Answered::Later)
}

/// Remembers what came of the command that was begun under a key, and tells those who repeated it meanwhile.
pub(crate) fn settle(turn: &mut Turn, key: &str, answer: &Answer) {
    let key = key.to_owned();
    let row = turn.state.keys.change(&key).expect("a key is kept while its command is under way");
    let waiters = std::mem::take(&mut row.waiters);
    if answer.result.as_ref().err().is_some_and(asks_to_come_again) {
        let timer = timer(&key, row);
        turn.state.keys.remove(&key);
        timer::remove(turn.state, &timer);
    } else {
        row.outcome = Some(answer.clone().into_outcome(turn.ctx.position()));
    }
    turn.tell(waiters, answer);
}

/// Nothing is decided by such a refusal: the same command is to come again, when something else is done or with a proof of who asks.
fn asks_to_come_again(refusal: &Refusal) -> bool {
    [Grpc::Aborted, Grpc::Unauthenticated].map(|status| status as i32).contains(&refusal.grpc_status)
}

/// The time of a key is over. While its command is under way it stays.
pub(crate) fn forget(turn: &mut Turn, key: &String) {
    let row = turn.state.keys.change(key).unwrap_or_else(|| panic!("the key {key} had a timer, but is not there"));
    if row.outcome.is_some() {
        return turn.state.keys.remove(key);
    }
    row.forgotten_at_ms = turn.ctx.time_ms + KEY_LIFETIME_MS;
    let timer = timer(key, row);
    timer::set(turn.state, &timer);
}

fn timer(key: &str, row: &KeyRow) -> Timer {
    Timer { due_ms: row.forgotten_at_ms, what: TimerKind::KeyExpiry(key.to_owned()) }
}

#[cfg(test)]
mod tests {
    use emshop_proto::commands::NAMES;
    use proptest::prelude::*;

    use super::*;

    /// What a key is made of: kind, user, thing, the client's own.
    type Parts = (&'static str, u64, Thing, String);

    #[derive(Clone, Debug, PartialEq)]
    enum Thing {
        Order(String),
        Goods(u64),
        Link(u64, u64),
    }

    impl Thing {
        fn key(&self) -> Key<'_> {
            match self {
                Thing::Order(id) => Key::Order(id),
                Thing::Goods(id) => Key::Goods(*id),
                Thing::Link(category_id, brand_id) => Key::Link(*category_id, *brand_id),
            }
        }
    }

    /// The same kind of thing for the same kind of command, as in [`emshop_proto::routing::key_of`].
    fn parts() -> impl Strategy<Value = Parts> {
        let thing = prop_oneof![
            ("cancel_order|complete_order", "[1:a-]{1,5}".prop_map(Thing::Order)),
            ("delete_goods|set_on_sale", (0..200_u64).prop_map(Thing::Goods)),
            ("link_brand|unlink_brand", (0..20_u64, 0..20_u64).prop_map(|(category, brand)| Thing::Link(category, brand))),
        ];
        let name = |name: String| NAMES.iter().copied().find(|known| *known == name).expect("a command of this name");
        (thing, 0..20_u64, "[1:a-]{1,5}").prop_map(move |((kind, thing), user_id, key)| (name(kind), user_id, thing, key))
    }

    fn of((kind, user_id, thing, key): &Parts) -> String {
        scoped(kind, *user_id, &thing.key(), key)
    }

    #[test]
    fn keys_of_orders_whose_ids_hold_colons_do_not_meet() {
        let of = |order_id, key| scoped("refund_payment", 0, &Key::Order(order_id), key);
        assert_ne!(of("S4", "1:1"), of("S4:1", "1"));
        assert_ne!(of("1", "2:1:x"), of("1:2", "1:x"));
    }

    #[test]
    fn no_name_of_a_command_has_a_colon() {
        assert!(NAMES.iter().all(|name| !name.contains(':')));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn keys_of_two_things_never_meet(one in parts(), other in parts()) {
            prop_assert_eq!(of(&one) == of(&other), one == other);
        }

        /// Two ways to cut the same text in two.
        #[test]
        fn keys_do_not_meet_wherever_the_id_ends(text in "[1:]{3,12}", one in 1..11_usize, other in 1..11_usize) {
            let cut = |at: usize| text.split_at(at.min(text.len() - 1));
            let of = |(order_id, key)| scoped("cancel_order", 7, &Key::Order(order_id), key);
            prop_assert_eq!(of(cut(one)) == of(cut(other)), cut(one) == cut(other));
        }
    }
}
