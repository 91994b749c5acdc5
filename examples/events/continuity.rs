//! Takes every event once, and notices when one is missing.

use std::collections::HashMap;

use emshop_proto::v1::{Event, EventBatch};

/// The last number taken of each log and type. A service keeps it where it keeps what it made of the events, in one transaction.
#[derive(Debug, Default)]
pub struct Continuity {
    last: HashMap<(u32, String), u64>,
}

/// Events that the stream no longer had when we came for them.
#[derive(Debug, PartialEq, Eq)]
pub struct Missed {
    pub after: u64,
    pub up_to: u64,
}

impl Continuity {
    /// The events of a batch without those taken before.
    ///
    /// # Errors
    /// When events of this log and type are missing before it.
    pub fn take(&mut self, batch: EventBatch) -> Result<Vec<Event>, Missed> {
        let last = self.last.entry((batch.log, batch.r#type)).or_insert(batch.previous_number);
        if batch.previous_number > *last {
            return Err(Missed { after: *last, up_to: batch.previous_number });
        }
        let fresh: Vec<_> = batch.events.into_iter().filter(|event| event.number > *last).collect();
        if let Some(event) = fresh.last() {
            *last = event.number;
        }
        Ok(fresh)
    }
}
