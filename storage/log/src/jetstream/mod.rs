//! The command log on JetStream: one stream with one subject for each log.
//!
//! [`NatsServer`] runs a server, unless there is one already. [`Connection`] connects to it, and [`Cluster`] opens the streams there as
//! [`JetStreamLog`]s. A reader stays on its position by way of one delivery after the other.

mod binary;
mod cluster;
mod connection;
mod delivery;
mod reader;
mod server;

use std::error::Error;

use async_nats::Subject;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use emshop_proto::subjects;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use cluster::{Cluster, ClusterOptions};
pub use connection::{Connection, Reachable};
pub use server::{NatsServer, ServerError, ServerOptions, SyncMode};

use self::connection::Link;
use self::reader::Reader;
use super::{AppendError, Bounds, CommandLog, Entry, LogError};

/// One log of a [`Cluster`]. Cheap to clone.
#[derive(Clone)]
pub struct JetStreamLog {
    number: u32,
    subject: Subject,
    publish: Link,
    read: Link,
    /// By way of `read`.
    stream: Stream<()>,
}

impl JetStreamLog {
    async fn new(connection: &Connection, number: u32) -> Self {
        let (publish, read) = (connection.publish.clone(), connection.read.clone());
        let stream = read.jetstream.get_stream_no_info(subjects::log_stream(number)).await.expect("the name is valid");
        Self { number, subject: subjects::log_subject(number).into(), publish, read, stream }
    }

    async fn append_payload(self, payload: Bytes) -> Result<u64, AppendError> {
        let published = async { self.publish.jetstream.publish(self.subject, payload).await?.await };
        match self.publish.ask(published).await {
            Ok(Ok(ack)) => Ok(ack.sequence),
            Ok(Err(error)) => Err(append_error(&error)),
            Err(no_answer) => Err(AppendError::Unknown(no_answer.to_string())),
        }
    }

    async fn current_bounds(&self) -> Result<Bounds, LogError> {
        let info = self.read.ask(self.stream.get_info()).await?.map_err(|error| match answer(&error) {
            Some(answer) if answer.error_code() == ErrorCode::STREAM_NOT_FOUND => LogError::Unfit(format!(
                "stream {} is not on the server any more: its storage was emptied or replaced. Restore it",
                subjects::log_stream(self.number)
            )),
            _ => LogError::Unreachable(error.to_string()),
        })?;
        // A stream that was never used begins at 0.
        Ok(Bounds { first: info.state.first_sequence.max(1), last: info.state.last_sequence })
    }

    async fn trim_below(self, sequence: u64) -> Result<(), LogError> {
        // The server would take a sequence beyond the end as the one to go on with.
        let last = self.current_bounds().await?.last;
        if sequence > last + 1 {
            return Err(LogError::LostRecords { log: self.number, last, wanted: sequence - 1 });
        }
        let purge = self.stream.purge().sequence(sequence).into_future();
        self.read.ask(purge).await?.map_err(|error| LogError::Unreachable(format!("the log was not trimmed: {error}")))?;
        Ok(())
    }

    /// When the server stored an entry, in Unix nanoseconds; `None` when it has been trimmed.
    async fn time_ns(&self, sequence: u64) -> Result<Option<i128>, LogError> {
        match self.read.ask(self.stream.get_raw_message(sequence)).await? {
            Ok(message) => Ok(Some(message.time.unix_timestamp_nanos())),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(LogError::Unreachable(error.to_string())),
        }
    }
}

impl CommandLog for JetStreamLog {
    fn number(&self) -> u32 {
        self.number
    }

    fn append(&self, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        self.clone().append_payload(payload).boxed()
    }

    fn read(&self, from: u64) -> BoxStream<'static, Result<Entry, LogError>> {
        Reader::stream(self.clone(), from)
    }

    fn bounds(&self) -> BoxFuture<'static, Result<Bounds, LogError>> {
        let log = self.clone();
        async move { log.current_bounds().await }.boxed()
    }

    fn trim(&self, sequence: u64) -> BoxFuture<'static, Result<(), LogError>> {
        self.clone().trim_below(sequence).boxed()
    }
}

/// Tells a refusal, after which the envelope is surely not in the log, from what leaves its fate open.
fn append_error(error: &PublishError) -> AppendError {
    use PublishErrorKind::{MaxPayloadExceeded, Other, StreamNotFound};
    let refused = match error.kind() {
        MaxPayloadExceeded | StreamNotFound => true,
        Other => answer(error).is_some_and(is_refusal),
        _ => false,
    };
    if refused { AppendError::Refused(error.to_string()) } else { AppendError::Unknown(error.to_string()) }
}

/// A store that failed in writing may have written; one that is full has not.
fn is_refusal(answer: &jetstream::Error) -> bool {
    answer.error_code() != ErrorCode::STREAM_STORE_FAILED || answer.to_string().starts_with("maximum bytes exceeded")
}

/// The server's answer that an error of the client carries.
fn answer(error: &dyn Error) -> Option<&jetstream::Error> {
    error.source()?.downcast_ref()
}
