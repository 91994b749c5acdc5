//! The types of events that downstream services can consume.

/// Numbers are stored (see `LogRow.events_by_type`): never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum EventType {
    OrderSubmitted = 1,
    OrderPaid = 2,
    OrderClosed = 3,
    PaymentConfirmed = 4,
    PaymentClosed = 5,
    PaymentRefunded = 6,
    StockChanged = 7,
    LogisticsCreated = 8,
    LogisticsCancelled = 9,
    GoodsCreated = 10,
}

impl EventType {
    pub const ALL: [Self; 10] = [
        Self::OrderSubmitted,
        Self::OrderPaid,
        Self::OrderClosed,
        Self::PaymentConfirmed,
        Self::PaymentClosed,
        Self::PaymentRefunded,
        Self::StockChanged,
        Self::LogisticsCreated,
        Self::LogisticsCancelled,
        Self::GoodsCreated,
    ];

    /// `<entity>.<what>`, the tail of the subject.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderSubmitted => "order.submitted",
            Self::OrderPaid => "order.paid",
            Self::OrderClosed => "order.closed",
            Self::PaymentConfirmed => "payment.confirmed",
            Self::PaymentClosed => "payment.closed",
            Self::PaymentRefunded => "payment.refunded",
            Self::StockChanged => "stock.changed",
            Self::LogisticsCreated => "logistics.created",
            Self::LogisticsCancelled => "logistics.cancelled",
            Self::GoodsCreated => "goods.created",
        }
    }
}
