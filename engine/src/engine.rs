//! The loop of one log: entries in, turns, effects out; queries in between; ticks and checkpoints when they are due.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::{Client, Subject, jetstream};
use bytes::Bytes;
use emshop_core::rules::{self, UnknownRules};
use emshop_core::state::store::StateStore;
use emshop_log::{CommandLog, LogError};
use emshop_proto::envelope::{self, ENVELOPE_BYTES_MAX};
use emshop_proto::internal::{Envelope, Query, QueryReply, Record, Rules, Tick, query, query_reply, record};
use emshop_proto::partitioner::Partitioner;
use prost::Message as _;
use tokio::sync::{oneshot, watch};

use crate::checkpoint::Writer;
use crate::events::Relay;
use crate::inspection::Inspector;
use crate::intake::{self, Input, Message};
use crate::post::{LocalIngress, Post};
use crate::recovery;
use crate::schedule::Schedule;
use emshop_core::queries;
use emshop_core::replica::{OpenError, Replica, TurnEffects};

/// Messages of the inbox taken between two turns.
const MESSAGES_PER_TURN_MAX: usize = 256;
/// Events that may be unpublished before the engine stops taking entries.
const EVENTS_BEHIND_MAX: u64 = 200_000;
/// How often the timers are looked at.
const TIMER_INTERVAL: Duration = Duration::from_millis(100);
/// A tick that did not come back is given up after this and sent again.
const TICK_PATIENCE: Duration = Duration::from_secs(5);
const CHANNEL_RETRY_INTERVAL: Duration = Duration::from_millis(250);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Rows of each kind that are taken for a checkpoint, or at least looked at to forget them, between two turns.
const ROWS_PER_TURN: usize = 2_048;
/// Envelopes that stay in the log below the durable sequence, for people who want to look at them; fewer when they would fill more than
/// this part of the log.
const LOG_KEPT_ENVELOPES: u64 = 10_000;
const LOG_KEPT_PART: u64 = 4;
const TRIM_INTERVAL: Duration = Duration::from_secs(10);

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Changed rows go to the store after this long …
    pub checkpoint_interval: Duration,
    /// … or when there are so many.
    pub checkpoint_rows_max: usize,
    /// What the log may grow to.
    pub log_bytes_max: u64,
}

impl Options {
    /// Envelopes that stay below the durable sequence. If each were full, they leave room for new ones.
    fn log_kept_envelopes(&self) -> u64 {
        LOG_KEPT_ENVELOPES.min(self.log_bytes_max / LOG_KEPT_PART / ENVELOPE_BYTES_MAX as u64)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { checkpoint_interval: Duration::from_secs(1), checkpoint_rows_max: 100_000, log_bytes_max: 8 << 30 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    State(#[from] OpenError),
    #[error("log {log}, sequence {sequence} cannot be read: {source}. Nothing after it is applied")]
    Undecodable { log: u32, sequence: u64, source: envelope::DecodeError },
    #[error("log {log}, sequence {sequence}: {source}. Nothing from there on is applied")]
    Rules { log: u32, sequence: u64, source: UnknownRules },
    #[error("NATS: {0}")]
    Nats(String),
    #[error(transparent)]
    Stopped(Arc<Self>),
}

/// What the engine is connected to.
pub struct Connections {
    /// All logs of the cluster, by number: its own to read, the others to send steps to.
    pub logs: Vec<Arc<dyn CommandLog>>,
    pub store: Arc<dyn StateStore>,
    pub cluster_id: String,
    pub partitioner: Partitioner,
    /// For queries and answers.
    pub core: Client,
    /// For events.
    pub publish: Client,
    /// The ingress of this process, if there is one: its answers need no way around by NATS.
    pub local: Option<LocalIngress>,
}

/// A running engine of one log.
pub struct Engine {
    inbox: Sender<Message>,
    failure: watch::Receiver<Option<Arc<EngineError>>>,
    stopped: oneshot::Receiver<()>,
}

impl Engine {
    /// Opens the state, replays what the log has beyond it, and serves. Returns when it is as far as the log was at the start.
    pub async fn start(number: u32, options: Options, connections: Connections) -> Result<Self, EngineError> {
        let replica = Replica::open(&connections.store, &connections.cluster_id, number, connections.partitioner)?;
        let log = Arc::clone(&connections.logs[number as usize]);
        let bounds = recovery::check_log(log.as_ref(), replica.applied_sequence()).await?;
        let context = jetstream::new(connections.publish.clone());
        let relay = Relay::start(context, number, replica.last_event()).await;
        let relay = relay.map_err(|error| EngineError::Nats(error.to_string()))?;
        let post = Post::start(connections.core.clone(), connections.local);
        let (inbox, messages) = channel();
        let written = {
            let inbox = inbox.clone();
            move |number| drop(inbox.send(Message::CheckpointWritten { number }))
        };
        let durable = replica.applied_sequence();
        let writer = Writer::start(Arc::clone(&connections.store), durable, relay.published.clone(), written);
        let inspector = Inspector::new(Arc::clone(&connections.store), post.clone());
        let schedule = Schedule::new(options.checkpoint_interval, options.checkpoint_rows_max, durable);
        tokio::spawn(intake::read_log(Arc::clone(&log), durable + 1, inbox.clone()));

        let (caught_up, caught_up_receiver) = oneshot::channel();
        let (failure, failure_receiver) = watch::channel(None);
        let (stopped, stopped_receiver) = oneshot::channel();
        let engine_loop = Loop {
            replica,
            log_kept_envelopes: options.log_kept_envelopes(),
            logs: connections.logs.clone(),
            relay,
            post: post.clone(),
            writer,
            schedule,
            inspector,
            inbox: inbox.clone(),
            entries: VecDeque::new(),
            runtime: tokio::runtime::Handle::current(),
            sending: HashSet::new(),
            tick: TickState::Idle,
            replay: Some(Replay { until: bounds.last, caught_up, last_progress: Instant::now() }),
            last_timers: Instant::now(),
            last_trim: Instant::now(),
        };
        let run = move || {
            if let Err(error) = engine_loop.run(&messages) {
                tracing::error!(log = number, %error, "the engine stopped");
                failure.send_replace(Some(Arc::new(error)));
            }
            let _ = stopped.send(());
        };
        std::thread::Builder::new().name(format!("engine-{number}")).spawn(run).expect("threads can be started");
        let engine = Self { inbox, failure: failure_receiver, stopped: stopped_receiver };
        engine.wait_until(caught_up_receiver).await?;
        intake::serve_queries(number, connections.core, engine.inbox.clone(), post).await?;
        Ok(engine)
    }

    async fn wait_until(&self, caught_up: oneshot::Receiver<()>) -> Result<(), EngineError> {
        let mut failure = self.failure.clone();
        tokio::select! {
            Ok(()) = caught_up => Ok(()),
            error = failed(&mut failure) => Err(EngineError::Stopped(error)),
        }
    }

    /// Resolves when the engine cannot go on, with the reason.
    pub async fn failed(&self) -> Arc<EngineError> {
        failed(&mut self.failure.clone()).await
    }

    /// Writes a last checkpoint, and ends.
    pub async fn stop(self) {
        let _ = self.inbox.send(Message::Stop);
        let _ = self.stopped.await;
    }
}

async fn failed(failure: &mut watch::Receiver<Option<Arc<EngineError>>>) -> Arc<EngineError> {
    match failure.wait_for(Option::is_some).await {
        Ok(failure) => failure.clone().expect("waited for it"),
        // The engine was stopped: it cannot fail any more.
        Err(_) => std::future::pending().await,
    }
}

/// Whether a record of the engine's own is on its way through the log.
enum TickState {
    Idle,
    Appending { since: Instant },
    InLog { sequence: u64 },
}

/// Until the engine is as far as the log was when it started.
struct Replay {
    until: u64,
    caught_up: oneshot::Sender<()>,
    last_progress: Instant,
}

struct Loop {
    replica: Replica,
    log_kept_envelopes: u64,
    logs: Vec<Arc<dyn CommandLog>>,
    relay: Relay,
    post: Post,
    writer: Writer,
    schedule: Schedule,
    inspector: Inspector,
    inbox: Sender<Message>,
    /// Read, but not applied yet.
    entries: VecDeque<Input>,
    runtime: tokio::runtime::Handle,
    /// Logs to which an envelope of steps is on its way: one at a time, so that none overtakes another.
    sending: HashSet<u32>,
    tick: TickState,
    replay: Option<Replay>,
    last_timers: Instant,
    last_trim: Instant,
}

impl Loop {
    fn run(mut self, messages: &Receiver<Message>) -> Result<(), EngineError> {
        self.replica.outbox.targets().into_iter().for_each(|target| self.send_steps(target));
        loop {
            for message in messages.try_iter().take(MESSAGES_PER_TURN_MAX) {
                if self.take(message)? {
                    self.stop();
                    return Ok(());
                }
            }
            self.progress();
            self.housekeeping();
            if let Some(input) = self.next_entry() {
                self.turn(input);
            } else if !self.replica.is_taking()
                && let Ok(message) = messages.recv_timeout(TIMER_INTERVAL)
                && self.take(message)?
            {
                self.stop();
                return Ok(());
            }
        }
    }

    /// The next entry, unless the store or downstream must catch up first.
    fn next_entry(&mut self) -> Option<Input> {
        let events_behind = self.replica.last_event().saturating_sub(*self.relay.published.borrow());
        if events_behind > EVENTS_BEHIND_MAX || self.schedule.is_behind(self.replica.changed_rows()) {
            return None;
        }
        self.entries.pop_front()
    }

    fn turn(&mut self, input: Input) {
        let effects = self.replica.turn(input.sequence, input.time_ms, input.entry);
        self.perform(effects);
        if matches!(self.tick, TickState::InLog { sequence } if sequence <= input.sequence) {
            self.tick = TickState::Idle;
        }
    }

    fn perform(&mut self, effects: TurnEffects) {
        for (writer, outcomes) in effects.outcomes {
            self.post.send_outcomes(writer, outcomes);
        }
        self.relay.publish(effects.events);
        effects.channels.into_iter().for_each(|target| self.send_steps(target));
    }

    /// `true` when the engine is to stop.
    fn take(&mut self, message: Message) -> Result<bool, EngineError> {
        match message {
            Message::Entry(input) => self.entries.push_back(input),
            Message::Query { query, reply, .. } => self.answer(query, reply),
            Message::ChannelAcknowledged { target, number } => {
                self.replica.outbox.acknowledged(target, number);
                self.sending.remove(&target);
                self.send_steps(target);
            }
            Message::CheckpointWritten { number } => {
                self.replica.checkpoint_written(number);
                self.schedule.written(number);
            }
            Message::TickAppended { result } => {
                let applied = self.replica.applied_sequence();
                self.tick = match result {
                    Some(sequence) if sequence > applied => TickState::InLog { sequence },
                    _ => TickState::Idle,
                };
            }
            Message::LogFailed(error) => return Err(error),
            Message::Stop => return Ok(true),
        }
        Ok(false)
    }

    fn answer(&mut self, query: Query, reply: Subject) {
        if matches!(query.body, Some(query::Body::Inspect(_))) {
            return self.inspect(reply);
        }
        if let Some(answer) = queries::answer(&mut self.replica, query) {
            self.post.send(reply, answer.encode_to_vec());
        }
    }

    /// Answers with what a checkpoint taken now says, in its own time.
    fn inspect(&mut self, reply: Subject) {
        match self.inspector.begin(reply.clone()) {
            Ok(inspection) => {
                self.checkpoint();
                self.writer.when_written(|| inspection.start());
            }
            Err(refusal) => {
                let body = Some(query_reply::Body::Refusal(*refusal));
                self.post.send(reply, QueryReply { body }.encode_to_vec());
            }
        }
    }

    /// Sends the front of the outbox to `target`, again and again until it is in that log.
    fn send_steps(&mut self, target: u32) {
        if self.sending.contains(&target) {
            return;
        }
        let Some((number, steps)) = self.replica.outbox.envelope(self.replica.number(), target) else {
            return;
        };
        self.sending.insert(target);
        let (log, inbox) = (Arc::clone(&self.logs[target as usize]), self.inbox.clone());
        let payload = envelope::encode(&steps);
        self.runtime.spawn(async move {
            while let Err(error) = log.append(payload.clone()).await {
                tracing::warn!(target, %error, "steps for another log are not acknowledged, sending them again");
                tokio::time::sleep(CHANNEL_RETRY_INTERVAL).await;
            }
            let _ = inbox.send(Message::ChannelAcknowledged { target, number });
        });
    }

    fn progress(&mut self) {
        let Some(replay) = &mut self.replay else { return };
        let applied = self.replica.applied_sequence();
        if applied >= replay.until {
            let replay = self.replay.take().expect("just looked at");
            let _ = replay.caught_up.send(());
        } else if replay.last_progress.elapsed() > PROGRESS_INTERVAL {
            replay.last_progress = Instant::now();
            tracing::info!(log = self.replica.number(), applied, until = replay.until, "replaying the log");
        }
    }

    fn housekeeping(&mut self) {
        if self.schedule.is_due(self.replica.changed_rows(), self.replica.applied_sequence()) {
            self.begin_checkpoint();
        }
        self.take_rows(ROWS_PER_TURN);
        // Reads and refused commands keep rows as well.
        self.replica.forget_rows(ROWS_PER_TURN);
        if self.last_timers.elapsed() > TIMER_INTERVAL && self.replay.is_none() {
            self.last_timers = Instant::now();
            self.append_when_due();
        }
        if self.last_trim.elapsed() > TRIM_INTERVAL {
            self.last_trim = Instant::now();
            self.trim();
        }
    }

    fn begin_checkpoint(&mut self) {
        let number = self.replica.begin_checkpoint();
        self.schedule.taken(number, self.replica.applied_sequence());
    }

    fn take_rows(&mut self, most: usize) {
        if let Some(checkpoint) = self.replica.take_rows(most) {
            self.writer.write(checkpoint);
        }
    }

    /// A checkpoint as of now, behind the one that is being taken.
    fn checkpoint(&mut self) {
        self.take_rows(usize::MAX);
        self.begin_checkpoint();
        self.take_rows(usize::MAX);
    }

    /// Appends what the engine itself has to say, one record at a time.
    fn append_when_due(&mut self) {
        let given_up = matches!(self.tick, TickState::Appending { since } if since.elapsed() > TICK_PATIENCE);
        if !(matches!(self.tick, TickState::Idle) || given_up) {
            return;
        }
        let Some(body) = self.own_record() else { return };
        self.tick = TickState::Appending { since: Instant::now() };
        let record = Record { body: Some(body), ..Record::default() };
        let payload: Bytes = envelope::encode(&Envelope { records: vec![record], ..Envelope::default() });
        let append = self.logs[self.replica.number() as usize].append(payload);
        let inbox = self.inbox.clone();
        self.runtime.spawn(async move {
            let result = append.await.ok();
            let _ = inbox.send(Message::TickAppended { result });
        });
    }

    /// The rules of this release, when the log is not applied by them yet; or a tick, when something is due by this machine's clock: the log's
    /// clock then decides.
    fn own_record(&mut self) -> Option<record::Body> {
        if self.replica.rules() < rules::VERSION {
            return Some(record::Body::Rules(Rules { version: rules::VERSION }));
        }
        self.replica.next_due_ms().filter(|due_ms| *due_ms <= now_ms()).map(|_| record::Body::Tick(Tick {}))
    }

    fn trim(&self) {
        let keep_from = (self.writer.durable_sequence() + 1).saturating_sub(self.log_kept_envelopes);
        if keep_from < 2 {
            return;
        }
        let log = Arc::clone(&self.logs[self.replica.number() as usize]);
        self.runtime.spawn(async move {
            if let Err(error) = log.trim(keep_from).await {
                tracing::warn!(%error, "the log could not be trimmed");
            }
        });
    }

    fn stop(mut self) {
        self.inspector.cancel();
        self.checkpoint();
        // Ends the relay when it has published the rest, or has no way to.
        drop(self.relay);
        self.writer.stop();
        self.inspector.wait(&self.runtime);
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set after 1970");
    i64::try_from(now.as_millis()).expect("the clock is set before the year 292 million")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_a_log_leaves_room_in_it() {
        let kept = |log_bytes_max| Options { log_bytes_max, ..Options::default() }.log_kept_envelopes();
        assert_eq!([8 << 30, 256 << 20, 1 << 20].map(kept), [10_000, 1_365, 5]);
    }
}
