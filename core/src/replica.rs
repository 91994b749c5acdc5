//! One log: its state, and the turns over it. A turn is one envelope, applied record after record, each to its end before the next one
//! begins; so log order is what a client can rely on.

use std::collections::BTreeMap;
use std::sync::Arc;

use emshop_proto::events::EventType;
use emshop_proto::internal::{Channel, ClusterRow, DayMark, LogRow, Rules, ShopLimits, Taken, Waiter};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::{HotGoods, LogMark, Outcome};
use prost::Message as _;

use crate::books::Books;
use crate::context::{Context, SYSTEM, Turn};
use crate::effects::Effects;
use crate::entry::{Body, Entry, EntryRecord};
use crate::events::{EventRun, Events};
use crate::outbox::{self, Outbox};
use crate::planted::{self, Bug};
use crate::rules::{self, UnknownRules};
use crate::spans::Span;
use crate::state::batch::Batch;
use crate::state::keys::{self, Kind};
use crate::state::store::{StateReader, StateStore};
use crate::state::{Changes, State};
use crate::stock::history;
use crate::stock::levels::{self, Untold};
use crate::tally::Tally;
use crate::{apply, timer};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// An entry has fewer records.
const RECORD_BITS: u32 = 16;
/// More than a log may be told to keep.
const DAYS_KEPT: usize = 400;

/// What a turn leads to outside of the state. Replay makes the same again.
#[derive(Debug, Default)]
pub struct TurnEffects {
    /// By writer, each with the ticket of whoever waits.
    pub outcomes: BTreeMap<u64, Vec<(u64, Outcome)>>,
    /// Those of one type in order.
    pub events: Vec<EventRun>,
    /// Other logs that have something to take from the outbox.
    pub channels: Vec<u32>,
    /// What was done of traced records.
    pub spans: Vec<Span>,
}

/// All changes since the last checkpoint, to be written as one.
pub struct Checkpoint {
    /// 1, 2, 3 … since the start.
    pub number: u64,
    /// The last turn that it has.
    pub applied_sequence: u64,
    /// Number of the last event of that turn.
    pub last_event: u64,
    changes: Changes,
    log: LogRow,
    cluster: ClusterRow,
    outbox: Vec<outbox::Change>,
}

impl Checkpoint {
    /// Adds the changed rows as the store takes them.
    pub fn encode(self, batch: &mut Batch) {
        self.changes.encode(batch);
        batch.put(&keys::prefix(Kind::Log), &self.log.encode_to_vec());
        batch.put(&keys::prefix(Kind::Cluster), &self.cluster.encode_to_vec());
        for (key, value) in self.outbox {
            match value {
                Some(value) => batch.put(&key, &value),
                None => batch.remove(&key),
            }
        }
    }
}

/// The state of one log and the turns over it.
pub struct Replica {
    cluster: ClusterRow,
    partitioner: Partitioner,
    /// The tables.
    pub state: State,
    effects: Effects,
    /// Without its books, which are the state's.
    log: LogRow,
    /// Steps for other logs.
    pub outbox: Outbox,
    checkpoints: u64,
    /// The checkpoint that is being taken, but for its rows.
    taking: Option<Moment>,
}

/// Where a log stood when a checkpoint was begun.
struct Moment {
    number: u64,
    log: LogRow,
    outbox: Vec<outbox::Change>,
}

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentences say what their fields are")]
pub enum OpenError {
    /// It is of another cluster, or of another log of this one.
    #[error(
        "the state belongs to log {found_log} of {found_logs} in cluster {found}, but the log is {log} of {logs} in cluster {wanted}: \
         point the engine at the right data folder, or move this one away to build the state anew from the log"
    )]
    OtherCluster { found: String, found_log: u32, found_logs: u32, wanted: String, log: u32, logs: u32 },
    /// Its partitions are not those of the cluster.
    #[error(
        "the state was made for partitions {found}, but the cluster has {wanted}: move it away to build it anew from the log"
    )]
    OtherPartitions { found: String, wanted: String },
    /// It is applied by rules of a newer release.
    #[error(transparent)]
    Rules(#[from] UnknownRules),
}

/// Why steps of another log cannot be taken.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentences say what their fields are")]
pub enum BrokenChannel {
    /// Some were lost.
    #[error(
        "log {log} was sent step {first_number} of log {source_log} after step {taken}: those between were lost, or one of the two logs was \
         replaced by an older copy. Restore both logs and their states from one moment"
    )]
    Missing { log: u32, source_log: u32, taken: u64, first_number: u64 },
    /// Two steps have the same number.
    #[error(
        "log {log} was sent another step {number} of log {source_log} than the one that it took: log {source_log} was replaced by an older \
         copy. Restore both logs and their states from one moment"
    )]
    Reused { log: u32, source_log: u32, number: u64 },
}

/// Who or what a state is of, as it is written into it.
pub fn cluster_row(cluster_id: &str, log: u32, partitioner: &Partitioner) -> ClusterRow {
    ClusterRow { cluster_id: cluster_id.to_owned(), log, logs: partitioner.logs(), assignment: partitioner.assignment() }
}

/// Whose state this is, and how far it is; `None` when no checkpoint was ever written.
pub fn head(store: &dyn StateReader) -> Option<(ClusterRow, LogRow)> {
    Some((read(store, Kind::Cluster)?, read(store, Kind::Log).unwrap_or_default()))
}

impl Replica {
    /// Opens the state of log `log` as of its last checkpoint.
    ///
    /// # Errors
    /// When the state is of another cluster or log, or of rules that this release does not know.
    pub fn open(store: &Arc<dyn StateStore>, cluster_id: &str, log: u32, partitioner: Partitioner) -> Result<Self, OpenError> {
        let cluster = cluster_row(cluster_id, log, &partitioner);
        check_cluster(store.as_ref(), &cluster)?;
        let mut log: LogRow = read(store.as_ref(), Kind::Log).unwrap_or_default();
        rules::check(log.rules)?;
        let (mut state, outbox) = (State::new(store), Outbox::load(store.as_ref()));
        state.books = Books(log.books.take().unwrap_or_default());
        let (events, untold) = (Events::after(&log), Untold::load(store.as_ref(), &log));
        let effects = Effects { events, untold, ..Effects::default() };
        Ok(Self { cluster, partitioner, state, effects, log, outbox, checkpoints: 0, taking: None })
    }

    /// Number of the log in its cluster.
    pub fn number(&self) -> u32 {
        self.cluster.log
    }

    /// The last turn that was made.
    pub fn applied_sequence(&self) -> u64 {
        self.log.applied_sequence
    }

    /// The entry of that turn.
    pub fn log_mark(&self) -> LogMark {
        LogMark { sequence: self.log.applied_sequence, identity: self.log.applied_identity }
    }

    /// The last steps that were taken from other logs, by their source.
    pub fn taken(&self) -> impl Iterator<Item = (u32, Taken)> {
        self.log.channels_in.iter().map(|(source, taken)| (*source, *taken))
    }

    /// How many steps were made for another log.
    pub fn given(&self, target: u32) -> u64 {
        self.log.channels_out.get(&target).copied().unwrap_or(0)
    }

    /// Number of the last event of a type; 0 when there is none.
    pub fn last_event_of(&self, event_type: EventType) -> u64 {
        self.log.events_by_type.get(&(event_type as u32)).copied().unwrap_or(0)
    }

    /// When the last event was made that revokes tokens, in log time; 0 when there is none.
    pub fn access_at_ms(&self) -> i64 {
        self.log.access_at_ms
    }

    /// The highest time stamp of the log so far, or what a tick carried on from there, in Unix milliseconds.
    pub fn log_time_ms(&self) -> i64 {
        self.log.log_time_ms
    }

    /// Number of the last event.
    pub fn last_event(&self) -> u64 {
        self.log.events
    }

    /// Version of the rules by which the next record is applied; 0 when no record has said so yet.
    pub fn rules(&self) -> u32 {
        self.log.rules
    }

    /// What the shop allows its users in the next record; nothing is limited until a record has said so.
    pub fn limits(&self) -> ShopLimits {
        self.log.limits.unwrap_or_default()
    }

    /// What became of sagas since it was cleared, or the start.
    pub fn tally(&mut self) -> &mut Tally {
        &mut self.effects.tally
    }

    /// The SKUs that are asked for most, the hottest first.
    pub fn hot_goods(&mut self) -> Vec<HotGoods> {
        self.effects.hot.list(self.log.log_time_ms)
    }

    /// How often some SKU was asked for in the same time.
    pub fn asked(&self) -> u64 {
        self.effects.hot.all()
    }

    /// Which log has what.
    pub fn partitioner(&self) -> &Partitioner {
        &self.partitioner
    }

    /// When a tick has something to do, in log time: the next timer is due, or levels of stock are to be told.
    pub fn next_due_ms(&mut self) -> Option<i64> {
        let timer = timer::next_due_ms(&mut self.state);
        timer.into_iter().chain(self.effects.untold.due_ms()).min()
    }

    /// The first entry that is not of a day before this time's.
    pub fn first_since(&self, time_ms: i64) -> u64 {
        let first = self.log.days.iter().find(|mark| mark.day >= time_ms / DAY_MS);
        first.map_or(self.log.applied_sequence + 1, |mark| mark.sequence)
    }

    /// Whether the steps that an entry brings from another log go on where those before them ended.
    ///
    /// # Errors
    /// [`BrokenChannel`] when they do not: one of the two logs is not what it was.
    pub fn check(&self, entry: &Entry) -> Result<(), BrokenChannel> {
        let Some(Channel { source_log, first_number, cause }) = entry.channel else { return Ok(()) };
        let taken = self.log.channels_in.get(&source_log).copied().unwrap_or_default();
        let last_number = first_number.saturating_add(entry.records.len() as u64).saturating_sub(1);
        if first_number > taken.number + 1 && !planted::is(Bug::GapIgnored) {
            return Err(BrokenChannel::Missing { log: self.cluster.log, source_log, taken: taken.number, first_number });
        }
        if last_number == taken.number && cause != taken.cause {
            return Err(BrokenChannel::Reused { log: self.cluster.log, source_log, number: last_number });
        }
        Ok(())
    }

    /// Applies the entry at `sequence`, which the log took at `time_ms`: record after record, each to its end.
    ///
    /// # Panics
    /// When it is not the next one, or an invariant is broken.
    pub fn turn(&mut self, sequence: u64, time_ms: i64, entry: Entry) -> TurnEffects {
        assert_eq!(sequence, self.log.applied_sequence + 1, "envelopes are applied in order, each once");
        self.log.applied_sequence = sequence;
        self.log.applied_identity = entry.identity;
        self.log.strange_entries += u64::from(entry.is_strange);
        self.log.log_time_ms = self.log.log_time_ms.max(time_ms).max(entry.tick_ms().unwrap_or(0));
        self.note_day();
        self.effects.events.begin_turn(sequence, self.log.log_time_ms);
        levels::tell_due(&mut self.state, self.log.log_time_ms, &mut self.effects);
        let fresh = match &entry.channel {
            Some(channel) => self.take_from_channel(channel, entry.records.len()),
            None => 0..entry.records.len(),
        };
        let skipped = fresh.start;
        for (index, record) in (0..).zip(entry.records).take(fresh.end).skip(skipped) {
            self.record(entry.writer, index, record);
        }
        self.gather()
    }

    fn note_day(&mut self) {
        let day = self.log.log_time_ms / DAY_MS;
        if self.log.days.last().is_none_or(|last| last.day < day) {
            self.log.days.push(DayMark { day, sequence: self.log.applied_sequence });
            let old = self.log.days.len().saturating_sub(DAYS_KEPT);
            self.log.days.drain(..old);
        }
    }

    /// Runs one record to its end; only steps for other logs are left of it.
    fn record(&mut self, writer: u64, index: u64, record: EntryRecord) {
        let EntryRecord { ticket, body_hash, operator, trace, body } = record;
        self.effects.spans.begin(trace, self.log.applied_sequence << RECORD_BITS | index, body.name());
        let is_command = matches!(body, Body::NewOrder(_) | Body::Command(_) | Body::AccountCommand(_));
        let ctx = Context {
            partitioner: &self.partitioner,
            log: self.cluster.log,
            sequence: self.log.applied_sequence,
            time_ms: self.log.log_time_ms,
            limits: self.limits(),
            operator: if is_command { operator } else { Some(SYSTEM) },
            body_hash,
            waiter: Waiter { writer, ticket, ..Waiter::default() },
        };
        let mut turn = Turn { ctx, state: &mut self.state, fx: &mut self.effects };
        match body {
            Body::NewOrder(order) => apply::new_order(&mut turn, order),
            Body::Command(command) => apply::command(&mut turn, *command),
            Body::AccountCommand(command) => apply::account_command(&mut turn, command),
            Body::Step(step) => apply::step(&mut turn, step),
            Body::Tick { .. } => timer::fire(&mut turn),
            Body::Rules(Rules { version }) => self.log.rules = self.log.rules.max(version),
            Body::ShopLimits(limits) => self.log.limits = Some(limits),
            Body::Void => {}
        }
    }

    /// Which of `count` records from another log are the next ones: those above the last number taken.
    ///
    /// # Panics
    /// When some are missing before them, which [`Replica::check`] tells.
    fn take_from_channel(&mut self, channel: &Channel, count: usize) -> std::ops::Range<usize> {
        let Channel { source_log, first_number, cause } = *channel;
        let taken = self.log.channels_in.entry(source_log).or_default();
        let next = taken.number + 1;
        if planted::is(Bug::GapIgnored) && first_number > next {
            return 0..0;
        }
        assert!(first_number <= next, "step {first_number} of log {source_log} comes after step {}", taken.number);
        let end = first_number + count as u64;
        if end <= next {
            return 0..0;
        }
        *taken = Taken { number: end - 1, cause };
        (next - first_number) as usize..count
    }

    /// Numbers outgoing steps, and collects events and outcomes.
    fn gather(&mut self) -> TurnEffects {
        history::write(&mut self.state, self.log.applied_sequence, self.log.log_time_ms, &mut self.effects);
        self.effects.untold.note_in(&mut self.log);
        let mut effects = TurnEffects {
            events: self.effects.events.end_turn(&mut self.log),
            spans: self.effects.spans.end_turn(),
            ..TurnEffects::default()
        };
        for (writer, ticket, outcome) in self.effects.outcomes.drain(..) {
            effects.outcomes.entry(writer).or_default().push((ticket, outcome));
        }
        let cause = self.log_mark();
        for (target, step) in self.effects.steps.drain(..) {
            let number = self.log.channels_out.entry(target).or_default();
            *number += 1;
            self.outbox.push(target, *number, step, cause);
            if !effects.channels.contains(&target) {
                effects.channels.push(target);
            }
        }
        effects
    }

    /// Rows that the next checkpoint will carry.
    pub fn changed_rows(&self) -> usize {
        self.state.changed_len()
    }

    /// Begins a checkpoint of all changes since the one before, as of now. Returns its number. Its rows are taken by [`Replica::take_rows`],
    /// and turns may be made meanwhile.
    pub fn begin_checkpoint(&mut self) -> u64 {
        self.checkpoints += 1;
        self.state.begin_take(self.checkpoints);
        let log = LogRow { books: Some(self.state.books.0.clone()), ..self.log.clone() };
        self.taking = Some(Moment { number: self.checkpoints, log, outbox: self.outbox.take_changes() });
        self.checkpoints
    }

    /// A checkpoint was begun whose rows are not all taken.
    pub fn is_taking(&self) -> bool {
        self.taking.is_some()
    }

    /// Takes up to `most` rows of each kind for the checkpoint that was begun, and gives it when it has all. The rows stay in memory until
    /// [`Replica::checkpoint_written`].
    pub fn take_rows(&mut self, most: usize) -> Option<Checkpoint> {
        if self.taking.is_none() || !self.state.take_some(most) {
            return None;
        }
        let Moment { number, log, outbox } = self.taking.take()?;
        let (changes, cluster) = (self.state.end_take(), self.cluster.clone());
        Some(Checkpoint { number, applied_sequence: log.applied_sequence, last_event: log.events, changes, log, cluster, outbox })
    }

    /// A checkpoint as of now, at once.
    ///
    /// # Panics
    /// When one is being taken.
    pub fn checkpoint(&mut self) -> Checkpoint {
        self.begin_checkpoint();
        self.take_rows(usize::MAX).expect("all rows are taken")
    }

    /// The store has all checkpoints up to `number`.
    pub fn checkpoint_written(&mut self, number: u64) {
        self.state.written(number);
    }

    /// Forgets rows that can be read again, when many are kept: some of each kind, so that the next turn need not wait long.
    pub fn forget_rows(&mut self, least: usize) {
        self.state.forget_some(least);
    }
}

fn check_cluster(store: &dyn StateStore, wanted: &ClusterRow) -> Result<(), OpenError> {
    let Some(found) = read::<ClusterRow>(store, Kind::Cluster) else {
        return Ok(());
    };
    if (&found.cluster_id, found.log, found.logs) != (&wanted.cluster_id, wanted.log, wanted.logs) {
        return Err(OpenError::OtherCluster {
            found: found.cluster_id,
            found_log: found.log,
            found_logs: found.logs,
            wanted: wanted.cluster_id.clone(),
            log: wanted.log,
            logs: wanted.logs,
        });
    }
    if found.assignment != wanted.assignment {
        return Err(OpenError::OtherPartitions { found: found.assignment, wanted: wanted.assignment.clone() });
    }
    Ok(())
}

fn read<M: prost::Message + Default>(store: &(impl StateReader + ?Sized), kind: Kind) -> Option<M> {
    let bytes = store.get(&keys::prefix(kind))?;
    Some(M::decode(bytes.as_slice()).unwrap_or_else(|error| panic!("the row {kind:?} cannot be decoded: {error}")))
}
