//! The demo's invariants: its own arithmetic over what it read back, and the engine's check over the whole state.

use std::collections::BTreeSet;

use emshop_proto::v1::{LogInspection, Order, StockLevel};

use super::ledger::{Ending, Ledger};
use super::shopper::{Run, Visit};

/// Everything that the demo knows at its end.
pub struct Facts {
    pub run: Run,
    pub visits: Visit,
    pub ledger: Ledger,
    pub stock_before: Vec<StockLevel>,
    pub stock: Vec<StockLevel>,
    pub logs: Vec<LogInspection>,
}

/// One invariant, and what breaks it.
pub struct Check {
    pub says: &'static str,
    pub broken: Vec<String>,
}

impl Facts {
    /// Sagas that have not come to an end, though nothing is under way.
    pub fn stuck(&self) -> u64 {
        self.logs.iter().map(|log| log.sagas_running + log.sagas_stuck).sum()
    }

    pub fn events(&self) -> u64 {
        self.logs.iter().map(|log| log.events).sum()
    }

    pub fn checks(&self) -> Vec<Check> {
        vec![
            Check { says: "every submitted order exists once, and no other does", broken: self.wrong_orders() },
            Check { says: "every order came to its end, and no saga is stuck", broken: self.unfinished() },
            Check { says: "a command sent twice was carried out once", broken: self.unnoticed_repeats() },
            Check { says: "totals are unit prices times quantities", broken: self.wrong_totals() },
            Check { says: "each completed order has one parcel, and no other order has any", broken: self.wrong_parcels() },
            Check { says: "received = available + reserved + sold, for each SKU", broken: self.wrong_stock() },
            Check { says: "what was delivered was received", broken: self.wrong_deliveries() },
            Check { says: "sold is what completed orders bought; nothing else is held", broken: self.wrong_sales() },
            Check { says: "the engine's own check over every row of its state", broken: self.violations() },
        ]
    }

    fn wrong_orders(&self) -> Vec<String> {
        let submitted: BTreeSet<String> = (0..self.run.orders).map(|index| self.run.order_id(index)).collect();
        let found: BTreeSet<String> = self.ledger.orders.iter().map(|order| order.order_id.clone()).collect();
        let missing = submitted.difference(&found).map(|id| format!("order {id} is missing"));
        let strange = found.difference(&submitted).map(|id| format!("order {id} was never submitted"));
        let twice = (found.len() != self.ledger.orders.len()).then(|| "an order is listed twice".to_owned());
        missing.chain(strange).chain(twice).collect()
    }

    fn unfinished(&self) -> Vec<String> {
        let orders = self.ledger.of(Ending::Unfinished).map(|order| format!("order {} has not ended", order.order_id));
        let sagas = (self.stuck() > 0).then(|| format!("{} sagas are running or stuck", self.stuck()));
        orders.chain(sagas).collect()
    }

    fn unnoticed_repeats(&self) -> Vec<String> {
        let Visit { sent_again, repeated } = self.visits;
        let unnoticed = (sent_again != repeated).then(|| format!("{sent_again} were sent again, {repeated} answered as repeats"));
        unnoticed.into_iter().collect()
    }

    /// A refused order was never priced as a whole.
    fn wrong_totals(&self) -> Vec<String> {
        let priced = self.ledger.orders.iter().filter(|order| Ending::of(order) != Ending::RefusedForStock);
        let wrong = priced.filter(|order| total_minor(order) != Some(sum_minor(order)));
        wrong.map(|order| format!("the total of order {} is not the sum of its lines", order.order_id)).collect()
    }

    fn wrong_parcels(&self) -> Vec<String> {
        let wrong = self.ledger.orders.iter().filter_map(|order| match (Ending::of(order), order.logistics_id.is_empty()) {
            (Ending::Completed, true) => Some(format!("order {} has no parcel", order.order_id)),
            (Ending::Completed | Ending::CancelledPaid, _) | (_, true) => None,
            (_, false) => Some(format!("order {} has a parcel, but was not paid for", order.order_id)),
        });
        wrong.collect()
    }

    fn wrong_stock(&self) -> Vec<String> {
        let adds_up = |stock: &StockLevel| {
            stock.received == stock.available + stock.reserved + stock.sold && stock.on_hand == stock.available + stock.reserved
        };
        self.stock.iter().filter(|stock| !adds_up(stock)).map(|stock| format!("{stock:?} does not add up")).collect()
    }

    fn wrong_deliveries(&self) -> Vec<String> {
        let wrong = self.changes().filter(|(before, now)| now.received != before.received + self.run.units(now.goods_id));
        wrong.map(|(_, now)| format!("goods {} received {} units, not what was delivered", now.goods_id, now.received)).collect()
    }

    fn wrong_sales(&self) -> Vec<String> {
        let units = self.ledger.units_sold();
        let wrong = self.changes().filter_map(|(before, now)| {
            let expected = before.sold + units.get(&now.goods_id).copied().unwrap_or(0);
            let right = now.sold == expected && now.reserved <= before.reserved;
            (!right).then(|| {
                format!("goods {}: {} units sold where orders say {expected}; {} reserved", now.goods_id, now.sold, now.reserved)
            })
        });
        wrong.collect()
    }

    fn violations(&self) -> Vec<String> {
        self.logs.iter().flat_map(|log| log.violations.iter().map(|sentence| format!("log {}: {sentence}", log.log))).collect()
    }

    fn changes(&self) -> impl Iterator<Item = (&StockLevel, &StockLevel)> {
        self.stock_before.iter().zip(&self.stock)
    }
}

fn total_minor(order: &Order) -> Option<i64> {
    order.total.as_ref().map(|total| total.amount_minor)
}

fn sum_minor(order: &Order) -> i64 {
    let line = |price_minor: i64, quantity: u64| price_minor * i64::try_from(quantity).unwrap_or(i64::MAX);
    order.lines.iter().filter_map(|item| Some(line(item.unit_price.as_ref()?.amount_minor, item.quantity))).sum()
}
