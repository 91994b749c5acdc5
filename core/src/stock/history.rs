//! The history of stock: every change of every SKU.
//!
//! There is one row for all changes of a turn, under the turn's sequence, since rows are what an order costs. A SKU's changes are
//! linked backwards: its stock names the newest turn that changed it, and its first change in that turn's row names the turn before.

use emshop_proto::internal::{Owner, StockChangeRow, StockHistoryRow, StockRow};
use emshop_proto::v1::StockCause;

use crate::context::Context;
use crate::effects::Effects;
use crate::state::State;
use crate::state::rows::Shared;

/// Notes that a SKU's stock was `before` and is `stock` now.
pub(crate) fn note(
    ctx: &Context,
    goods_id: u64,
    before: &StockRow,
    stock: &mut StockRow,
    cause: StockCause,
    owner: Option<Owner>,
    fx: &mut Effects,
) {
    let mut previous_sequence = 0;
    if before.changed_sequence != ctx.sequence {
        previous_sequence = before.changed_sequence;
        stock.changed_sequence = ctx.sequence;
        fx.untold.touch(ctx, goods_id, before);
    }
    fx.stock_changes.push(StockChangeRow {
        goods_id,
        cause: cause.into(),
        owner,
        delta: stock.available.checked_signed_diff(before.available).expect("stock is bounded far below"),
        available: stock.available,
        reserved: stock.reserved,
        sold: stock.sold,
        previous_sequence,
    });
}

/// Writes the turn's changes, if there are any.
pub(crate) fn write(state: &mut State, sequence: u64, time_ms: i64, fx: &mut Effects) {
    if fx.stock_changes.is_empty() {
        return;
    }
    // Copied, so that the row takes no more memory than it needs and the next turn finds room to note in.
    let changes = fx.stock_changes.to_vec();
    fx.stock_changes.clear();
    state.stock_history.insert_new(sequence, Shared::new(StockHistoryRow { changes, at_ms: time_ms }));
}
