//! Changed rows on their way to the store, one behind the other in one piece of memory: a checkpoint is hundreds of thousands of them.

/// Changes of rows: each a key, and its value or that it is gone. Cleared, it keeps its memory for the next checkpoint.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

/// Where a row's bytes lie: its key, and the value behind it.
#[derive(Clone, Copy)]
struct Row {
    start: usize,
    key_bytes: u32,
    value_bytes: u32,
}

/// In place of the length of a value: the row is gone.
const GONE: u32 = u32::MAX;

impl Batch {
    /// Adds a change, whose key and value are written to the end of the bytes that they are given.
    pub fn add(&mut self, key: impl FnOnce(&mut Vec<u8>), value: Option<impl FnOnce(&mut Vec<u8>)>) {
        let start = self.bytes.len();
        key(&mut self.bytes);
        let end_of_key = self.bytes.len();
        let value_bytes = value.map_or(GONE, |value| {
            value(&mut self.bytes);
            length(end_of_key, self.bytes.len())
        });
        self.rows.push(Row { start, key_bytes: length(start, end_of_key), value_bytes });
    }

    /// Adds a row with its new value.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.add(|bytes| bytes.extend_from_slice(key), Some(|bytes: &mut Vec<u8>| bytes.extend_from_slice(value)));
    }

    /// Adds that a row is gone.
    pub fn remove(&mut self, key: &[u8]) {
        self.add(|bytes| bytes.extend_from_slice(key), None::<fn(&mut Vec<u8>)>);
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of their keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// There is no change.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Drops all changes, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// The key of a change.
    pub fn key(&self, index: usize) -> &[u8] {
        key(&self.bytes, self.rows[index])
    }

    /// `None`: the row is gone.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        let Row { start, key_bytes, value_bytes } = self.rows[index];
        let start = start + key_bytes as usize;
        (value_bytes != GONE).then(|| &self.bytes[start..start + value_bytes as usize])
    }

    /// All changes, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        (0..self.len()).map(|index| (self.key(index), self.value(index)))
    }

    /// Orders the changes by their keys. They come in sorted runs, which this finds and merges.
    pub fn sort(&mut self) {
        let bytes = &self.bytes;
        self.rows.sort_by(|left, right| key(bytes, *left).cmp(key(bytes, *right)));
    }
}

fn key(bytes: &[u8], row: Row) -> &[u8] {
    &bytes[row.start..row.start + row.key_bytes as usize]
}

/// # Panics
/// When a row is larger than any command could make it.
fn length(start: usize, end: usize) -> u32 {
    u32::try_from(end - start).ok().filter(|length| *length != GONE).expect("rows are far below 4 GiB")
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(K, Option<V>)> for Batch {
    fn from_iter<I: IntoIterator<Item = (K, Option<V>)>>(changes: I) -> Self {
        let mut batch = Self::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key.as_ref(), value.as_ref()),
                None => batch.remove(key.as_ref()),
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Change = (Vec<u8>, Option<Vec<u8>>);

    fn changes(batch: &Batch) -> Vec<Change> {
        batch.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect()
    }

    fn some_changes() -> impl Strategy<Value = Vec<Change>> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..4);
        proptest::collection::vec((bytes(), proptest::option::of(bytes())), 0..20)
    }

    proptest! {
        #[test]
        fn changes_come_back_as_they_went_and_sort_by_key(given in some_changes(), then in some_changes()) {
            let mut batch: Batch = given.iter().cloned().collect();
            prop_assert_eq!(&changes(&batch), &given);
            batch.sort();
            let mut sorted = given;
            sorted.sort_by(|left, right| left.0.cmp(&right.0));
            prop_assert_eq!(changes(&batch), sorted);
            batch.clear();
            prop_assert!(batch.is_empty());
            for (key, value) in &then {
                batch.add(|bytes| bytes.extend(key), value.as_ref().map(|value| move |bytes: &mut Vec<u8>| bytes.extend(value)));
            }
            prop_assert_eq!(changes(&batch), then);
        }
    }
}
