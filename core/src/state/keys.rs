//! The register of keys. Every key is `kind (1 byte) · rest`, integers big-endian, so rows sort as they are listed, and those with
//! ascending numbers are written at the end of their kind.

/// Kinds of rows. A number is stored in every key: never used twice, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// number u64 → `OrderRow`
    Order = 1,
    /// XXH3-128 of the order id → number u64
    OrderId = 2,
    /// user u64 · inverted creation time u64 · inverted number u64 → nothing: newest first
    UserOrder = 3,
    /// due u64 (ms) · what fires u8 · whose, unless the row has numbers → `TimerRow`
    Timer = 4,
    /// goods u64 → `StockRow`
    Stock = 5,
    /// goods u64 → `GoodsRow`
    Goods = 6,
    /// number u64 → `ReservationRow`
    Reservation = 7,
    /// business id → number u64
    ReservationId = 8,
    /// log u32 · owner kind u8 · number u64 · goods u64 → `HoldRow`
    Hold = 9,
    /// scope and idempotency key → `KeyRow`
    Key = 10,
    /// → `CountersRow`
    Counters = 11,
    /// → `LogRow`
    Log = 12,
    /// target log u32 · number u64 → `OutboxRow`
    Outbox = 13,
    /// → `ClusterRow`
    Cluster = 14,
    /// goods u64 → `GoodsDetailRow`
    GoodsDetail = 15,
    /// goods u64 → `GoodsChangeRow`
    GoodsChange = 16,
    /// the shop's number of goods → goods u64
    GoodsSn = 17,
    /// category u64 → `CategoryRow`
    Category = 18,
    /// brand u64 → `BrandRow`
    Brand = 19,
    /// banner u64 → `BannerRow`
    Banner = 20,
    /// category u64 · brand u64 → nothing
    CategoryBrand = 21,
    /// user u64 · goods u64 → `CartItemRow`
    CartItem = 22,
    /// user u64 · goods u64 → `FavouriteRow`
    Favourite = 23,
    /// user u64 · inverted number u64 → `AddressRow`: newest first
    Address = 24,
    /// user u64 · inverted number u64 → `MessageRow`: newest first
    Message = 25,
    /// user u64 → `UserRow`
    User = 26,
    /// mobile number → `MobileRow`
    Mobile = 27,
    /// purpose and owner → `CodeRow`
    Code = 28,
    /// user u64 → `BalanceRow`
    Balance = 29,
    /// user u64 · business id → `PaymentHoldRow`
    PaymentHold = 30,
    /// sequence u64 of the turn → `StockHistoryRow`
    StockHistory = 31,
    /// page u64 → hashes of the order ids of 8,192 orders in a row
    OrderIdPage = 32,
    /// number u64 of an order whose saga is stuck → nothing
    StuckOrder = 33,
    /// user u64 → `UnpaidOrdersRow`
    UnpaidOrders = 34,
    /// goods u64 · user u64 → `UserUnitsRow`
    UserUnits = 35,
    /// user u64 who was deleted → `ErasureRow`
    Erasure = 36,
}

impl Kind {
    /// By ascending number.
    pub const ALL: [Self; 36] = [
        Self::Order,
        Self::OrderId,
        Self::UserOrder,
        Self::Timer,
        Self::Stock,
        Self::Goods,
        Self::Reservation,
        Self::ReservationId,
        Self::Hold,
        Self::Key,
        Self::Counters,
        Self::Log,
        Self::Outbox,
        Self::Cluster,
        Self::GoodsDetail,
        Self::GoodsChange,
        Self::GoodsSn,
        Self::Category,
        Self::Brand,
        Self::Banner,
        Self::CategoryBrand,
        Self::CartItem,
        Self::Favourite,
        Self::Address,
        Self::Message,
        Self::User,
        Self::Mobile,
        Self::Code,
        Self::Balance,
        Self::PaymentHold,
        Self::StockHistory,
        Self::OrderIdPage,
        Self::StuckOrder,
        Self::UnpaidOrders,
        Self::UserUnits,
        Self::Erasure,
    ];

    /// Whether rows are asked for one by one. Others are only listed.
    pub fn is_looked_up(self) -> bool {
        !matches!(self, Self::UserOrder | Self::Outbox | Self::OrderIdPage | Self::StuckOrder)
    }

    /// The kind of a number; `None` when there is none.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// The first byte of a key.
pub fn prefix(kind: Kind) -> [u8; 1] {
    [kind as u8]
}

/// The end of a kind's keys: above all of them.
pub fn end(kind: Kind) -> [u8; 1] {
    [kind as u8 + 1]
}

/// The kind of a key.
///
/// # Panics
/// When the key was not made by this register: the store holds something else.
pub fn kind_of(key: &[u8]) -> Kind {
    find_kind(key).unwrap_or_else(|| panic!("no kind of key begins {key:02x?}"))
}

/// Like [`kind_of`], of bytes that need not be a key.
pub fn find_kind(bytes: &[u8]) -> Option<Kind> {
    bytes.first().and_then(|number| Kind::from_number(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_pinned() {
        let numbers: Vec<u8> = Kind::ALL.iter().map(|kind| *kind as u8).collect();
        assert_eq!(numbers, (1..=36).collect::<Vec<u8>>());
        for kind in Kind::ALL {
            assert_eq!(kind_of(&prefix(kind)), kind);
        }
    }
}
