//! Every pair of statuses against tables written out: a row is a status and all that may follow it.

use emshop_core::order;
use emshop_core::order::{parcel, payment};
use emshop_proto::v1::{LogisticsStatus, OrderStatus, PaymentStatus};

fn check<S: Copy + PartialEq + std::fmt::Debug>(table: &[(S, &[S])], may_follow: fn(S, S) -> bool) {
    for (from, allowed) in table {
        for (to, _) in table {
            assert_eq!(may_follow(*from, *to), allowed.contains(to), "from {from:?} to {to:?}");
        }
    }
}

/// The table has a row for every status there is.
fn covers<S: TryFrom<i32>>(rows: usize) {
    assert_eq!((0..100).filter(|number| S::try_from(*number).is_ok()).count(), rows);
}

#[test]
fn orders() {
    use OrderStatus::*;
    let table: &[(OrderStatus, &[OrderStatus])] = &[
        (Unspecified, &[Pending]),
        (Pending, &[Paid, Cancelled]),
        (Paid, &[Shipped, Refunding]),
        (Shipped, &[Delivered, Refunding]),
        (Delivered, &[Completed, Returning]),
        (Completed, &[]),
        (Cancelled, &[]),
        (Refunding, &[Refunded, Paid]),
        (Refunded, &[]),
        (Returning, &[Returned, Delivered]),
        (Returned, &[]),
    ];
    covers::<OrderStatus>(table.len());
    check(table, order::may_follow);
}

#[test]
fn payments() {
    use PaymentStatus::*;
    let table: &[(PaymentStatus, &[PaymentStatus])] = &[
        (Unspecified, &[Pending]),
        (Pending, &[Paid, Failed, Cancelled]),
        (Paid, &[Refunding]),
        (Failed, &[]),
        (Cancelled, &[]),
        (Refunding, &[Refunded, Paid]),
        (Refunded, &[]),
    ];
    covers::<PaymentStatus>(table.len());
    check(table, payment::may_follow);
}

#[test]
fn parcels() {
    use LogisticsStatus::*;
    let table: &[(LogisticsStatus, &[LogisticsStatus])] = &[
        (Unspecified, &[]),
        (Pending, &[Shipped, Cancelled]),
        (Shipped, &[InTransit, Delivered]),
        (InTransit, &[Delivering]),
        (Delivering, &[Delivered, Rejected]),
        (Delivered, &[]),
        (Rejected, &[Returning]),
        (Returning, &[Returned]),
        (Returned, &[]),
        (Cancelled, &[]),
    ];
    covers::<LogisticsStatus>(table.len());
    check(table, parcel::may_follow);
}

#[test]
#[should_panic(expected = "cannot go from Cancelled to Paid")]
fn an_illegal_move_stops_the_engine() {
    let mut row = emshop_proto::internal::OrderRow::default();
    row.set_status(OrderStatus::Cancelled);
    order::row::set_status(&mut row, OrderStatus::Paid, order::By::default());
}
