//! What a start checks before anything is applied: that state, logs and events are of one history.
//!
//! The state, the event streams and the other logs each know entries of a log by [`LogMark`]s: those they were made from. If a log was cut,
//! or replaced by an older copy, one of these entries is not there, or another one stands in its place, even when the log has grown beyond
//! it again.

use std::collections::BTreeMap;
use std::fmt;

use emshop_core::replica::Replica;
use emshop_log::{Bounds, LastSteps, LogError};
use emshop_proto::events::EventType;
use emshop_proto::v1::LogMark;

use super::channels;
use super::relay::{self, LastBatch, LastEvent};

/// Who knows an entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The state of the log, which it was applied to.
    State,
    /// The event streams.
    Events,
    /// The state of another log, which took a step that the entry made.
    StateOf(u32),
    /// Another log, which holds a step that the entry made.
    Log(u32),
}

impl fmt::Display for Witness {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::State => write!(formatter, "its state"),
            Self::Events => write!(formatter, "the event streams"),
            Self::StateOf(log) => write!(formatter, "the state of log {log}"),
            Self::Log(log) => write!(formatter, "log {log}"),
        }
    }
}

/// An entry that must be in a log, because something was made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub log: u32,
    pub entry: LogMark,
    pub witness: Witness,
}

/// What a log has where an entry should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An entry with this identity.
    Entry(u64),
    /// Nothing any more: it was trimmed.
    Trimmed,
    /// Nothing yet: the log ends there.
    Ended { last: u64 },
}

/// Why a start is refused: what is there is not of one history.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BrokenHistory {
    #[error(
        "log {log} ends at sequence {last}, but {witness} knows entry {wanted} of it: the log lost acknowledged records. Restore the storage \
         of the log, or all of one backup"
    )]
    Lost { log: u32, last: u64, wanted: u64, witness: Witness },
    #[error(
        "log {log} has another entry {sequence} than the one that {witness} knows: the log was replaced by an older copy and written on. \
         Restore the storage of the log, or all of one backup"
    )]
    Another { log: u32, sequence: u64, witness: Witness },
    #[error(
        "the event streams have {event_type} events of log {log} up to number {found}, but they had them up to {published}: they lost \
         messages, or were replaced by an older copy. Restore their storage, or all of one backup"
    )]
    LostEvents { log: u32, event_type: &'static str, found: u64, published: u64 },
    #[error(
        "log {log} has steps of log {source_log} up to number {found}, but acknowledged them up to {acknowledged}: it lost records. Restore \
         the storage of log {log}, or all of one backup"
    )]
    LostSteps { log: u32, source_log: u32, found: u64, acknowledged: u64 },
}

/// What another log has of this one's steps.
#[derive(Clone, Debug)]
pub struct StepsThere {
    pub log: u32,
    pub last: LastSteps,
}

/// What a start finds around the state.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What the log has.
    pub bounds: Bounds,
    /// The last batch of each type that the streams have of this log.
    pub events: BTreeMap<EventType, LastBatch>,
    /// What the other logs have of its steps.
    pub steps: Vec<StepsThere>,
    /// What [`evidence`] asked for, and what was found there.
    pub found: Vec<(Evidence, Found)>,
}

impl Facts {
    /// Of a log that nothing was made of yet.
    pub fn of_new_log(bounds: Bounds) -> Self {
        Self { bounds, events: BTreeMap::new(), steps: Vec::new(), found: Vec::new() }
    }
}

/// The entries that must be there, given the last batch of each type of events and the last steps that other logs have from this one.
pub fn evidence(replica: &Replica, events: &BTreeMap<EventType, LastBatch>, steps: &[StepsThere]) -> Vec<Evidence> {
    let log = replica.number();
    let mut evidence = vec![Evidence { log, entry: replica.log_mark(), witness: Witness::State }];
    let causes = events.values().filter_map(|last| last.batch.as_ref()?.cause);
    let published = causes.max_by_key(|cause| cause.sequence);
    evidence.extend(published.map(|entry| Evidence { log, entry, witness: Witness::Events }));
    let sent = steps.iter().filter_map(|there| Some((there.log, there.last.steps?.cause?)));
    evidence.extend(sent.map(|(target, entry)| Evidence { log, entry, witness: Witness::Log(target) }));
    let taken = replica.taken().filter_map(|(source, taken)| Some((source, taken.cause?)));
    evidence.extend(taken.map(|(source, entry)| Evidence { log: source, entry, witness: Witness::StateOf(log) }));
    // A state that has applied nothing knows nothing.
    evidence.retain(|evidence| evidence.entry.sequence > 0);
    evidence
}

/// Until the engine is as far as the log was when it started.
#[derive(Debug)]
pub struct Replay {
    /// The last sequence that the log had then.
    pub until: u64,
}

/// Entries that an engine has to come by: others know them. They were in the log when that was learned, but the log may lose them before.
#[derive(Debug, Default)]
pub struct Expected(Vec<Evidence>);

impl Expected {
    pub fn extend(&mut self, evidence: impl IntoIterator<Item = Evidence>) {
        self.0.extend(evidence);
    }

    /// Whether an entry that is about to be applied is the one that others know.
    ///
    /// # Errors
    /// [`BrokenHistory::Another`] when it is not.
    pub fn check(&mut self, sequence: u64, identity: u64) -> Result<(), BrokenHistory> {
        let of_another = |it: &&Evidence| it.entry.sequence == sequence && it.entry.identity != identity;
        if let Some(Evidence { log, witness, .. }) = self.0.iter().find(of_another) {
            return Err(BrokenHistory::Another { log: *log, sequence, witness: *witness });
        }
        self.0.retain(|it| it.entry.sequence > sequence);
        Ok(())
    }
}

/// Whether the engine may go on from its state, at this time.
///
/// # Errors
/// [`BrokenHistory`] when something is there that the log cannot have caused, [`LogError::TrimmedTooFar`] when records are gone that the
/// state needs.
pub fn check(replica: &Replica, facts: &Facts, time_ms: i64) -> Result<(Replay, Expected), super::EngineError> {
    for (Evidence { log, entry: LogMark { sequence, identity }, witness }, found) in &facts.found {
        let (log, sequence, witness) = (*log, *sequence, *witness);
        match found {
            Found::Ended { last } => return Err(BrokenHistory::Lost { log, last: *last, wanted: sequence, witness }.into()),
            Found::Entry(other) if other != identity => return Err(BrokenHistory::Another { log, sequence, witness }.into()),
            Found::Entry(_) | Found::Trimmed => {}
        }
    }
    let log = replica.number();
    for event_type in EventType::ALL {
        let published = LastEvent { number: replica.last_event_of(*event_type), at_ms: replica.access_at_ms() };
        relay::check_published(log, *event_type, published, facts.events.get(event_type), time_ms)?;
    }
    for StepsThere { log: target, last } in &facts.steps {
        channels::received(log, *target, last, acknowledged(replica, *target), last.bounds.first > 1)?;
    }
    let Bounds { first, last } = facts.bounds;
    if first > replica.applied_sequence() + 1 {
        return Err(LogError::TrimmedTooFar { log, first, wanted: replica.applied_sequence() + 1 }.into());
    }
    let is_to_come = |it: &Evidence| it.log == log && it.entry.sequence > replica.applied_sequence();
    let expected = facts.found.iter().map(|(evidence, _)| *evidence).filter(is_to_come).collect();
    Ok((Replay { until: last }, Expected(expected)))
}

/// Number of the last step that `target` is known to have.
pub fn acknowledged(replica: &Replica, target: u32) -> u64 {
    replica.outbox.first(target).map_or_else(|| replica.given(target), |first| first - 1)
}
