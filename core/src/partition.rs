//! A partition: its state, what it is to apply next, and what came of it. Written by one thread at a time.

use std::sync::Arc;

use crate::state::store::StateStore;
use emshop_proto::events::EventType;
use emshop_proto::internal::StockRow;
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::v1::event;

use crate::context::{Context, Message};
use crate::effects::{Caused, Effects};
use crate::state::State;
use crate::stock::history;
use crate::{apply, stock};

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
        let mut context = Context { partitioner, place: self.place, sequence, time_ms, operator: None };
        for message in self.mailbox.drain(..) {
            self.effects.cause = message.cause;
            context.operator = message.what.operator();
            apply::apply(&mut self.state, &context, message.what, &mut self.effects);
        }
    }

    /// Makes history of what the turn changed of stock.
    pub fn write_stock_history(&mut self, sequence: u64, time_ms: i64) {
        history::write(&mut self.state, sequence, time_ms, &mut self.effects);
    }

    /// One event for each SKU whose stock is not what it was before the turn, and one more if it has become low.
    pub fn stock_events(&mut self, events: &mut Vec<(EventType, event::Body)>) {
        let touched = &mut self.effects.stock_before;
        touched.sort_by_key(|(goods_id, _)| *goods_id);
        touched.dedup_by_key(|(goods_id, _)| *goods_id);
        for (goods_id, before) in touched.drain(..) {
            let stock = self.state.stocks.get(&goods_id).expect("touched stock exists");
            // What came and went is in the history, but the numbers are the same.
            if (StockRow { changed_sequence: before.changed_sequence, ..*stock }) == before {
                continue;
            }
            let level = event::Body::Stock(stock::level(goods_id, stock));
            if stock::is_low(stock) && !stock::is_low(&before) {
                events.extend([(EventType::StockChanged, level.clone()), (EventType::StockLow, level)]);
            } else {
                events.push((EventType::StockChanged, level));
            }
        }
    }
}
