//! Answers to whoever waits for them, by core NATS. What gets lost, the client asks for again with the same key.

use async_nats::{Client, Subject};
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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

    pub fn send(&self, subject: impl Into<Subject>, payload: impl Into<Bytes>) {
        // The task only ends with us.
        let _ = self.letters.send((subject.into(), payload.into()));
    }
}

async fn send_all(client: Client, mut letters: UnboundedReceiver<(Subject, Bytes)>) {
    while let Some((subject, payload)) = letters.recv().await {
        if let Err(error) = client.publish(subject, payload).await {
            tracing::warn!(%error, "an answer could not be sent");
        }
    }
}
