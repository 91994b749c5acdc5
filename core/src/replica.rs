//! The turn: one envelope of the log, applied to the end of every step that it causes inside the log.
//!
//! Phase by phase all partitions apply their mailboxes side by side and what they send is delivered, ordered by the record that
//! caused it. So the result depends on the log alone, never on threads or on what was checkpointed when.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::state::keys::{self, Kind, WHOLE_LOG};
use crate::state::store::{Change, StateStore};
use emshop_proto::events::EventType;
use emshop_proto::internal::{ClusterRow, Envelope, LogRow, Record, Step, Waiter, record};
use emshop_proto::partitioner::{PARTITIONS, Partitioner, Place};
use emshop_proto::routing;
use emshop_proto::v1::{Event, Outcome, event};
use prost::Message as _;
use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};

use crate::context::{Message, Request};
use crate::effects::Caused;
use crate::outbox::Outbox;
use crate::partition::Partition;
use crate::timer;

/// Phases of a turn: a submit takes five (reserve, reply, release, reply, end), and nine when it asks a cart before and after. More means
/// that steps chase each other.
const PHASES_MAX: usize = 64;

/// Below so many messages a phase is done sooner by one thread than shared out.
const SHARED_MESSAGES_MIN: usize = 64;

/// What a turn leads to outside of the state. Replay makes the same again.
#[derive(Debug, Default)]
pub struct TurnEffects {
    /// By writer, each with the ticket of whoever waits.
    pub outcomes: BTreeMap<u64, Vec<(u64, Outcome)>>,
    /// Numbered, each with the number of the one before it of its type.
    pub events: Vec<NumberedEvent>,
    /// Other logs that have something to take from the outbox.
    pub channels: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NumberedEvent {
    pub event_type: EventType,
    /// Number of the event of the same type before it; 0 when there is none.
    pub previous_number: u64,
    pub event: Event,
}

/// All changes since the last checkpoint, to be written as one.
pub struct Checkpoint {
    pub number: u64,
    pub applied_sequence: u64,
    pub last_event: u64,
    pub changes: Vec<Change>,
}

/// The state of one log and the turns over it.
pub struct Replica {
    cluster: ClusterRow,
    partitioner: Partitioner,
    partitions: Vec<Partition>,
    log: LogRow,
    pub outbox: Outbox,
    shards: Option<rayon::ThreadPool>,
    checkpoints: u64,
}

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    #[error(
        "the state belongs to log {found_log} of {found_logs} in cluster {found}, but the log is {log} of {logs} in cluster {wanted}: \
         point the engine at the right data folder, or move this one away to build the state anew from the log"
    )]
    OtherCluster { found: String, found_log: u32, found_logs: u32, wanted: String, log: u32, logs: u32 },
    #[error("the state has {found} partitions a log, but this release makes {PARTITIONS}: it cannot be read")]
    OtherPartitions { found: u32 },
}

impl Replica {
    /// Opens the state of log `log` as of its last checkpoint. `shards` threads apply partitions side by side.
    pub fn open(store: &Arc<dyn StateStore>, cluster: ClusterRow, shards: usize) -> Result<Self, OpenError> {
        check_cluster(store.as_ref(), &cluster)?;
        let log = read(store.as_ref(), Kind::Log).unwrap_or_default();
        let place = |partition| Place { log: cluster.log, partition };
        let partitions = (0..PARTITIONS).map(|partition| Partition::new(place(partition), store)).collect();
        let shards = (shards > 1).then(|| {
            let name = move |index| format!("shard-{index}");
            rayon::ThreadPoolBuilder::new().num_threads(shards).thread_name(name).build().expect("threads can be started")
        });
        let outbox = Outbox::load(store.as_ref());
        let partitioner = Partitioner::new(cluster.logs);
        Ok(Self { cluster, partitioner, partitions, log, outbox, shards, checkpoints: 0 })
    }

    pub fn number(&self) -> u32 {
        self.cluster.log
    }

    pub fn applied_sequence(&self) -> u64 {
        self.log.applied_sequence
    }

    pub fn log_time_ms(&self) -> i64 {
        self.log.log_time_ms
    }

    pub fn last_event(&self) -> u64 {
        self.log.events
    }

    pub fn partitions(&mut self) -> &mut [Partition] {
        &mut self.partitions
    }

    /// The partition of a key in this log.
    pub fn partition(&mut self, place: Place) -> &mut Partition {
        assert_eq!(place.log, self.cluster.log, "a key of log {} came to log {}", place.log, self.cluster.log);
        &mut self.partitions[place.partition as usize]
    }

    pub fn partitioner(&self) -> Partitioner {
        self.partitioner
    }

    /// When the next timer is due, in log time.
    pub fn next_due_ms(&mut self) -> Option<i64> {
        let time_ms = self.log.log_time_ms;
        self.partitions.iter_mut().filter_map(|partition| timer::next_due_ms(&mut partition.state, time_ms)).min()
    }

    /// Applies the envelope at `sequence`, which the log took at `time_ms`.
    ///
    /// # Panics
    /// When it is not the next one, or an invariant is broken.
    pub fn turn(&mut self, sequence: u64, time_ms: i64, envelope: Envelope) -> TurnEffects {
        assert_eq!(sequence, self.log.applied_sequence + 1, "envelopes are applied in order, each once");
        self.log.applied_sequence = sequence;
        self.log.log_time_ms = self.log.log_time_ms.max(time_ms);
        self.deliver(envelope);
        let mut sent_out = Vec::new();
        for _ in 0..PHASES_MAX {
            if !self.phase(&mut sent_out) {
                return self.gather(sent_out);
            }
        }
        panic!("a turn did not come to an end within {PHASES_MAX} phases");
    }

    /// Puts the records into the mailboxes of their partitions.
    fn deliver(&mut self, envelope: Envelope) {
        let fresh = match &envelope.channel {
            Some(channel) => self.take_from_channel(channel.source_log, channel.first_number, envelope.records.len()),
            None => 0..envelope.records.len(),
        };
        let writer = envelope.writer;
        for (index, record) in envelope.records.into_iter().enumerate() {
            if fresh.contains(&index) {
                self.deliver_record(index as u32, writer, record);
            }
        }
    }

    fn deliver_record(&mut self, cause: u32, writer: u64, record: Record) {
        let Record { ticket, body_hash, operator, body } = record;
        let waiter = Waiter { writer, ticket, ..Waiter::default() };
        let (place, what) = match body.expect("a record has a body") {
            record::Body::Command(command) => {
                let place = routing::place(&self.partitioner, &command).expect("a command has a body");
                (place, Message::Command(Request { command, body_hash, waiter, operator }))
            }
            record::Body::AccountCommand(command) => {
                let place = routing::place_of_account(&self.partitioner, &command).expect("a command has a body");
                (place, Message::Account(Box::new(Request { command, body_hash, waiter, operator })))
            }
            record::Body::Step(step) => (self.place_of(&step), Message::Step(Box::new(step))),
            record::Body::Tick(_) => {
                for partition in &mut self.partitions {
                    partition.mailbox.push(Caused { cause, what: Message::Tick });
                }
                return;
            }
        };
        self.partition(place).mailbox.push(Caused { cause, what });
    }

    /// Where a step from another log goes: to the aggregate it asks, or to the owner it answers.
    fn place_of(&self, step: &Step) -> Place {
        use emshop_proto::internal::step::Body;
        let partitioner = &self.partitioner;
        match step.body.as_ref().expect("steps have a body") {
            Body::Request(request) => partitioner.of_goods(request.lines.first().expect("a request has lines").goods_id),
            Body::CartRequest(request) => partitioner.of_user(request.user_id),
            Body::BalanceRequest(request) => partitioner.of_user(request.user_id),
            Body::MobileRequest(request) => partitioner.of_mobile(&request.mobile),
            Body::CatalogueRequest(_) => partitioner.of_catalogue(),
            Body::FavouriteRequest(request) => partitioner.of_goods(request.goods_id),
            Body::Reply(_)
            | Body::CartReply(_)
            | Body::BalanceReply(_)
            | Body::MobileReply(_)
            | Body::CatalogueReply(_)
            | Body::FavouriteReply(_) => {
                let owner = step.owner.as_ref().expect("steps have an owner");
                Place { log: owner.log, partition: owner.partition }
            }
        }
    }

    /// Which of `count` records from another log are the next ones: those above the last number taken, when none is missing.
    fn take_from_channel(&mut self, source_log: u32, first_number: u64, count: usize) -> std::ops::Range<usize> {
        let taken = self.log.channels_in.entry(source_log).or_default();
        let next = *taken + 1;
        let end = first_number + count as u64;
        if first_number > next || end <= next {
            return 0..0;
        }
        *taken = end - 1;
        (next - first_number) as usize..count
    }

    /// One phase. `false` when there was nothing left to apply.
    fn phase(&mut self, sent_out: &mut Vec<Caused<(u32, Step)>>) -> bool {
        let messages: usize = self.partitions.iter().map(|partition| partition.mailbox.len()).sum();
        if messages == 0 {
            return false;
        }
        let (partitioner, sequence, time_ms) = (self.partitioner, self.log.applied_sequence, self.log.log_time_ms);
        match &self.shards {
            Some(shards) if messages >= SHARED_MESSAGES_MIN => shards.install(|| {
                self.partitions.par_iter_mut().for_each(|partition| partition.apply(partitioner, sequence, time_ms));
            }),
            _ => self.partitions.iter_mut().for_each(|partition| partition.apply(partitioner, sequence, time_ms)),
        }
        self.exchange(sent_out);
        true
    }

    /// Delivers what the partitions sent each other; steps for other logs are kept aside.
    fn exchange(&mut self, sent_out: &mut Vec<Caused<(u32, Step)>>) {
        let mut phase_out = Vec::new();
        for source in 0..self.partitions.len() {
            for Caused { cause, what: (place, step) } in std::mem::take(&mut self.partitions[source].effects.steps) {
                if place.log == self.cluster.log {
                    let mailbox = &mut self.partitions[place.partition as usize].mailbox;
                    mailbox.push(Caused { cause, what: Message::Step(Box::new(step)) });
                } else {
                    phase_out.push(Caused { cause, what: (place.log, step) });
                }
            }
        }
        for partition in &mut self.partitions {
            partition.mailbox.sort_by_key(|message| message.cause);
        }
        phase_out.sort_by_key(|sent| sent.cause);
        sent_out.append(&mut phase_out);
    }

    /// Numbers events and outgoing steps, and collects the outcomes.
    fn gather(&mut self, sent_out: Vec<Caused<(u32, Step)>>) -> TurnEffects {
        let mut effects = TurnEffects::default();
        let (mut events, mut outcomes, mut stock_events) = (Vec::new(), Vec::new(), Vec::new());
        let (sequence, time_ms) = (self.log.applied_sequence, self.log.log_time_ms);
        for partition in &mut self.partitions {
            events.append(&mut partition.effects.events);
            outcomes.append(&mut partition.effects.outcomes);
            partition.write_stock_history(sequence, time_ms);
            partition.stock_events(&mut stock_events);
        }
        events.sort_by_key(|event| event.cause);
        let events = events.into_iter().map(|event| event.what).chain(stock_events);
        effects.events = events.map(|(event_type, body)| self.number_event(event_type, body)).collect();
        for Caused { what: (waiter, outcome), .. } in outcomes {
            effects.outcomes.entry(waiter.writer).or_default().push((waiter.ticket, outcome));
        }
        for Caused { what: (target, step), .. } in sent_out {
            let number = self.log.channels_out.entry(target).or_default();
            *number += 1;
            self.outbox.push(target, *number, step);
            if !effects.channels.contains(&target) {
                effects.channels.push(target);
            }
        }
        effects
    }

    fn number_event(&mut self, event_type: EventType, body: event::Body) -> NumberedEvent {
        self.log.events += 1;
        let number = self.log.events;
        let previous_number = self.log.events_by_type.insert(event_type as u32, number).unwrap_or(0);
        let (log_sequence, at_ms) = (self.log.applied_sequence, self.log.log_time_ms);
        NumberedEvent { event_type, previous_number, event: Event { number, log_sequence, at_ms, body: Some(body) } }
    }

    /// Rows that the next checkpoint will carry.
    pub fn changed_rows(&mut self) -> usize {
        self.partitions.iter_mut().map(|partition| partition.state.changed_len()).sum()
    }

    /// Takes all changes since the last checkpoint. The rows stay in memory until [`Replica::checkpoint_written`].
    pub fn checkpoint(&mut self) -> Checkpoint {
        self.checkpoints += 1;
        let mut changes = Vec::with_capacity(self.changed_rows() + 2);
        for partition in &mut self.partitions {
            partition.state.take_changes(self.checkpoints, &mut changes);
        }
        changes.push((keys::prefix(WHOLE_LOG, Kind::Log).to_vec(), Some(self.log.encode_to_vec())));
        changes.push((keys::prefix(WHOLE_LOG, Kind::Cluster).to_vec(), Some(self.cluster.encode_to_vec())));
        self.outbox.take_changes(&mut changes);
        Checkpoint { number: self.checkpoints, applied_sequence: self.log.applied_sequence, last_event: self.log.events, changes }
    }

    /// The store has all checkpoints up to `number`.
    pub fn checkpoint_written(&mut self, number: u64) {
        for partition in &mut self.partitions {
            partition.state.evict(number);
        }
    }
}

fn check_cluster(store: &dyn StateStore, wanted: &ClusterRow) -> Result<(), OpenError> {
    let Some(found) = read::<ClusterRow>(store, Kind::Cluster) else {
        return Ok(());
    };
    if found.partitions != PARTITIONS {
        return Err(OpenError::OtherPartitions { found: found.partitions });
    }
    if found != *wanted {
        return Err(OpenError::OtherCluster {
            found: found.cluster_id,
            found_log: found.log,
            found_logs: found.logs,
            wanted: wanted.cluster_id.clone(),
            log: wanted.log,
            logs: wanted.logs,
        });
    }
    Ok(())
}

fn read<M: prost::Message + Default>(store: &dyn StateStore, kind: Kind) -> Option<M> {
    let bytes = store.get(&keys::prefix(WHOLE_LOG, kind))?;
    Some(M::decode(bytes.as_slice()).unwrap_or_else(|error| panic!("the row {kind:?} cannot be decoded: {error}")))
}
