//! What the shop allows its users: unpaid orders at a time, units of a SKU in an order and over all of a user's, and how long an order may hold
//! its units without being paid. Staff, and streams of the back office, are not bound by any of it.
//!
//! The limits of a shop are settings of its engines, and get into the log by a record of their own ([`ShopLimits`]); those of a SKU stand in
//! its goods entry. Both are asked when an order is submitted, and count no more later.

use emshop_proto::errors::Code;
use emshop_proto::internal::{OrderRow, ShopLimits, StockAction};
use emshop_proto::v1::{OrderStatus, OverLimit, Refusal};

use crate::context::{Context, Turn};
use crate::effects::Refused;
use crate::state::State;

/// Whether the limits hold for an order that is submitted now: its user does so.
pub(crate) fn hold_for(ctx: &Context) -> bool {
    ctx.acting_user().is_some()
}

/// Whom the units of an order are counted for; 0 when the limits do not hold for it.
pub(crate) fn user_of(order: &OrderRow) -> u64 {
    if order.is_limited { order.user_id } else { 0 }
}

/// How long an order may wait for its payment that asks for so many seconds.
pub(crate) fn payment_seconds(ctx: &Context, asked: u32) -> u32 {
    match ctx.limits.payment_seconds {
        0 => asked,
        most if hold_for(ctx) => asked.min(most),
        _ => asked,
    }
}

/// Whether a user may have one unpaid order more in this log.
///
/// # Errors
/// When they have as many as the shop allows. Nothing is left of the order then: its id is free for when others are paid.
pub(crate) fn check_unpaid(turn: &mut Turn, user_id: u64) -> Result<(), Refused> {
    let most = turn.ctx.limits.unpaid_orders;
    if most == 0 || !hold_for(&turn.ctx) {
        return Ok(());
    }
    let unpaid = turn.state.unpaid_orders.get_before_entry(&user_id).map_or(0, |row| row.orders);
    if unpaid < most {
        Ok(())
    } else {
        Err(over(Code::UnpaidOrdersTooMany, vec![OverLimit { requested: 1, ..OverLimit::default() }]).into())
    }
}

/// Whether an order has no more of any SKU than one order may have.
///
/// # Errors
/// When it has more of some.
pub(crate) fn check_units(order: &OrderRow, limits: &ShopLimits) -> Result<(), Refused> {
    let most = limits.order_units;
    if most == 0 || !order.is_limited {
        return Ok(());
    }
    let above = order.lines.iter().filter(|line| line.quantity > most);
    let above: Vec<_> =
        above.map(|line| OverLimit { goods_id: line.goods_id, requested: line.quantity, allowed: most }).collect();
    if above.is_empty() { Ok(()) } else { Err(over(Code::OrderUnitsTooMany, above).into()) }
}

fn over(code: Code, over_limits: Vec<OverLimit>) -> Refusal {
    Refusal { over_limits, ..code.refusal() }
}

/// Counts an order that becomes unpaid, or is so no more.
pub(crate) fn count_unpaid(state: &mut State, order: &OrderRow, to: OrderStatus) {
    let (was, is) = (order.status() == OrderStatus::Pending, to == OrderStatus::Pending);
    if !order.is_limited || was == is {
        return;
    }
    let row = state.unpaid_orders.entry(&order.user_id);
    if is {
        row.orders += 1;
    } else {
        row.orders -= 1;
    }
    if row.orders == 0 {
        state.unpaid_orders.remove(&order.user_id);
    }
}

/// Units of a SKU that a user may have besides what they have, when they may have so many.
pub(crate) fn units_left(state: &mut State, goods_id: u64, user_id: u64, most: u64) -> u64 {
    let units = state.user_units.get_before_entry(&(goods_id, user_id)).map_or(0, |row| row.units);
    most.saturating_sub(units)
}

/// Counts units of a SKU that a user gets or gives back.
///
/// # Panics
/// When they give back more than they have.
pub(crate) fn count_units(state: &mut State, goods_id: u64, user_id: u64, action: StockAction, quantity: u64) {
    let key = (goods_id, user_id);
    let row = state.user_units.entry(&key);
    match action {
        StockAction::Reserve => row.units += quantity,
        StockAction::Release | StockAction::Reback => {
            let left = row.units.checked_sub(quantity);
            row.units =
                left.unwrap_or_else(|| panic!("user {user_id} gives {quantity} units of goods {goods_id} back, and has {row:?}"));
        }
        StockAction::Sell | StockAction::Unspecified => {}
    }
    if row.units == 0 {
        state.user_units.remove(&key);
    }
}
