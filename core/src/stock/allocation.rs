//! The owner's side of stock: lines that are reserved, sold and given back in the logs of their SKUs.
//!
//! Orders and the reservations of outside transaction managers both own lines. Each line says where its units are counted, so no
//! reservation needs a row besides its owner's, and a compensation gives back what was taken, whatever the request says.
//!
//! One log is asked after the other, by ascending number: of two owners that want the same last units in two logs the one that is
//! first in the lower log gets through.

use bytes::Bytes;
use emshop_proto::errors::Code;
use emshop_proto::internal::{LineRow, LineStock, Owner, PricedGoods, Step, StockAction, StockReply, StockRequest, step};
use emshop_proto::v1::{GoodsQuantity, Money, Refusal};

use super::act;
use crate::context::Turn;
use crate::effects::Refused;
use crate::state::rows::read_text;

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
pub fn carry(
    turn: &mut Turn,
    owner: &Owner,
    lines: &mut [LineRow],
    mut currency: Option<&mut Bytes>,
    action: StockAction,
) -> Result<Progress, Refused> {
    let (from, _) = transition(action);
    loop {
        let asked = lines.iter().filter(|line| line.stock() == from);
        let Some(log) = asked.map(|line| turn.ctx.partitioner.of_goods(line.goods_id).log).min() else {
            return Ok(Progress::Done);
        };
        if log != turn.ctx.log {
            let request = request(turn, lines, currency, action, log);
            turn.fx.step(log, Step { owner: Some(*owner), body: Some(step::Body::Request(request)) });
            return Ok(Progress::Waiting);
        }
        act(turn, owner, lines, currency.as_deref_mut(), action)?;
    }
}

fn request(turn: &Turn, lines: &[LineRow], currency: Option<&mut Bytes>, action: StockAction, log: u32) -> StockRequest {
    let (from, _) = transition(action);
    let of_log = |line: &&LineRow| line.stock() == from && turn.ctx.partitioner.of_goods(line.goods_id).log == log;
    let lines = lines.iter().filter(of_log);
    StockRequest {
        action: action.into(),
        lines: lines.map(|line| GoodsQuantity { goods_id: line.goods_id, quantity: line.quantity }).collect(),
        priced: currency.is_some(),
        currency: currency.map(|currency| read_text(currency)).unwrap_or_default(),
    }
}

/// Carries out what another log's owner asks, and replies to it.
pub fn serve(turn: &mut Turn, owner: Owner, request: StockRequest) {
    let action = request.action();
    let (from, _) = transition(action);
    let line = |line: &GoodsQuantity| LineRow {
        goods_id: line.goods_id,
        quantity: line.quantity,
        stock: from.into(),
        ..LineRow::default()
    };
    let mut lines: Vec<LineRow> = request.lines.iter().map(line).collect();
    let mut currency = request.priced.then(|| Bytes::from(request.currency));
    let done = act(turn, &owner, &mut lines, currency.as_mut(), action);
    let priced = action == StockAction::Reserve && request.priced;
    let goods = |LineRow { goods_id, name, unit_price_minor, weight_grams, .. }: LineRow| PricedGoods {
        goods_id,
        name: read_text(&name),
        unit_price: priced
            .then(|| Money { amount_minor: unit_price_minor, currency: currency.as_deref().map(read_text).unwrap_or_default() }),
        weight_grams,
    };
    let (goods, refusal) = match done {
        Ok(()) => (lines.into_iter().map(goods).collect(), None),
        Err(Refused(refusal)) => (Vec::new(), Some(*refusal)),
    };
    let reply = StockReply { action: action.into(), goods, refusal };
    turn.fx.step(owner.log, Step { owner: Some(owner), body: Some(step::Body::Reply(reply)) });
}

/// Moves the lines of another log's reply on.
///
/// # Errors
/// What that log refused; the lines stay.
pub fn settle(lines: &mut [LineRow], currency: Option<&mut Bytes>, reply: StockReply) -> Result<(), Refused> {
    let (from, to) = transition(reply.action());
    if let Some(refusal) = reply.refusal {
        return Err(refusal.into());
    }
    let mut told = None;
    for goods in reply.goods {
        let line = lines.iter_mut().find(|line| line.goods_id == goods.goods_id && line.stock() == from);
        let line = line.unwrap_or_else(|| panic!("a reply about goods {} that nobody asked for", goods.goods_id));
        line.set_stock(to);
        if let Some(price) = goods.unit_price {
            line.unit_price_minor = price.amount_minor;
            line.name = goods.name.into();
            line.weight_grams = goods.weight_grams;
            told = Some(price.currency);
        }
    }
    if let (Some(currency), Some(told)) = (currency, told) {
        *currency = told.into();
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
    pub refusal: Refusal,
    pub released_before: bool,
    pub mixed_currencies: bool,
}

impl Shortcomings {
    pub fn into_result(self) -> Result<(), Refused> {
        let code = if self.released_before {
            Code::StockReservationReleased
        } else if !self.refusal.unknown_goods_ids.is_empty() {
            Code::GoodsNotFound
        } else if !self.refusal.off_sale_goods_ids.is_empty() {
            Code::GoodsOffSale
        } else if !self.refusal.shortages.is_empty() {
            Code::StockInsufficientForReservation
        } else if self.mixed_currencies {
            Code::CurrencyMismatch
        } else {
            return Ok(());
        };
        let Refusal { shortages, unknown_goods_ids, off_sale_goods_ids, .. } = self.refusal;
        Err(Refusal { shortages, unknown_goods_ids, off_sale_goods_ids, ..code.refusal() }.into())
    }
}
