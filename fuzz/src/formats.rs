//! Messages of all types that are read from outside or from a store, and events as those downstream read them.

use std::fmt::Debug;

use emshop_proto::continuity::Continuity;
use emshop_proto::internal;
use emshop_proto::v1::{self, EventBatch};
use prost::Message;

use crate::choice::Choices;

/// What is encoded is what is decoded.
fn comes_back<M: Message + Default + PartialEq + Debug>(message: M) {
    let bytes = message.encode_to_vec();
    assert_eq!(bytes.len(), message.encoded_len());
    assert_eq!(M::decode(bytes.as_slice()).as_ref(), Ok(&message));
}

macro_rules! messages {
    ($($of:ident::$message:ident = $name:literal,)+) => {
        const CHECKS: &[fn(&mut Choices)] = &[$(|choices| {
            if choices.once_in(2) {
                let _ = $of::$message::decode(choices.bytes()).map(comes_back);
            } else {
                comes_back(choices.made::<$of::$message>($name));
            }
        }),+];
    };
}

messages! {
    internal::Envelope = "emshop.internal.v1.Envelope",
    internal::TurnOutcomes = "emshop.internal.v1.TurnOutcomes",
    internal::Query = "emshop.internal.v1.Query",
    internal::QueryReply = "emshop.internal.v1.QueryReply",
    internal::OrderRequest = "emshop.internal.v1.OrderRequest",
    internal::OrderDestination = "emshop.internal.v1.OrderDestination",
    internal::OrderRow = "emshop.internal.v1.OrderRow",
    internal::OrderJournal = "emshop.internal.v1.OrderJournal",
    internal::StockRow = "emshop.internal.v1.StockRow",
    internal::StockHistoryRow = "emshop.internal.v1.StockHistoryRow",
    internal::GoodsRow = "emshop.internal.v1.GoodsRow",
    internal::GoodsDetailRow = "emshop.internal.v1.GoodsDetailRow",
    internal::ReservationRow = "emshop.internal.v1.ReservationRow",
    internal::HoldRow = "emshop.internal.v1.HoldRow",
    internal::KeyRow = "emshop.internal.v1.KeyRow",
    internal::LogRow = "emshop.internal.v1.LogRow",
    internal::ClusterRow = "emshop.internal.v1.ClusterRow",
    internal::UserRow = "emshop.internal.v1.UserRow",
    internal::CodeRow = "emshop.internal.v1.CodeRow",
    v1::Command = "emshop.v1.Command",
    v1::CommandBatch = "emshop.v1.CommandBatch",
    v1::Outcome = "emshop.v1.Outcome",
    v1::OutcomeBatch = "emshop.v1.OutcomeBatch",
    v1::Order = "emshop.v1.Order",
    v1::EventBatch = "emshop.v1.EventBatch",
}

/// Any message of any of these types, and any bytes as one of them.
pub fn message(input: &[u8]) {
    let mut choices = Choices::new(input);
    choices.one_of(CHECKS)(&mut choices);
}

/// Any batches of events, one after the other.
pub fn events(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut continuity = Continuity::default();
    while !choices.is_over() {
        let batch = choices.made::<EventBatch>("emshop.v1.EventBatch");
        let (numbers, again) = (batch.events.iter().map(|event| event.number).collect::<Vec<_>>(), batch.clone());
        if let Ok(taken) = continuity.take(batch) {
            assert!(taken.iter().all(|event| numbers.contains(&event.number)));
            // Whatever numbers it has, none is taken twice.
            let twice = continuity.take(again).expect("it has just been taken");
            assert_eq!(twice.len(), 0, "events were taken twice: {numbers:?}");
        }
    }
}
