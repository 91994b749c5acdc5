//! The owner's side of stock: lines that are reserved, sold and given back in the logs of their SKUs.
//!
//! Orders and the reservations of outside transaction managers both own lines. Each line says where its units are counted, so no
//! reservation needs a row besides its owner's, and a compensation gives back what was taken, whatever the request says.
//!
//! One log is asked after the other, by ascending number: of two owners that want the same last units in two logs the one that is
//! first in the lower log gets through.

use std::collections::BTreeMap;

use emshop_proto::errors::Code;
use emshop_proto::internal::{
    LineRow, LineStock, OrderNames, Owner, PricedGoods, Step, StockAction, StockReply, StockRequest, step,
};
use emshop_proto::v1::{GoodsQuantity, Refusal};
use prost::Message as _;

use super::act;
use crate::context::{Context, Turn};
use crate::effects::Refused;
use crate::order::row;

/// What an order takes over from goods entries, besides what its lines do.
pub struct Terms<'o> {
    /// Of the prices; 0 until one is known.
    pub currency: &'o mut u32,
    /// See [`row::add_name`].
    pub texts: &'o mut Vec<u8>,
    /// Whom the units are counted for where their SKU has a limit for a user; 0 when the shop's limits do not hold for the order.
    pub user_id: u64,
}

/// How far an action over several logs is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No line is left that it is for.
    Done,
    /// Another log will reply.
    Waiting,
}

/// The state that an action takes a line from, and the one it leaves it in.
pub fn transition(action: StockAction) -> (LineStock, LineStock) {
    match action {
        StockAction::Reserve => (LineStock::None, LineStock::Reserved),
        StockAction::Release => (LineStock::Reserved, LineStock::Returned),
        StockAction::Sell => (LineStock::Reserved, LineStock::Sold),
        StockAction::Reback => (LineStock::Sold, LineStock::Returned),
        StockAction::Unspecified => panic!("a stock action without a kind"),
    }
}

/// Carries an action on over the lines that it is for, until another log is to be asked or none is left.
///
/// # Errors
/// What this log refuses; lines of logs before it stay as they were moved.
pub(crate) fn carry(
    turn: &mut Turn,
    owner: &Owner,
    lines: &mut [LineRow],
    mut terms: Option<&mut Terms>,
    action: StockAction,
) -> Result<Progress, Refused> {
    let (from, _) = transition(action);
    loop {
        let asked = lines.iter().filter(|line| line.stock() == from);
        let Some(log) = asked.map(|line| turn.ctx.partitioner.of_goods(line.goods_id).log).min() else {
            return Ok(Progress::Done);
        };
        if log != turn.ctx.log {
            let request = request(turn, lines, terms, action, log);
            turn.fx.step(log, Step { owner: Some(*owner), body: Some(step::Body::Request(request)), trace: None });
            return Ok(Progress::Waiting);
        }
        act(turn, owner, lines, terms.as_deref_mut(), action)?;
    }
}

/// Lets go of the lines that the next log would be asked for, if that is another one: they count as returned, and stay there as they are.
pub(crate) fn write_off(ctx: &Context, lines: &mut [LineRow], action: StockAction) {
    let (from, to) = transition(action);
    let log_of = |line: &LineRow| ctx.partitioner.of_goods(line.goods_id).log;
    let Some(log) = lines.iter().filter(|line| line.stock() == from).map(log_of).min() else { return };
    if log != ctx.log {
        lines.iter_mut().filter(|line| line.stock() == from && log_of(line) == log).for_each(|line| line.set_stock(to));
    }
}

fn request(turn: &Turn, lines: &[LineRow], terms: Option<&mut Terms>, action: StockAction, log: u32) -> StockRequest {
    let (from, _) = transition(action);
    let of_log = |line: &&LineRow| line.stock() == from && turn.ctx.partitioner.of_goods(line.goods_id).log == log;
    let lines = lines.iter().filter(of_log);
    StockRequest {
        action: action.into(),
        lines: lines.map(|line| GoodsQuantity { goods_id: line.goods_id, quantity: line.quantity }).collect(),
        priced: terms.is_some(),
        user_id: terms.as_ref().map_or(0, |terms| terms.user_id),
        currency: terms.map_or(0, |terms| *terms.currency),
    }
}

/// Carries out what another log's owner asks, and replies to it.
pub(crate) fn serve(turn: &mut Turn, owner: Owner, request: StockRequest) {
    let action = request.action();
    let (from, _) = transition(action);
    let line = |line: &GoodsQuantity| LineRow {
        goods_id: line.goods_id,
        quantity: line.quantity,
        stock: from.into(),
        ..LineRow::default()
    };
    let mut lines: Vec<LineRow> = request.lines.iter().map(line).collect();
    let (mut currency, mut texts, user_id) = (request.currency, Vec::new(), request.user_id);
    let mut terms = request.priced.then_some(Terms { currency: &mut currency, texts: &mut texts, user_id });
    let done = act(turn, &owner, &mut lines, terms.as_mut(), action);
    let (goods, refusal) = match done {
        Ok(()) => (priced(&lines, &texts), None),
        Err(Refused(refusal)) => (Vec::new(), Some(*refusal)),
    };
    let reply = StockReply { action: action.into(), goods, refusal, currency };
    turn.fx.step(owner.log, Step { owner: Some(owner), body: Some(step::Body::Reply(reply)), trace: None });
}

/// Lines as their owner's log gets to know them. Only those that were reserved have names.
fn priced(lines: &[LineRow], texts: &[u8]) -> Vec<PricedGoods> {
    let names = OrderNames::decode(texts).expect("just written").names;
    let mut names: BTreeMap<u64, String> = names.into_iter().map(|goods| (goods.goods_id, goods.name)).collect();
    let goods = |line: &LineRow| PricedGoods {
        goods_id: line.goods_id,
        name: names.remove(&line.goods_id).unwrap_or_default(),
        unit_price_minor: line.unit_price_minor,
        weight_grams: line.weight_grams,
    };
    lines.iter().map(goods).collect()
}

/// Moves the lines of another log's reply on.
///
/// # Errors
/// What that log refused; the lines stay.
pub fn settle(lines: &mut [LineRow], terms: Option<Terms>, reply: StockReply) -> Result<(), Refused> {
    let (from, to) = transition(reply.action());
    if let Some(refusal) = reply.refusal {
        return Err(refusal.into());
    }
    let mut terms = terms.filter(|_| reply.action() == StockAction::Reserve);
    if let Some(terms) = &mut terms {
        *terms.currency = reply.currency;
    }
    for goods in reply.goods {
        let line = lines.iter_mut().find(|line| line.goods_id == goods.goods_id && line.stock() == from);
        let line = line.unwrap_or_else(|| panic!("a reply about goods {} that nobody asked for", goods.goods_id));
        line.set_stock(to);
        if let Some(terms) = &mut terms {
            line.unit_price_minor = goods.unit_price_minor;
            line.weight_grams = goods.weight_grams;
            row::add_name(terms.texts, goods.goods_id, &goods.name);
        }
    }
    Ok(())
}

/// Some line's units are counted as `stock`.
pub fn any(lines: &[LineRow], stock: LineStock) -> bool {
    lines.iter().any(|line| line.stock() == stock)
}

/// What is wrong with lines that cannot be reserved: all of it, under the code that waiting for stock would help with least.
#[derive(Default)]
pub struct Shortcomings {
    /// What is told of them.
    pub refusal: Refusal,
    /// A release came before its reservation.
    pub released_before: bool,
    /// The lines are not of one currency.
    pub mixed_currencies: bool,
}

impl Shortcomings {
    /// The refusal, if something is wrong.
    pub fn into_result(self) -> Result<(), Refused> {
        let code = if self.released_before {
            Code::StockReservationReleased
        } else if !self.refusal.unknown_goods_ids.is_empty() {
            Code::GoodsNotFound
        } else if !self.refusal.off_sale_goods_ids.is_empty() {
            Code::GoodsOffSale
        } else if !self.refusal.over_limits.is_empty() {
            Code::UserUnitsTooMany
        } else if !self.refusal.shortages.is_empty() {
            Code::StockInsufficientForReservation
        } else if self.mixed_currencies {
            Code::CurrencyMismatch
        } else {
            return Ok(());
        };
        let Refusal { shortages, unknown_goods_ids, off_sale_goods_ids, over_limits, .. } = self.refusal;
        Err(Refusal { shortages, unknown_goods_ids, off_sale_goods_ids, over_limits, ..code.refusal() }.into())
    }
}
