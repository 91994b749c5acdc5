//! What a start checks before anything is applied.

use emshop_core::replica::Replica;
use emshop_log::Bounds;

use super::EngineError;

/// What a start finds around the state.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What the log has.
    pub bounds: Bounds,
    /// Up to which event the streams of events are complete.
    pub published: u64,
}

/// Until the engine is as far as the log was when it started.
#[derive(Debug)]
pub struct Replay {
    /// The last sequence that the log had then.
    pub until: u64,
}

/// The log must reach from the record after the applied one to at least that itself.
///
/// # Errors
/// [`LostRecords`](emshop_log::LogError::LostRecords) when the state is ahead of the log, [`TrimmedTooFar`](emshop_log::LogError::TrimmedTooFar) when records are gone that it needs.
pub fn check(replica: &Replica, facts: &Facts) -> Result<Replay, EngineError> {
    facts.bounds.admit(replica.number(), replica.applied_sequence() + 1)?;
    Ok(Replay { until: facts.bounds.last })
}
