//! Answers to whoever waits for them, by core NATS. What gets lost, the client asks for again with the same key.

use async_nats::{Client, Subject};
use bytes::Bytes;
use emshop_proto::internal::TurnOutcomes;
use emshop_proto::subjects;
use prost::Message;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A server takes 1 MiB as one message, and the answers of a turn may be more: short commands are answered with whole carts.
const OUTCOMES_BYTES_MAX: usize = 512 * 1024;

/// Where the engine's threads drop what is to be sent.
#[derive(Clone)]
pub struct Post {
    letters: UnboundedSender<(Subject, Bytes)>,
}

impl Post {
    /// Starts the task that sends. It ends when all copies of the post are gone.
    pub fn start(client: Client) -> Self {
        let (letters, receiver) = unbounded_channel();
        tokio::spawn(send_all(client, receiver));
        Self { letters }
    }

    /// Answers those who wait at one ingress for what a turn came to.
    pub fn send_outcomes(&self, writer: u64, outcomes: TurnOutcomes) {
        let mut messages = Vec::new();
        encode(outcomes, &mut messages);
        messages.into_iter().for_each(|message| self.send(subjects::outcome(writer), message));
    }

    pub fn send(&self, subject: impl Into<Subject>, payload: impl Into<Bytes>) {
        // The task only ends with us.
        let _ = self.letters.send((subject.into(), payload.into()));
    }
}

/// As one message, or as several where that would be too large.
fn encode(mut turn: TurnOutcomes, messages: &mut Vec<Vec<u8>>) {
    let message = turn.encode_to_vec();
    if message.len() <= OUTCOMES_BYTES_MAX || turn.outcomes.len() == 1 {
        return messages.push(message);
    }
    let outcomes = turn.outcomes.split_off(turn.outcomes.len() / 2);
    encode(turn, messages);
    encode(TurnOutcomes { outcomes }, messages);
}

async fn send_all(client: Client, mut letters: UnboundedReceiver<(Subject, Bytes)>) {
    while let Some((subject, payload)) = letters.recv().await {
        if let Err(error) = client.publish(subject, payload).await {
            tracing::warn!(%error, "an answer could not be sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::internal::TicketOutcome;
    use emshop_proto::v1::{CartItem, CartItems, Outcome, outcome};

    use super::*;

    #[test]
    fn the_answers_of_a_turn_are_as_many_messages_as_it_takes() {
        let item = CartItem { goods_id: u64::MAX, quantity: 1_000_000, selected: true, added_at_ms: 1_700_000_000_000 };
        let cart = outcome::Result::Cart(CartItems { items: vec![item; 1_000] });
        let outcome = Some(Outcome { result: Some(cart), ..Outcome::default() });
        for (carts, messages) in [(1, 1), (10, 1), (100, 8)] {
            let outcomes: Vec<_> = (1..=carts).map(|ticket| TicketOutcome { ticket, outcome: outcome.clone() }).collect();
            let mut encoded = Vec::new();
            encode(TurnOutcomes { outcomes: outcomes.clone() }, &mut encoded);
            let decoded = encoded.iter().map(|message| TurnOutcomes::decode(message.as_slice()).expect("outcomes").outcomes);
            assert_eq!((encoded.len(), decoded.flatten().collect::<Vec<_>>()), (messages, outcomes));
            assert!(encoded.iter().all(|message| message.len() <= OUTCOMES_BYTES_MAX));
        }
    }
}
