//! What the engine answers: one message a turn on the subject of this writer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use emshop_proto::internal::TurnOutcomes;
use futures::StreamExt;
use prost::Message;

use crate::refusals;
use crate::way::waiters::Waiters;

/// How often waiters are looked through for such as have waited too long.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// Takes outcomes to their waiters for as long as the subscription lasts.
pub async fn receive(mut outcomes: Subscriber, waiters: Arc<Waiters>) {
    while let Some(message) = outcomes.next().await {
        match TurnOutcomes::decode(message.payload) {
            Ok(turn) => waiters.answer(turn.outcomes),
            Err(error) => tracing::error!(%error, "an outcome message cannot be decoded; its commands will count as unknown"),
        }
    }
}

/// Answers those who have waited for longer than `wait_max` that the outcome is unknown: its message was lost, or no engine runs.
pub async fn expire(waiters: Arc<Waiters>, wait_max: Duration) {
    let unknown = refusals::outcome(refusals::outcome_unknown());
    let mut sweeps = tokio::time::interval(SWEEP_EVERY);
    loop {
        sweeps.tick().await;
        if let Some(limit) = Instant::now().checked_sub(wait_max) {
            waiters.expire(limit, &unknown);
        }
    }
}
