//! Stock of SKUs: `on_hand = available + reserved`, `received = on_hand + sold`, never negative.
//!
//! For an owner in this log its own row says what it holds. For one in another log there is a hold row, so that each log can
//! check its counters by itself, and a release that comes first leaves a tombstone.

pub mod allocation;
pub mod history;
pub mod levels;
pub mod reservation;

use emshop_proto::errors::Code;
use emshop_proto::internal::{HoldRow, LineRow, LineStock, Owner, StockAction, StockRow};
use emshop_proto::v1::{
    AdjustStockRequest, OverLimit, SetStockRequest, SetStockThresholdRequest, Shortage, StockCause, StockLevel, outcome,
};

use self::allocation::{Shortcomings, Terms, transition};
use crate::books::Held;
use crate::context::Turn;
use crate::effects::{Answer, Handled, Refused};
use crate::limits;
use crate::order::row;
use crate::planted::{self, Bug};
use crate::state::State;
use crate::state::rows::Hold;

/// Of free units no more are told to users.
const AVAILABLE_TOLD_MAX: u64 = 100;
/// Most units that one SKU may have on hand.
pub const ON_HAND_MAX: u64 = 1_000_000_000_000;

pub(crate) fn set(turn: &mut Turn, request: &SetStockRequest) -> Handled {
    let stock = turn.state.stocks.get(&request.goods_id).copied().unwrap_or_default();
    let available = request.on_hand.checked_sub(stock.reserved).ok_or(Code::StockBelowReserved)?;
    put_available(turn, request.goods_id, stock, available, StockCause::Set)
}

pub(crate) fn adjust(turn: &mut Turn, request: &AdjustStockRequest) -> Handled {
    let stock = turn.state.stocks.get(&request.goods_id).copied().ok_or(Code::InventoryNotFound)?;
    let too_much = if request.delta < 0 { Code::StockInsufficient } else { Code::StockTooLarge };
    let available = stock.available.checked_add_signed(request.delta).ok_or(too_much)?;
    put_available(turn, request.goods_id, stock, available, StockCause::Adjust)
}

fn put_available(turn: &mut Turn, goods_id: u64, stock: StockRow, available: u64, cause: StockCause) -> Handled {
    let on_hand = available.saturating_add(stock.reserved);
    // What came back from orders may have brought it above: to take some away is never too much.
    if on_hand > ON_HAND_MAX && available > stock.available {
        return Err(Code::StockTooLarge.into());
    }
    let mut row = StockRow { available, received: on_hand + stock.sold, ..stock };
    history::note(&turn.ctx, goods_id, &stock, &mut row, cause, None, turn.fx);
    turn.state.books.stock_changed(&stock, &row);
    turn.state.stocks.insert(goods_id, row);
    Answer::new(outcome::Result::Stock(level(goods_id, &row))).now()
}

/// Carries out one action on the lines that it is for and whose SKU is in this log: as a whole, or not at all.
///
/// With terms the lines are priced by their goods entries, and all must be of one currency; the first one's when none is set.
///
/// # Errors
/// All that keeps lines from being reserved, or that a hold of another log's owner does not allow it.
pub(crate) fn act(
    turn: &mut Turn,
    owner: &Owner,
    lines: &mut [LineRow],
    terms: Option<&mut Terms>,
    action: StockAction,
) -> Result<(), Refused> {
    let user_id = terms.as_ref().map_or(0, |terms| terms.user_id);
    let (from, to) = transition(action);
    let log = turn.ctx.log;
    let partitioner = turn.ctx.partitioner;
    let is_here = |line: &LineRow| line.stock() == from && partitioner.of_goods(line.goods_id).log == log;
    if action == StockAction::Reserve {
        check(turn, owner, lines.iter_mut().filter(|line| is_here(line)), terms)?;
    } else if !turn.ctx.is_local(owner) {
        check_holds(turn.state, owner, lines.iter().filter(|line| is_here(line)), action)?;
    }
    for line in lines.iter_mut().filter(|line| is_here(line)) {
        move_units(turn, owner, action, line, user_id);
        line.set_stock(to);
    }
    Ok(())
}

/// Whether all lines can be reserved; those that can be get price and weight, and terms get names.
fn check<'l>(
    turn: &mut Turn,
    owner: &Owner,
    lines: impl Iterator<Item = &'l mut LineRow>,
    mut terms: Option<&mut Terms>,
) -> Result<(), Refused> {
    let mut wrong = Shortcomings::default();
    for line in lines {
        let LineRow { goods_id, quantity, .. } = *line;
        if !turn.ctx.is_local(owner) && turn.state.holds.get(&Hold::new(owner, goods_id)).is_some() {
            wrong.released_before = true;
        }
        if let Some(terms) = terms.as_deref_mut() {
            // What is off sale is nothing to users, or they would learn what a shop prepares.
            let is_for_staff = terms.user_id == 0;
            let Some(goods) = turn.state.goods.get(&goods_id).filter(|goods| is_for_staff || !goods.off_sale) else {
                wrong.refusal.unknown_goods_ids.push(goods_id);
                continue;
            };
            if goods.off_sale {
                wrong.refusal.off_sale_goods_ids.push(goods_id);
            }
            if *terms.currency == 0 {
                *terms.currency = goods.currency;
            }
            let most = goods.user_units_max;
            wrong.mixed_currencies |= *terms.currency != goods.currency;
            row::add_name(terms.texts, goods_id, &goods.name);
            (line.unit_price_minor, line.weight_grams) = (goods.unit_price_minor, goods.weight_grams);
            line.is_counted = most != 0 && terms.user_id != 0;
            if line.is_counted {
                let allowed = limits::units_left(turn.state, goods_id, terms.user_id, most);
                if quantity > allowed {
                    wrong.refusal.over_limits.push(OverLimit { goods_id, requested: quantity, allowed });
                }
            }
        }
        let available = turn.state.stocks.get(&goods_id).map_or(0, |stock| stock.available);
        turn.fx.hot.asked(turn.ctx.time_ms, goods_id, available < quantity);
        if available < quantity {
            let is_user = terms.as_ref().is_some_and(|terms| terms.user_id != 0);
            let available = if is_user { told(available) } else { available };
            wrong.refusal.shortages.push(Shortage { goods_id, requested: quantity, available });
        }
    }
    wrong.into_result()
}

/// Moves the units of one line on.
fn move_units(turn: &mut Turn, owner: &Owner, action: StockAction, line: &LineRow, user_id: u64) {
    let LineRow { goods_id, quantity, is_counted, .. } = *line;
    let held = HoldRow { quantity, user_id: if is_counted { user_id } else { 0 }, ..HoldRow::default() };
    let held = if turn.ctx.is_local(owner) {
        held
    } else {
        match move_hold(turn.state, Hold::new(owner, goods_id), action, held) {
            Some(held) => held,
            None => return,
        }
    };
    let HoldRow { quantity, user_id, .. } = held;
    if user_id != 0 {
        limits::count_units(turn.state, goods_id, user_id, action, quantity);
    }
    let cause = match action {
        StockAction::Reserve => StockCause::Reserve,
        StockAction::Release => StockCause::Release,
        StockAction::Sell => StockCause::Sell,
        StockAction::Reback => StockCause::Reback,
        StockAction::Unspecified => panic!("a stock action without a kind"),
    };
    count(turn, owner, cause, goods_id, |stock| {
        let (from, to) = match cause {
            StockCause::Reserve => (&mut stock.available, &mut stock.reserved),
            StockCause::Release => (&mut stock.reserved, &mut stock.available),
            StockCause::Sell => (&mut stock.reserved, &mut stock.sold),
            _ => (&mut stock.sold, &mut stock.available),
        };
        *from = less(*from, quantity);
        *to += quantity;
        if planted::is(Bug::FreedTwice) && cause == StockCause::Release {
            stock.available += quantity;
            stock.received += quantity;
        }
    });
}

/// Whether the holds of another log's owner allow an action: as a whole, before anything is moved.
fn check_holds<'l>(
    state: &mut State,
    owner: &Owner,
    mut lines: impl Iterator<Item = &'l LineRow>,
    action: StockAction,
) -> Result<(), Refused> {
    let is_allowed = |line: &LineRow| {
        let hold = state.holds.get(&Hold::new(owner, line.goods_id)).map(HoldRow::stock);
        match action {
            StockAction::Sell => matches!(hold, Some(LineStock::Reserved | LineStock::Sold)),
            StockAction::Release => matches!(hold, None | Some(LineStock::Reserved | LineStock::Returned)),
            _ => matches!(hold, None | Some(LineStock::Sold | LineStock::Returned)),
        }
    };
    match (lines.all(is_allowed), action) {
        (true, _) => Ok(()),
        (false, StockAction::Sell) => Err(Code::StockConfirmFailed.into()),
        (false, _) => Err(Code::StockReleaseFailed.into()),
    }
}

/// Moves a hold on, which its check has allowed. Returns what is recorded, whatever the request says; `None` when it was done before, or
/// there was nothing to take back, which leaves a tombstone.
fn move_hold(state: &mut State, key: Hold, action: StockAction, asked: HoldRow) -> Option<HoldRow> {
    let (from, to) = transition(action);
    if action == StockAction::Reserve {
        state.holds.insert(key, HoldRow { stock: to.into(), ..asked });
        state.books.add_held(Held::of(to, asked.quantity));
        return Some(asked);
    }
    match state.holds.change(&key) {
        Some(hold) if hold.stock() == from => {
            hold.set_stock(to);
            state.books.held_changed(Held::of(from, hold.quantity), Held::of(to, hold.quantity));
            Some(*hold)
        }
        Some(_) => None,
        None => {
            state.holds.insert(key, HoldRow { stock: LineStock::Returned.into(), ..HoldRow::default() });
            None
        }
    }
}

/// Changes the counters of a SKU for an owner.
fn count(turn: &mut Turn, owner: &Owner, cause: StockCause, goods_id: u64, change: impl FnOnce(&mut StockRow)) {
    let stock =
        turn.state.stocks.change(&goods_id).unwrap_or_else(|| panic!("units of goods {goods_id} were held without stock"));
    let before = *stock;
    change(stock);
    assert_eq!(
        stock.received,
        stock.available + stock.reserved + stock.sold,
        "received = available + reserved + sold is broken for goods {goods_id}"
    );
    history::note(&turn.ctx, goods_id, &before, stock, cause, Some(*owner), turn.fx);
    turn.state.books.stock_changed(&before, stock);
}

fn less(counter: u64, quantity: u64) -> u64 {
    counter.checked_sub(quantity).unwrap_or_else(|| panic!("a stock counter of {counter} cannot give {quantity}"))
}

/// Free units as users are told of them: more than that is nobody's business but the shop's.
pub fn told(available: u64) -> u64 {
    available.min(AVAILABLE_TOLD_MAX)
}

/// Stock as staff sees it.
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

/// Sets when stock counts as low. It is no change of the stock itself, so the history does not have it, and its level is told at once.
pub(crate) fn set_threshold(turn: &mut Turn, request: SetStockThresholdRequest) -> Handled {
    let before = turn.state.stocks.get(&request.goods_id).copied().ok_or(Code::InventoryNotFound)?;
    let row = StockRow { low_threshold: request.low_threshold, ..before };
    let answer = Answer::new(outcome::Result::Stock(level(request.goods_id, &row)));
    if row == before {
        return answer.repeated().now();
    }
    turn.state.stocks.insert(request.goods_id, row);
    levels::tell(turn.state, request.goods_id, turn.fx);
    answer.now()
}

/// What is available is at the threshold or below it.
pub fn is_low(stock: &StockRow) -> bool {
    stock.low_threshold > 0 && stock.available <= stock.low_threshold
}
