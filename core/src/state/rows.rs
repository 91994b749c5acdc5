//! The kinds of rows that a log has, and their keys.

use crate::state::keys::Kind;
use emshop_proto::internal::{
    AddressRow, BalanceRow, BannerRow, BrandRow, CartItemRow, CategoryRow, CodeRow, CountersRow, ErasureRow, FavouriteRow,
    GoodsChangeRow, GoodsDetailRow, GoodsRow, HoldRow, KeyRow, MessageRow, MobileRow, OrderRow, Owner, OwnerKind, PaymentHoldRow,
    ReservationRow, StockHistoryRow, StockRow, TimerRow, UnpaidOrdersRow, UserRow, UserUnitsRow,
};

use std::sync::Arc;

use prost::Message;

use crate::state::table::{Listed, Rows};
use crate::state::timers::TimerKey;

/// Declares kinds of rows: `name(kind, cached rows) key → value`, with how the key becomes bytes and is read back. `listed` ones can be
/// scanned in the order of their keys.
macro_rules! rows {
    ($($name:ident($kind:ident, $cached:literal $(, $listed:ident)?) $key:ty => $value:ty, $encode:expr, $decode:expr;)+) => {$(
        #[doc = concat!("Rows of the kind `", stringify!($kind), "`.")]
        pub struct $name;

        impl Rows for $name {
            const KIND: Kind = Kind::$kind;
            const CACHED_ROWS_MAX: usize = $cached;
            const LISTED: bool = rows!(@is_listed $($listed)?);
            type Key = $key;
            type Value = $value;

            fn encode_key(key: &$key, bytes: &mut Vec<u8>) {
                let encode: fn(&$key, &mut Vec<u8>) = $encode;
                encode(key, bytes);
            }

            fn decode_key(bytes: &[u8]) -> $key {
                let decode: fn(&[u8]) -> $key = $decode;
                decode(bytes)
            }

            fn encode_value(value: &$value, bytes: &mut Vec<u8>) {
                Stored::encode(value, bytes);
            }

            fn decode_value(bytes: &[u8]) -> $value {
                Stored::decode(bytes, Kind::$kind)
            }
        }

        $(rows!(@listed $listed $name);)?
    )+};
    (@is_listed) => { false };
    (@is_listed listed) => { true };
    (@listed listed $name:ident) => { impl Listed for $name {} };
}

/// How a value is written down.
trait Stored {
    fn encode(&self, bytes: &mut Vec<u8>);
    fn decode(bytes: &[u8], kind: Kind) -> Self;
}

impl<M: Message + Default> Stored for M {
    fn encode(&self, bytes: &mut Vec<u8>) {
        Message::encode(self, bytes).expect("a vector grows");
    }

    fn decode(bytes: &[u8], kind: Kind) -> Self {
        M::decode(bytes).unwrap_or_else(|error| panic!("a row of kind {kind:?} cannot be decoded: {error}"))
    }
}

macro_rules! shared {
    ($($row:ty)+) => {$(
        impl Stored for Shared<$row> {
            fn encode(&self, bytes: &mut Vec<u8>) {
                Stored::encode(&**self, bytes);
            }

            fn decode(bytes: &[u8], kind: Kind) -> Self {
                Self::new(<$row as Stored>::decode(bytes, kind))
            }
        }
    )+};
}

shared! { OrderRow StockHistoryRow }

rows! {
    // Cached rows of kinds that come and go with orders are few: what is new stays in memory until a checkpoint has it, and old ones
    // are seldom asked for.
    Orders(Order, 8_192) u64 => Shared<OrderRow>, number, read_number;
    OrderIdPages(OrderIdPage, 0, listed) u64 => Vec<u8>, number, read_number;
    Timers(Timer, 4096, listed) TimerKey => TimerRow, TimerKey::encode, TimerKey::decode;
    Stocks(Stock, 262_144, listed) u64 => StockRow, number, read_number;
    GoodsRows(Goods, 262_144) u64 => GoodsRow, number, read_number;
    Reservations(Reservation, 4096) u64 => ReservationRow, number, read_number;
    ReservationIds(ReservationId, 1024) String => u64, text, read_text;
    Holds(Hold, 4096) Hold => HoldRow, Hold::encode, Hold::decode;
    Keys(Key, 1024) String => KeyRow, text, read_text;
    Counters(Counters, 1) () => CountersRow, |_, _| {}, |_| ();
    StockHistory(StockHistory, 64) u64 => Shared<StockHistoryRow>, number, read_number;
    GoodsDetails(GoodsDetail, 1024) u64 => GoodsDetailRow, number, read_number;
    GoodsChanges(GoodsChange, 64) u64 => GoodsChangeRow, number, read_number;
    GoodsSns(GoodsSn, 1024, listed) String => u64, text, read_text;
    Categories(Category, 65_536, listed) u64 => CategoryRow, number, read_number;
    Brands(Brand, 65_536, listed) u64 => BrandRow, number, read_number;
    Banners(Banner, 1024, listed) u64 => BannerRow, number, read_number;
    CategoryBrands(CategoryBrand, 65_536, listed) (u64, u64) => (), pair, read_pair;
    CartItems(CartItem, 65_536, listed) (u64, u64) => CartItemRow, pair, read_pair;
    Favourites(Favourite, 4096, listed) (u64, u64) => FavouriteRow, pair, read_pair;
    Addresses(Address, 4096, listed) Newest => AddressRow, Newest::encode, Newest::decode;
    Messages(Message, 1024, listed) Newest => MessageRow, Newest::encode, Newest::decode;
    Users(User, 65_536, listed) u64 => UserRow, number, read_number;
    Mobiles(Mobile, 4096) String => MobileRow, text, read_text;
    Codes(Code, 4096) String => CodeRow, text, read_text;
    Balances(Balance, 65_536) u64 => BalanceRow, number, read_number;
    PaymentHolds(PaymentHold, 4096) UserText => PaymentHoldRow, UserText::encode, UserText::decode;
    StuckOrders(StuckOrder, 64, listed) u64 => (), number, read_number;
    UnpaidOrders(UnpaidOrders, 4096) u64 => UnpaidOrdersRow, number, read_number;
    UserUnits(UserUnits, 4096) (u64, u64) => UserUnitsRow, pair, read_pair;
    Erasures(Erasure, 64) u64 => ErasureRow, number, read_number;
}

/// A large row, which a checkpoint shares with the table until one of them changes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared<M>(Arc<M>);

impl<M: Clone> Shared<M> {
    /// Takes a row in.
    pub fn new(row: M) -> Self {
        Self(Arc::new(row))
    }

    /// The row, to be changed; copied first while a checkpoint has it.
    pub fn make_mut(&mut self) -> &mut M {
        Arc::make_mut(&mut self.0)
    }
}

impl<M> std::ops::Deref for Shared<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0
    }
}

/// What a user has by number, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Newest {
    /// Whose it is.
    pub user_id: u64,
    /// Its number.
    pub number: u64,
}

impl Newest {
    /// Where a user's begin.
    pub fn first(user_id: u64) -> Self {
        Self { user_id, number: u64::MAX }
    }

    fn sort_key(&self) -> (u64, u64) {
        (self.user_id, !self.number)
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        pair(&self.sort_key(), bytes);
    }

    fn decode(bytes: &[u8]) -> Self {
        let (user_id, inverted) = read_pair(bytes);
        Self { user_id, number: !inverted }
    }
}

impl Ord for Newest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.sort_key().cmp(&other.sort_key())
    }
}

impl PartialOrd for Newest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What a user has under a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserText {
    /// Whose it is.
    pub user_id: u64,
    /// Its name among theirs.
    pub text: String,
}

impl UserText {
    /// Writes it as a part of a key.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        number(&self.user_id, bytes);
        text(&self.text, bytes);
    }

    /// Reads what was written.
    pub fn decode(bytes: &[u8]) -> Self {
        Self { user_id: read_at(bytes, 0), text: read_text(&bytes[8..]) }
    }
}

/// What an owner in another log holds of one SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hold {
    /// The owner's log.
    pub log: u32,
    /// What the owner is.
    pub kind: OwnerKind,
    /// Its number.
    pub number: u64,
    /// The SKU.
    pub goods_id: u64,
}

impl Hold {
    /// What `owner` holds of a SKU.
    pub fn new(owner: &Owner, goods_id: u64) -> Self {
        Self { log: owner.log, kind: owner.kind(), number: owner.number, goods_id }
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.log.to_be_bytes());
        bytes.push(self.kind as u8);
        number(&self.number, bytes);
        number(&self.goods_id, bytes);
    }

    fn decode(bytes: &[u8]) -> Self {
        let log = u32::from_be_bytes(bytes[..4].try_into().expect("4 bytes"));
        let kind = OwnerKind::try_from(i32::from(bytes[4])).expect("a kind of owner");
        Self { log, kind, number: read_at(bytes, 5), goods_id: read_at(bytes, 13) }
    }
}

/// A number as a part of a key.
pub fn number(number: &u64, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&number.to_be_bytes());
}

fn read_number(bytes: &[u8]) -> u64 {
    read_at(bytes, 0)
}

/// Reads a number of a key.
pub fn read_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

fn pair((first, second): &(u64, u64), bytes: &mut Vec<u8>) {
    number(first, bytes);
    number(second, bytes);
}

fn read_pair(bytes: &[u8]) -> (u64, u64) {
    (read_at(bytes, 0), read_at(bytes, 8))
}

/// A text as the end of a key.
pub fn text(text: &String, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(text.as_bytes());
}

/// Reads a text.
///
/// # Panics
/// When it is not UTF-8.
pub fn read_text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).expect("text is stored as UTF-8").to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Bytes of the keys in the given order, which must be ascending both ways.
    pub fn sorted<R: Rows<Key: std::fmt::Debug>>(keys: &[R::Key]) -> Vec<Vec<u8>> {
        let bytes: Vec<Vec<u8>> = keys
            .iter()
            .map(|key| {
                let mut bytes = Vec::new();
                R::encode_key(key, &mut bytes);
                assert!(R::decode_key(&bytes) == *key, "{key:?} does not come back");
                bytes
            })
            .collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(bytes.is_sorted(), "{keys:?} sort otherwise as bytes");
        bytes
    }

    #[test]
    fn keys_sort_as_they_are_listed() {
        sorted::<Orders>(&[0, 1, 255, 256, u64::MAX]);
        sorted::<GoodsSns>(&["A".into(), "a".into(), "a1".into(), "b".into()]);
        let newest = |user_id, number| Newest { user_id, number };
        sorted::<Messages>(&[newest(1, u64::MAX), newest(1, 256), newest(1, 255), newest(1, 0), newest(256, 1)]);
        let hold = |user_id, text: &str| UserText { user_id, text: text.into() };
        sorted::<PaymentHolds>(&[hold(1, "a"), hold(1, "a1"), hold(1, "b"), hold(256, "a")]);
        sorted::<CartItems>(&[(1, 1), (1, 256), (2, 0), (256, 1)]);
        let hold = |log, kind, number, goods_id| Hold { log, kind, number, goods_id };
        sorted::<Holds>(&[
            hold(1, OwnerKind::Order, 1, 2),
            hold(1, OwnerKind::Order, 256, 1),
            hold(1, OwnerKind::Reservation, 1, 1),
            hold(256, OwnerKind::Order, 1, 1),
        ]);
    }

    #[test]
    fn golden_key_bytes() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let hold = Hold { log: 1, kind: OwnerKind::Order, number: 3, goods_id: 4 };
        assert_eq!(hex(&sorted::<Holds>(&[hold])[0]), "000000010100000000000000030000000000000004");
    }
}
