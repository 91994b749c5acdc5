//! The command log: a sequence of envelopes, durable once acknowledged, read in order by one engine.
//!
//! [`jetstream`] is the real one, [`memory`] serves simulation and tests. Both pass [`conformance`]. Beside it stands [`audit`], which is no log.

#![warn(missing_docs)]

pub mod audit;
pub mod conformance;
pub mod jetstream;
pub mod lease;
pub mod memory;

use std::fmt;

use bytes::Bytes;
use emshop_proto::envelope;
use emshop_proto::seal::Seal;
use emshop_proto::v1::LogMark;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The smallest size of a log with which an engine can work: what stays in it behind a checkpoint, what is read ahead and what is on its
/// way are small parts of it.
pub const LOG_BYTES_MIN: u64 = 16 << 20;
/// The most that a message of a log takes, headers included: more than any envelope, and little enough for what is counted in messages.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// The part of a log that commands leave free, for steps of other logs and for what its engine has to say: a log that is full of commands
/// must not keep orders of others from coming to their end.
pub const RESERVED_PART: u64 = 8;

/// One message of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 1, 2, 3 … without gaps.
    pub sequence: u64,
    /// When the log took it, in Unix nanoseconds by the log's clock. May go back when that clock is set back.
    pub time_ns: i64,
    /// The envelope, as it was appended.
    pub payload: Bytes,
}

impl Entry {
    /// When the log took it, in Unix milliseconds.
    pub fn time_ms(&self) -> i64 {
        self.time_ns.div_euclid(1_000_000)
    }

    /// Tells it from any other entry that could stand at its sequence, in this history or another: a hash of its time and its bytes.
    pub fn identity(&self) -> u64 {
        xxh3_64_with_seed(&self.payload, self.time_ns as u64)
    }
}

/// What a log holds: `first..=last`; empty when `first == last + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest sequence that is still there.
    pub first: u64,
    /// The newest sequence.
    pub last: u64,
}

impl Bounds {
    /// Whether a reader of log `log` that needs `next` can go on.
    ///
    /// # Errors
    /// [`LogError::LostRecords`] when it ends before what was read, [`LogError::TrimmedTooFar`] when it begins behind what is needed.
    pub fn admit(&self, log: u32, next: u64) -> Result<(), LogError> {
        if next > self.last + 1 {
            return Err(LogError::LostRecords { log, last: self.last, wanted: next - 1 });
        }
        if next < self.first {
            return Err(LogError::TrimmedTooFar { log, first: self.first, wanted: next });
        }
        Ok(())
    }
}

/// Why an append was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The log was not reached or did not answer in time: the envelope may or may not be in it.
    #[error("the log did not acknowledge: {0}")]
    Unknown(String),
    /// The log has no room; the envelope is not in it.
    #[error("the log is full")]
    Full,
    /// The log refused it; the envelope is not in it.
    #[error("the log refused: {0}")]
    Refused(String),
    /// Steps are not in the log, since the last ones from their source are not those that its engine thought.
    #[error("the last steps in the log are others than those before: {0}")]
    NotNext(LastSteps),
}

impl fmt::Display for LastSteps {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Bounds { first, last } = self.bounds;
        match &self.steps {
            Some(steps) => write!(formatter, "they are at sequence {} of {first} to {last}", steps.sequence),
            None => write!(formatter, "there are none from {first} to {last}"),
        }
    }
}

/// The last steps that a log has from a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSteps {
    /// What they are; `None` when there are none, or none any more.
    pub steps: Option<Steps>,
    /// The sequence behind which the next ones go; 0 when there is nothing. It is that of the steps, unless a stranger has written there.
    pub at: u64,
    /// What the log holds.
    pub bounds: Bounds,
}

impl LastSteps {
    /// Of a log that has none.
    pub fn none(bounds: Bounds) -> Self {
        Self { steps: None, at: 0, bounds }
    }
}

/// An entry that holds steps of another log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Where it stands.
    pub sequence: u64,
    /// Number of the last step in it.
    pub through: u64,
    /// The entry of the other log that made it.
    pub cause: Option<LogMark>,
}

impl Steps {
    /// Of log `source_log`; `None` when the entry holds none, or nobody who has the cluster's key wrote it.
    pub fn of(entry: &Entry, source_log: u32, seal: &Seal) -> Option<Self> {
        let envelope = envelope::decode(&entry.payload, seal).ok()?;
        let channel = envelope.channel.filter(|channel| channel.source_log == source_log)?;
        let end = channel.first_number.checked_add(envelope.records.len() as u64)?;
        Some(Self { sequence: entry.sequence, through: end.saturating_sub(1), cause: channel.cause })
    }
}

/// Why a log cannot be opened or read on. All of them are for an operator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// Nobody answers.
    #[error("the log cannot be reached: {0}")]
    Unreachable(String),
    /// It ends before what was read from it.
    #[error(
        "log {log} ends at sequence {last}, but sequence {wanted} was read from it before: the log lost acknowledged records. \
         Restore the storage of the log, or all of one backup"
    )]
    LostRecords {
        /// Number of the log.
        log: u32,
        /// The newest sequence that it has.
        last: u64,
        /// A sequence that was read from it before.
        wanted: u64,
    },
    /// It begins behind what the state needs.
    #[error(
        "log {log} begins at sequence {first}, but the state needs it from {wanted} on: it was trimmed too far. \
         Restore a newer state, or an older copy of the log"
    )]
    TrimmedTooFar {
        /// Number of the log.
        log: u32,
        /// The oldest sequence that it has.
        first: u64,
        /// The sequence that is read next.
        wanted: u64,
    },
    /// A record is missing between two that are there.
    #[error("log {log} goes from sequence {before} to {after}: a record is missing in between")]
    Gap {
        /// Number of the log.
        log: u32,
        /// The last sequence before the gap.
        before: u64,
        /// The first one behind it.
        after: u64,
    },
    /// The log or its server is not what the settings ask for.
    #[error("{0}")]
    Unfit(String),
}

/// A sequence of envelopes. Cheap to share; appends and reads do not disturb each other.
pub trait CommandLog: Send + Sync + 'static {
    /// Its number in the cluster.
    fn number(&self) -> u32;

    /// What its envelopes are sealed with.
    fn seal(&self) -> &Seal;

    /// Sends the envelope at once; the future is for its sequence, once it is durable. Appends whose futures are pending at the same
    /// time may be stored in any order.
    fn append(&self, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>>;

    /// As [`CommandLog::append`], of steps that another log sends, behind [`LastSteps::at`] as they are known; 0 when the log has none.
    /// So a log that lost some takes no more, and what a late engine still sends does not get in.
    fn append_steps(&self, source_log: u32, after: u64, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>>;

    /// What was appended last by [`CommandLog::append_steps`] from this source and is still there. Those up to number `at_least` are known
    /// to be: if the last ones are others, somebody may have copied them, and it is looked further.
    fn last_steps(&self, source_log: u32, at_least: u64) -> BoxFuture<'static, Result<LastSteps, LogError>>;

    /// All entries from `from` on in order, each once, waiting at the end for more. Interruptions of the connection only delay it.
    /// It ends after the first error. Asking for `last + 1` waits; asking for more is [`LogError::LostRecords`].
    fn read(&self, from: u64) -> BoxStream<'static, Result<Entry, LogError>>;

    /// The entries from sequence `from` on which say that others are void, in order.
    fn voids(&self, from: u64) -> BoxFuture<'static, Result<Vec<Entry>, LogError>>;

    /// The entry at a sequence; `None` when there is none, or none any more.
    fn entry(&self, sequence: u64) -> BoxFuture<'static, Result<Option<Entry>, LogError>>;

    /// What it holds now.
    fn bounds(&self) -> BoxFuture<'static, Result<Bounds, LogError>>;

    /// Bytes that commands may still take: what is free, without the part that is kept for others ([`RESERVED_PART`]). Nothing but the
    /// writers of commands themselves keeps them from taking more.
    fn room(&self) -> BoxFuture<'static, Result<u64, LogError>>;

    /// Drops all entries below `sequence`, never one at or above it.
    fn trim(&self, sequence: u64) -> BoxFuture<'static, Result<(), LogError>>;
}
