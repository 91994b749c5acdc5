//! Stock, and its history.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::query_reply::Body as Answer;
use emshop_proto::internal::{OwnedStockChange, PageQuery, StockChangeRow, StockChanges, StockChangesQuery, Stocks};
use emshop_proto::v1::{BatchGetStockResponse, FieldViolation, LogPosition, Refusal, StockChange};

use super::refused;
use crate::replica::Replica;
use crate::state::State;
use crate::stock;

/// Rows of one partition that one question looks at: turns wait meanwhile. Whoever wants more asks again.
const LOOKED_AT_MAX: usize = 1_000;

/// Of `PageQuery.filter`.
const ONLY_LOW: u32 = 1;

pub fn stocks(replica: &mut Replica, goods_ids: &[u64]) -> Answer {
    let mut response = BatchGetStockResponse::default();
    for goods_id in goods_ids {
        let place = replica.partitioner().of_goods(*goods_id);
        match replica.partition(place).state.stocks.get(goods_id) {
            Some(row) => response.stocks.push(stock::level(*goods_id, row)),
            None => response.unknown_goods_ids.push(*goods_id),
        }
    }
    Answer::Stock(response)
}

/// Entries by ascending goods id over all partitions.
pub fn page(replica: &mut Replica, query: &PageQuery) -> Answer {
    let limit = query.limit as usize;
    // One more than the limit tells that there are more.
    let mut lowest = BTreeMap::new();
    // All partitions were looked at up to here.
    let mut complete_through = u64::MAX;
    for partition in replica.partitions() {
        let mut looked_at = 0;
        partition.state.stocks.scan(&query.after.saturating_add(1), |goods_id, row| {
            let is_full = lowest.len() > limit && lowest.last_key_value().is_some_and(|(highest, _)| highest < goods_id);
            if is_full || looked_at == LOOKED_AT_MAX || *goods_id > complete_through {
                return ControlFlow::Break(());
            }
            looked_at += 1;
            if looked_at == LOOKED_AT_MAX {
                complete_through = *goods_id;
            }
            if query.filter != ONLY_LOW || stock::is_low(row) {
                lowest.insert(*goods_id, stock::level(*goods_id, row));
                if lowest.len() > limit + 1 {
                    lowest.pop_last();
                }
            }
            ControlFlow::Continue(())
        });
    }
    lowest.retain(|goods_id, _| *goods_id <= complete_through);
    let more = lowest.len() > limit;
    let stocks: Vec<_> = lowest.into_values().take(limit).collect();
    let after = match stocks.last() {
        Some(last) if more => last.goods_id,
        _ if complete_through < u64::MAX => complete_through,
        _ => 0,
    };
    Answer::Stocks(Stocks { stocks, after })
}

/// Changes of one SKU, newest first. Those of one turn stay together, so there may be more than were asked for.
pub fn changes(replica: &mut Replica, query: &StockChangesQuery) -> Answer {
    let place = replica.partitioner().of_goods(query.goods_id);
    let state = &mut replica.partition(place).state;
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
        let position = Some(LogPosition { log: place.log, sequence });
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
