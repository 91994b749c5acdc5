//! Which changes of a checkpoint go into which file.
//!
//! A file whose range of keys holds nothing yet goes to the last level at once, and is never merged. So rows that are numbered upwards,
//! which are most of the bytes, get files of their own where they are many; everything else shares the files between them.

use std::ops::Range;

use emshop_core::state::batch::Batch;
use emshop_core::state::keys;

/// Fewer bytes of new rows are not worth a file that stays as small as it is.
const APPENDED_BYTES_MIN: usize = 4 << 20;

/// Changes that make one file, as a range of all.
#[derive(Debug, PartialEq)]
pub enum Part {
    /// Above all rows of their kind.
    Appended(Range<usize>),
    Merged(Range<usize>),
}

/// Cuts changes, sorted by key, into parts in the same order. `last_stored` finds the last stored key that is not above another.
pub fn of(changes: &Batch, last_stored: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = 0;
    for run in runs(changes) {
        let appended = appended(changes, run, &last_stored);
        if !appended.is_empty() {
            parts.extend((rest < appended.start).then_some(Part::Merged(rest..appended.start)));
            rest = appended.end;
            parts.push(Part::Appended(appended));
        }
    }
    parts.extend((rest < changes.len()).then_some(Part::Merged(rest..changes.len())));
    parts
}

/// The changes of each kind.
fn runs(changes: &Batch) -> Vec<Range<usize>> {
    let kind = |row: usize| keys::kind_of(changes.key(row));
    let mut runs: Vec<Range<usize>> = Vec::new();
    for row in 0..changes.len() {
        match runs.last_mut() {
            Some(run) if kind(run.start) == kind(row) => run.end = row + 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

/// The end of `run` that lies above all that is stored below its last key, when it is large enough.
fn appended(changes: &Batch, run: Range<usize>, last_stored: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Range<usize> {
    let is_large = |rows: Range<usize>| bytes(changes, rows) >= APPENDED_BYTES_MIN;
    let end = run.end;
    if !is_large(run.clone()) {
        return end..end;
    }
    let mut rows = run;
    if let Some(stored) = last_stored(changes.key(end - 1)) {
        rows.start += rows.clone().take_while(|row| changes.key(*row) <= stored.as_slice()).count();
    }
    if is_large(rows.clone()) { rows } else { end..end }
}

fn bytes(changes: &Batch, rows: Range<usize>) -> usize {
    rows.map(|row| changes.key(row).len() + changes.value(row).map_or(0, <[u8]>::len)).sum()
}

#[cfg(test)]
mod tests {
    use emshop_core::state::keys::{Kind, prefix};

    use super::*;

    fn key(kind: Kind, number: u64) -> Vec<u8> {
        [&prefix(kind)[..], &number.to_be_bytes()].concat()
    }

    fn rows(kind: Kind, numbers: Range<u64>, bytes: usize) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
        numbers.map(move |number| (key(kind, number), Some(vec![0; bytes])))
    }

    #[test]
    fn many_new_rows_get_files_of_their_own() {
        let of_orders = || rows(Kind::Order, 5..10, 1 << 20);
        let of_stocks = || rows(Kind::Stock, 1..3, 8);
        let changes: Batch = of_orders().chain(of_stocks()).chain(rows(Kind::StockHistory, 1..6, 1 << 20)).collect();
        let stored = |numbered: u64| move |_: &[u8]| Some(key(Kind::Order, numbered));
        let split = |last: u64| of(&changes, stored(last));
        use Part::{Appended, Merged};
        assert_eq!(split(4), [Appended(0..5), Merged(5..7), Appended(7..12)]);
        assert_eq!(split(5), [Merged(0..1), Appended(1..5), Merged(5..7), Appended(7..12)]);
        assert_eq!(split(6), [Merged(0..7), Appended(7..12)], "the rest of the orders is small");
        assert_eq!(of(&changes, |_| Some(vec![0xFF])), [Merged(0..12)], "nothing is new");
        let few: Batch = rows(Kind::Order, 9..10, 1 << 20).chain(of_stocks()).collect();
        assert_eq!(of(&few, |_| None), [Merged(0..3)], "not worth a file");
        assert_eq!(of(&Batch::default(), |_| None), []);
    }
}
