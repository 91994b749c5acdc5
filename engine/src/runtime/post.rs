//! Answers to whoever waits for them: by core NATS, or directly to the ingress of this process. What gets lost, the client asks
//! for again with the same key.

use std::sync::Arc;

use async_nats::{Client, Subject};
use bytes::Bytes;
use emshop_proto::internal::QueryReply;
use emshop_proto::letters::Letters;
use emshop_proto::subjects;
use emshop_proto::v1::Outcome;
use prost::Message;
use prost::encoding::{self, WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::metrics::Metrics;
use crate::shell::{Outcomes, ReplyTo};

/// A server takes 1 MiB as one message, and the answers of a turn may be more: short commands are answered with whole carts.
const OUTCOMES_BYTES_MAX: usize = 512 * 1024;

/// Field numbers of `internal::TurnOutcomes` and `internal::TicketOutcome`.
const OUTCOMES_FIELD: u32 = 1;
const TICKET_FIELD: u32 = 1;
const OUTCOME_FIELD: u32 = 2;

/// The ingress in this process.
#[derive(Clone)]
pub struct LocalIngress {
    /// Whose envelopes it writes.
    pub writer: u64,
    /// Takes outcomes to those who wait.
    pub answer: Arc<dyn Fn(Outcomes) + Send + Sync>,
}

/// Where the engine's threads drop what is to be sent. They neither encode nor wait.
#[derive(Clone)]
pub struct Post {
    letters: UnboundedSender<Letter>,
}

enum Letter {
    Outcomes { writer: u64, outcomes: Outcomes },
    Answer { to: ReplyTo, reply: Box<QueryReply> },
    Message { subject: Subject, payload: Bytes },
}

/// The engine whose letters these are.
pub struct Author {
    pub log: u32,
    pub letters: Letters,
}

impl Post {
    /// Starts the task that sends. It ends when all copies of the post are gone.
    pub fn start(client: Client, local: Option<LocalIngress>, author: Author, metrics: Arc<Metrics>) -> Self {
        let (letters, receiver) = unbounded_channel();
        tokio::spawn(send_all(client, local, author, metrics, receiver));
        Self { letters }
    }

    /// Answers those who wait at one ingress for what a turn came to.
    pub fn send_outcomes(&self, writer: u64, outcomes: Outcomes) {
        self.post(Letter::Outcomes { writer, outcomes });
    }

    /// Answers a question.
    pub fn answer(&self, to: ReplyTo, reply: Box<QueryReply>) {
        self.post(Letter::Answer { to, reply });
    }

    pub fn send(&self, subject: impl Into<Subject>, payload: impl Into<Bytes>) {
        self.post(Letter::Message { subject: subject.into(), payload: payload.into() });
    }

    fn post(&self, letter: Letter) {
        // The task only ends with us.
        let _ = self.letters.send(letter);
    }
}

async fn send_all(
    client: Client,
    local: Option<LocalIngress>,
    author: Author,
    metrics: Arc<Metrics>,
    mut letters: UnboundedReceiver<Letter>,
) {
    while let Some(letter) = letters.recv().await {
        if let Letter::Outcomes { outcomes, .. } = &letter {
            metrics.told(outcomes);
        }
        match (letter, &local) {
            (Letter::Outcomes { writer, outcomes }, Some(local)) if local.writer == writer => (local.answer)(outcomes),
            (Letter::Outcomes { writer, outcomes }, _) => {
                for message in encode(&outcomes) {
                    let message = author.letters.outcomes(author.log, writer, &message);
                    publish(&client, subjects::outcome(writer).into(), message.into()).await;
                }
            }
            (Letter::Answer { to, reply }, _) => {
                let answer = author.letters.answer(&to.nonce, &reply.encode_to_vec());
                publish(&client, to.subject, answer.into()).await;
            }
            (Letter::Message { subject, payload }, _) => publish(&client, subject, payload).await,
        }
    }
}

async fn publish(client: &Client, subject: Subject, payload: Bytes) {
    if let Err(error) = client.publish(subject, payload).await {
        tracing::warn!(%error, "an answer could not be sent");
    }
}

/// The bytes of as many `internal::TurnOutcomes` as it takes.
fn encode(outcomes: &[(u64, Outcome)]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut message = Vec::new();
    for (ticket, outcome) in outcomes {
        let outcome_bytes = outcome.encoded_len();
        let outcome_field_bytes = key_len(OUTCOME_FIELD) + encoded_len_varint(outcome_bytes as u64) + outcome_bytes;
        let bytes = encoding::uint64::encoded_len(TICKET_FIELD, ticket) + outcome_field_bytes;
        let bytes_in_message = key_len(OUTCOMES_FIELD) + encoded_len_varint(bytes as u64) + bytes;
        if !message.is_empty() && message.len() + bytes_in_message > OUTCOMES_BYTES_MAX {
            messages.push(std::mem::take(&mut message));
        }
        encode_key(OUTCOMES_FIELD, WireType::LengthDelimited, &mut message);
        encode_varint(bytes as u64, &mut message);
        encoding::uint64::encode(TICKET_FIELD, ticket, &mut message);
        encoding::message::encode(OUTCOME_FIELD, outcome, &mut message);
    }
    if !message.is_empty() {
        messages.push(message);
    }
    messages
}

#[cfg(test)]
mod tests {
    use emshop_proto::internal::TurnOutcomes;
    use emshop_proto::v1::{CartItem, CartItems, outcome};

    use super::*;

    #[test]
    fn the_answers_of_a_turn_are_as_many_messages_as_it_takes() {
        let item = CartItem { goods_id: u64::MAX, quantity: 1_000_000, selected: true, added_at_ms: 1_700_000_000_000 };
        let cart = outcome::Result::Cart(CartItems { items: vec![item; 1_000] });
        let cart = Outcome { result: Some(cart), ..Outcome::default() };
        let messages_of = |bytes: usize| OUTCOMES_BYTES_MAX / bytes;
        for carts in [0, 1, 10, 100] {
            let outcomes: Vec<_> = (1..=carts).map(|ticket| (ticket, cart.clone())).collect();
            let messages = encode(&outcomes);
            assert_eq!(messages.len(), outcomes.len().div_ceil(messages_of(cart.encoded_len() + 12)), "{carts} carts");
            assert!(messages.iter().all(|message| message.len() <= OUTCOMES_BYTES_MAX));
            let decoded =
                messages.iter().flat_map(|message| TurnOutcomes::decode(message.as_slice()).expect("outcomes").outcomes);
            let decoded = decoded.map(|answer| (answer.ticket, Outcome::decode(answer.outcome).expect("an outcome")));
            assert_eq!(decoded.collect::<Vec<_>>(), outcomes);
        }
    }
}
