//! What orders can have held of each SKU, so that a refusal for lack of stock can be judged: a shop that refuses what it has is wrong,
//! and fast.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::workload::Workload;

/// Lines of an order.
const LINES_MAX: usize = 2;

/// Units by SKU. An order may hold what it asks for from its begin on, until its refusal says that it holds nothing.
#[derive(Debug)]
pub struct Shelf {
    stock: u64,
    skus: Vec<Sku>,
}

#[derive(Debug, Default)]
struct Sku {
    /// By all orders that have begun.
    asked: AtomicU64,
    /// Of those, by orders that hold nothing any more.
    given_back: AtomicU64,
}

/// What had been given back of an order's SKUs when it began. What was given back later can have been in its way.
#[derive(Clone, Copy, Debug)]
pub struct Before([u64; LINES_MAX]);

impl Shelf {
    /// With `stock` units of each SKU.
    pub fn new(skus: usize, stock: u64) -> Self {
        Self { stock, skus: std::iter::repeat_with(Sku::default).take(skus).collect() }
    }

    /// An order begins.
    pub fn ask(&self, workload: &Workload, number: u64) -> Before {
        let mut before = [0; LINES_MAX];
        for (line, before) in workload.lines(number).zip(&mut before) {
            let sku = &self.skus[workload.index(line.goods_id)];
            *before = sku.given_back.load(Ordering::Relaxed);
            sku.asked.fetch_add(line.quantity, Ordering::Relaxed);
        }
        Before(before)
    }

    /// An order holds nothing any more.
    pub fn give_back(&self, workload: &Workload, number: u64) {
        for line in workload.lines(number) {
            self.skus[workload.index(line.goods_id)].given_back.fetch_add(line.quantity, Ordering::Relaxed);
        }
    }

    /// Why an order cannot have been refused for lack of stock since it began: with all that could be held, there was enough for it.
    pub fn objection(&self, workload: &Workload, number: u64, Before(before): Before) -> Option<String> {
        let stock = self.stock;
        let mut held = Vec::new();
        for (line, before) in workload.lines(number).zip(before) {
            let most = self.skus[workload.index(line.goods_id)].asked.load(Ordering::Relaxed) - before;
            if most > stock {
                return None;
            }
            held.push(format!("goods {} had {stock} units, and at most {most} were asked for", line.goods_id));
        }
        Some(format!("order {}: {}", workload.order_id(number), held.join("; ")))
    }

    /// The same for an order of which it is not known when it was refused.
    pub fn objection_at_any_time(&self, workload: &Workload, number: u64) -> Option<String> {
        self.objection(workload, number, Before([0; LINES_MAX]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;

    const STOCK: u64 = 3;

    fn flash() -> (Workload, Shelf) {
        (Workload::new(Kind::Flash, 1, 1, 2, 1), Shelf::new(1, STOCK))
    }

    #[test]
    fn a_refusal_can_be_right_when_as_much_may_be_held() {
        let (flash, shelf) = flash();
        let before: Vec<_> = (0..STOCK).map(|number| shelf.ask(&flash, number)).collect();
        let objection = shelf.objection(&flash, 2, before[2]).expect("there is enough for three");
        assert!(objection.contains("had 3 units, and at most 3 were asked for"), "{objection}");
        let one_more = shelf.ask(&flash, STOCK);
        assert_eq!(shelf.objection(&flash, STOCK, one_more), None);
        assert_eq!(shelf.objection(&flash, 2, before[2]), None, "the one that came later may have been faster");
    }

    #[test]
    fn what_was_given_back_before_is_in_nobodys_way() {
        let (flash, shelf) = flash();
        for number in 0..STOCK {
            shelf.ask(&flash, number);
        }
        let meanwhile = shelf.ask(&flash, 3);
        shelf.give_back(&flash, 0);
        let afterwards = shelf.ask(&flash, 4);
        assert_eq!(shelf.objection(&flash, 3, meanwhile), None, "it may have come before what was given back");
        assert_eq!(shelf.objection(&flash, 4, afterwards), None, "three others and this one");
        shelf.give_back(&flash, 1);
        let later = shelf.ask(&flash, 5);
        shelf.give_back(&flash, 2);
        shelf.give_back(&flash, 3);
        assert_eq!(shelf.objection(&flash, 5, later), None);
        let alone = shelf.ask(&flash, 6);
        assert!(shelf.objection(&flash, 6, alone).is_some(), "two others and this one");
        assert_eq!(shelf.objection_at_any_time(&flash, 6), None);
    }
}
