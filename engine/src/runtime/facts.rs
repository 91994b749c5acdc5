//! What a start finds around the state: asked of the logs and of the event streams.

use std::sync::Arc;

use async_nats::jetstream::Context;
use emshop_core::replica::Replica;
use emshop_log::{CommandLog, LogError};

use super::publisher;
use crate::shell::EngineError;
use crate::shell::start::{self, Evidence, Facts, Found, StepsThere};

/// Asks for all that [`start::check`] wants to know.
///
/// # Errors
/// When somebody does not answer.
pub async fn gather(replica: &Replica, logs: &[Arc<dyn CommandLog>], context: &Context) -> Result<Facts, EngineError> {
    let own = &logs[replica.number() as usize];
    let events = publisher::last_batches(context, replica.number()).await?;
    let mut steps = Vec::new();
    for other in logs.iter().filter(|log| log.number() != replica.number()) {
        let acknowledged = start::acknowledged(replica, other.number());
        steps.push(StepsThere { log: other.number(), last: other.last_steps(replica.number(), acknowledged).await? });
    }
    let mut found = Vec::new();
    for evidence in start::evidence(replica, &events, &steps) {
        found.push((evidence, find(logs[evidence.log as usize].as_ref(), evidence).await?));
    }
    // Last of all: what was made of an entry until then is made of one that the log has now.
    let bounds = own.bounds().await?;
    Ok(Facts { bounds, events, steps, found })
}

async fn find(log: &dyn CommandLog, evidence: Evidence) -> Result<Found, LogError> {
    let sequence = evidence.entry.sequence;
    if let Some(entry) = log.entry(sequence).await? {
        return Ok(Found::Entry(entry.identity()));
    }
    let bounds = log.bounds().await?;
    Ok(if bounds.last < sequence { Found::Ended { last: bounds.last } } else { Found::Trimmed })
}
