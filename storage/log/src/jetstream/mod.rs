//! The command log on JetStream: one stream with one subject for each log.
//!
//! [`NatsServer`] runs a server, unless there is one already, with the [`users`] that may do something there, and [`Pulse`] tells whether it
//! takes what it is given. [`Access`] is the way into one, [`Connection`] connects to it, and [`Cluster`] opens the streams there as [`JetStreamLog`]s, each with a lease for its engine. A reader stays on its position by
//! way of one delivery after the other; streams of events are [`followed`], or read by a [`Browser`]. An [`Overview`] is what there is to see without the cluster's key.

mod access;
pub mod archive;
mod audit;
mod binary;
mod browse;
mod cluster;
mod connection;
mod consumers;
mod delivery;
mod direct;
pub mod followed;
mod leases;
mod metrics;
mod overview;
mod pulse;
mod reader;
mod server;
mod settings;
mod started;
mod stored;
pub mod users;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Info, Stream};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::subject::ToSubject;
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use emshop_proto::seal::{SEAL_BYTES, Seal};
use emshop_proto::subjects::{self, Epoch};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::{Value, json};

pub use access::{Access, Login, Tls};
pub use audit::JetStreamAudit;
pub use browse::Browser;
pub use cluster::{Cluster, ClusterOptions, Create, FORMAT};
pub use connection::{Connection, Reachable};
pub use consumers::make_consumers;
pub use direct::{API, Message};
pub use leases::{Lease, Leases, Renewal};
pub use metrics::last_sequence;
pub use overview::{LogOverview, Overview};
pub use pulse::Pulse;
pub use server::{NatsServer, ServerError, ServerOptions, SyncMode};
pub use settings::{Revision, SettingsBucket};
pub use users::User;

use self::connection::Link;
use self::metrics::LogMetrics;
use self::reader::Reader;
use super::{AppendError, Bounds, CommandLog, Entry, LastSteps, LogError, RESERVED_PART, Steps};

/// One log of a [`Cluster`]. Cheap to clone.
#[derive(Clone)]
pub struct JetStreamLog {
    number: u32,
    epoch: Epoch,
    seal: Seal,
    subject: Subject,
    publish: Link,
    pulse: Pulse,
    metrics: Arc<LogMetrics>,
    read: Link,
    /// By way of `read`.
    stream: Stream<()>,
    /// The last steps of each source that this process has seen here.
    known_steps: Arc<Mutex<BTreeMap<u32, Steps>>>,
}

impl JetStreamLog {
    async fn new(connection: &Connection, epoch: Epoch, seal: Seal, number: u32) -> Self {
        let (publish, read, pulse) = (connection.publish.clone(), connection.read.clone(), connection.pulse());
        let metrics = Arc::new(LogMetrics::new(connection.registry(), number));
        let stream = read.jetstream.get_stream_no_info(subjects::log_stream(number)).await.expect("the name is valid");
        Self {
            number,
            epoch,
            seal,
            subject: epoch.log(number).into(),
            publish,
            pulse,
            metrics,
            read,
            stream,
            known_steps: Arc::default(),
        }
    }

    async fn append_to(&self, subject: impl ToSubject, payload: Bytes, message: PublishMessage) -> Result<u64, AppendError> {
        let (bytes, message, began) = (payload.len(), message.payload(payload), Instant::now());
        let published = async { self.publish.jetstream.send_publish(subject, message).await?.await };
        let appended = match self.publish.ask(published).await {
            Ok(Ok(ack)) => Ok(ack.sequence),
            Ok(Err(error)) => Err(append_error(&error)),
            Err(no_answer) => Err(AppendError::Unknown(no_answer.to_string())),
        };
        let stream = subjects::log_stream(self.number);
        match &appended {
            Err(AppendError::Unknown(_)) => self.pulse.unanswered(&stream),
            _ => self.pulse.answered(&stream),
        }
        self.metrics.appended(&appended, bytes, began.elapsed());
        appended
    }

    async fn info(&self) -> Result<Info, LogError> {
        let info = self.read.ask(self.stream.get_info()).await?;
        if let Ok(info) = &info {
            self.metrics.has(info.state.last_sequence);
        }
        info.map_err(|error| match answer(&error) {
            Some(answer) if answer.error_code() == ErrorCode::STREAM_NOT_FOUND => LogError::Unfit(format!(
                "stream {} is not on the server any more: its storage was emptied or replaced. Restore it",
                subjects::log_stream(self.number)
            )),
            _ => LogError::Unreachable(error.to_string()),
        })
    }

    async fn current_bounds(&self) -> Result<Bounds, LogError> {
        let info = self.info().await?;
        // A stream that was never used begins at 0.
        Ok(Bounds { first: info.state.first_sequence.max(1), last: info.state.last_sequence })
    }

    async fn current_room(&self) -> Result<u64, LogError> {
        let info = self.info().await?;
        let Ok(bytes_max) = u64::try_from(info.config.max_bytes) else { return Ok(u64::MAX) };
        Ok((bytes_max - bytes_max / RESERVED_PART).saturating_sub(info.state.bytes))
    }

    async fn last_steps_of(&self, source_log: u32, at_least: u64) -> Result<LastSteps, LogError> {
        let subject = self.epoch.steps(self.number, source_log);
        let known = self.known_steps().get(&source_log).copied();
        let expected = known.map_or(0, |known| known.through).max(at_least);
        let last = self.get(&json!({ "last_by_subj": subject })).await?;
        let of_last = last.as_ref().and_then(|last| Steps::of(last, source_log, &self.seal));
        let steps = match of_last.filter(|steps| steps.through >= expected) {
            None if last.is_some() => self.steps_among_others(&subject, source_log, known).await?,
            steps => steps,
        };
        if let Some(steps) = steps {
            self.known_steps().insert(source_log, steps);
        }
        Ok(LastSteps { steps, at: last.map_or(0, |last| last.sequence), bounds: self.current_bounds().await? })
    }

    /// A stranger has written where another log's steps go, or copied some of these: which are the last ones shows only one by one, behind
    /// those that are known.
    async fn steps_among_others(&self, subject: &str, source_log: u32, known: Option<Steps>) -> Result<Option<Steps>, LogError> {
        let mut next = known.map_or(1, |known| known.sequence);
        let mut last: Option<Steps> = None;
        while let Some(entry) = self.first_on(subject, next).await? {
            let steps = Steps::of(&entry, source_log, &self.seal);
            if known.is_some_and(|known| known.sequence == next && steps != Some(known)) {
                // They are not there any more: the log was trimmed, or replaced.
                return Box::pin(self.steps_among_others(subject, source_log, None)).await;
            }
            last = last.into_iter().chain(steps).max_by_key(|steps| steps.through);
            next = entry.sequence + 1;
        }
        Ok(last)
    }

    fn known_steps(&self) -> MutexGuard<'_, BTreeMap<u32, Steps>> {
        self.known_steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first entry on a subject from this sequence on.
    async fn first_on(&self, subject: &str, from: u64) -> Result<Option<Entry>, LogError> {
        self.get(&json!({ "seq": from, "next_by_subj": subject })).await
    }

    async fn get(&self, request: &Value) -> Result<Option<Entry>, LogError> {
        let message = stored::get(&self.read, &subjects::log_stream(self.number), request).await?;
        Ok(message.map(|message| {
            let time_ns = time_ns(message.header(TIME_HEADER), &message.payload, &self.seal, message.published_ns);
            Entry { sequence: message.sequence, time_ns, payload: message.payload }
        }))
    }

    /// Appends an envelope which says that entries are void. Only who has the lease of the log does.
    ///
    /// # Errors
    /// When it is not acknowledged.
    pub async fn append_void(&self, payload: Bytes) -> Result<u64, AppendError> {
        self.append_to(self.epoch.voids(self.number), payload, PublishMessage::build()).await
    }

    async fn all_voids(self, from: u64) -> Result<Vec<Entry>, LogError> {
        let (subject, mut voids, mut next) = (self.epoch.voids(self.number), Vec::new(), from);
        // Whoever goes on writing there keeps nobody from coming to an end.
        let end = self.current_bounds().await?.last;
        while next <= end
            && let Some(entry) = self.first_on(&subject, next).await?
        {
            next = entry.sequence + 1;
            voids.push(entry);
        }
        Ok(voids)
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

    async fn find(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        // The server would take 0 for a missing number.
        if sequence == 0 {
            return Ok(None);
        }
        self.get(&json!({ "seq": sequence })).await
    }
}

impl CommandLog for JetStreamLog {
    fn number(&self) -> u32 {
        self.number
    }

    fn seal(&self) -> &Seal {
        &self.seal
    }

    fn append(&self, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        let log = self.clone();
        async move { log.append_to(log.subject.clone(), payload, PublishMessage::build()).await }.boxed()
    }

    fn append_steps(&self, source_log: u32, after: u64, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        let message = PublishMessage::build().expected_last_subject_sequence(after);
        let log = self.clone();
        async move {
            match log.append_to(log.epoch.steps(log.number, source_log), payload.clone(), message).await {
                Ok(sequence) => {
                    if let Some(steps) = Steps::of(&Entry { sequence, time_ns: 0, payload }, source_log, &log.seal) {
                        let known = &mut log.known_steps();
                        let known = known.entry(source_log).or_insert(steps);
                        *known = if steps.through >= known.through { steps } else { *known };
                    }
                    Ok(sequence)
                }
                Err(AppendError::NotNext(_)) => match log.last_steps_of(source_log, 0).await {
                    Ok(last) => Err(AppendError::NotNext(last)),
                    Err(error) => Err(AppendError::Unknown(error.to_string())),
                },
                failed => failed,
            }
        }
        .boxed()
    }

    fn last_steps(&self, source_log: u32, at_least: u64) -> BoxFuture<'static, Result<LastSteps, LogError>> {
        let log = self.clone();
        async move { log.last_steps_of(source_log, at_least).await }.boxed()
    }

    fn read(&self, from: u64) -> BoxStream<'static, Result<Entry, LogError>> {
        Reader::stream(self.clone(), from)
    }

    fn voids(&self, from: u64) -> BoxFuture<'static, Result<Vec<Entry>, LogError>> {
        self.clone().all_voids(from).boxed()
    }

    fn entry(&self, sequence: u64) -> BoxFuture<'static, Result<Option<Entry>, LogError>> {
        let log = self.clone();
        async move { log.find(sequence).await }.boxed()
    }

    fn bounds(&self) -> BoxFuture<'static, Result<Bounds, LogError>> {
        let log = self.clone();
        async move { log.current_bounds().await }.boxed()
    }

    fn room(&self) -> BoxFuture<'static, Result<u64, LogError>> {
        let log = self.clone();
        async move { log.current_room().await }.boxed()
    }

    fn trim(&self, sequence: u64) -> BoxFuture<'static, Result<(), LogError>> {
        self.clone().trim_below(sequence).boxed()
    }
}

/// When the log took an entry that a restore has brought back, in Unix nanoseconds, and a seal over that and the entry's own: nobody else
/// says when an entry was taken.
const TIME_HEADER: &str = "Emshop-Time";

/// What [`TIME_HEADER`] says.
fn time_header(time_ns: i64, payload: &[u8], seal: &Seal) -> String {
    let code = seal.of_times().over(&[&time_ns.to_le_bytes(), payload]);
    format!("{time_ns} {:032x}", u128::from_be_bytes(code))
}

/// What the headers of a delivered message say of it.
fn time_of(headers: Option<&HeaderMap>) -> Option<&str> {
    Some(headers?.get(TIME_HEADER)?.as_str())
}

/// When the log took an entry.
fn time_ns(header: Option<&str>, payload: &[u8], seal: &Seal, published_ns: i64) -> i64 {
    let sealed = || {
        let (time, code) = header?.split_once(' ')?;
        let (time_ns, code) = (time.parse::<i64>().ok()?, u128::from_str_radix(code, 16).ok()?);
        let code: [u8; SEAL_BYTES] = code.to_be_bytes();
        seal.of_times().is_of(&code, &[&time_ns.to_le_bytes(), payload]).then_some(time_ns)
    };
    sealed().unwrap_or(published_ns)
}

/// Tells a refusal, after which the envelope is surely not in the log, from what leaves its fate open.
fn append_error(error: &PublishError) -> AppendError {
    use PublishErrorKind::{MaxPayloadExceeded, Other, StreamNotFound, WrongLastSequence};
    if error.kind() == WrongLastSequence {
        // What they are is asked for next.
        return AppendError::NotNext(LastSteps::none(Bounds { first: 1, last: 0 }));
    }
    let refused = match error.kind() {
        MaxPayloadExceeded | StreamNotFound => true,
        Other if answer(error).is_some_and(is_full) => return AppendError::Full,
        // A store that failed in writing may have written.
        Other => answer(error).is_some_and(|answer| answer.error_code() != ErrorCode::STREAM_STORE_FAILED),
        _ => false,
    };
    if refused { AppendError::Refused(error.to_string()) } else { AppendError::Unknown(error.to_string()) }
}

/// Whether the store has nothing of it, since it does not fit.
fn is_full(answer: &jetstream::Error) -> bool {
    answer.error_code() == ErrorCode::STREAM_STORE_FAILED && answer.to_string().starts_with("maximum bytes exceeded")
}

/// The server's answer that an error of the client carries.
fn answer(error: &dyn Error) -> Option<&jetstream::Error> {
    error.source()?.downcast_ref()
}
