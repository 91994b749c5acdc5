//! Units of SKUs, and money of users.

use std::fmt;

use emshop_proto::errors::Code;
use emshop_proto::internal::{OwnerKind, StockAction};
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
        if goods.user_units_max > 0 {
            self.here().user_units.insert(goods.goods_id, goods.user_units_max);
        }
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
    /// They count for `user`, if that is not 0.
    pub(super) fn carry(&mut self, by: Asker, lines: &mut [Line], action: StockAction, user: u64) -> Result<Carried, Wrong> {
        // Only orders are priced.
        let priced = by.1 == OwnerKind::Order;
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
                self.say(log, super::said::Said::Stock { by, action, lines, user });
                return Ok(Carried::Waiting);
            }
            let mut of_log: Vec<_> = of_log.collect();
            let wanted: Vec<_> = of_log.iter().map(|line| (line.goods, line.quantity)).collect();
            if let Some(code) = self.shortage(&wanted, action, priced, user) {
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
    pub(super) fn move_held(
        &mut self,
        by: Asker,
        action: StockAction,
        lines: &[(u64, u64)],
        user: u64,
    ) -> Result<Option<Code>, Wrong> {
        // Only orders are priced, and all their goods exist.
        if let Some(code) = self.shortage(lines, action, by.1 == OwnerKind::Order, user) {
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

    fn shortage(&mut self, lines: &[(u64, u64)], action: StockAction, priced: bool, user: u64) -> Option<Code> {
        if action != StockAction::Reserve {
            return None;
        }
        if priced && lines.iter().any(|(goods, _)| !self.here().prices.contains_key(goods)) {
            return Some(Code::GoodsNotFound);
        }
        if priced && user != 0 && lines.iter().any(|(goods, quantity)| self.is_above(*goods, user, *quantity)) {
            return Some(Code::UserUnitsTooMany);
        }
        let short = lines.iter().any(|(goods, quantity)| self.stock(*goods).available < *quantity);
        short.then_some(Code::StockInsufficientForReservation)
    }

    /// A user would have more of a SKU than one may: all that is reserved or sold in orders that they submitted.
    fn is_above(&mut self, goods: u64, user: u64, quantity: u64) -> bool {
        let Some(most) = self.here().user_units.get(&goods).copied() else { return false };
        let is_held = |at: At| matches!(at, At::Reserved | At::Sold);
        let own = self.here().orders.iter().filter(|order| order.is_limited && order.user == user);
        let own = own.flat_map(|order| &order.lines).filter(|line| line.goods == goods && is_held(line.at));
        let own: u64 = own.map(|line| line.quantity).sum();
        let of_user = |(log, kind, number): Asker| {
            let order = self.model.logs[log as usize].orders.get(number as usize - 1);
            kind == OwnerKind::Order && order.is_some_and(|order| order.is_limited && order.user == user)
        };
        let holds = self.model.logs[self.log as usize].holds.iter();
        let holds = holds.filter(|((by, held), (_, at))| *held == goods && is_held(*at) && of_user(*by));
        let held: u64 = holds.map(|(_, (units, _))| units).sum();
        own + held + quantity > most
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
