//! A partition: its state, what it is to apply next, and what came of it. Written by one thread at a time.

use std::sync::Arc;

use emshop_proto::events::EventType;
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::v1::event;
use emshop_storage::state::StateStore;

use crate::machine::effects::{Caused, Effects};
use crate::machine::state::State;
use crate::machine::{self, Context, Message, stock};

pub struct Partition {
    place: Place,
    pub state: State,
    /// What the next phase applies, in order of cause.
    pub mailbox: Vec<Caused<Message>>,
    pub effects: Effects,
}

impl Partition {
    pub fn new(place: Place, store: &Arc<dyn StateStore>) -> Self {
        let state = State::new(place.partition as u8, store);
        Self { place, state, mailbox: Vec::new(), effects: Effects::default() }
    }

    /// Applies the mailbox.
    pub fn apply(&mut self, partitioner: Partitioner, sequence: u64, time_ms: i64) {
        let context = Context { partitioner, place: self.place, sequence, time_ms };
        for message in self.mailbox.drain(..) {
            self.effects.cause = message.cause;
            machine::apply(&mut self.state, &context, message.what, &mut self.effects);
        }
    }

    /// One event for each SKU whose stock is not what it was before the turn.
    pub fn stock_events(&mut self, events: &mut Vec<(EventType, event::Body)>) {
        for (goods_id, before) in std::mem::take(&mut self.effects.stock_before) {
            let stock = self.state.stocks.get(&goods_id).expect("touched stock exists");
            if *stock != before {
                events.push((EventType::StockChanged, event::Body::Stock(stock::level(goods_id, stock))));
            }
        }
    }
}
