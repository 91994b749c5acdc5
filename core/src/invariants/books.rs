//! The books, counted again.

use emshop_proto::internal::{BooksRow, HoldRow, LineRow, LogRow, OrderRow, StockRow};
use emshop_proto::partitioner::Partitioner;

use crate::books::{self, Held, OrderMark};

/// What the rows of one log come to.
#[derive(Default)]
pub struct Books(books::Books);

impl Books {
    pub fn order(&mut self, row: &OrderRow, log: u32, partitioner: &Partitioner) {
        self.0.add_order(&OrderMark::of(row, log, partitioner));
    }

    pub fn reservation(&mut self, lines: &[LineRow], log: u32, partitioner: &Partitioner) {
        self.0.add_held(Held::by(lines, log, partitioner));
    }

    pub fn hold(&mut self, row: &HoldRow) {
        self.0.add_held(Held::of(row.stock(), row.quantity));
    }

    pub fn stock(&mut self, row: &StockRow) {
        self.0.add_stock(row);
    }

    pub fn violations(self, log: &LogRow) -> Vec<String> {
        let kept = books::Books(log.books.clone().unwrap_or_default());
        let (kept, counted) = (without_nothing(kept.0), without_nothing(self.0.0));
        let mut violations = Vec::new();
        if kept != counted {
            violations.push(format!("the books have {kept:?}, but there is {counted:?}"));
        }
        if !books::Books(counted).agree() {
            violations.push("the books do not agree with each other".to_owned());
        }
        violations
    }
}

/// What once was there, and is no more, counts as what never was.
fn without_nothing(mut books: BooksRow) -> BooksRow {
    for counts in [&mut books.orders, &mut books.payments, &mut books.sagas] {
        counts.truncate(counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
    }
    books.money.retain(|money| (money.paid_minor, money.refunded_minor) != (0, 0));
    books.units = books.units.filter(|units| *units != Default::default());
    books
}
