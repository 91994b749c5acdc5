//! Messages of a stream, asked for one by one.
//!
//! Whoever can publish can store headers that are none. A client that reads such a message as one ends its connection, and comes to it again;
//! here the answer is JSON, and nothing but the headers is lost.

use std::time::UNIX_EPOCH;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::connection::Link;
use crate::LogError;

/// A message as it is stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub sequence: u64,
    pub subject: String,
    /// In Unix nanoseconds.
    pub published_ns: i64,
    pub payload: Bytes,
    headers: Vec<u8>,
}

impl Stored {
    /// What a header says, if the headers are any.
    pub fn header(&self, name: &str) -> Option<&str> {
        let text = std::str::from_utf8(&self.headers).ok()?;
        text.split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| (key == name).then_some(value.trim()))
    }
}

#[derive(Deserialize)]
struct Answer {
    message: Encoded,
}

/// As the server tells a message.
#[derive(Deserialize)]
struct Encoded {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

/// The message of a stream that a request of `STREAM.MSG.GET` is for; `None` when there is none.
///
/// # Errors
/// [`LogError::Unreachable`].
pub(super) async fn get(link: &Link, stream: &str, request: &Value) -> Result<Option<Stored>, LogError> {
    let asked = link.ask(link.jetstream.request(format!("STREAM.MSG.GET.{stream}"), request)).await?;
    match asked.map_err(|error| LogError::Unreachable(error.to_string()))? {
        Response::Ok(Answer { message }) => Ok(Some(decoded(message)?)),
        Response::Err { error } if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
        Response::Err { error } => Err(LogError::Unreachable(error.to_string())),
    }
}

fn decoded(Encoded { subject, seq, hdrs, data, time }: Encoded) -> Result<Stored, LogError> {
    let unreadable =
        |error: &dyn std::fmt::Display| LogError::Unreachable(format!("message {seq} of {subject} is told wrongly: {error}"));
    let bytes = |text: &str| BASE64_STANDARD.decode(text).map_err(|error| unreadable(&error));
    let published = humantime::parse_rfc3339(&time).map_err(|error| unreadable(&error))?;
    let published_ns = published.duration_since(UNIX_EPOCH).map_err(|error| unreadable(&error))?.as_nanos() as i64;
    let (payload, headers) = (bytes(&data)?.into(), bytes(&hdrs)?);
    Ok(Stored { sequence: seq, subject, published_ns, payload, headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(headers: &[u8]) -> Stored {
        let hdrs = BASE64_STANDARD.encode(headers);
        let (subject, data, time) =
            ("s".to_owned(), BASE64_STANDARD.encode("hello"), "2026-11-26T10:12:25.123456789Z".to_owned());
        decoded(Encoded { subject, seq: 7, hdrs, data, time }).expect("as a server tells it")
    }

    #[test]
    fn a_message_is_read_whatever_its_headers_are() {
        let good = stored(b"NATS/1.0\r\nA: b\r\nEmshop-Time: 5 ff\r\n\r\n");
        assert_eq!((good.header("Emshop-Time"), good.header("emshop-time")), (Some("5 ff"), None));
        assert_eq!(good.published_ns, 1_795_687_945_123_456_789);
        for broken in [&b"NATS/1.0\r\nno colon\r\n\r\n"[..], b"NATS/1.0\r\n\xff: \xfe\r\n\r\n", b"", b"Emshop-Time: 5"] {
            let message = stored(broken);
            assert_eq!((message.header("Emshop-Time"), message.payload.as_ref()), (None, b"hello".as_slice()));
        }
    }
}
