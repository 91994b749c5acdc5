//! Units of SKUs, and money of users.

use std::fmt;

use emshop_proto::errors::Code;
use emshop_proto::internal::StockAction;
use emshop_proto::v1::{AdjustBalanceRequest, AdjustStockRequest, Goods, SetStockRequest};

use super::{Asker, Turn, Wrong, refused};

/// Where the units of a SKU are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    pub available: u64,
    pub reserved: u64,
    pub sold: u64,
}

impl fmt::Display for Stock {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "stock {}/{}/{}", self.available, self.reserved, self.sold)
    }
}

/// How the units of a line are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    #[default]
    Nowhere,
    Reserved,
    Sold,
    Back,
}

/// Units of a SKU that somebody wants.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub goods: u64,
    pub quantity: u64,
    /// When it was put into the cart that it came from.
    pub added_at: i64,
    pub at: At,
}

/// How far an action over several logs is.
pub enum Carried {
    Done,
    Waiting,
    Refused(Code),
}

fn path(action: StockAction) -> (At, At) {
    match action {
        StockAction::Reserve => (At::Nowhere, At::Reserved),
        StockAction::Release => (At::Reserved, At::Back),
        StockAction::Sell => (At::Reserved, At::Sold),
        _ => (At::Sold, At::Back),
    }
}

impl Turn<'_> {
    pub(super) fn create_goods(&mut self, goods: &Goods) -> String {
        let price = goods.unit_price.as_ref().map_or(0, |price| price.amount_minor);
        match self.here().prices.insert(goods.goods_id, price) {
            Some(_) => super::again("goods".to_owned()),
            None => "goods".to_owned(),
        }
    }

    pub(super) fn set_stock(&mut self, request: &SetStockRequest) -> String {
        let stock = self.stock(request.goods_id);
        match request.on_hand.checked_sub(stock.reserved) {
            Some(available) => self.put(request.goods_id, Stock { available, ..stock }),
            None => refused(Code::StockBelowReserved),
        }
    }

    pub(super) fn adjust_stock(&mut self, request: &AdjustStockRequest) -> String {
        if !self.here().stock.contains_key(&request.goods_id) {
            return refused(Code::InventoryNotFound);
        }
        let stock = self.stock(request.goods_id);
        match stock.available.checked_add_signed(request.delta) {
            Some(available) => self.put(request.goods_id, Stock { available, ..stock }),
            None => refused(Code::StockInsufficient),
        }
    }

    pub(super) fn adjust_balance(&mut self, request: &AdjustBalanceRequest) -> String {
        let (user, delta) = (request.user_id, request.delta.as_ref().map_or(0, |delta| delta.amount_minor));
        match self.move_money(user, delta) {
            Some(code) => refused(code),
            None => {
                *self.here().deposits.entry(user).or_default() += delta;
                format!("balance {}", self.here().balances[&user])
            }
        }
    }

    /// Gives a user money or takes it; the code when there is not enough.
    pub(super) fn move_money(&mut self, user: u64, delta: i64) -> Option<Code> {
        let balance = self.here().balances.get(&user).copied().unwrap_or(0);
        if balance + delta < 0 {
            return Some(Code::BalanceInsufficient);
        }
        self.here().balances.insert(user, balance + delta);
        None
    }

    fn stock(&mut self, goods: u64) -> Stock {
        self.here().stock.get(&goods).copied().unwrap_or_default()
    }

    fn put(&mut self, goods: u64, stock: Stock) -> String {
        let here = self.here();
        here.stock.insert(goods, stock);
        let applied = here.applied;
        here.levels.entry(goods).or_default().push((applied, stock));
        stock.to_string()
    }

    /// Takes lines from one state to the next, log after log by ascending number, until another log has to be asked.
    pub(super) fn carry(&mut self, by: Asker, lines: &mut [Line], action: StockAction, priced: bool) -> Result<Carried, Wrong> {
        let (from, to) = path(action);
        loop {
            let partitioner = self.model.partitioner;
            let log_of = |line: &Line| partitioner.of_goods(line.goods).log;
            let Some(log) = lines.iter().filter(|line| line.at == from).map(log_of).min() else {
                return Ok(Carried::Done);
            };
            let of_log = lines.iter_mut().filter(|line| line.at == from && log_of(line) == log);
            if log != self.log {
                let lines = of_log.map(|line| (line.goods, line.quantity)).collect();
                self.say(log, super::said::Said::Stock { by, action, lines });
                return Ok(Carried::Waiting);
            }
            let mut of_log: Vec<_> = of_log.collect();
            let wanted: Vec<_> = of_log.iter().map(|line| (line.goods, line.quantity)).collect();
            if let Some(code) = self.shortage(&wanted, action, priced) {
                return Ok(Carried::Refused(code));
            }
            for (line, (goods, quantity)) in of_log.iter_mut().zip(wanted) {
                self.move_units(goods, quantity, action)?;
                line.at = to;
            }
        }
    }

    /// Another log has done what it was asked: the lines there are in their next state.
    pub(super) fn settle(&self, lines: &mut [Line], action: StockAction) {
        let (from, to) = path(action);
        let log_of = |line: &Line| self.model.partitioner.of_goods(line.goods).log;
        let asked = lines.iter().filter(|line| line.at == from).map(log_of).min();
        lines.iter_mut().filter(|line| line.at == from && Some(log_of(line)) == asked).for_each(|line| line.at = to);
    }

    /// Carries out what another log's owner asks for; the code when it cannot be.
    pub(super) fn move_held(&mut self, by: Asker, action: StockAction, lines: &[(u64, u64)]) -> Result<Option<Code>, Wrong> {
        // Only orders are priced, and all their goods exist.
        if let Some(code) = self.shortage(lines, action, by.1 == emshop_proto::internal::OwnerKind::Order) {
            return Ok(Some(code));
        }
        let (from, to) = path(action);
        for (goods, quantity) in lines {
            let held = self.here().holds.insert((by, *goods), (*quantity, to));
            let expected = if from == At::Nowhere { None } else { Some((*quantity, from)) };
            if held != expected {
                return Err(format!("{action:?} of {quantity} of goods {goods} for {by:?}, who holds {held:?}"));
            }
            self.move_units(*goods, *quantity, action)?;
        }
        Ok(None)
    }

    fn shortage(&mut self, lines: &[(u64, u64)], action: StockAction, priced: bool) -> Option<Code> {
        if action != StockAction::Reserve {
            return None;
        }
        if priced && lines.iter().any(|(goods, _)| !self.here().prices.contains_key(goods)) {
            return Some(Code::GoodsNotFound);
        }
        let short = lines.iter().any(|(goods, quantity)| self.stock(*goods).available < *quantity);
        short.then_some(Code::StockInsufficientForReservation)
    }

    fn move_units(&mut self, goods: u64, quantity: u64, action: StockAction) -> Result<(), Wrong> {
        let mut stock = self.stock(goods);
        let (from, to) = match action {
            StockAction::Reserve => (&mut stock.available, &mut stock.reserved),
            StockAction::Release => (&mut stock.reserved, &mut stock.available),
            StockAction::Sell => (&mut stock.reserved, &mut stock.sold),
            _ => (&mut stock.sold, &mut stock.available),
        };
        *from = from.checked_sub(quantity).ok_or_else(|| format!("{action:?} of {quantity} of goods {goods}: too few"))?;
        *to += quantity;
        self.put(goods, stock);
        Ok(())
    }
}
