//! Orders by their ids and by their users. An order is entered once and never leaves, so that this needs no table: what is new is a list
//! by number, and what a checkpoint carries is its end.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::order::row;
use crate::state::batch::Batch;
use crate::state::keys::{self, Kind};
use crate::state::order_filter::{OrderFilter, Page};
use crate::state::rows::{Counters, OrderIdPages, Orders, read_at};
use crate::state::store::StateStore;
use crate::state::table::{FORGOTTEN_PART, Table};

/// Orders that are found without the store.
const NEWEST_MAX: usize = 65_536;

/// What the index has of an order.
#[derive(Clone, Copy)]
struct Entry {
    id: IdHash,
    user_id: u64,
    created_at_ms: i64,
    /// The newest order of the same user before it that was in memory; 0 when there was none.
    before: u64,
}

/// XXH3-128 of an order's id. Two ids of one hash would be refused as one: the rows of orders have the ids themselves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdHash(u128);

impl IdHash {
    /// The hash of an id.
    pub fn of(order_id: &[u8]) -> Self {
        Self(xxh3_128(order_id))
    }

    /// What the filter knows it by.
    fn short(self) -> u64 {
        self.0 as u64
    }
}

/// See the module.
pub struct OrderIndex {
    store: Arc<dyn StateStore>,
    filter: OrderFilter,
    /// The newest orders, by number from `first` on.
    newest: VecDeque<Entry>,
    first: u64,
    by_id: HashMap<IdHash, u64>,
    newest_of_user: HashMap<u64, u64>,
    /// Number of the last order that a checkpoint carries, and of the last one in the store.
    taken: u64,
    written: u64,
    /// Checkpoints on their way to the store, each with the last order that it carries.
    under_way: VecDeque<(u64, u64)>,
}

impl OrderIndex {
    /// The index of what is in the store.
    pub fn load(store: Arc<dyn StateStore>) -> Self {
        let (filter, last) = load_filter(&store);
        Self {
            store,
            filter,
            newest: VecDeque::new(),
            first: last + 1,
            by_id: HashMap::new(),
            newest_of_user: HashMap::new(),
            taken: last,
            written: last,
            under_way: VecDeque::new(),
        }
    }

    /// The number of the order with this id, if there is one.
    pub fn number(&self, id: IdHash) -> Option<u64> {
        if !self.filter.may_have(id.short()) {
            return None;
        }
        self.by_id.get(&id).copied().or_else(|| self.store.get(&id_key(id)).map(|number| read_at(&number, 0)))
    }

    /// Enters the next order. Returns its number, and the page of hashes that it makes full.
    pub fn add(&mut self, id: IdHash, user_id: u64, created_at_ms: i64) -> (u64, Option<Page>) {
        let number = self.first + self.newest.len() as u64;
        self.by_id.insert(id, number);
        let before = self.newest_of_user.insert(user_id, number).unwrap_or(0);
        self.newest.push_back(Entry { id, user_id, created_at_ms, before });
        (number, self.filter.add(id.short()))
    }

    /// A user's orders after `from`, newest first, until `visit` breaks. Those in memory before `from` are stepped over one by one, which costs
    /// no more than a look at each.
    pub fn of_user(&self, from: &UserOrder, mut visit: impl FnMut(UserOrder) -> ControlFlow<()>) {
        let mut number = self.newest_of_user.get(&from.user_id).copied().unwrap_or(0);
        while let Some(Entry { created_at_ms, before, .. }) = number.checked_sub(self.first).map(|at| self.newest[at as usize]) {
            let order = UserOrder { user_id: from.user_id, created_at_ms, number };
            if order.sort_key() >= from.sort_key() && visit(order).is_break() {
                return;
            }
            number = before;
        }
        let end = UserOrder { created_at_ms: 0, number: 0, ..*from };
        self.store.scan(&from.key(), &end.key(), &mut |key, _| {
            let order = UserOrder::read(key);
            if order.number < self.first { visit(order) } else { ControlFlow::Continue(()) }
        });
    }

    /// Orders that no checkpoint carries yet.
    pub fn changed_len(&self) -> usize {
        (self.last() - self.taken) as usize
    }

    /// Takes the orders since the last call, for checkpoint number `checkpoint`.
    pub fn take_changes(&mut self, checkpoint: u64) -> Entries {
        let new = (self.taken + 1 - self.first) as usize;
        let entries = Entries { first: self.taken + 1, entries: self.newest.range(new..).copied().collect() };
        self.taken = self.last();
        self.under_way.push_back((checkpoint, self.taken));
        entries
    }

    /// The store has all checkpoints up to `written`.
    pub fn written(&mut self, written: u64) {
        while let Some((_, last)) = self.under_way.pop_front_if(|(checkpoint, _)| *checkpoint <= written) {
            self.written = last;
        }
    }

    /// Forgets some of the oldest orders that the store has, when there are many.
    pub fn forget_some(&mut self, least: usize) {
        for _ in 0..least.max(self.newest.len() / FORGOTTEN_PART) {
            if self.newest.len() <= NEWEST_MAX || self.first > self.written {
                return;
            }
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let entry = self.newest.pop_front().expect("there are many");
        self.by_id.remove(&entry.id);
        if self.newest_of_user.get(&entry.user_id) == Some(&self.first) {
            self.newest_of_user.remove(&entry.user_id);
        }
        self.first += 1;
    }

    fn last(&self) -> u64 {
        self.first + self.newest.len() as u64 - 1
    }
}

/// The filter of the ids of all orders, and the number of the last one.
fn load_filter(store: &Arc<dyn StateStore>) -> (OrderFilter, u64) {
    let mut filter = OrderFilter::default();
    Table::<OrderIdPages>::new(Arc::clone(store)).scan(&0, |_, hashes| {
        filter.load(hashes);
        ControlFlow::Continue(())
    });
    let last = Table::<Counters>::new(Arc::clone(store)).peek(&(), |counters| counters.orders).unwrap_or(0);
    let orders = Table::<Orders>::new(Arc::clone(store));
    for number in filter.first_open_order()..=last {
        let id = orders.peek(&number, |order| IdHash::of(row::id(order).as_bytes()));
        filter.add(id.expect("orders are numbered without gaps").short());
    }
    (filter, last)
}

/// New orders on their way to the store.
pub struct Entries {
    first: u64,
    entries: Vec<Entry>,
}

impl Entries {
    /// Adds the rows that they make, by ascending key.
    pub fn encode(self, batch: &mut Batch) {
        let Self { first, entries } = self;
        let mut ids: Vec<_> = entries.iter().zip(first..).map(|(entry, number)| (entry.id, number)).collect();
        ids.sort_unstable();
        ids.into_iter().for_each(|(id, number)| batch.put(&id_key(id), &number.to_be_bytes()));
        let of_user =
            |(entry, number): (&Entry, u64)| UserOrder { user_id: entry.user_id, created_at_ms: entry.created_at_ms, number };
        let mut orders: Vec<_> = entries.iter().zip(first..).map(of_user).collect();
        orders.sort_unstable_by_key(UserOrder::sort_key);
        orders.into_iter().for_each(|order| batch.put(&order.key(), &[]));
    }
}

/// `kind · XXH3-128 of the id`
fn id_key(id: IdHash) -> [u8; 17] {
    let mut key = [Kind::OrderId as u8; 17];
    key[1..].copy_from_slice(&id.0.to_be_bytes());
    key
}

/// Key of the index of a user's orders, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserOrder {
    /// Whose order it is.
    pub user_id: u64,
    /// Log time at which it was taken in.
    pub created_at_ms: i64,
    /// Of the order in its log.
    pub number: u64,
}

impl UserOrder {
    /// Ascending as the keys are.
    fn sort_key(&self) -> [u64; 3] {
        [self.user_id, !(self.created_at_ms as u64), !self.number]
    }

    /// `kind · user · inverted time · inverted number`
    fn key(&self) -> [u8; 25] {
        let mut key = [Kind::UserOrder as u8; 25];
        for (bytes, part) in key[1..].chunks_exact_mut(8).zip(self.sort_key()) {
            bytes.copy_from_slice(&part.to_be_bytes());
        }
        key
    }

    fn read(key: &[u8]) -> Self {
        debug_assert_eq!(keys::kind_of(key), Kind::UserOrder);
        Self { user_id: read_at(key, 1), created_at_ms: !read_at(key, 9) as i64, number: !read_at(key, 17) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::memory::MemoryStore;

    #[derive(Clone, Debug)]
    enum Action {
        Add { user_id: u64, later_ms: i64 },
        Take,
        Write,
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            3 => (1..4_u64, 0..2_i64).prop_map(|(user_id, later_ms)| Action::Add { user_id, later_ms }),
            1 => Just(Action::Take),
            1 => Just(Action::Write),
        ]
    }

    fn id(number: u64) -> IdHash {
        IdHash::of(format!("o{number}").as_bytes())
    }

    fn listed(index: &OrderIndex, from: UserOrder) -> Vec<UserOrder> {
        let mut orders = Vec::new();
        index.of_user(&from, |order| {
            orders.push(order);
            ControlFlow::Continue(())
        });
        orders
    }

    proptest! {
        /// Whatever is in memory, in a checkpoint on its way, or in the store.
        #[test]
        fn orders_are_found_and_listed_wherever_they_are(actions in proptest::collection::vec(action(), 0..60), keeps in any::<bool>()) {
            let store = Arc::new(MemoryStore::default());
            let mut index = OrderIndex::load(Arc::clone(&store) as _);
            let (mut orders, mut now_ms, mut taken, mut under_way) = (Vec::new(), 5, 0, VecDeque::new());
            for action in actions {
                match action {
                    Action::Add { user_id, later_ms } => {
                        now_ms += later_ms;
                        let number = orders.len() as u64 + 1;
                        prop_assert_eq!(index.number(id(number)), None);
                        prop_assert_eq!(index.add(id(number), user_id, now_ms).0, number);
                        orders.push(UserOrder { user_id, created_at_ms: now_ms, number });
                    }
                    Action::Take => {
                        taken += 1;
                        let mut changes = Batch::default();
                        index.take_changes(taken).encode(&mut changes);
                        prop_assert!(changes.iter().is_sorted());
                        under_way.push_back((taken, changes));
                    }
                    Action::Write => {
                        let Some((number, mut changes)) = under_way.pop_front() else { continue };
                        store.commit(&mut changes);
                        index.written(number);
                        while !keeps && index.first <= index.written {
                            index.forget_first();
                        }
                    }
                }
                for user_id in 1..4 {
                    for created_at_ms in [i64::MAX, 6] {
                        let from = UserOrder { user_id, created_at_ms, number: u64::MAX };
                        let theirs = |order: &&UserOrder| order.user_id == user_id && order.created_at_ms <= created_at_ms;
                        let expected: Vec<_> = orders.iter().rev().filter(theirs).copied().collect();
                        prop_assert_eq!(listed(&index, from), expected);
                    }
                }
            }
            for number in 1..=orders.len() as u64 {
                prop_assert_eq!(index.number(id(number)), Some(number));
            }
            prop_assert!(index.newest_of_user.len() <= index.newest.len());
        }
    }

    #[test]
    fn golden_key_bytes() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&id_key(id(7))), "023192bc5c1b484abd4cf36db9f2936e66");
        let order = UserOrder { user_id: 1, created_at_ms: 2, number: 3 };
        assert_eq!(hex(&order.key()), "030000000000000001fffffffffffffffdfffffffffffffffc");
        assert_eq!(UserOrder::read(&order.key()), order);
    }
}
