//! Bytes of keys: they come back, and sort as what they are made of.

use emshop_core::state::keys::{Kind, find_kind};
use emshop_core::state::rows::{self, Hold, Newest, UserText};
use emshop_core::state::table::Rows;
use emshop_core::state::timers::{Timer, TimerKind};
use emshop_proto::internal::{OwnerKind, TimerRow};
use std::fmt::Debug;

use crate::choice::Choices;

pub fn keys(input: &[u8]) {
    if let Some(kind) = find_kind(input) {
        assert!(Kind::ALL.contains(&kind) && kind as u8 == input[0]);
    }
    let mut choices = Choices::new(input);
    let choices = &mut choices;
    sort_alike::<rows::Orders>([choices.number(), choices.number()]);
    sort_alike::<rows::CartItems>([0; 2].map(|_| (choices.number(), choices.number())));
    sort_alike::<rows::GoodsSns>([0; 2].map(|_| choices.text("goods_sn")));
    sort_alike::<rows::Addresses>([0; 2].map(|_| Newest { user_id: choices.number(), number: choices.number() }));
    sort_alike::<rows::PaymentHolds>([0; 2].map(|_| user_text(choices)));
    sort_alike::<rows::Holds>([0; 2].map(|_| hold(choices)));
    let timers = [0; 2].map(|_| timer(choices));
    for timer in &timers {
        let (key, number) = timer.place();
        assert_eq!(key.timers(&TimerRow { numbers: number.into_iter().collect() }), std::slice::from_ref(timer));
    }
    sort_alike::<rows::Timers>(timers.map(|timer| timer.place().0));
}

fn sort_alike<R: Rows<Key: Debug>>(keys: [R::Key; 2]) {
    let bytes = keys.each_ref().map(|key| {
        let mut bytes = Vec::new();
        R::encode_key(key, &mut bytes);
        assert!(R::decode_key(&bytes) == *key, "{key:?} does not come back");
        bytes
    });
    assert_eq!(keys[0].cmp(&keys[1]), bytes[0].cmp(&bytes[1]), "{keys:?} sort otherwise as bytes");
}

fn user_text(choices: &mut Choices) -> UserText {
    UserText { user_id: choices.number(), text: choices.text("business_id") }
}

fn hold(choices: &mut Choices) -> Hold {
    let kind = choices.one_of(&[OwnerKind::Order, OwnerKind::Reservation, OwnerKind::Goods, OwnerKind::User]);
    Hold { log: choices.number() as u32, kind, number: choices.number(), goods_id: choices.number() }
}

fn timer(choices: &mut Choices) -> Timer {
    // Log time is after 1970.
    let due_ms = (choices.number() >> 1) as i64;
    let what = match choices.below(7) {
        0 => TimerKind::OrderExpiry(choices.number()),
        1 => TimerKind::KeyExpiry(choices.text("key")),
        2 => TimerKind::OrderCompletion(choices.number()),
        3 => TimerKind::ParcelStation(choices.number()),
        4 => TimerKind::ReservationExpiry(choices.number()),
        5 => TimerKind::PaymentHoldExpiry(user_text(choices)),
        _ => TimerKind::CodeExpiry(choices.text("key")),
    };
    Timer { due_ms, what }
}
