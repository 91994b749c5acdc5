//! An entry of the log on its way to its turn.

use emshop_core::entry::Entry;
use emshop_core::rules;
use emshop_proto::envelope::{self, DecodeError};
use emshop_proto::seal::Seal;

use super::EngineError;

/// An entry of the log, read for its turn.
pub struct LogEntry {
    /// Where it stands.
    pub sequence: u64,
    /// When the log took it, in Unix milliseconds by the log's clock.
    pub time_ms: i64,
    /// What it takes up.
    pub bytes: u64,
    /// What it holds.
    pub entry: Entry,
}

impl LogEntry {
    /// Reads what log `log` holds. What nobody who has the cluster's key wrote counts as empty.
    ///
    /// # Errors
    /// [`EngineError::Undecodable`] when it is not an envelope of this release, [`EngineError::Rules`] when it is of a newer one's rules.
    pub fn read(log: u32, entry: &emshop_log::Entry, seal: &Seal) -> Result<Self, EngineError> {
        let sequence = entry.sequence;
        let undecodable = |source| EngineError::Undecodable { log, sequence, source };
        let envelope = match envelope::decode(&entry.payload, seal) {
            Err(DecodeError::Unsealed) => return Ok(Self::empty(entry, true)),
            decoded => decoded.map_err(undecodable)?,
        };
        rules::admit(&envelope).map_err(|source| EngineError::Rules { log, sequence, source })?;
        let read = Entry { identity: entry.identity(), ..Entry::read(envelope).map_err(undecodable)? };
        Ok(Self { sequence, time_ms: entry.time_ms(), bytes: entry.payload.len() as u64, entry: read })
    }

    /// An entry that an operator has declared void.
    pub fn void(entry: &emshop_log::Entry) -> Self {
        Self::empty(entry, false)
    }

    /// Nothing is done in its place, and what time it was then counts as little.
    fn empty(entry: &emshop_log::Entry, is_strange: bool) -> Self {
        let (sequence, bytes) = (entry.sequence, entry.payload.len() as u64);
        Self { sequence, time_ms: 0, bytes, entry: Entry { identity: entry.identity(), ..Entry::empty(is_strange) } }
    }
}
