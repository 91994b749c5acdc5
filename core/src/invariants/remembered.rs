//! Idempotency keys: each is forgotten by a timer of its own.

use emshop_proto::internal::KeyRow;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What the rows of one log say of keys. There may be more of them than memory has room for, so pairs of key and time are summed up:
/// those of keys, less those of timers.
#[derive(Default)]
pub struct Remembered {
    keys: i64,
    sum: u64,
}

impl Remembered {
    pub fn key(&mut self, key: &str, row: &KeyRow) {
        self.keys += 1;
        self.sum = self.sum.wrapping_add(hash(key, row.forgotten_at_ms));
    }

    pub fn timer(&mut self, key: &str, due_ms: i64) {
        self.keys -= 1;
        self.sum = self.sum.wrapping_sub(hash(key, due_ms));
    }

    /// What does not hold, as a sentence.
    pub fn violation(&self) -> Option<String> {
        ((self.keys, self.sum) != (0, 0))
            .then(|| "idempotency keys have no timer, another one than their rows say, or timers no key".to_owned())
    }
}

fn hash(key: &str, at_ms: i64) -> u64 {
    xxh3_64_with_seed(key.as_bytes(), at_ms.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_timer() {
        let row = |forgotten_at_ms| KeyRow { forgotten_at_ms, ..KeyRow::default() };
        let check = |keys: &[(&str, i64)], timers: &[(&str, i64)]| {
            let mut remembered = Remembered::default();
            keys.iter().for_each(|(key, at_ms)| remembered.key(key, &row(*at_ms)));
            timers.iter().for_each(|(key, due_ms)| remembered.timer(key, *due_ms));
            remembered.violation().is_none()
        };
        assert!(check(&[], &[]));
        assert!(check(&[("a", 1), ("b", 2)], &[("b", 2), ("a", 1)]));
        assert!(!check(&[("a", 1)], &[]));
        assert!(!check(&[], &[("a", 1)]));
        assert!(!check(&[("a", 1)], &[("a", 2)]));
        assert!(!check(&[("a", 1)], &[("b", 1)]));
        assert!(!check(&[("a", 1), ("b", 2)], &[("a", 2), ("b", 1)]));
    }
}
