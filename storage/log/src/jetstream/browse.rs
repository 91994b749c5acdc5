//! Streams of events, read by position: whoever reads decides where, and nobody else notices.

use std::time::SystemTime;

use async_nats::jetstream::{self, context::ContextBuilder};
use serde_json::{Value, json};

use super::connection::{ANSWER_WAIT, Link};
use super::direct::{self, Message};
use super::{Connection, cluster};
use crate::{Bounds, LogError};

/// Messages in one answer,
const MESSAGES_MAX: usize = 256;
/// and bytes: it has to come in the time that the server is given.
const BYTES_MAX: usize = 4 << 20;

/// One stream, as whoever has the connection may read it.
pub struct Browser {
    link: Link,
    context: jetstream::Context,
    api: String,
    stream: &'static str,
}

impl Browser {
    /// The subjects of JetStream's API begin with `api`: [`super::API`], or as [`super::users::CONSUMER_API`] has it.
    pub fn new(connection: &Connection, api: &str, stream: &'static str) -> Self {
        let link = connection.read.clone();
        let context = ContextBuilder::new().timeout(ANSWER_WAIT).api_prefix(api).build(link.client.clone());
        Self { link, context, api: api.to_owned(), stream }
    }

    /// Where the stream begins and ends now.
    ///
    /// # Errors
    /// [`LogError::Unfit`] when there is no such stream; [`LogError::Unreachable`].
    pub async fn bounds(&self) -> Result<Bounds, LogError> {
        let Some(info) = cluster::find_by(&self.link, &self.context, self.stream).await? else {
            return Err(LogError::Unfit(format!(
                "the nats-server has no stream {}: it has no shop yet, start it once",
                self.stream
            )));
        };
        Ok(Bounds { first: info.state.first_sequence.max(1), last: info.state.last_sequence })
    }

    /// Sequence of the first message that the stream has taken at this time or later; `None` when there is none yet.
    ///
    /// # Errors
    /// [`LogError::Unreachable`].
    pub async fn since(&self, time: SystemTime) -> Result<Option<u64>, LogError> {
        let request = json!({ "start_time": humantime::format_rfc3339_nanos(time).to_string(), "batch": 1 });
        Ok(self.get(&request).await?.first().map(|message| message.sequence))
    }

    /// The next messages on a subject, which may have wildcards, from this sequence on: some of them, or none when there are no more.
    ///
    /// # Errors
    /// [`LogError::Unreachable`].
    pub async fn read(&self, from: u64, subject: &str) -> Result<Vec<Message>, LogError> {
        // The server would take 0 for a missing number.
        let request = json!({ "seq": from.max(1), "next_by_subj": subject, "batch": MESSAGES_MAX, "max_bytes": BYTES_MAX });
        self.get(&request).await
    }

    async fn get(&self, request: &Value) -> Result<Vec<Message>, LogError> {
        let messages = self.link.ask(direct::many(&self.link.client, &self.api, self.stream, request)).await?;
        messages.map_err(|reason| LogError::Unreachable(format!("stream {}: {reason}", self.stream)))
    }
}
