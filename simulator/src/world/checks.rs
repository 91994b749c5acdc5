//! What must hold, after each step and at the end.

use super::World;
use crate::host::{self, Host};
use crate::model::{Ticket, Wrong};

impl World {
    pub(super) fn check_told(&mut self, ticket: Ticket, answer: &str) -> Result<(), Wrong> {
        if !self.is_whole() {
            self.told.push((ticket, answer.to_owned()));
            return Ok(());
        }
        match self.model.answer(ticket) {
            Some(expected) if expected == answer => Ok(()),
            Some(expected) => Err(format!("{ticket:?} was told {answer}, not {expected}")),
            None => Err(format!("{ticket:?} was told {answer}, which no log says")),
        }
    }

    pub(super) fn check_stock(&mut self, number: usize) -> Result<(), Wrong> {
        if !self.is_whole() {
            return Ok(());
        }
        let log = number as u32;
        let goods: Vec<u64> = (1..=self.plan.goods).filter(|goods| self.partitioner.of_goods(*goods).log == log).collect();
        let now = host::now(self.now, self.hosts[number].started_us, self.wall_ms());
        let Some(running) = self.hosts[number].running.as_mut().filter(|_| !goods.is_empty()) else { return Ok(()) };
        let applied = running.applied();
        for (goods, stock) in running.stock(goods, now).into_iter().flatten() {
            let expected = self.model.stock(goods, applied);
            if stock != expected {
                return Err(format!("goods {goods} have {stock} after entry {applied} of log {log}, not {expected}"));
            }
        }
        Ok(())
    }

    /// All has come to its end, and everybody knows the same.
    pub(super) fn check_end(&mut self) -> Result<(), Wrong> {
        if let Some(broken) = &self.broken {
            return Err(format!("{broken}, and nobody noticed"));
        }
        for (number, log) in self.logs.iter().enumerate() {
            if let Some((first, last)) = log.lost() {
                return Err(format!("log {number} has lost entries {first} to {last}, and nobody noticed"));
            }
            let host = &self.hosts[number];
            let applied = host.running.as_ref().filter(|running| running.caught_up).map(host::Running::applied);
            if applied != Some(log.last()) {
                return Err(format!("the engine of log {number} is at {applied:?}, but the log ends at {}", log.last()));
            }
        }
        if let Some(unfinished) = self.model.unfinished() {
            return Err(unfinished);
        }
        if let Some(overdue) = self.model.overdue(self.wall_ms()) {
            return Err(overdue);
        }
        self.model.check_books()?;
        self.check_downstream()?;
        (0..self.hosts.len()).try_for_each(|host| self.check_replay(host))
    }

    pub(super) fn check_downstream(&self) -> Result<(), Wrong> {
        for goods in 1..=self.plan.goods {
            let known = self.consumer.stock.get(&goods).copied().unwrap_or_default();
            let expected = self.model.stock(goods, u64::MAX);
            if known != expected {
                return Err(format!("downstream knows {known} of goods {goods}, not {expected}"));
            }
        }
        for order in (0..self.plan.logs).flat_map(|log| self.model.orders(log)) {
            let known = self.consumer.orders.get(&order.id).copied();
            if known != Some(order.status) {
                return Err(format!("downstream knows {known:?} of order {}, not {:?}", order.id, order.status));
            }
        }
        Ok(())
    }

    /// A replay of the whole log gives what its engine has.
    pub(super) fn check_replay(&mut self, number: usize) -> Result<(), Wrong> {
        let now = host::now(self.now, self.hosts[number].started_us, self.wall_ms());
        let rows = self.hosts[number].rows(now);
        let replayed = Host::replay(number as u32, self.sent.epoch, self.partitioner, &self.logs[number]);
        match rows.iter().zip(&replayed).find(|(row, replayed)| row != replayed) {
            Some((row, replayed)) => Err(format!("log {number}: a replay makes the row {replayed:?} of what is {row:?}")),
            None if rows.len() != replayed.len() => {
                Err(format!("log {number} has {} rows, and {} after a replay", rows.len(), replayed.len()))
            }
            None => Ok(()),
        }
    }
}
