//! When the levels of SKUs are told downstream: once a slice of log time, however many turns changed them in it.
//!
//! The first turn of a later slice tells all SKUs that were touched, before its records. Which ones follows from the log alone: its row
//! says since which turn, and the history of stock says which these are.

use std::ops::ControlFlow;

use emshop_proto::events::EventType;
use emshop_proto::internal::{LogRow, StockRow};
use emshop_proto::v1::event;

use super::{is_low, level};
use crate::context::Context;
use crate::effects::Effects;
use crate::state::State;
use crate::state::keys::{self, Kind};
use crate::state::rows::StockHistory;
use crate::state::store::StateStore;
use crate::state::table::Rows;

/// Log time is cut into slices of this length. Told turn by turn, levels were two of three events of an order, and a busy SKU was told
/// hundreds of times a second; those who show or order stock look at it less often than four times a second.
pub const SLICE_MS: i64 = 250;

/// SKUs whose stock has changed since it was told.
#[derive(Default)]
pub struct Untold {
    /// The first turn that touched one of them; 0 when there are none.
    from_sequence: u64,
    /// Where the slice of log time ends in which that was.
    due_ms: i64,
    /// Each once.
    goods_ids: Vec<u64>,
}

impl Untold {
    /// As of a log's last checkpoint.
    pub fn load(store: &dyn StateStore, log: &LogRow) -> Self {
        let mut goods_ids = Vec::new();
        if log.untold_from_sequence != 0 {
            let mut from = keys::prefix(Kind::StockHistory).to_vec();
            StockHistory::encode_key(&log.untold_from_sequence, &mut from);
            store.scan(&from, &keys::end(Kind::StockHistory), &mut |_, row| {
                goods_ids.extend(StockHistory::decode_value(row).changes.iter().map(|change| change.goods_id));
                ControlFlow::Continue(())
            });
            goods_ids.sort_unstable();
            goods_ids.dedup();
        }
        Self { from_sequence: log.untold_from_sequence, due_ms: log.untold_due_ms, goods_ids }
    }

    /// Says in the log's row where to find them again.
    pub fn note_in(&self, log: &mut LogRow) {
        (log.untold_from_sequence, log.untold_due_ms) = (self.from_sequence, self.due_ms);
    }

    /// A SKU changes whose stock is `before`.
    pub fn touch(&mut self, ctx: &Context, goods_id: u64, before: &StockRow) {
        if self.from_sequence == 0 {
            self.from_sequence = ctx.sequence;
            self.due_ms = (ctx.time_ms.div_euclid(SLICE_MS) + 1) * SLICE_MS;
        }
        let is_in = before.changed_sequence >= self.from_sequence;
        if !is_in {
            self.goods_ids.push(goods_id);
        }
    }

    /// When they are to be told, in log time.
    pub fn due_ms(&self) -> Option<i64> {
        (self.from_sequence != 0).then_some(self.due_ms)
    }
}

/// Tells the levels that are due at log time, by ascending SKU.
pub(crate) fn tell_due(state: &mut State, time_ms: i64, fx: &mut Effects) {
    if fx.untold.due_ms().is_none_or(|due_ms| due_ms > time_ms) {
        return;
    }
    let Untold { mut goods_ids, .. } = std::mem::take(&mut fx.untold);
    goods_ids.sort_unstable();
    goods_ids.iter().for_each(|goods_id| tell(state, *goods_id, fx));
    // The next slice finds room to note in.
    goods_ids.clear();
    fx.untold.goods_ids = goods_ids;
}

/// Tells the level of a SKU as it is, and that it is low unless that was told the last time.
pub(crate) fn tell(state: &mut State, goods_id: u64, fx: &mut Effects) {
    let Some(stock) = state.stocks.get(&goods_id).copied() else { return };
    let level = || event::Body::Stock(level(goods_id, &stock));
    let is_low = is_low(&stock);
    fx.event(EventType::StockChanged, level());
    if is_low && !stock.told_low {
        fx.event(EventType::StockLow, level());
    }
    if is_low != stock.told_low {
        let told = StockRow { told_low: is_low, ..stock };
        state.books.stock_changed(&stock, &told);
        state.stocks.insert(goods_id, told);
    }
}
