//! Somebody who has not the cluster's key writes to the logs: what an engine makes of it is nothing.

use bytes::Bytes;
use emshop_proto::envelope::{self, HEADER_BYTES};
use emshop_proto::seal::{ClusterKey, KEY_BYTES};
use rand::Rng;

use super::World;
use crate::logs;
use crate::model::Wrong;

impl World {
    pub(super) fn stranger_writes(&mut self, log: u32) -> Result<(), Wrong> {
        let payload = self.strange(log);
        self.note("strangers", "an entry without a seal");
        let time_ms = self.wall_ms() + self.server_clock_ms;
        let sequence = self.logs[log as usize].append(time_ms, payload);
        self.look_at(log, sequence)
    }

    /// What comes closest to an envelope without being one.
    fn strange(&mut self, log: u32) -> Bytes {
        let entries = self.logs[log as usize].entries();
        let copy =
            entries.get(self.delays.random_range(0..=entries.len())).map_or_else(Bytes::new, |entry| entry.payload.clone());
        let (at, bit) = (self.delays.random_range(0..copy.len().max(1)), self.delays.random_range(0..8));
        match self.delays.random_range(0..4) {
            0 => logs::strange_steps(self.delays.random_range(0..self.plan.logs)),
            // Of this log, but not as it was written.
            1 => copy.iter().enumerate().map(|(index, byte)| if index == at { byte ^ (1 << bit) } else { *byte }).collect(),
            // By another key.
            2 if copy.len() > HEADER_BYTES => {
                envelope::seal(copy.to_vec(), &ClusterKey::new([8; KEY_BYTES]).seals("simulated").of(log))
            }
            // For another log.
            3 if copy.len() > HEADER_BYTES => envelope::seal(copy.to_vec(), &logs::seal(log + 1)),
            _ => Bytes::from_static(b"nonsense"),
        }
    }
}
