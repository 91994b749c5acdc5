//! What a start checks before anything is applied.

use emshop_log::{Bounds, CommandLog, LogError};

/// The log must reach from the record after `applied` to at least `applied` itself.
///
/// # Errors
/// [`LogError::LostRecords`] when the state is ahead of the log, [`LogError::TrimmedTooFar`] when records are gone that it needs.
pub async fn check_log(log: &dyn CommandLog, applied: u64) -> Result<Bounds, LogError> {
    let bounds = log.bounds().await?;
    if bounds.last < applied {
        return Err(LogError::LostRecords { log: log.number(), last: bounds.last, wanted: applied });
    }
    if bounds.first > applied + 1 {
        return Err(LogError::TrimmedTooFar { log: log.number(), first: bounds.first, wanted: applied + 1 });
    }
    Ok(bounds)
}
