//! Rows of one kind: decoded in memory, read from the store on demand, handed out as changes at a checkpoint.
//!
//! What is in memory and what only in the store never changes an answer; it is a cache with the changes of the last moments in it.
//!
//! A checkpoint is of one moment, but its rows are handed out some at a time, so that turns go on between them: a row that changes before
//! its time comes is handed out first, as it was. Rows that the store has are forgotten some at a time as well.

use std::cell::Cell;
use std::collections::VecDeque;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::vec;

use hashbrown::HashMap;

use crate::state::batch::Batch;
use crate::state::keys::{self, Kind};
use crate::state::pending::{Pending, Slot, Taking};
use crate::state::store::StateStore;

/// One kind of rows. Keys sort in memory as their bytes sort in the store.
pub trait Rows {
    /// Which kind it is.
    const KIND: Kind;
    /// Rows kept decoded when they have not changed lately; beyond it those that were written longest ago, about, are read again when needed.
    const CACHED_ROWS_MAX: usize;
    /// Its rows are listed in the order of their keys.
    const LISTED: bool;
    /// What a row is found by.
    type Key: Ord + Hash + Clone + Send;
    /// Cheap to clone: a checkpoint takes a copy of what changed.
    type Value: Clone + Send;

    /// Writes a key behind the number of its kind.
    fn encode_key(key: &Self::Key, bytes: &mut Vec<u8>);
    /// # Panics
    /// When the bytes are not such a key: the store holds something else.
    fn decode_key(bytes: &[u8]) -> Self::Key;

    /// Writes a value.
    fn encode_value(value: &Self::Value, bytes: &mut Vec<u8>);
    /// # Panics
    /// When the bytes are not such a value.
    fn decode_value(bytes: &[u8]) -> Self::Value;
}

/// What part of the rows that are too many is looked at between two turns.
pub const FORGOTTEN_PART: usize = 32;

/// Rows that are also listed in the order of their keys; their kind says so by [`Rows::LISTED`].
pub trait Listed: Rows {}

/// Changed rows of one kind, each with its value or `None` when it is gone.
pub type Changed<R> = Vec<(<R as Rows>::Key, Option<<R as Rows>::Value>)>;

/// The rows of one kind.
pub struct Table<R: Rows> {
    store: Arc<dyn StateStore>,
    /// Never iterated: its order is chance.
    slots: HashMap<R::Key, Slot<R::Value>>,
    pending: Pending<R>,
    /// Checkpoints on their way to the store, with the keys that they carry and that were not looked at since it is written.
    under_way: VecDeque<(u64, vec::IntoIter<R::Key>)>,
    /// Number of the last checkpoint that the store has.
    written: u64,
    /// Slots that can be read again, in the order in which they became so; with the checkpoint that they are as in.
    clean: VecDeque<(u64, R::Key)>,
}

impl<R: Rows> Table<R> {
    /// All rows are in the store.
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self {
            store,
            slots: HashMap::new(),
            pending: Pending::default(),
            under_way: VecDeque::new(),
            written: 0,
            clean: VecDeque::new(),
        }
    }

    /// The row; `None` when there is none.
    pub fn get(&mut self, key: &R::Key) -> Option<&R::Value> {
        if !self.slots.contains_key(key) {
            self.load(key);
        }
        self.slots.get(key)?.value.as_ref()
    }

    /// As [`Table::get`], for whoever makes the row next: that there is none is remembered, so that the store is asked once.
    pub fn get_before_entry(&mut self, key: &R::Key) -> Option<&R::Value> {
        if !self.slots.contains_key(key) {
            self.load(key);
            if !self.slots.contains_key(key) {
                self.slots.insert(key.clone(), Slot::empty(false));
                self.clean.push_back((0, key.clone()));
            }
        }
        self.slots.get(key)?.value.as_ref()
    }

    /// Reads a row without keeping it decoded: for those who only look.
    pub fn peek<T>(&self, key: &R::Key, read: impl FnOnce(&R::Value) -> T) -> Option<T> {
        match self.slots.get(key) {
            Some(slot) => slot.value.as_ref().map(read),
            None => self.store.get(&bytes_of::<R>(key)).map(|bytes| read(&R::decode_value(&bytes))),
        }
    }

    /// The row, to be changed in place.
    pub fn change(&mut self, key: &R::Key) -> Option<&mut R::Value> {
        if !self.slots.contains_key(key) {
            self.load(key);
        }
        let slot = self.slots.get_mut(key).filter(|slot| slot.value.is_some())?;
        self.pending.mark(key, slot);
        slot.value.as_mut()
    }

    /// The row, made with its default when there is none.
    pub fn entry(&mut self, key: &R::Key) -> &mut R::Value
    where
        R::Value: Default,
    {
        if !self.slots.contains_key(key) {
            self.load(key);
        }
        let slot = self.slots.entry(key.clone()).or_insert_with(|| Slot::empty(false));
        self.pending.mark(key, slot);
        slot.value.get_or_insert_default()
    }

    /// Takes a row out while it is worked on; [`Table::put_back`] must follow before the turn ends.
    pub fn take(&mut self, key: &R::Key) -> Option<R::Value> {
        self.change(key)?;
        self.slots.get_mut(key)?.value.take()
    }

    /// Puts a row back that [`Table::take`] took out.
    pub fn put_back(&mut self, key: R::Key, value: R::Value) {
        self.slots.get_mut(&key).expect("it was taken out").value = Some(value);
    }

    /// Sets a row, whether there is one or not.
    pub fn insert(&mut self, key: R::Key, value: R::Value) {
        self.put(key, Some(value), true);
    }

    /// Like `insert` of a key that was never used before: if it goes again before a checkpoint, the store never hears of it.
    pub fn insert_new(&mut self, key: R::Key, value: R::Value) {
        self.put(key, Some(value), false);
    }

    /// Removes a row, if there is one.
    pub fn remove(&mut self, key: &R::Key) {
        self.put(key.clone(), None, true);
    }

    /// Begins checkpoint number `checkpoint`, 1, 2, 3 …: it carries the rows that changed since the one before was begun, as they are now.
    ///
    /// # Panics
    /// When the one before has not been handed out.
    pub fn begin_take(&mut self, checkpoint: u64) {
        self.pending.begin(checkpoint);
    }

    /// Hands out up to `most` rows of the checkpoint that was begun. `true` when it has all of them.
    pub fn take_some(&mut self, most: usize) -> bool {
        let Some(taking) = &mut self.pending.taking else { return true };
        for _ in 0..most {
            let Some(key) = taking.keys.next() else { break };
            let slot = self.slots.get_mut(&key).expect("changed slots stay");
            // Else it was handed out when it changed once more.
            let is_due = slot.carrier == taking.checkpoint;
            // A checkpoint on its way may be removing the one before it: until then the slot tells that there is none.
            if is_due && !taking.take(&key, slot) && slot.checkpoint <= self.written {
                self.slots.remove(&key);
                self.pending.unwritten.remove(&key);
            }
        }
        taking.keys.len() == 0
    }

    /// The rows of the checkpoint that was begun.
    ///
    /// # Panics
    /// When they were not all handed out.
    pub fn end_take(&mut self) -> Changed<R> {
        let Taking { checkpoint, keys, changes, carried } = self.pending.taking.take().expect("a checkpoint was begun");
        assert!(keys.len() == 0, "a checkpoint is handed out as a whole");
        if !carried.is_empty() {
            self.under_way.push_back((checkpoint, carried.into_iter()));
        }
        changes
    }

    /// The store has all checkpoints up to `written`: their rows can be read again.
    pub fn written(&mut self, written: u64) {
        self.written = written;
    }

    /// Rows that the next checkpoint will carry.
    pub fn changed_len(&self) -> usize {
        self.pending.changed.len()
    }

    /// Looks at some rows that can be read again, and forgets about those written longest ago, when there are many: `least`, or a part of
    /// all that are too many, so that these are bounded however many come at once.
    pub fn forget_some(&mut self, least: usize) {
        let too_many = self.slots.len().saturating_sub(R::CACHED_ROWS_MAX);
        for _ in 0..least.max(too_many / FORGOTTEN_PART) {
            if !self.look_at_written() && !self.forget_oldest() {
                return;
            }
        }
    }

    /// Looks at the next row of a checkpoint that is written. `false` when there is none.
    fn look_at_written(&mut self) -> bool {
        let Some((checkpoint, keys)) = self.under_way.front_mut().filter(|(checkpoint, _)| *checkpoint <= self.written) else {
            return false;
        };
        let (checkpoint, key) = (*checkpoint, keys.next());
        let Some(key) = key else {
            self.under_way.pop_front();
            return true;
        };
        if let Some(slot) = self.slots.get(&key).filter(|slot| slot.carrier == 0 && slot.checkpoint == checkpoint) {
            let is_gone = slot.value.is_none();
            self.pending.unwritten.remove(&key);
            if is_gone {
                self.slots.remove(&key);
            } else {
                self.clean.push_back((checkpoint, key));
            }
        }
        true
    }

    /// Drops the oldest of the rows that can be read again, if there are too many. `false` when there is nothing to drop.
    fn forget_oldest(&mut self) -> bool {
        let is_full = self.slots.len() > R::CACHED_ROWS_MAX;
        // A busy row is noted at each checkpoint: only the last time counts. What is looked at in vain goes to the end.
        if !is_full && self.clean.len() <= 2 * self.slots.len() + 1024 {
            return false;
        }
        let Some((checkpoint, key)) = self.clean.pop_front() else { return false };
        if self.slots.get(&key).is_some_and(|slot| slot.carrier == 0 && slot.checkpoint == checkpoint) {
            if is_full {
                self.slots.remove(&key);
            } else {
                self.clean.push_back((checkpoint, key));
            }
        }
        true
    }

    /// Reads a row that is not in memory; what is not there leaves nothing behind.
    fn load(&mut self, key: &R::Key) {
        if let Some(bytes) = self.store.get(&bytes_of::<R>(key)) {
            let slot = Slot { value: Some(R::decode_value(&bytes)), ..Slot::empty(true) };
            self.slots.insert(key.clone(), slot);
            self.clean.push_back((0, key.clone()));
        }
    }

    /// An unknown slot counts as `stored` when nobody knows: at worst the store is told to remove what it does not have.
    fn put(&mut self, key: R::Key, value: Option<R::Value>, stored: bool) {
        let slot = self.slots.entry(key.clone()).or_insert_with(|| Slot::empty(stored));
        self.pending.mark(&key, slot);
        slot.value = value;
    }
}

impl<R: Listed> Table<R> {
    /// Rows from `from` on in key order, until `visit` breaks.
    pub fn scan(&self, from: &R::Key, mut visit: impl FnMut(&R::Key, &R::Value) -> ControlFlow<()>) {
        let unwritten = self.pending.unwritten.range(from.clone()..);
        let mut unwritten = unwritten.filter_map(|key| Some((key, self.slots.get(key)?.value.as_ref()))).peekable();
        let stopped = Cell::new(false);
        let mut visit = |key: &R::Key, value: &R::Value| {
            let flow = visit(key, value);
            stopped.set(flow.is_break());
            flow
        };
        self.store.scan(&bytes_of::<R>(from), &keys::end(R::KIND), &mut |bytes, value| {
            let key = R::decode_key(&bytes[1..]);
            while let Some((earlier, value)) = unwritten.next_if(|(earlier, _)| **earlier < key) {
                if let Some(value) = value {
                    visit(earlier, value)?;
                }
            }
            match unwritten.next_if(|(same, _)| **same == key) {
                Some((key, Some(value))) => visit(key, value),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(&key, &R::decode_value(value)),
            }
        });
        if !stopped.get() {
            let _ = unwritten.filter_map(|(key, value)| Some((key, value?))).try_for_each(|(key, value)| visit(key, value));
        }
    }
}

fn write_key<R: Rows>(key: &R::Key, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&keys::prefix(R::KIND));
    R::encode_key(key, bytes);
}

fn bytes_of<R: Rows>(key: &R::Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    write_key::<R>(key, &mut bytes);
    bytes
}

/// Adds changed rows as the store takes them, by ascending key.
pub fn encode<R: Rows>(mut changed: Changed<R>, batch: &mut Batch) {
    // Cheaper now than as bytes later.
    changed.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    for (key, value) in changed {
        let value = value.as_ref().map(|value| |bytes: &mut Vec<u8>| R::encode_value(value, bytes));
        batch.add(|bytes| write_key::<R>(&key, bytes), value);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::state::memory::MemoryStore;

    struct Numbers;

    impl Rows for Numbers {
        const KIND: Kind = Kind::OrderId;
        const CACHED_ROWS_MAX: usize = 3;
        const LISTED: bool = true;
        type Key = u64;
        type Value = u64;

        fn encode_key(key: &u64, bytes: &mut Vec<u8>) {
            bytes.extend_from_slice(&key.to_be_bytes());
        }

        fn decode_key(bytes: &[u8]) -> u64 {
            u64::from_be_bytes(bytes.try_into().unwrap())
        }

        fn encode_value(value: &u64, bytes: &mut Vec<u8>) {
            bytes.extend_from_slice(&value.to_be_bytes());
        }

        fn decode_value(bytes: &[u8]) -> u64 {
            Self::decode_key(bytes)
        }
    }

    impl Listed for Numbers {}

    #[derive(Clone, Debug)]
    enum Action {
        Insert(u64, u64),
        Change(u64, u64),
        Enter(u64, u64),
        Remove(u64),
        Work(u64, u64),
        Begin,
        TakeSome(usize),
        Write,
        ForgetSome(usize),
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            (0..12_u64, 1..99_u64).prop_map(|(key, value)| Action::Insert(key, value)),
            (0..12_u64, 1..99_u64).prop_map(|(key, value)| Action::Change(key, value)),
            (0..12_u64, 1..99_u64).prop_map(|(key, value)| Action::Enter(key, value)),
            (0..12_u64, 1..99_u64).prop_map(|(key, value)| Action::Work(key, value)),
            (0..12_u64).prop_map(Action::Remove),
            Just(Action::Begin),
            (1..4_usize).prop_map(Action::TakeSome),
            Just(Action::Write),
            (1..9_usize).prop_map(Action::ForgetSome),
        ]
    }

    fn everything(table: &Table<Numbers>, from: u64) -> Vec<(u64, u64)> {
        let mut rows = Vec::new();
        table.scan(&from, |key, value| {
            rows.push((*key, *value));
            ControlFlow::Continue(())
        });
        rows
    }

    fn taken(table: &mut Table<Numbers>) -> Batch {
        let mut changes = Batch::default();
        encode::<Numbers>(table.end_take(), &mut changes);
        changes
    }

    fn take(table: &mut Table<Numbers>, number: u64) -> (u64, Batch) {
        table.begin_take(number);
        table.take_some(usize::MAX);
        (number, taken(table))
    }

    proptest! {
        /// Whatever is in memory, in a checkpoint on its way, or in the store: reads see one truth.
        #[test]
        fn reads_do_not_depend_on_checkpoints(actions in proptest::collection::vec(action(), 0..80)) {
            let store = Arc::new(MemoryStore::default());
            let mut table = Table::<Numbers>::new(Arc::clone(&store) as Arc<dyn StateStore>);
            let mut model = BTreeMap::new();
            let (mut begun, mut as_of_begin, mut under_way) = (0, None, Vec::new());
            for action in actions {
                match action {
                    Action::Insert(key, value) => {
                        table.insert(key, value);
                        model.insert(key, value);
                    }
                    Action::Change(key, value) => {
                        prop_assert_eq!(table.change(&key).map(|row| *row = value).is_some(), model.contains_key(&key));
                        model.entry(key).and_modify(|row| *row = value);
                    }
                    Action::Enter(key, value) => {
                        prop_assert_eq!(table.get_before_entry(&key), model.get(&key));
                        // Not everybody goes on.
                        if value % 2 == 0 {
                            *table.entry(&key) = value;
                            model.insert(key, value);
                        }
                    }
                    Action::Work(key, value) => {
                        let row = table.take(&key);
                        prop_assert_eq!(row, model.get(&key).copied());
                        if row.is_some() {
                            table.put_back(key, value);
                            model.insert(key, value);
                        }
                    }
                    Action::Remove(key) => {
                        table.remove(&key);
                        model.remove(&key);
                    }
                    Action::Begin if as_of_begin.is_none() => {
                        begun += 1;
                        table.begin_take(begun);
                        as_of_begin = Some(model.clone());
                    }
                    Action::TakeSome(most) if as_of_begin.is_some() && table.take_some(most) => {
                        under_way.push((begun, taken(&mut table), as_of_begin.take().unwrap()));
                    }
                    Action::Begin | Action::TakeSome(_) => {}
                    Action::ForgetSome(most) => table.forget_some(most),
                    Action::Write if !under_way.is_empty() => {
                        let (number, mut changes, as_of_begin) = under_way.remove(0);
                        store.commit(&mut changes);
                        table.written(number);
                        let stored = Table::<Numbers>::new(Arc::clone(&store) as Arc<dyn StateStore>);
                        prop_assert_eq!(everything(&stored, 0), as_of_begin.into_iter().collect::<Vec<_>>());
                    }
                    Action::Write => {}
                }
                for from in [0, 5] {
                    let expected: Vec<_> = model.range(from..).map(|(key, value)| (*key, *value)).collect();
                    prop_assert_eq!(everything(&table, from), expected);
                }
            }
            for key in 0..12 {
                prop_assert_eq!(table.peek(&key, |row| *row), model.get(&key).copied());
                prop_assert_eq!(table.get(&key).copied(), model.get(&key).copied());
            }
        }
    }

    /// Its slot was dropped, and the row of the first checkpoint came back to life until the second one was written.
    #[test]
    fn a_row_that_came_and_went_beside_its_removal_stays_gone() {
        let store = Arc::new(MemoryStore::default());
        let mut table = Table::<Numbers>::new(Arc::clone(&store) as Arc<dyn StateStore>);
        table.insert(0, 1);
        let (first, inserted) = take(&mut table, 1);
        table.remove(&0);
        let (second, removed) = take(&mut table, 2);
        table.insert(0, 5);
        table.remove(&0);
        let (third, nothing) = take(&mut table, 3);
        for (number, mut changes) in [(first, inserted), (second, removed), (third, nothing)] {
            store.commit(&mut changes);
            table.written(number);
            table.forget_some(usize::MAX);
            assert_eq!((table.get(&0).copied(), everything(&table, 0)), (None, Vec::new()), "after checkpoint {number}");
        }
    }

    #[test]
    fn what_is_asked_for_and_not_there_leaves_nothing_behind() {
        let mut table = Table::<Numbers>::new(Arc::new(MemoryStore::default()));
        for key in 0..100 {
            assert_eq!(table.get(&key), None);
            assert_eq!(table.change(&key), None);
        }
        assert_eq!((table.slots.len(), table.changed_len()), (0, 0));
    }

    #[test]
    fn only_the_rows_written_longest_ago_are_forgotten() {
        let store = Arc::new(MemoryStore::default());
        let mut table = Table::<Numbers>::new(Arc::clone(&store) as Arc<dyn StateStore>);
        for round in 1..=50 {
            // One row that changes each time, and a new one.
            table.insert(0, round);
            table.insert_new(round, round);
            let (number, mut changes) = take(&mut table, round);
            store.commit(&mut changes);
            table.written(number);
            table.forget_some(usize::MAX);
            assert!(table.slots.len() <= Numbers::CACHED_ROWS_MAX && table.slots.contains_key(&0), "round {round}");
            assert!(table.clean.len() <= 2 * table.slots.len() + 1024);
        }
    }
}
