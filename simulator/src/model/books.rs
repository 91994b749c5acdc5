//! What must hold at the end: everything has come to its end, and units and money add up.

use std::collections::BTreeMap;

use super::{Model, Wrong, stock};

impl Model {
    /// What has not come to its end, if something has not.
    pub fn unfinished(&self) -> Option<String> {
        let order = self.logs.iter().flat_map(|log| &log.orders).find(|order| order.is_busy());
        let order = order.map(|order| format!("order {} is still under way", order.id));
        let reservation = self.logs.iter().flat_map(|log| &log.reservations).find(|reservation| reservation.is_busy());
        let order = order.or_else(|| reservation.map(|reservation| format!("reservation {} is still under way", reservation.id)));
        order.or_else(|| (0..self.logs.len() as u32).find_map(|log| self.unheard(log)))
    }

    /// Steps of a log that the log they are for has not got, if there are any.
    fn unheard(&self, log: u32) -> Option<String> {
        self.logs[log as usize].said.iter().find_map(|(target, said)| {
            let heard = self.logs[*target as usize].heard.get(&log).copied().unwrap_or(0);
            let unheard = said.len() as u64 > heard;
            unheard.then(|| format!("log {log} has said {} things to log {target}, which has heard {heard}", said.len()))
        })
    }

    /// An order that nobody has paid although its time was over a while ago, if there is one.
    pub fn overdue(&self, now_ms: i64) -> Option<String> {
        let order = self.logs.iter().flat_map(|log| &log.orders).find(|order| order.is_overdue(now_ms));
        order.map(|order| format!("order {} was not paid in time and is still open", order.id))
    }

    /// What must hold between the parts of the model itself: each unit is somewhere, what is reserved or sold belongs to somebody, and so does
    /// all money.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_books(&self) -> Result<(), Wrong> {
        let mut held: BTreeMap<(u64, stock::At), u64> = BTreeMap::new();
        for log in &self.logs {
            let lines = log.orders.iter().flat_map(|order| &order.lines).chain(log.reservations.iter().flat_map(|it| &it.lines));
            for line in lines {
                *held.entry((line.goods, line.at)).or_default() += line.quantity;
            }
        }
        let under_way = self.unfinished().is_some();
        for (goods, stock) in self.logs.iter().flat_map(|log| &log.stock) {
            let of = |at| held.get(&(*goods, at)).copied().unwrap_or(0);
            let fits = (of(stock::At::Reserved), of(stock::At::Sold)) == (stock.reserved, stock.sold);
            if !under_way && !fits {
                return Err(format!("goods {goods} have {stock:?}, but orders and reservations hold {held:?}"));
            }
        }
        if under_way { Ok(()) } else { self.check_money() }
    }

    /// What orders keep of the balances that they were paid from, and what is left there, is what was brought there.
    fn check_money(&self) -> Result<(), Wrong> {
        let mut kept: BTreeMap<u64, i64> = BTreeMap::new();
        for order in self.logs.iter().flat_map(|log| &log.orders).filter(|order| order.by_balance) {
            *kept.entry(order.user).or_default() += order.kept();
        }
        for (user, deposit) in self.logs.iter().flat_map(|log| &log.deposits) {
            let (kept, balance) = (kept.remove(user).unwrap_or(0), self.balance(*user));
            if kept + balance != *deposit {
                return Err(format!("user {user} brought {deposit}, but has {balance}, and orders have {kept}"));
            }
        }
        match kept.into_iter().find(|(_, kept)| *kept != 0) {
            Some((user, kept)) => Err(format!("orders have {kept} of user {user}, who never brought anything")),
            None => Ok(()),
        }
    }
}
