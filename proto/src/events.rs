//! The types of events that downstream services can consume. `docs/EVENTS.md` has a table of them that is generated from this one.

macro_rules! types {
    ($($(#[$when:meta])+ ($number:literal, $variant:ident, $name:literal),)+) => {
        /// Numbers are stored (see `LogRow.events_by_type`): never used twice.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum EventType {
            $($(#[$when])+ $variant = $number,)+
        }

        impl EventType {
            /// Every type, by ascending number.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// `<entity>.<what>`, the tail of the subject.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

types! {
    /// The stock of an order is reserved, its payment is awaited.
    (1, OrderSubmitted, "order.submitted"),
    /// An order is paid, its stock sold and its parcel created.
    (2, OrderPaid, "order.paid"),
    /// An order was taken back: refused, cancelled, expired, refunded, returned.
    (3, OrderClosed, "order.closed"),
    /// The payment of an order is confirmed.
    (4, PaymentConfirmed, "payment.confirmed"),
    /// The payment of an order was cancelled, or failed.
    (5, PaymentClosed, "payment.closed"),
    /// A payment was refunded, in part or as a whole.
    (6, PaymentRefunded, "payment.refunded"),
    /// The numbers of a SKU, as they are now: once in 250 ms at most, however many orders changed them.
    (7, StockChanged, "stock.changed"),
    /// An order has a parcel.
    (8, LogisticsCreated, "logistics.created"),
    /// The parcel of an order was cancelled.
    (9, LogisticsCancelled, "logistics.cancelled"),
    /// A goods entry is new.
    (10, GoodsCreated, "goods.created"),
    /// A goods entry changed: all of it as it is now but what is counted (`sold`, `favourites`).
    (11, GoodsChanged, "goods.changed"),
    /// A goods entry was deleted: its id.
    (12, GoodsDeleted, "goods.deleted"),
    /// What is available of a SKU has come to its threshold or below it.
    (13, StockLow, "stock.low"),
    /// The parcel of an order moved on.
    (14, LogisticsMoved, "logistics.moved"),
    /// An order was shipped, delivered, completed; its return was asked for, or declined.
    (15, OrderMoved, "order.moved"),
    /// A user is registered.
    (16, UserRegistered, "user.registered"),
    /// Tokens of a user that were given before are revoked: by another password, role or status, or because they logged out.
    (17, AccessChanged, "access.changed"),
    /// A user was deleted: what you keep of them is to go too.
    (18, UserDeleted, "user.deleted"),
}
