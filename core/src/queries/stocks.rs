//! Stock, and its history.

use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::query_reply::Body as Answer;
use emshop_proto::internal::{OwnedStockChange, PageQuery, StockChangeRow, StockChanges, StockChangesQuery, Stocks};
use emshop_proto::v1::{
    Availability, BatchGetStockResponse, FieldViolation, GetAvailabilityResponse, LogPosition, Refusal, StockChange,
};

use super::refused;
use crate::replica::Replica;
use crate::state::State;
use crate::stock;

/// Rows that one question looks at. They are small and lie together, so these may be more than of other lists.
const STOCKS_LOOKED_AT_MAX: usize = 4_000;

/// Of `PageQuery.filter`.
const ONLY_LOW: u32 = 1;

pub fn stocks(replica: &Replica, goods_ids: &[u64]) -> Answer {
    let mut response = BatchGetStockResponse::default();
    for goods_id in goods_ids {
        match replica.state.stocks.peek(goods_id, |row| stock::level(*goods_id, row)) {
            Some(level) => response.stocks.push(level),
            None => response.unknown_goods_ids.push(*goods_id),
        }
    }
    Answer::Stock(response)
}

/// What anybody may know: of goods on sale whether there are some, and how many as long as they are few.
pub fn availability(replica: &Replica, goods_ids: &[u64]) -> Answer {
    let mut response = GetAvailabilityResponse::default();
    for goods_id in goods_ids {
        if replica.state.goods.peek(goods_id, |row| row.off_sale) == Some(false) {
            let available = replica.state.stocks.peek(goods_id, |row| stock::told(row.available)).unwrap_or(0);
            response.entries.push(Availability { goods_id: *goods_id, available });
        } else {
            response.unknown_goods_ids.push(*goods_id);
        }
    }
    Answer::Availability(response)
}

/// Entries by ascending goods id.
pub fn page(replica: &Replica, query: &PageQuery) -> Answer {
    let limit = query.limit as usize;
    let (mut stocks, mut looked_at, mut after) = (Vec::new(), 0, 0);
    replica.state.stocks.scan(&query.after.saturating_add(1), |goods_id, row| {
        if stocks.len() == limit || looked_at == STOCKS_LOOKED_AT_MAX {
            // There are more: the next page goes on behind the last one looked at.
            after = goods_id - 1;
            return ControlFlow::Break(());
        }
        looked_at += 1;
        if query.filter != ONLY_LOW || stock::is_low(row) {
            stocks.push(stock::level(*goods_id, row));
        }
        ControlFlow::Continue(())
    });
    Answer::Stocks(Stocks { stocks, after })
}

/// Changes of one SKU, newest first. Those of one turn stay together, so there may be more than were asked for.
pub fn changes(replica: &mut Replica, query: &StockChangesQuery) -> Answer {
    let (log, state) = (replica.number(), &mut replica.state);
    let Some(stock) = state.stocks.get(&query.goods_id) else {
        return refused(Code::InventoryNotFound);
    };
    let mut sequence = stock.changed_sequence;
    if query.before_sequence != 0 {
        match turn(state, query.goods_id, query.before_sequence) {
            Some((_, _, previous_sequence)) => sequence = previous_sequence,
            None => {
                let (field, description) = ("page_token".to_owned(), "is of another SKU".to_owned());
                let violations = vec![FieldViolation { field, description }];
                return Answer::Refusal(Refusal { violations, ..Code::ValidationFailed.refusal() });
            }
        }
    }
    let mut answer = StockChanges::default();
    while sequence != 0 && answer.changes.len() < query.limit as usize {
        let found = turn(state, query.goods_id, sequence);
        let (rows, at_ms, previous_sequence) = found.expect("the history of a SKU has no gaps");
        let position = Some(LogPosition { log, sequence });
        answer
            .changes
            .extend(rows.iter().rev().map(|row| OwnedStockChange { change: Some(view(row, at_ms, position)), owner: row.owner }));
        answer.before_sequence = if previous_sequence == 0 { 0 } else { sequence };
        sequence = previous_sequence;
    }
    Answer::StockChanges(answer)
}

/// The changes of a SKU in one turn, oldest first, with the turn's time and the sequence of the turn that changed it before.
/// `None` when that turn did not change it.
fn turn(state: &mut State, goods_id: u64, sequence: u64) -> Option<(Vec<StockChangeRow>, i64, u64)> {
    let row = state.stock_history.get(&sequence)?;
    let changes: Vec<_> = row.changes.iter().filter(|change| change.goods_id == goods_id).copied().collect();
    let previous_sequence = changes.first()?.previous_sequence;
    Some((changes, row.at_ms, previous_sequence))
}

fn view(row: &StockChangeRow, at_ms: i64, position: Option<LogPosition>) -> StockChange {
    StockChange {
        cause: row.cause,
        delta: row.delta,
        available: row.available,
        reserved: row.reserved,
        sold: row.sold,
        at_ms,
        position,
        ..StockChange::default()
    }
}
