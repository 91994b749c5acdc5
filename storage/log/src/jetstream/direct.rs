//! Many messages of a stream by one request, and without a consumer: whoever asks leaves nothing behind in the stream.

use std::time::SystemTime;

use async_nats::Client;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;

/// What the subjects of JetStream's API begin with in the account of the shop.
pub const API: &str = "$JS.API";

/// Ends the answers to a request of many messages.
const NO_MORE: u16 = 204;
const NOT_FOUND: u16 = 404;
const SEQUENCE: &str = "Nats-Sequence";
const STORED_AT: &str = "Nats-Time-Stamp";
/// Of the message before, also where the answers end.
const SEQUENCE_BEFORE: &str = "Nats-Last-Sequence";

/// A message as its stream has it.
#[derive(Debug)]
pub struct Message {
    /// Of the stream.
    pub sequence: u64,
    /// By the clock of the server.
    pub stored_at: SystemTime,
    /// What was published.
    pub payload: Bytes,
}

/// The messages of a stream that a request of `DIRECT.GET` is for, which has a `batch`.
///
/// # Errors
/// Why they do not come, or not all of them.
pub(super) async fn many(client: &Client, api: &str, stream: &str, request: &Value) -> Result<Vec<Message>, String> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| error.to_string())?;
    let subject = format!("{api}.DIRECT.GET.{stream}");
    client.publish_with_reply(subject, inbox, request.to_string().into()).await.map_err(|error| error.to_string())?;
    let (mut messages, mut before) = (Vec::new(), 0);
    loop {
        let answer = answers.next().await.ok_or("the answer broke off")?;
        match answer.status.map(|status| status.as_u16()) {
            None => {
                let message = told(answer, before).ok_or("a message without its place, or behind one that got lost")?;
                before = message.sequence;
                messages.push(message);
            }
            Some(NO_MORE) if number(&answer, SEQUENCE_BEFORE) != Some(before) => return Err("messages got lost".to_owned()),
            Some(NO_MORE | NOT_FOUND) => return Ok(messages),
            Some(status) => return Err(format!("it answers {status}")),
        }
    }
}

fn told(answer: async_nats::Message, before: u64) -> Option<Message> {
    let sequence = number(&answer, SEQUENCE).filter(|_| number(&answer, SEQUENCE_BEFORE) == Some(before))?;
    let stored_at = humantime::parse_rfc3339(header(&answer, STORED_AT)?).ok()?;
    Some(Message { sequence, stored_at, payload: answer.payload })
}

fn number(answer: &async_nats::Message, name: &str) -> Option<u64> {
    header(answer, name)?.parse().ok()
}

fn header<'a>(answer: &'a async_nats::Message, name: &str) -> Option<&'a str> {
    Some(answer.headers.as_ref()?.get(name)?.as_str())
}
