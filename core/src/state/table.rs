//! Rows of one kind in one partition: decoded in memory, read from the store on demand, handed out as changes at a checkpoint.
//!
//! What is in memory and what only in the store never changes an answer; it is a cache with the changes of the last moments in it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::state::keys::{self, Kind};
use crate::state::store::{Change, StateStore};

/// One kind of rows. Keys sort in memory as their bytes sort in the store.
pub trait Rows {
    const KIND: Kind;
    /// Rows kept decoded when they have not changed lately; beyond it they are read again when needed.
    const CACHED_ROWS_MAX: usize;
    type Key: Ord + Clone;
    type Value: prost::Message + Default + PartialEq;

    fn encode_key(key: &Self::Key, bytes: &mut Vec<u8>);
    /// # Panics
    /// When the bytes are not such a key: the store holds something else.
    fn decode_key(bytes: &[u8]) -> Self::Key;
}

pub struct Table<R: Rows> {
    partition: u8,
    store: Arc<dyn StateStore>,
    slots: BTreeMap<R::Key, Slot<R::Value>>,
    /// Keys of the slots that changed since the last checkpoint was taken.
    changed: Vec<R::Key>,
}

struct Slot<V> {
    /// `None`: there is no such row.
    value: Option<V>,
    changed: bool,
    /// The store has, or is about to have, a row under this key.
    stored: bool,
    /// Number of the checkpoint that carries this value; until that is written the store may have an older one.
    checkpoint: u64,
}

impl<R: Rows> Table<R> {
    pub fn new(partition: u8, store: Arc<dyn StateStore>) -> Self {
        Self { partition, store, slots: BTreeMap::new(), changed: Vec::new() }
    }

    pub fn get(&mut self, key: &R::Key) -> Option<&R::Value> {
        self.load(key).0.value.as_ref()
    }

    /// Reads a row without keeping it decoded: for lists, which pass over many.
    pub fn peek<T>(&self, key: &R::Key, read: impl FnOnce(&R::Value) -> T) -> Option<T> {
        match self.slots.get(key) {
            Some(slot) => slot.value.as_ref().map(read),
            None => self.store.get(&self.bytes_of(key)).map(|bytes| read(&decode::<R>(&bytes))),
        }
    }

    /// The row, to be changed in place.
    pub fn change(&mut self, key: &R::Key) -> Option<&mut R::Value> {
        let (slot, changed) = self.load(key);
        if slot.value.is_some() {
            mark(slot, changed, key);
        }
        slot.value.as_mut()
    }

    /// The row, made with its default when there is none.
    pub fn entry(&mut self, key: &R::Key) -> &mut R::Value {
        let (slot, changed) = self.load(key);
        mark(slot, changed, key);
        slot.value.get_or_insert_default()
    }

    pub fn insert(&mut self, key: R::Key, value: R::Value) {
        self.put(key, Some(value));
    }

    /// Like `insert` of a key that was never used before: if it goes again before a checkpoint, the store never hears of it.
    pub fn insert_new(&mut self, key: R::Key, value: R::Value) {
        self.slots.entry(key.clone()).or_insert(Slot { value: None, changed: false, stored: false, checkpoint: 0 });
        self.put(key, Some(value));
    }

    pub fn remove(&mut self, key: &R::Key) {
        self.put(key.clone(), None);
    }

    /// Rows from `from` on in key order, until `visit` breaks.
    pub fn scan(&self, from: &R::Key, mut visit: impl FnMut(&R::Key, &R::Value) -> ControlFlow<()>) {
        let mut slots = self.slots.range(from.clone()..).peekable();
        let stopped = Cell::new(false);
        let mut visit = |key: &R::Key, value: &R::Value| {
            let flow = visit(key, value);
            stopped.set(flow.is_break());
            flow
        };
        self.store.scan(&self.bytes_of(from), &self.end(), &mut |bytes, value| {
            let key = R::decode_key(&bytes[2..]);
            while let Some((earlier, slot)) = slots.next_if(|(earlier, _)| **earlier < key) {
                if let Some(value) = &slot.value {
                    visit(earlier, value)?;
                }
            }
            match slots.next_if(|(same, _)| **same == key) {
                Some((key, Slot { value: Some(value), .. })) => visit(key, value),
                Some(_) => ControlFlow::Continue(()),
                None => visit(&key, &decode::<R>(value)),
            }
        });
        if !stopped.get() {
            let _ =
                slots.filter_map(|(key, slot)| Some((key, slot.value.as_ref()?))).try_for_each(|(key, value)| visit(key, value));
        }
    }

    /// Takes what changed since the last call, for checkpoint number `checkpoint`.
    pub fn take_changes(&mut self, checkpoint: u64, changes: &mut Vec<Change>) {
        for key in std::mem::take(&mut self.changed) {
            let bytes = self.bytes_of(&key);
            let slot = self.slots.get_mut(&key).expect("changed slots stay");
            slot.changed = false;
            slot.checkpoint = checkpoint;
            match &slot.value {
                Some(value) => changes.push((bytes, Some(prost::Message::encode_to_vec(value)))),
                // A row that came and went since the last checkpoint was never written.
                None if !slot.stored => {}
                None => changes.push((bytes, None)),
            }
            slot.stored = slot.value.is_some();
        }
    }

    /// Forgets rows that can be read again, when there are many: those that are as in a checkpoint up to `written`.
    pub fn evict(&mut self, written: u64) {
        if self.slots.len() > R::CACHED_ROWS_MAX {
            self.slots.retain(|_, slot| slot.changed || slot.checkpoint > written);
        }
    }

    pub fn changed_len(&self) -> usize {
        self.changed.len()
    }

    /// The slot of a key, read from the store when it is not in memory, and the list to note a change of it in.
    fn load(&mut self, key: &R::Key) -> (&mut Slot<R::Value>, &mut Vec<R::Key>) {
        if !self.slots.contains_key(key) {
            let value = self.store.get(&self.bytes_of(key)).map(|bytes| decode::<R>(&bytes));
            let slot = Slot { stored: value.is_some(), value, changed: false, checkpoint: 0 };
            self.slots.insert(key.clone(), slot);
        }
        (self.slots.get_mut(key).expect("just loaded"), &mut self.changed)
    }

    fn put(&mut self, key: R::Key, value: Option<R::Value>) {
        // An unknown slot counts as stored: at worst the store is told to remove what it does not have.
        let slot = self.slots.entry(key.clone()).or_insert(Slot { value: None, changed: false, stored: true, checkpoint: 0 });
        slot.value = value;
        mark(slot, &mut self.changed, &key);
    }

    fn bytes_of(&self, key: &R::Key) -> Vec<u8> {
        let mut bytes = keys::prefix(self.partition, R::KIND).to_vec();
        R::encode_key(key, &mut bytes);
        bytes
    }

    fn end(&self) -> [u8; 2] {
        [self.partition, R::KIND as u8 + 1]
    }
}

fn mark<K: Clone, V>(slot: &mut Slot<V>, changed: &mut Vec<K>, key: &K) {
    if !slot.changed {
        slot.changed = true;
        changed.push(key.clone());
    }
}

fn decode<R: Rows>(bytes: &[u8]) -> R::Value {
    prost::Message::decode(bytes).unwrap_or_else(|error| panic!("a row of kind {:?} cannot be decoded: {error}", R::KIND))
}

#[cfg(test)]
mod tests {
    use crate::state::memory::MemoryStore;
    use proptest::prelude::*;

    use super::*;

    struct Numbers;

    impl Rows for Numbers {
        const KIND: Kind = Kind::OrderId;
        const CACHED_ROWS_MAX: usize = 3;
        type Key = u64;
        type Value = u64;

        fn encode_key(key: &u64, bytes: &mut Vec<u8>) {
            bytes.extend_from_slice(&key.to_be_bytes());
        }

        fn decode_key(bytes: &[u8]) -> u64 {
            u64::from_be_bytes(bytes.try_into().unwrap())
        }
    }

    #[derive(Clone, Debug)]
    enum Action {
        Insert(u64, u64),
        Change(u64, u64),
        Remove(u64),
        Take,
        Write,
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            (0..12_u64, 1..99_u64).prop_map(|(key, value)| Action::Insert(key, value)),
            (0..12_u64, 1..99_u64).prop_map(|(key, value)| Action::Change(key, value)),
            (0..12_u64).prop_map(Action::Remove),
            Just(Action::Take),
            Just(Action::Write),
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

    proptest! {
        /// Whatever is in memory, in a checkpoint on its way, or in the store: reads see one truth.
        #[test]
        fn reads_do_not_depend_on_checkpoints(actions in proptest::collection::vec(action(), 0..80)) {
            let store = Arc::new(MemoryStore::default());
            let mut table = Table::<Numbers>::new(1, Arc::clone(&store) as Arc<dyn StateStore>);
            let mut model = BTreeMap::new();
            let (mut taken, mut under_way) = (0, Vec::new());
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
                    Action::Remove(key) => {
                        table.remove(&key);
                        model.remove(&key);
                    }
                    Action::Take => {
                        taken += 1;
                        let mut changes = Vec::new();
                        table.take_changes(taken, &mut changes);
                        under_way.push((taken, changes));
                    }
                    Action::Write if !under_way.is_empty() => {
                        let (number, changes) = under_way.remove(0);
                        store.commit(changes);
                        table.evict(number);
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
}
