//! The tables of one log, and the store behind them.

pub mod keys;
pub mod memory;
pub mod order_filter;
pub mod rows;
pub mod store;
pub mod table;

use std::ops::ControlFlow;
use std::sync::Arc;

use self::order_filter::{OrderFilter, Page};
use self::rows::*;
use self::store::{Change, StateStore};
use self::table::{Changed, Table};
use crate::timer::First;

macro_rules! tables {
    ($($table:ident: $rows:ident,)+) => {
        /// Everything that one log knows.
        pub struct State {
            $(pub $table: Table<$rows>,)+
            order_filter: OrderFilter,
            /// See [`timer`](crate::timer), by which alone timers are set and removed.
            pub first_timer: First,
        }

        /// Rows that changed since the checkpoint before.
        pub struct Changes {
            $($table: Changed<$rows>,)+
        }

        impl State {
            pub fn new(store: &Arc<dyn StateStore>) -> Self {
                let mut state = Self {
                    $($table: Table::new(Arc::clone(store)),)+
                    order_filter: OrderFilter::default(),
                    first_timer: First::default(),
                };
                state.load_order_filter();
                state
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
    order_id_pages: OrderIdPages,
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

impl State {
    /// The number of an order, if there is one of this id.
    pub fn order_number(&mut self, order_id: &String) -> Option<u64> {
        self.order_filter.may_have(order_id).then(|| self.order_ids.get(order_id).copied())?
    }

    /// As [`State::order_number`], for those who only look.
    pub fn peek_order_number(&self, order_id: &String) -> Option<u64> {
        self.order_filter.may_have(order_id).then(|| self.order_ids.peek(order_id, |number| *number))?
    }

    /// Gives a new order its number.
    pub fn number_order(&mut self, order_id: &str) -> u64 {
        let counters = self.counters.entry(&());
        counters.orders += 1;
        let number = counters.orders;
        self.order_ids.insert_new(order_id.to_owned(), number);
        if let Some(Page { number, hashes }) = self.order_filter.add(order_id) {
            self.order_id_pages.insert_new(number, hashes);
        }
        number
    }

    fn load_order_filter(&mut self) {
        let Self { order_filter, order_id_pages, orders, counters, .. } = self;
        order_id_pages.scan(&0, |_, hashes| {
            order_filter.load(hashes);
            ControlFlow::Continue(())
        });
        let last = counters.peek(&(), |counters| counters.orders).unwrap_or(0);
        for number in order_filter.first_open_order()..=last {
            orders.peek(&number, |order| order_filter.add(&order.order_id)).expect("orders are numbered without gaps");
        }
    }
}
