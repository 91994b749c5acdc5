//! The tables of one log, and the store behind them.

pub mod batch;
pub mod keys;
pub mod memory;
pub mod order_filter;
pub mod order_index;
mod pending;
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
use crate::books::Books;
use crate::timer::First;

macro_rules! tables {
    ($($table:ident: $rows:ident,)+) => {
        /// Everything that one log knows.
        pub struct State {
            $(
                #[doc = concat!("See [`", stringify!($rows), "`].")]
                pub $table: Table<$rows>,
            )+
            /// Orders by their ids and by their users.
            pub order_index: OrderIndex,
            /// Of the checkpoint that is being taken.
            new_orders: Option<Entries>,
            /// See [`timer`](crate::timer), by which alone timers are set and removed.
            pub first_timer: First,
            /// What is counted of all that.
            pub books: Books,
        }

        /// Rows that changed since the checkpoint before.
        pub struct Changes {
            $($table: Changed<$rows>,)+
            order_index: Entries,
        }

        impl State {
            /// As of the last checkpoint of the store.
            pub fn new(store: &Arc<dyn StateStore>) -> Self {
                Self {
                    $($table: Table::new(Arc::clone(store)),)+
                    order_index: OrderIndex::load(Arc::clone(store)),
                    new_orders: None,
                    first_timer: First::default(),
                    books: Books::default(),
                }
            }

            /// See [`Table::begin_take`].
            pub fn begin_take(&mut self, checkpoint: u64) {
                self.new_orders = Some(self.order_index.take_changes(checkpoint));
                $(self.$table.begin_take(checkpoint);)+
            }

            /// See [`Table::take_some`].
            pub fn take_some(&mut self, most: usize) -> bool {
                let mut is_whole = true;
                $(is_whole &= self.$table.take_some(most);)+
                is_whole
            }

            /// See [`Table::end_take`].
            pub fn end_take(&mut self) -> Changes {
                Changes {
                    $($table: self.$table.end_take(),)+
                    order_index: self.new_orders.take().expect("a checkpoint was begun"),
                }
            }

            /// See [`Table::written`].
            pub fn written(&mut self, checkpoint: u64) {
                $(self.$table.written(checkpoint);)+
                self.order_index.written(checkpoint);
            }

            /// See [`Table::forget_some`].
            pub fn forget_some(&mut self, least: usize) {
                $(self.$table.forget_some(least);)+
                self.order_index.forget_some(least);
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
    stuck_orders: StuckOrders,
    unpaid_orders: UnpaidOrders,
    user_units: UserUnits,
    erasures: Erasures,
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
