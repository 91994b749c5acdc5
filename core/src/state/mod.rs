//! The tables of one log, and the store behind them.

pub mod batch;
pub mod keys;
pub mod memory;
pub mod order_filter;
pub mod order_index;
pub mod rows;
pub mod store;
pub mod table;
pub mod timers;

use std::sync::Arc;

use self::batch::Batch;
use self::order_filter::Page;
use self::order_index::{Entries, IdHash, OrderIndex};
use self::rows::*;
use self::store::StateStore;
use self::table::{Changed, Table};
use crate::timer::First;

macro_rules! tables {
    ($($table:ident: $rows:ident,)+) => {
        /// Everything that one log knows.
        pub struct State {
            $(pub $table: Table<$rows>,)+
            pub order_index: OrderIndex,
            /// See [`timer`](crate::timer), by which alone timers are set and removed.
            pub first_timer: First,
        }

        /// Rows that changed since the checkpoint before.
        pub struct Changes {
            $($table: Changed<$rows>,)+
            order_index: Entries,
        }

        impl State {
            pub fn new(store: &Arc<dyn StateStore>) -> Self {
                Self {
                    $($table: Table::new(Arc::clone(store)),)+
                    order_index: OrderIndex::load(Arc::clone(store)),
                    first_timer: First::default(),
                }
            }

            /// See [`Table::take_changes`].
            pub fn take_changes(&mut self, checkpoint: u64) -> Changes {
                Changes {
                    $($table: self.$table.take_changes(checkpoint),)+
                    order_index: self.order_index.take_changes(checkpoint),
                }
            }

            /// See [`Table::written`].
            pub fn written(&mut self, checkpoint: u64) {
                $(self.$table.written(checkpoint);)+
                self.order_index.written(checkpoint);
            }

            /// Rows that the next checkpoint will carry.
            pub fn changed_len(&self) -> usize {
                self.order_index.changed_len() $(+ self.$table.changed_len())+
            }
        }

        impl Changes {
            /// Adds them as the store takes them, each kind by ascending key.
            pub fn encode(self, batch: &mut Batch) {
                $(table::encode::<$rows>(self.$table, batch);)+
                self.order_index.encode(batch);
            }
        }
    };
}

tables! {
    orders: Orders,
    order_id_pages: OrderIdPages,
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

impl State {
    /// The number of an order, if there is one of this id.
    pub fn order_number(&self, order_id: &str) -> Option<u64> {
        self.order_index.number(IdHash::of(order_id.as_bytes()))
    }

    /// Gives a new order its number.
    pub fn number_order(&mut self, id: IdHash, user_id: u64, created_at_ms: i64) -> u64 {
        let (number, page) = self.order_index.add(id, user_id, created_at_ms);
        self.counters.entry(&()).orders = number;
        if let Some(Page { number, hashes }) = page {
            self.order_id_pages.insert_new(number, hashes);
        }
        number
    }
}
