//! What a table has changed and the store does not have yet, and how a checkpoint takes it: row after row, each as it was when the
//! checkpoint was begun.

use std::collections::BTreeSet;
use std::vec;

use crate::state::table::{Changed, Rows};

/// Changes of a table on their way to the store.
pub struct Pending<R: Rows> {
    /// Keys whose slots the store may not have as they are, in order, for lists.
    pub unwritten: BTreeSet<R::Key>,
    /// Keys of the slots that changed since the last checkpoint was begun, which the one of number `next` is to carry.
    pub changed: Vec<R::Key>,
    next: u64,
    pub taking: Option<Taking<R>>,
}

impl<R: Rows> Default for Pending<R> {
    fn default() -> Self {
        Self { unwritten: BTreeSet::new(), changed: Vec::new(), next: 1, taking: None }
    }
}

impl<R: Rows> Pending<R> {
    /// Notes that a slot is about to change. If the checkpoint that is being taken has not come to it, it is handed out first, as it is.
    pub fn mark(&mut self, key: &R::Key, slot: &mut Slot<R::Value>) {
        if slot.carrier == self.next {
            return;
        }
        if slot.carrier != 0 {
            self.taking.as_mut().expect("an earlier carrier is being taken").take(key, slot);
        }
        slot.carrier = self.next;
        self.changed.push(key.clone());
        if R::LISTED {
            self.unwritten.insert(key.clone());
        }
    }

    /// Begins a checkpoint of what has changed.
    ///
    /// # Panics
    /// When the one before has not been handed out, or is not the one before.
    pub fn begin(&mut self, checkpoint: u64) {
        assert!(self.taking.is_none() && checkpoint == self.next, "checkpoints follow one another");
        let (changes, carried) = (Vec::with_capacity(self.changed.len()), Vec::with_capacity(self.changed.len()));
        let keys = std::mem::take(&mut self.changed).into_iter();
        self.taking = Some(Taking { checkpoint, keys, changes, carried });
        self.next = checkpoint + 1;
    }
}

/// A checkpoint whose rows are being handed out.
pub struct Taking<R: Rows> {
    pub checkpoint: u64,
    /// Those whose time has not come.
    pub keys: vec::IntoIter<R::Key>,
    pub changes: Changed<R>,
    pub carried: Vec<R::Key>,
}

impl<R: Rows> Taking<R> {
    /// Hands out a row as it is now. `false`: it came and went since the checkpoint before, so it is not written at all.
    pub fn take(&mut self, key: &R::Key, slot: &mut Slot<R::Value>) -> bool {
        slot.carrier = 0;
        if slot.value.is_none() && !slot.stored {
            return false;
        }
        slot.checkpoint = self.checkpoint;
        slot.stored = slot.value.is_some();
        self.changes.push((key.clone(), slot.value.clone()));
        self.carried.push(key.clone());
        true
    }
}

/// A row in memory.
pub struct Slot<V> {
    /// `None`: there is no such row.
    pub value: Option<V>,
    /// Number of the checkpoint that is to carry a change; 0 when there is none to carry.
    pub carrier: u64,
    /// The store has, or is about to have, a row under this key.
    pub stored: bool,
    /// Number of the checkpoint that carries this value; until that is written the store may have an older one.
    pub checkpoint: u64,
}

impl<V> Slot<V> {
    pub fn empty(stored: bool) -> Self {
        Self { value: None, carrier: 0, stored, checkpoint: 0 }
    }
}
