//! Which log and partition a key lives in. Frozen: another answer for a key would look for its row where it is not.

use xxhash_rust::xxh3::xxh3_64;

/// Partitions of each log. Part of the cluster's identity: an engine refuses a log that was made with another number.
pub const PARTITIONS: u32 = 16;

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Number of the log: 0, 1, 2 …
    pub log: u32,
    /// Within the log: `0..PARTITIONS`.
    pub partition: u32,
}

/// Spreads keys over the partitions of all logs of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Partitioner {
    logs: u32,
}

impl Partitioner {
    /// # Panics
    /// When `logs` is 0.
    pub fn new(logs: u32) -> Self {
        assert!(logs > 0, "a cluster has at least one log");
        Self { logs }
    }

    /// How many logs the cluster has.
    pub fn logs(&self) -> u32 {
        self.logs
    }

    /// Of an order, its payment and its parcel; of a business id.
    pub fn of_text(&self, id: &str) -> Place {
        self.of_hash(xxh3_64(id.as_bytes()))
    }

    /// Of a SKU: its stock and its goods entry.
    pub fn of_goods(&self, goods_id: u64) -> Place {
        self.of_hash(xxh3_64(&goods_id.to_le_bytes()))
    }

    /// Of a user, with all that is theirs.
    pub fn of_user(&self, user_id: u64) -> Place {
        self.of_hash(xxh3_64(&user_id.to_le_bytes()))
    }

    /// Of a mobile number: who has it.
    pub fn of_mobile(&self, mobile: &str) -> Place {
        self.of_text(mobile)
    }

    /// Of a one-time code. Those sent to a mobile number live with it: their keys end with the number behind a colon.
    pub fn of_code(&self, key: &str) -> Place {
        self.of_text(key.rsplit_once(':').map_or(key, |(_, owner)| owner))
    }

    /// Of categories, brands and banners: they depend on each other and are few, so one writer has them all.
    pub fn of_catalogue(&self) -> Place {
        self.of_text("catalogue")
    }

    fn of_hash(&self, hash: u64) -> Place {
        let all = u64::from(self.logs) * u64::from(PARTITIONS);
        // Multiply-shift: as even as a remainder, without the division.
        let global = ((u128::from(hash) * u128::from(all)) >> 64) as u32;
        Place { log: global / PARTITIONS, partition: global % PARTITIONS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_places() {
        let place = |logs, id: &str| {
            let place = Partitioner::new(logs).of_text(id);
            (place.log, place.partition)
        };
        let goods = |logs, id| {
            let place = Partitioner::new(logs).of_goods(id);
            (place.log, place.partition)
        };
        assert_eq!([place(1, "order-1"), place(2, "order-1"), place(8, "order-1")], GOLDEN_TEXT);
        let users = Partitioner::new(2);
        assert_eq!(users.of_user(7), users.of_goods(7), "numbers are hashed alike");
        assert_eq!(users.of_code("sms:login:13800000000"), users.of_mobile("13800000000"));
        assert_eq!(users.of_catalogue(), users.of_text("catalogue"));
        assert_eq!([goods(1, 1), goods(2, 1), goods(8, 1), goods(2, u64::MAX)], GOLDEN_GOODS);
    }

    const GOLDEN_TEXT: [(u32, u32); 3] = [(0, 5), (0, 11), (2, 15)];
    const GOLDEN_GOODS: [(u32, u32); 4] = [(0, 2), (0, 5), (1, 7), (0, 10)];

    #[test]
    fn keys_spread_evenly() {
        for logs in [1, 2, 3] {
            let partitioner = Partitioner::new(logs);
            let mut counts = std::collections::HashMap::new();
            for goods_id in 1..=48_000_u64 {
                *counts.entry(partitioner.of_goods(goods_id)).or_insert(0_u32) += 1;
            }
            assert_eq!(counts.len(), (logs * PARTITIONS) as usize, "every partition is used");
            let mean = 48_000 / (logs * PARTITIONS);
            assert!(counts.values().all(|count| count.abs_diff(mean) < mean / 5), "{counts:?}");
        }
    }
}
