//! The types of events that downstream services can consume.

macro_rules! types {
    ($(($number:literal, $variant:ident, $name:literal),)+) => {
        /// Numbers are stored (see `LogRow.events_by_type`): never used twice.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum EventType {
            $($variant = $number,)+
        }

        impl EventType {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// `<entity>.<what>`, the tail of the subject.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

types! {
    (1, OrderSubmitted, "order.submitted"),
    (2, OrderPaid, "order.paid"),
    (3, OrderClosed, "order.closed"),
    (4, PaymentConfirmed, "payment.confirmed"),
    (5, PaymentClosed, "payment.closed"),
    (6, PaymentRefunded, "payment.refunded"),
    (7, StockChanged, "stock.changed"),
    (8, LogisticsCreated, "logistics.created"),
    (9, LogisticsCancelled, "logistics.cancelled"),
    (10, GoodsCreated, "goods.created"),
    (11, GoodsChanged, "goods.changed"),
    (12, GoodsDeleted, "goods.deleted"),
    (13, StockLow, "stock.low"),
    (14, LogisticsMoved, "logistics.moved"),
    (15, OrderMoved, "order.moved"),
    (16, UserRegistered, "user.registered"),
}
