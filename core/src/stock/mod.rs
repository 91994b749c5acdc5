//! Stock of SKUs: `on_hand = available + reserved`, `received = on_hand + sold`, never negative.
//!
//! For an owner in this log its own row says what it holds. For one in another log there is a hold row, so that each log can
//! check its counters by itself, and a release that comes first leaves a tombstone.

pub mod allocation;
pub mod history;
pub mod reservation;

use emshop_proto::errors::Code;
use emshop_proto::internal::{
    HoldRow, LineStock, Owner, PricedGoods, Step, StockAction, StockReply, StockRequest, StockRow, step,
};
use emshop_proto::partitioner::Place;
use emshop_proto::v1::{
    AdjustStockRequest, GoodsQuantity, Money, SetStockRequest, SetStockThresholdRequest, Shortage, StockCause, StockLevel,
    outcome,
};

use crate::context::Context;
use crate::effects::{Answer, Effects};
use crate::idempotency;
use crate::state::State;
use crate::state::rows::Hold;

/// Most units that one SKU may have on hand.
pub const ON_HAND_MAX: u64 = 1_000_000_000_000;

pub fn set(state: &mut State, ctx: &Context, request: &SetStockRequest, body_hash: u64, fx: &mut Effects) -> Answer {
    let key = format!("set-stock:{}:{}", request.goods_id, request.idempotency_key);
    idempotency::once(state, ctx, key, body_hash, |state| {
        let stock = state.stocks.get(&request.goods_id).copied().unwrap_or_default();
        let Some(available) = request.on_hand.checked_sub(stock.reserved) else {
            return Code::StockBelowReserved.into();
        };
        put_available(state, ctx, request.goods_id, stock, available, StockCause::Set, fx)
    })
}

pub fn adjust(state: &mut State, ctx: &Context, request: &AdjustStockRequest, body_hash: u64, fx: &mut Effects) -> Answer {
    let key = format!("adjust-stock:{}:{}", request.goods_id, request.idempotency_key);
    idempotency::once(state, ctx, key, body_hash, |state| {
        let Some(stock) = state.stocks.get(&request.goods_id).copied() else {
            return Code::InventoryNotFound.into();
        };
        match stock.available.checked_add_signed(request.delta) {
            Some(available) => put_available(state, ctx, request.goods_id, stock, available, StockCause::Adjust, fx),
            None => Code::StockInsufficient.into(),
        }
    })
}

fn put_available(
    state: &mut State,
    ctx: &Context,
    goods_id: u64,
    stock: StockRow,
    available: u64,
    cause: StockCause,
    fx: &mut Effects,
) -> Answer {
    let on_hand = available.saturating_add(stock.reserved);
    if on_hand > ON_HAND_MAX {
        return Code::StockTooLarge.into();
    }
    let mut row = StockRow { available, received: on_hand + stock.sold, ..stock };
    history::note(ctx, goods_id, &stock, &mut row, cause, None, fx);
    state.stocks.insert(goods_id, row);
    Answer::new(outcome::Result::Stock(level(goods_id, &row)))
}

/// Carries out one action on SKUs of this partition and replies to its owner. Every action succeeds as a whole or changes nothing.
pub fn serve(state: &mut State, ctx: &Context, owner: Owner, request: &StockRequest, fx: &mut Effects) {
    let reply = if request.action() == StockAction::Reserve {
        reserve(state, ctx, &owner, request, fx)
    } else {
        let moved = request.lines.iter().all(|line| move_units(state, ctx, &owner, request.action(), line, fx));
        let goods = request.lines.iter().map(|line| PricedGoods { goods_id: line.goods_id, ..PricedGoods::default() }).collect();
        StockReply { goods, refused: !moved, ..StockReply::default() }
    };
    let reply = StockReply { action: request.action, ..reply };
    let to = Place { log: owner.log, partition: owner.partition };
    fx.step(to, Step { owner: Some(owner), body: Some(step::Body::Reply(reply)) });
}

fn reserve(state: &mut State, ctx: &Context, owner: &Owner, request: &StockRequest, fx: &mut Effects) -> StockReply {
    let mut reply = StockReply::default();
    for line in &request.lines {
        if !ctx.is_local(owner) && state.holds.get(&Hold::new(owner, line.goods_id)).is_some() {
            reply.released_before = true;
        }
        let goods = state.goods.get(&line.goods_id);
        if request.priced && goods.is_none() {
            reply.unknown_goods_ids.push(line.goods_id);
            continue;
        }
        if request.priced && goods.is_some_and(|row| row.off_sale) {
            reply.off_sale_goods_ids.push(line.goods_id);
        }
        let unit_price = goods.map(|row| Money::new(row.unit_price_minor, &row.currency)).filter(|_| request.priced);
        let (name, weight_grams) = goods.map_or_else(Default::default, |row| (row.name.clone(), row.weight_grams));
        reply.goods.push(PricedGoods { goods_id: line.goods_id, name, unit_price, weight_grams });
        let available = state.stocks.get(&line.goods_id).map_or(0, |stock| stock.available);
        if available < line.quantity {
            reply.shortages.push(Shortage { goods_id: line.goods_id, requested: line.quantity, available });
        }
    }
    let refused = [&reply.unknown_goods_ids, &reply.off_sale_goods_ids].iter().any(|ids| !ids.is_empty());
    if reply.released_before || refused || !reply.shortages.is_empty() {
        reply.goods.clear();
        return reply;
    }
    for line in &request.lines {
        if !ctx.is_local(owner) {
            let mut hold = HoldRow { quantity: line.quantity, ..HoldRow::default() };
            hold.set_stock(LineStock::Reserved);
            state.holds.insert(Hold::new(owner, line.goods_id), hold);
        }
        count(state, ctx, owner, StockCause::Reserve, line.goods_id, fx, |stock| {
            stock.available = less(stock.available, line.quantity);
            stock.reserved += line.quantity;
        });
    }
    reply
}

/// Moves the units of one line on. `false` when the hold of another log's owner does not allow it.
fn move_units(
    state: &mut State,
    ctx: &Context,
    owner: &Owner,
    action: StockAction,
    line: &GoodsQuantity,
    fx: &mut Effects,
) -> bool {
    let quantity = if ctx.is_local(owner) {
        line.quantity
    } else {
        match move_hold(state, Hold::new(owner, line.goods_id), action) {
            Moved::Units(quantity) => quantity,
            Moved::Nothing => return true,
            Moved::Refused => return false,
        }
    };
    let cause = match action {
        StockAction::Release => StockCause::Release,
        StockAction::Sell => StockCause::Sell,
        StockAction::Reback => StockCause::Reback,
        StockAction::Reserve | StockAction::Unspecified => panic!("{action:?} does not move reserved units"),
    };
    count(state, ctx, owner, cause, line.goods_id, fx, |stock| {
        let (from, to) = match cause {
            StockCause::Release => (&mut stock.reserved, &mut stock.available),
            StockCause::Sell => (&mut stock.reserved, &mut stock.sold),
            _ => (&mut stock.sold, &mut stock.available),
        };
        *from = less(*from, quantity);
        *to += quantity;
    });
    true
}

/// What an action on a hold means for the counters.
#[derive(Debug, PartialEq, Eq)]
enum Moved {
    /// The recorded amount, whatever the request says.
    Units(u64),
    /// It was done before, or there was nothing to take back.
    Nothing,
    Refused,
}

fn move_hold(state: &mut State, key: Hold, action: StockAction) -> Moved {
    let Some(hold) = state.holds.change(&key) else {
        if action == StockAction::Sell {
            return Moved::Refused;
        }
        let mut tombstone = HoldRow::default();
        tombstone.set_stock(LineStock::Returned);
        state.holds.insert(key, tombstone);
        return Moved::Nothing;
    };
    let to = match (action, hold.stock()) {
        (StockAction::Release, LineStock::Reserved) | (StockAction::Reback, LineStock::Sold) => LineStock::Returned,
        (StockAction::Sell, LineStock::Reserved) => LineStock::Sold,
        (StockAction::Release | StockAction::Reback, LineStock::Returned) | (StockAction::Sell, LineStock::Sold) => {
            return Moved::Nothing;
        }
        _ => return Moved::Refused,
    };
    hold.set_stock(to);
    Moved::Units(hold.quantity)
}

/// Changes the counters of a SKU for an owner.
fn count(
    state: &mut State,
    ctx: &Context,
    owner: &Owner,
    cause: StockCause,
    goods_id: u64,
    fx: &mut Effects,
    change: impl FnOnce(&mut StockRow),
) {
    let stock = state.stocks.change(&goods_id).unwrap_or_else(|| panic!("units of goods {goods_id} were held without stock"));
    let before = *stock;
    change(stock);
    assert_eq!(
        stock.received,
        stock.available + stock.reserved + stock.sold,
        "received = available + reserved + sold is broken for goods {goods_id}"
    );
    history::note(ctx, goods_id, &before, stock, cause, Some(*owner), fx);
}

fn less(counter: u64, quantity: u64) -> u64 {
    counter.checked_sub(quantity).unwrap_or_else(|| panic!("a stock counter of {counter} cannot give {quantity}"))
}

pub fn level(goods_id: u64, stock: &StockRow) -> StockLevel {
    StockLevel {
        goods_id,
        on_hand: stock.available + stock.reserved,
        available: stock.available,
        reserved: stock.reserved,
        sold: stock.sold,
        received: stock.received,
        low_threshold: stock.low_threshold,
    }
}

/// Sets when stock counts as low. It is no change of the stock itself, so the history does not tell it.
pub fn set_threshold(state: &mut State, request: &SetStockThresholdRequest, fx: &mut Effects) -> Answer {
    let Some(before) = state.stocks.get(&request.goods_id).copied() else {
        return Code::InventoryNotFound.into();
    };
    let row = StockRow { low_threshold: request.low_threshold, ..before };
    let answer = Answer::new(outcome::Result::Stock(level(request.goods_id, &row)));
    if row == before {
        return answer.repeated();
    }
    fx.stock_before.push((request.goods_id, before));
    state.stocks.insert(request.goods_id, row);
    answer
}

/// What is available is at the threshold or below it.
pub fn is_low(stock: &StockRow) -> bool {
    stock.low_threshold > 0 && stock.available <= stock.low_threshold
}
