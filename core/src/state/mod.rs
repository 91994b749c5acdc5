//! The tables of one partition.

pub mod keys;
pub mod memory;
pub mod rows;
pub mod store;
pub mod table;

use std::sync::Arc;

use crate::state::store::{Change, StateStore};

use crate::state::rows::*;
use crate::state::table::Table;

macro_rules! tables {
    ($($table:ident: $rows:ident,)+) => {
        /// Everything that one partition knows.
        pub struct State {
            $(pub $table: Table<$rows>,)+
            /// A hint, not state: scans for timers begin here, past the removed ones that the store still has to step over. New timers
            /// are due after the log time, so none comes before it.
            pub no_timer_before_ms: i64,
        }

        impl State {
            pub fn new(partition: u8, store: &Arc<dyn StateStore>) -> Self {
                Self { $($table: Table::new(partition, Arc::clone(store)),)+ no_timer_before_ms: 0 }
            }

            /// See [`Table::take_changes`].
            pub fn take_changes(&mut self, checkpoint: u64, changes: &mut Vec<Change>) {
                $(self.$table.take_changes(checkpoint, changes);)+
            }

            /// See [`Table::evict`].
            pub fn evict(&mut self, written: u64) {
                $(self.$table.evict(written);)+
            }

            /// Rows that the next checkpoint will carry.
            pub fn changed_len(&self) -> usize {
                0 $(+ self.$table.changed_len())+
            }
        }
    };
}

tables! {
    orders: Orders,
    order_ids: OrderIds,
    user_orders: UserOrders,
    timers: Timers,
    stocks: Stocks,
    stock_history: StockHistory,
    goods: Catalogue,
    goods_details: GoodsDetails,
    goods_changes: GoodsChanges,
    goods_sns: GoodsSns,
    categories: Categories,
    brands: Brands,
    banners: Banners,
    category_brands: CategoryBrands,
    reservations: Reservations,
    reservation_ids: ReservationIds,
    holds: Holds,
    cart_items: CartItems,
    favourites: Favourites,
    addresses: Addresses,
    messages: Messages,
    users: Users,
    mobiles: Mobiles,
    codes: Codes,
    balances: Balances,
    payment_holds: PaymentHolds,
    keys: Keys,
    counters: Counters,
}
