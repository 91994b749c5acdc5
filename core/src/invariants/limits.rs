//! What users are counted to have, by the rows that it is counted of.

use std::collections::HashMap;

use emshop_proto::internal::{HoldRow, LineRow, LineStock, OrderRow};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::OrderStatus;

/// What the rows of one log say of it: each time as counted, and as found.
#[derive(Default)]
pub struct Limits {
    /// Unpaid orders of a user.
    unpaid: HashMap<u64, (u32, u32)>,
    /// Units of goods that a user has.
    units: HashMap<(u64, u64), (u64, u64)>,
}

impl Limits {
    pub fn unpaid_orders(&mut self, user_id: u64, orders: u32) {
        self.unpaid.entry(user_id).or_default().0 = orders;
    }

    pub fn user_units(&mut self, key: (u64, u64), units: u64) {
        self.units.entry(key).or_default().0 = units;
    }

    pub fn order(&mut self, row: &OrderRow, log: u32, partitioner: &Partitioner) {
        if row.is_limited && row.status() == OrderStatus::Pending {
            self.unpaid.entry(row.user_id).or_default().1 += 1;
        }
        let is_here = |line: &&LineRow| line.is_counted && partitioner.of_goods(line.goods_id).log == log;
        for line in row.lines.iter().filter(is_here) {
            self.found(line.goods_id, row.user_id, line.stock(), line.quantity);
        }
    }

    pub fn hold(&mut self, goods_id: u64, row: &HoldRow) {
        if row.user_id != 0 {
            self.found(goods_id, row.user_id, row.stock(), row.quantity);
        }
    }

    fn found(&mut self, goods_id: u64, user_id: u64, stock: LineStock, quantity: u64) {
        if matches!(stock, LineStock::Reserved | LineStock::Sold) {
            self.units.entry((goods_id, user_id)).or_default().1 += quantity;
        }
    }

    pub fn violations(self) -> impl Iterator<Item = String> {
        let orders = self.unpaid.into_iter().filter(|(_, (counted, found))| counted != found);
        let orders = orders
            .map(|(user_id, (counted, found))| format!("user {user_id} is counted {counted} unpaid orders, and has {found}"));
        let units = self.units.into_iter().filter(|(_, (counted, found))| counted != found);
        let units = units.map(|((goods_id, user_id), (counted, found))| {
            format!("user {user_id} is counted {counted} units of goods {goods_id}, and has {found}")
        });
        orders.chain(units)
    }
}
