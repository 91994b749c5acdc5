//! Which changes of a checkpoint go into which file.
//!
//! A file whose range of keys holds nothing yet goes to the last level at once, and is never merged. So rows that are numbered upwards,
//! which are most of the bytes, get files of their own where they are many; everything else shares the files between them.

use emshop_core::state::keys;
use emshop_core::state::store::Change;

/// Fewer bytes of new rows are not worth a file that stays as small as it is.
const APPENDED_BYTES_MIN: usize = 4 << 20;

/// Changes that make one file.
#[derive(Debug, PartialEq)]
pub enum Part<'a> {
    /// Above all rows of their kind.
    Appended(&'a [Change]),
    Merged(&'a [Change]),
}

/// Cuts changes, sorted by key, into parts in the same order. `last_stored` finds the last stored key that is not above another.
pub fn of<'a>(changes: &'a [Change], last_stored: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let (mut rest, mut end) = (0, 0);
    for run in changes.chunk_by(|(left, _), (right, _)| keys::kind_of(left) == keys::kind_of(right)) {
        end += run.len();
        let appended = appended(run, &last_stored);
        if !appended.is_empty() {
            let begin = end - appended.len();
            parts.extend((rest < begin).then(|| Part::Merged(&changes[rest..begin])));
            parts.push(Part::Appended(appended));
            rest = end;
        }
    }
    parts.extend((rest < end).then(|| Part::Merged(&changes[rest..])));
    parts
}

/// The end of `run` that lies above all that is stored below its last key, when it is large enough.
fn appended(run: &[Change], last_stored: impl Fn(&[u8]) -> Option<Vec<u8>>) -> &[Change] {
    if bytes(run) < APPENDED_BYTES_MIN {
        return &[];
    }
    let (last, _) = run.last().expect("runs are not empty");
    let begin = last_stored(last).map_or(0, |stored| run.partition_point(|(key, _)| *key <= stored));
    let appended = &run[begin..];
    if bytes(appended) < APPENDED_BYTES_MIN { &[] } else { appended }
}

fn bytes(changes: &[Change]) -> usize {
    changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum()
}

#[cfg(test)]
mod tests {
    use emshop_core::state::keys::{Kind, prefix};

    use super::*;

    fn key(kind: Kind, number: u64) -> Vec<u8> {
        [&prefix(kind)[..], &number.to_be_bytes()].concat()
    }

    fn rows(kind: Kind, numbers: std::ops::Range<u64>, bytes: usize) -> impl Iterator<Item = Change> {
        numbers.map(move |number| (key(kind, number), Some(vec![0; bytes])))
    }

    #[test]
    fn many_new_rows_get_files_of_their_own() {
        let of_orders = rows(Kind::Order, 5..10, 1 << 20);
        let of_history = rows(Kind::StockHistory, 1..6, 1 << 20);
        let changes: Vec<_> = of_orders.chain(rows(Kind::Stock, 1..3, 8)).chain(of_history).collect();
        let stored = |numbered: u64| move |_: &[u8]| Some(key(Kind::Order, numbered));
        let split = |last: u64| of(&changes, stored(last));
        assert_eq!(split(4), [Part::Appended(&changes[..5]), Part::Merged(&changes[5..7]), Part::Appended(&changes[7..])]);
        assert_eq!(
            split(5),
            [
                Part::Merged(&changes[..1]),
                Part::Appended(&changes[1..5]),
                Part::Merged(&changes[5..7]),
                Part::Appended(&changes[7..])
            ]
        );
        assert_eq!(split(6), [Part::Merged(&changes[..7]), Part::Appended(&changes[7..])], "the rest of the orders is small");
        assert_eq!(of(&changes, |_| Some(vec![0xFF])), [Part::Merged(&changes[..])], "nothing is new");
        assert_eq!(of(&changes[4..8], |_| None), [Part::Merged(&changes[4..8])], "not worth a file");
    }
}
