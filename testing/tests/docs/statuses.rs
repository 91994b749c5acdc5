//! Which status may follow which, in docs/SAGAS.md and docs/LOGISTICS.md.

use emshop_core::order::{self, parcel, payment};
use emshop_proto::v1::{LogisticsStatus, OrderStatus, PaymentStatus};
use emshop_testing::docs::{assert_section, table};

#[test]
fn orders_and_payments() {
    let orders = names(|status: &OrderStatus| status.as_str_name(), "ORDER_STATUS_");
    assert_section("docs/SAGAS.md", "order statuses", &statuses("order", &orders, order::may_follow));
    let payments = names(|status: &PaymentStatus| status.as_str_name(), "PAYMENT_STATUS_");
    assert_section("docs/SAGAS.md", "payment statuses", &statuses("payment", &payments, payment::may_follow));
}

#[test]
fn parcels() {
    let parcels = names(|status: &LogisticsStatus| status.as_str_name(), "LOGISTICS_STATUS_");
    assert_section("docs/LOGISTICS.md", "parcel statuses", &statuses("parcel", &parcels, parcel::may_follow));
}

/// More than any entity has statuses.
const NUMBERS: std::ops::Range<i32> = 0..64;

/// All statuses of an enum, with their names as people read them.
fn names<S: TryFrom<i32>>(name: fn(&S) -> &'static str, prefix: &str) -> Vec<(S, String)> {
    let all = NUMBERS.filter_map(|number| S::try_from(number).ok());
    all.map(|status| {
        let name = name(&status).strip_prefix(prefix).expect("names begin with their enum's").to_lowercase().replace('_', " ");
        (status, name)
    })
    .collect()
}

/// What nothing may follow comes in one line at the end.
fn statuses<S: Copy>(what: &str, names: &[(S, String)], may_follow: fn(S, S) -> bool) -> String {
    let mut rows = Vec::new();
    let mut ends = Vec::new();
    for (from, name) in names {
        let next: Vec<_> = names.iter().filter(|(to, _)| may_follow(*from, *to)).map(|(_, name)| name.as_str()).collect();
        match (name.as_str(), next.is_empty()) {
            ("unspecified", true) => {}
            ("unspecified", false) => rows.push(vec!["–".to_owned(), next.join(", ")]),
            (_, false) => rows.push(vec![name.clone(), next.join(", ")]),
            (_, true) => ends.push(name.as_str()),
        }
    }
    rows.push(vec![ends.join(", "), "–".to_owned()]);
    table(&[what, "may become"], rows)
}
