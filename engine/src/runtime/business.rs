//! How the shop is, by the books of one log.

use emshop_core::books::Books;
use emshop_proto::money::currency_text;
use emshop_proto::v1::{OrderStatus, PaymentMethod, PaymentStatus, SagaStatus};
use emshop_telemetry::{Gauge, Registry, catalogue};

/// Gauges of one log. Which currencies there are is known when there is some money.
pub struct Business {
    registry: Registry,
    log: String,
    agree: Gauge,
    orders: Vec<(OrderStatus, Gauge)>,
    payments: Vec<(PaymentMethod, PaymentStatus, Gauge)>,
    sagas: Vec<(SagaStatus, Gauge)>,
    available: Gauge,
    reserved: Gauge,
    sold: Gauge,
    skus_low: Gauge,
}

impl Business {
    /// Of log `number`.
    pub fn new(registry: &Registry, number: u32) -> Self {
        let log = number.to_string();
        let units = |state| registry.gauge(&catalogue::STOCK_UNITS, &[&log, state]);
        let orders = all(|number| OrderStatus::try_from(number).ok()).map(|status| {
            let label = label(status.as_str_name(), "ORDER_STATUS_");
            (status, registry.gauge(&catalogue::ORDERS, &[&log, &label]))
        });
        let sagas = all(|number| SagaStatus::try_from(number).ok()).map(|status| {
            let label = label(status.as_str_name(), "SAGA_STATUS_");
            (status, registry.gauge(&catalogue::SAGAS, &[&log, &label]))
        });
        let of_method = |method: PaymentMethod| {
            all(|number| PaymentStatus::try_from(number).ok()).map(move |status| (method, status)).collect::<Vec<_>>()
        };
        let payments = all(|number| PaymentMethod::try_from(number).ok()).flat_map(of_method).map(|(method, status)| {
            let labels = [label(method.as_str_name(), "PAYMENT_METHOD_"), label(status.as_str_name(), "PAYMENT_STATUS_")];
            (method, status, registry.gauge(&catalogue::PAYMENTS, &[&log, &labels[0], &labels[1]]))
        });
        Self {
            agree: registry.gauge(&catalogue::INVARIANTS_OK, &[&log]),
            orders: orders.collect(),
            payments: payments.collect(),
            sagas: sagas.collect(),
            available: units("available"),
            reserved: units("reserved"),
            sold: units("sold"),
            skus_low: registry.gauge(&catalogue::SKUS_LOW, &[&log]),
            registry: registry.clone(),
            log,
        }
    }

    /// Tells what the books have now.
    pub fn note(&self, books: &Books) {
        self.agree.set(f64::from(books.agree()));
        self.orders.iter().for_each(|(status, gauge)| gauge.set(books.orders(*status) as f64));
        self.payments.iter().for_each(|(method, status, gauge)| gauge.set(books.payments(*method, *status) as f64));
        self.sagas.iter().for_each(|(status, gauge)| gauge.set(books.sagas(*status) as f64));
        let units = books.units();
        self.available.set(units.available as f64);
        self.reserved.set(units.reserved as f64);
        self.sold.set(units.sold as f64);
        self.skus_low.set(books.0.skus_low as f64);
        for money in &books.0.money {
            let currency = currency_text(money.currency);
            self.registry.gauge(&catalogue::PAID, &[&self.log, &currency]).set(money.paid_minor as f64);
            self.registry.gauge(&catalogue::REFUNDED, &[&self.log, &currency]).set(money.refunded_minor as f64);
        }
    }
}

/// All values of an enumeration but the one that says nothing.
fn all<T>(value: impl Fn(i32) -> Option<T>) -> impl Iterator<Item = T> {
    (1..).map_while(value)
}

/// As labels are written.
pub fn label(value: &str, prefix: &str) -> String {
    value.trim_start_matches(prefix).to_lowercase()
}

#[cfg(test)]
mod tests {
    use emshop_proto::internal::{BooksRow, MoneyBooks, UnitsBooks};
    use emshop_proto::money::currency_code;

    use super::*;

    #[test]
    fn the_books_are_told_by_their_names() {
        let registry = Registry::new();
        let business = Business::new(&registry, 1);
        let mut books = Books(BooksRow {
            orders: vec![0, 2, 1],
            payments: [vec![0; 16 + 1], vec![2, 1]].concat(),
            sagas: vec![0, 0, 0, 3],
            money: vec![MoneyBooks { currency: currency_code("CNY"), paid_minor: 500, refunded_minor: 20 }],
            units: Some(UnitsBooks { received: 9, available: 4, reserved: 3, sold: 2 }),
            held_reserved: 3,
            held_sold: 2,
            skus_low: 1,
        });
        business.note(&books);
        let text = registry.text();
        let told: Vec<_> = text.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0")).collect();
        let expected = [
            "emshop_invariants_ok{log=\"1\"} 1",
            "emshop_money_paid_minor{currency=\"CNY\",log=\"1\"} 500",
            "emshop_money_refunded_minor{currency=\"CNY\",log=\"1\"} 20",
            "emshop_orders{log=\"1\",status=\"paid\"} 1",
            "emshop_orders{log=\"1\",status=\"pending\"} 2",
            "emshop_payments{log=\"1\",method=\"wechat\",status=\"paid\"} 1",
            "emshop_payments{log=\"1\",method=\"wechat\",status=\"pending\"} 2",
            "emshop_sagas{log=\"1\",status=\"completed\"} 3",
            "emshop_skus_low{log=\"1\"} 1",
            "emshop_stock_units{log=\"1\",state=\"available\"} 4",
            "emshop_stock_units{log=\"1\",state=\"reserved\"} 3",
            "emshop_stock_units{log=\"1\",state=\"sold\"} 2",
        ];
        assert_eq!(told, expected);
        books.0.held_sold = 1;
        business.note(&books);
        assert!(registry.text().contains("emshop_invariants_ok{log=\"1\"} 0"), "a unit is sold that nobody has bought");
    }
}
