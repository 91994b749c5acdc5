//! Which partition a key lives in, and which log has that partition. Frozen: another answer for a key would look for its row where it
//! is not.

use xxhash_rust::xxh3::xxh3_64;

use crate::ids;

/// Partitions of a cluster, whatever its number of logs: the unit that can move from one log to another.
pub const PARTITIONS: u32 = 256;

/// Most logs that a cluster can have: each has a partition at least.
pub const LOGS_MAX: u32 = PARTITIONS;

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The log that has the partition now.
    pub log: u32,
    /// `0..PARTITIONS`.
    pub partition: u32,
}

/// Why an assignment of partitions to logs cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// The text does not give each partition a log.
    #[error("{0:?} is no assignment of {PARTITIONS} partitions to logs, such as 0*128,1*128")]
    Unreadable(String),
    /// A log has nothing to do.
    #[error("log {0} has no partition, though one of a higher number has")]
    EmptyLog(u32),
}

/// Spreads keys over the partitions, and partitions over the logs of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitioner {
    logs: u32,
    /// Number of the log that has a partition.
    owners: [u8; PARTITIONS as usize],
}

impl Partitioner {
    /// The assignment of a cluster that is created with `logs` logs: ranges of partitions, as even as can be.
    ///
    /// # Panics
    /// When `logs` is not within `1..=LOGS_MAX`.
    pub fn new(logs: u32) -> Self {
        assert!((1..=LOGS_MAX).contains(&logs), "a cluster has 1 to {LOGS_MAX} logs");
        let owner = |partition| (partition as u32 * logs / PARTITIONS) as u8;
        Self { logs, owners: std::array::from_fn(owner) }
    }

    /// Reads what [`Partitioner::assignment`] wrote.
    ///
    /// # Errors
    /// When the text does not give each partition a log, or leaves a log without any.
    pub fn from_assignment(text: &str) -> Result<Self, AssignmentError> {
        let unreadable = || AssignmentError::Unreadable(text.to_owned());
        let mut owners = Vec::with_capacity(PARTITIONS as usize);
        for run in text.split(',') {
            let (log, count) = run.split_once('*').ok_or_else(unreadable)?;
            let (log, count): (u8, usize) = log.parse().ok().zip(count.parse().ok()).ok_or_else(unreadable)?;
            if count > PARTITIONS as usize - owners.len() {
                return Err(unreadable());
            }
            owners.resize(owners.len() + count, log);
        }
        let owners: [u8; PARTITIONS as usize] = owners.try_into().map_err(|_| unreadable())?;
        let logs = owners.iter().map(|log| u32::from(*log)).max().expect("there are partitions") + 1;
        match (0..logs).find(|log| !owners.iter().any(|owner| u32::from(*owner) == *log)) {
            Some(empty) => Err(AssignmentError::EmptyLog(empty)),
            None => Ok(Self { logs, owners }),
        }
    }

    /// Which log has which partitions, in runs: `0*128,1*128`. Stands in the cluster's metadata.
    pub fn assignment(&self) -> String {
        let runs = self.owners.chunk_by(|one, next| one == next).map(|run| format!("{}*{}", run[0], run.len()));
        runs.collect::<Vec<_>>().join(",")
    }

    /// How many logs the cluster has.
    pub fn logs(&self) -> u32 {
        self.logs
    }

    /// Where a partition is now.
    pub fn place(&self, partition: u32) -> Place {
        Place { log: u32::from(self.owners[partition as usize]), partition }
    }

    /// Of an order, its payment and its parcel. An id that the server made names its partition itself.
    pub fn of_order(&self, id: &str) -> Place {
        ids::partition_of_order(id).map_or_else(|| self.of_text(id), |partition| self.place(partition))
    }

    /// Of a business id, and of whatever else has a text as its key.
    pub fn of_text(&self, id: &str) -> Place {
        self.of_hash(xxh3_64(id.as_bytes()))
    }

    /// Of a SKU: its stock and its goods entry.
    pub fn of_goods(&self, goods_id: u64) -> Place {
        self.of_number(goods_id)
    }

    /// Of a user, with all that is theirs.
    pub fn of_user(&self, user_id: u64) -> Place {
        self.of_number(user_id)
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

    fn of_number(&self, number: u64) -> Place {
        self.of_hash(xxh3_64(&number.to_le_bytes()))
    }

    fn of_hash(&self, hash: u64) -> Place {
        self.place((hash >> (u64::BITS - PARTITIONS.ilog2())) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_partitions() {
        let partitioner = Partitioner::new(1);
        let texts = ["order-1", "13800000000", "catalogue", ""].map(|id| partitioner.of_text(id).partition);
        assert_eq!(texts, GOLDEN_TEXTS);
        assert_eq!([1, 2, 300, u64::MAX].map(|number| partitioner.of_goods(number).partition), GOLDEN_NUMBERS);
        assert_eq!(partitioner.of_user(7), partitioner.of_goods(7), "numbers are hashed alike");
        assert_eq!(partitioner.of_code("sms:login:13800000000"), partitioner.of_mobile("13800000000"));
        assert_eq!(partitioner.of_catalogue(), partitioner.of_text("catalogue"));
        assert_eq!(partitioner.of_order("order-1"), partitioner.of_text("order-1"));
    }

    const GOLDEN_TEXTS: [u32; 4] = [95, 182, 55, 45];
    const GOLDEN_NUMBERS: [u32; 4] = [47, 32, 58, 81];

    #[test]
    fn an_order_id_made_here_names_its_partition() {
        for partition in [0, 7, 255] {
            let id = ids::new_order_id(partition, 1 << 100);
            assert!(ids::is_valid(&id), "{id}");
            for logs in [1, 3] {
                let partitioner = Partitioner::new(logs);
                assert_eq!(partitioner.of_order(&id), partitioner.place(partition));
            }
        }
    }

    #[test]
    fn logs_have_ranges_of_partitions() {
        let assignments = [(1, "0*256"), (2, "0*128,1*128"), (3, "0*86,1*85,2*85")];
        for (logs, text) in assignments {
            let partitioner = Partitioner::new(logs);
            assert_eq!(partitioner.assignment(), text);
            assert_eq!(Partitioner::from_assignment(text), Ok(partitioner));
        }
        let moved = Partitioner::from_assignment("1*1,0*127,1*128").expect("any log can have any partition");
        assert_eq!((moved.logs(), moved.place(0).log, moved.place(1).log), (2, 1, 0));
        assert_eq!(Partitioner::from_assignment("0*100,2*156"), Err(AssignmentError::EmptyLog(1)));
        for bad in ["", "0*255", "0*257", "0*128,1", "0*128,256*128", "0*1,0*18446744073709551615", "-1*256", "0*256,", "a*256"] {
            assert_eq!(Partitioner::from_assignment(bad), Err(AssignmentError::Unreadable(bad.to_owned())));
        }
    }

    #[test]
    fn keys_spread_evenly() {
        let partitioner = Partitioner::new(1);
        let mut counts = [0_u32; PARTITIONS as usize];
        for goods_id in 1..=256_000_u64 {
            counts[partitioner.of_goods(goods_id).partition as usize] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(1_000) < 150), "{counts:?}");
    }
}
