//! What engines answer: by a queue from those of this process, by NATS from all others, one message a turn on the subject of this
//! writer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use bytes::Bytes;
use emshop_proto::internal::TurnOutcomes;
use emshop_proto::letters::{self, Letters};
use emshop_proto::v1::Outcome;
use futures::StreamExt;
use prost::encoding::{self, WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost::{DecodeError, Message};

use crate::refusals;
use crate::way::waiters::Waiters;

/// How often waiters are looked through for such as have waited too long.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// Field numbers of `OutcomeBatch` and of `Outcome`.
const OUTCOMES_FIELD: u32 = 1;
const TAG_FIELD: u32 = 1;

/// An outcome on its way to whoever waits for it, without a tag.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Made in this process. Boxed, for answers are moved about by the thousand.
    Made(Box<Outcome>),
    /// As an engine encoded it. Only a call has to look into it.
    Encoded(Bytes),
}

impl Answer {
    pub fn made(outcome: Outcome) -> Self {
        Self::Made(Box::new(outcome))
    }

    pub fn outcome(self) -> Result<Outcome, DecodeError> {
        match self {
            Self::Made(outcome) => Ok(*outcome),
            Self::Encoded(bytes) => Outcome::decode(bytes),
        }
    }

    /// Appends it to the bytes of an `OutcomeBatch`, under a tag.
    pub fn append_to(self, batch: &mut Vec<u8>, tag: u64) {
        match self {
            Self::Made(mut outcome) => {
                outcome.tag = tag;
                encoding::message::encode(OUTCOMES_FIELD, &*outcome, batch);
            }
            Self::Encoded(bytes) => {
                // The fields of a message may stand in any order.
                let tag_bytes = if tag == 0 { 0 } else { key_len(TAG_FIELD) + encoded_len_varint(tag) };
                encode_key(OUTCOMES_FIELD, WireType::LengthDelimited, batch);
                encode_varint((tag_bytes + bytes.len()) as u64, batch);
                if tag != 0 {
                    encoding::uint64::encode(TAG_FIELD, &tag, batch);
                }
                batch.extend_from_slice(&bytes);
            }
        }
    }
}

/// Where engines of this process hand in their outcomes; made before they start, and given to the ingress. Cheap to clone.
#[derive(Clone)]
pub struct LocalOutcomes {
    writer: u64,
    pub(crate) waiters: Arc<Waiters>,
}

impl LocalOutcomes {
    pub fn new() -> Self {
        // Never 0, which stands for the engine's own records.
        Self { writer: rand::random::<u64>().max(1), waiters: Arc::new(Waiters::new()) }
    }

    /// Whose envelopes the ingress writes.
    pub fn writer(&self) -> u64 {
        self.writer
    }

    /// Takes outcomes of this writer to those who wait for them, each under its ticket.
    pub fn hand_in(&self, outcomes: Vec<(u64, Outcome)>) {
        self.waiters.answer(outcomes.into_iter().map(|(ticket, outcome)| (ticket, Answer::made(outcome))));
    }
}

impl Default for LocalOutcomes {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes outcomes that come by NATS to the waiters of this writer for as long as the subscription lasts. `letters` are those of all logs.
pub async fn receive(mut outcomes: Subscriber, writer: u64, waiters: Arc<Waiters>, letters: Arc<[Letters]>) {
    while let Some(message) = outcomes.next().await {
        let Some(outcomes) = letters::read_outcomes(&letters, writer, message.payload) else {
            tracing::error!(
                event = "stranger.outcome",
                "outcomes are not sealed with the cluster's key: somebody else tells them in place of an engine"
            );
            continue;
        };
        match TurnOutcomes::decode(outcomes) {
            Ok(turn) => {
                let answers = turn.outcomes.into_iter();
                waiters.answer(answers.map(|answer| (answer.ticket, Answer::Encoded(answer.outcome))));
            }
            Err(error) => tracing::error!(%error, "an outcome message cannot be decoded; its commands will count as unknown"),
        }
    }
}

/// Answers those who have waited for longer than `wait_max` that the outcome is unknown: its message was lost, or no engine runs.
pub async fn expire(waiters: Arc<Waiters>, wait_max: Duration) {
    let unknown = refusals::answer(refusals::outcome_unknown());
    let mut sweeps = tokio::time::interval(SWEEP_EVERY);
    loop {
        sweeps.tick().await;
        if let Some(limit) = Instant::now().checked_sub(wait_max) {
            waiters.expire(limit, &unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::errors::Code;
    use emshop_proto::v1::{LogPosition, OrderReceipt, OutcomeBatch, outcome};

    use super::*;

    #[test]
    fn a_batch_is_the_same_however_its_outcomes_came() {
        let order = OrderReceipt { order_id: "o1".to_owned(), ..OrderReceipt::default() };
        let results = [None, Some(outcome::Result::Order(order)), Some(outcome::Result::Refusal(Code::OrderNotFound.refusal()))];
        for result in results {
            let position = Some(LogPosition { log: 1, sequence: 300 });
            let outcome = Outcome { tag: 0, repeated: true, position, result };
            let encoded = Answer::Encoded(outcome.encode_to_vec().into());
            assert_eq!(encoded.clone().outcome(), Ok(outcome.clone()));
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for tag in [0, 1, 127, 128, u64::MAX] {
                for answer in [Answer::made(outcome.clone()), encoded.clone()] {
                    answer.append_to(&mut bytes, tag);
                    expected.push(Outcome { tag, ..outcome.clone() });
                }
            }
            assert_eq!(OutcomeBatch::decode(bytes.as_slice()), Ok(OutcomeBatch { outcomes: expected }));
        }
    }

    #[test]
    fn broken_bytes_are_no_outcome() {
        assert!(Answer::Encoded(Bytes::from_static(&[8])).outcome().is_err());
    }
}
