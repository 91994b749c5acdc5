//! The tables of one log, and the store behind them.

pub mod keys;
pub mod memory;
pub mod rows;
pub mod store;
pub mod table;

use std::sync::Arc;

use self::rows::*;
use self::store::{Change, StateStore};
use self::table::{Changed, Table};

macro_rules! tables {
    ($($table:ident: $rows:ident,)+) => {
        /// Everything that one log knows.
        pub struct State {
            $(pub $table: Table<$rows>,)+
            /// A hint, not state: scans for timers begin here, past the removed ones that the store still has to step over. New timers
            /// are due after the log time, so none comes before it.
            pub no_timer_before_ms: i64,
        }

        /// Rows that changed since the checkpoint before.
        pub struct Changes {
            $($table: Changed<$rows>,)+
        }

        impl State {
            pub fn new(store: &Arc<dyn StateStore>) -> Self {
                Self { $($table: Table::new(Arc::clone(store)),)+ no_timer_before_ms: 0 }
            }

            /// See [`Table::take_changes`].
            pub fn take_changes(&mut self, checkpoint: u64) -> Changes {
                Changes { $($table: self.$table.take_changes(checkpoint),)+ }
            }

            /// See [`Table::written`].
            pub fn written(&mut self, checkpoint: u64) {
                $(self.$table.written(checkpoint);)+
            }

            /// Rows that the next checkpoint will carry.
            pub fn changed_len(&self) -> usize {
                0 $(+ self.$table.changed_len())+
            }
        }

        impl Changes {
            /// As the store takes them, by kinds.
            pub fn encode(self) -> Vec<Change> {
                let mut changes = Vec::with_capacity(0 $(+ self.$table.len())+);
                $(table::encode::<$rows>(self.$table, &mut changes);)+
                changes
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
    goods: GoodsRows,
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
