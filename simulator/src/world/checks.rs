//! What must hold, after each step and at the end.

use super::World;
use super::troubles::newer_rules;
use crate::host::{self, Host, TOLERANCE};
use crate::model::{Ticket, Wrong};
use crate::people;

/// What an engine may follow: its own time may be that of a log which is as far ahead as clocks may differ.
const AHEAD_MAX_MS: i64 = 2 * TOLERANCE.as_millis() as i64;

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

    /// No engine has let time pass that is yet to come: whatever waits would be over too early.
    pub(super) fn check_time(&mut self, number: usize) -> Result<(), Wrong> {
        let Some(running) = self.hosts[number].running.as_ref().filter(|_| self.is_whole()) else { return Ok(()) };
        let (log, applied) = (number as u32, running.applied());
        let ahead_ms = self.model.time_ms(log, applied) - self.wall_ms();
        if ahead_ms > AHEAD_MAX_MS {
            return Err(format!("the engine of log {log} has applied entry {applied}, which is {ahead_ms} ms ahead of time"));
        }
        Ok(())
    }

    /// No engine has applied what is under rules that it does not know.
    pub(super) fn check_rules(&mut self, number: usize) -> Result<(), Wrong> {
        let applied = self.hosts[number].running.as_ref().map(host::Running::applied);
        match self.newer_rules_at(number) {
            Some(newer) if applied.is_some_and(|applied| applied >= newer) => {
                Err(format!("the engine of log {number} is at {applied:?}, but does not know the rules from entry {newer} on"))
            }
            _ => Ok(()),
        }
    }

    /// Where a log has rules that no engine here knows.
    pub(super) fn newer_rules_at(&self, number: usize) -> Option<u64> {
        // A log that went back has something else there, or nothing.
        let is_there = |at: &u64| {
            self.logs[number].entries().get(*at as usize - 1).is_some_and(|it| it.payload == newer_rules(number as u32))
        };
        self.newer_rules[number].filter(is_there)
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
        (1..=self.plan.users).try_for_each(|user| self.check_user(user))?;
        (0..self.hosts.len()).try_for_each(|host| self.check_replay(host))?;
        self.check_forgotten()
    }

    /// A day later no row says who somebody was who was deleted, nor who an order of theirs was for that has come to its end.
    fn check_forgotten(&mut self) -> Result<(), Wrong> {
        let forgotten = self.model.forgotten();
        for host in &self.hosts {
            for (key, value) in host.rows_a_day_later(self.sent.epoch, self.partitioner) {
                let names = people::names_in(&[key.as_slice(), &value].concat());
                if let Some(name) = names.intersection(&forgotten).next() {
                    return Err(format!("log {} still says {name} in the row {key:?}", host.log));
                }
            }
        }
        self.coverage.count_many("forgotten", "users who were deleted and orders of theirs", forgotten.len() as u64);
        Ok(())
    }

    /// What a user has in the cart and in the balance.
    fn check_user(&mut self, user: u64) -> Result<(), Wrong> {
        let log = self.partitioner.of_user(user).log as usize;
        let now = host::now(self.now, self.hosts[log].started_us, self.wall_ms());
        let Some(running) = self.hosts[log].running.as_mut() else { return Ok(()) };
        let known = running.cart(user, now).zip(running.balance(user, now));
        let expected = (self.model.cart(user), self.model.balance(user));
        if known.as_ref().is_some_and(|known| *known != expected) {
            return Err(format!("user {user} has {known:?}, not {expected:?}"));
        }
        Ok(())
    }

    pub(super) fn check_downstream(&self) -> Result<(), Wrong> {
        for goods in 1..=self.plan.goods {
            let known = self.consumer.stock.get(&goods).copied().unwrap_or_default();
            let expected = self.model.stock(goods, u64::MAX);
            if known != expected {
                return Err(format!("downstream knows {known} of goods {goods}, not {expected}"));
            }
        }
        if self.consumer.deleted != self.model.deleted() {
            return Err(format!(
                "downstream knows that {:?} were deleted, not {:?}",
                self.consumer.deleted,
                self.model.deleted()
            ));
        }
        for order in (0..self.plan.logs).flat_map(|log| self.model.orders(log)) {
            let known = self.consumer.orders.get(&order.id).copied();
            if known != Some(order.status) {
                return Err(format!("downstream knows {known:?} of order {}, not {:?}", order.id, order.status));
            }
            let known = self.consumer.parcels.get(&order.id).copied();
            let parcel = order.parcel.as_ref().map(|parcel| parcel.status);
            if known != parcel {
                return Err(format!("downstream knows {known:?} of the parcel of order {}, not {parcel:?}", order.id));
            }
            // Of a payment that was never made it hears how it ended, or nothing.
            let known = self.consumer.payments.get(&order.id).copied().filter(|(_, refunded)| *refunded != 0);
            let refunded = Some((order.payment, order.refunded)).filter(|(_, refunded)| *refunded != 0);
            if known != refunded {
                return Err(format!("downstream knows {known:?} of what order {} gave back, not {refunded:?}", order.id));
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
