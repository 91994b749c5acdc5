//! Carries out what the shell of one log decides: the log is read and appended to, checkpoints are written, events published, clients answered.
//!
//! Reading order: [`lease`] (whose log it is), [`facts`] (what a start finds), [`intake`] (entries and queries on their way to the loop), this file (the loop), [`writer`] (state to disk), [`publisher`]
//! (events), [`post`] (answers), [`inspection`] (a long read beside all that), [`metrics`] (what is measured of it),
//! [`business`], [`sagas`] and [`hot`] (and of the shop), [`spans`] (what is done of single calls).

pub mod business;
pub mod facts;
#[cfg(all(test, feature = "shuttle"))]
mod handoffs;
pub mod hot;
pub mod inspection;
pub mod intake;
pub mod lease;
pub mod metrics;
pub mod post;
pub mod publisher;
pub mod sagas;
pub mod spans;
pub mod writer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::{Client, jetstream};
use emshop_core::replica::{OpenError, Replica};
use emshop_core::state::store::StateStore;
use emshop_log::jetstream::{Lease, Leases, Pulse};
use emshop_log::lease::Holder;
use emshop_log::{AppendError, CommandLog, LogError};
use emshop_proto::envelope;
use emshop_proto::internal::{EngineProgress, QueryReply, ShopLimits, query_reply};
use emshop_proto::letters::Letters;
use emshop_proto::partitioner::Partitioner;
use emshop_proto::subjects::{self, Epoch};
use emshop_telemetry::Registry;
use emshop_telemetry::traces::Traces;
use nix::time::{ClockId, clock_gettime};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::task::JoinHandle;

use self::business::Business;
use self::hot::HotBoard;
use self::inspection::Inspector;
use self::intake::Message;
use self::lease::{Heartbeat, Hold};
use self::metrics::Metrics;
use self::post::{Author, LocalIngress, Post};
use self::publisher::Publisher;
use self::sagas::Sagas;
use self::spans::Tracer;
use self::writer::Writer;
use crate::shell::own::TIMER_INTERVAL;
use crate::shell::{Action, Input, LogEntry, Now, Purpose, Shell};
pub use crate::shell::{EngineError, Options};

/// Messages of the inbox taken between two turns.
const MESSAGES_PER_TURN_MAX: usize = 256;
/// … but for no longer than this while entries wait: reads of many rows take turns with them.
const MESSAGES_TIME_MAX: Duration = Duration::from_millis(2);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// How soon ingresses hear how far the engine is, which decides how much they send, …
const TELL_AFTER: Duration = Duration::from_millis(10);
/// … and how often at least, so that they know it is there.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// How often it is measured how the engine is, and the shop.
const MEASURE_EVERY: Duration = Duration::from_millis(250);

/// What the engine is connected to.
pub struct Connections {
    /// All logs of the cluster, by number: its own to read, the others to send steps to.
    pub logs: Vec<Arc<dyn CommandLog>>,
    pub store: Arc<dyn StateStore>,
    pub leases: Leases,
    /// Who this engine is, for those that want the same log.
    pub holder: Holder,
    pub cluster_id: String,
    pub epoch: Epoch,
    pub partitioner: Partitioner,
    /// For queries and answers.
    pub core: Client,
    /// For events.
    pub publish: Client,
    /// Is told what comes of publishing them.
    pub pulse: Pulse,
    /// The ingress of this process, if there is one: its answers need no way around by NATS.
    pub local: Option<LocalIngress>,
    /// Where it is measured.
    pub registry: Registry,
    /// Where spans of traced calls go.
    pub traces: Traces,
}

/// A running engine of one log.
pub struct Engine {
    inbox: Sender<Message>,
    failure: watch::Receiver<Option<Arc<EngineError>>>,
    stopped: oneshot::Receiver<()>,
    hold: Hold,
    hot: HotBoard,
    lease: LeaseKeeper,
}

/// Tells an engine what the shop allows its users.
pub struct Limiter(Sender<Message>);

impl Limiter {
    /// From now on it is this: the log is told of it, unless it is in force there.
    pub fn limit(&self, limits: ShopLimits) {
        // Of an engine that has ended the next one hears.
        let _ = self.0.send(Message::Input(Input::Limits(limits)));
    }
}

/// What keeps the lease of the log until it is told that the engine has ended.
struct LeaseKeeper {
    ended: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl LeaseKeeper {
    fn start(lease: Lease, clock: Clock, heartbeat: Heartbeat, inbox: Sender<Message>) -> Self {
        let (ended, is_ended) = oneshot::channel();
        Self { ended, task: tokio::spawn(lease::keep(lease, clock, heartbeat, inbox, is_ended)) }
    }

    async fn release(self) {
        drop(self.ended);
        let _ = self.task.await;
    }
}

impl Engine {
    /// Opens the state, waits until no other engine has the log, replays what the log has beyond it, and serves. Returns when it is as far
    /// as the log was at the start.
    pub async fn start(number: u32, options: Options, connections: Connections) -> Result<Self, EngineError> {
        let (inbox, messages) = channel();
        let clock = Clock::start();
        let log = Arc::clone(&connections.logs[number as usize]);
        // Before the lease: whose disk stands still does not get it.
        let replica = open(number, &connections).await?;
        let next = replica.applied_sequence() + 1;
        let lease = connections.leases.acquire(number, &connections.holder, async || reaches(log.as_ref(), next).await);
        let heartbeat = Heartbeat::default();
        let lease = LeaseKeeper::start(lease.await?, clock, heartbeat.clone(), inbox.clone());
        let voids = intake::void_entries(log.as_ref(), next).await?;
        let context = jetstream::new(connections.publish.clone());
        let facts = facts::gather(&replica, &connections.logs, &context).await?;
        let shell = Shell::start(replica, &options, &facts, clock.now())?;

        let hold = Hold::new(number, clock);
        let logs = connections.logs.len() as u32;
        let metrics = Metrics::new(&connections.registry, number, logs, clock, hold.clone());
        let business = Business::new(&connections.registry, number);
        let sagas = Sagas::new(&connections.registry, number);
        let (tracer, of_publisher) = (Tracer::new(connections.traces.clone(), number), Tracer::new(connections.traces, number));
        let hot = HotBoard::new(&connections.registry, number);
        let letters = Letters::of(log.seal());
        let author = Author { log: number, letters: letters.clone() };
        let post = Post::start(connections.core.clone(), connections.local, author, metrics.clone());
        let (caught_up, caught_up_receiver) = oneshot::channel();
        let tell = |inbox: &Sender<Message>| {
            let inbox = inbox.clone();
            move |input| drop(inbox.send(Message::Input(input)))
        };
        let (written, published) = (tell(&inbox), tell(&inbox));
        let (of_written, of_published) = (metrics.clone(), metrics.clone());
        let hands = Hands {
            number,
            logs: connections.logs.clone(),
            publisher: Publisher::start(context, connections.epoch, number, connections.pulse, move |came| {
                of_published.published(&came);
                if came.result.is_ok() {
                    of_publisher.published(&came.group, came.took);
                }
                published(Input::Published { through: came.group.through, result: came.result })
            }),
            post: post.clone(),
            writer: Writer::start(Arc::clone(&connections.store), move |checkpoint| {
                of_written.written(&checkpoint, clock.now().elapsed);
                written(Input::Written { number: checkpoint.number })
            }),
            inspector: Inspector::new(connections.store),
            inbox: inbox.clone(),
            runtime: tokio::runtime::Handle::current(),
            caught_up: Some(caught_up),
        };
        tokio::spawn(intake::read_log(log, next, voids, inbox.clone(), metrics.clone()));

        let (failure, failure_receiver) = watch::channel(None);
        let (stopped, stopped_receiver) = oneshot::channel();
        let told = Told { applied: 0, at: Duration::ZERO };
        let engine_loop = Loop {
            shell,
            hands,
            clock,
            heartbeat,
            hold: hold.clone(),
            metrics,
            business,
            sagas,
            tracer,
            hot: hot.clone(),
            entries: VecDeque::new(),
            last_progress: Instant::now(),
            told,
            next_measure: Duration::ZERO,
        };
        let run = move || {
            if let Err(error) = engine_loop.run(&messages) {
                tracing::error!(event = "engine.failed", log = number, %error, "the engine stopped");
                failure.send_replace(Some(Arc::new(error)));
            }
            let _ = stopped.send(());
        };
        std::thread::Builder::new().name(format!("engine-{number}")).spawn(run).expect("threads can be started");
        let engine = Self { inbox, failure: failure_receiver, stopped: stopped_receiver, hold, hot, lease };
        engine.wait_until(caught_up_receiver).await?;
        intake::serve_queries(number, connections.core, letters, engine.inbox.clone(), post).await?;
        Ok(engine)
    }

    async fn wait_until(&self, caught_up: oneshot::Receiver<()>) -> Result<(), EngineError> {
        let mut failure = self.failure.clone();
        tokio::select! {
            Ok(()) = caught_up => Ok(()),
            error = failed(&mut failure) => Err(EngineError::Stopped(error)),
        }
    }

    /// How long it has its log: while it has, it serves.
    pub fn hold(&self) -> Hold {
        self.hold.clone()
    }

    /// The SKUs that its log is asked for most.
    pub fn hot(&self) -> HotBoard {
        self.hot.clone()
    }

    /// Whoever has it changes what the shop allows its users.
    pub fn limiter(&self) -> Limiter {
        Limiter(self.inbox.clone())
    }

    /// Resolves when the engine cannot go on, with the reason.
    pub async fn failed(&self) -> Arc<EngineError> {
        failed(&mut self.failure.clone()).await
    }

    /// Writes a last checkpoint, and ends.
    pub async fn stop(self) {
        let _ = self.inbox.send(Message::Stop);
        let _ = self.stopped.await;
        self.lease.release().await;
    }
}

/// Reads what is kept in memory of a state, on a thread that may wait for its disk.
async fn open(number: u32, connections: &Connections) -> Result<Replica, OpenError> {
    let (store, cluster_id) = (Arc::clone(&connections.store), connections.cluster_id.clone());
    let partitioner = connections.partitioner;
    let opened = tokio::task::spawn_blocking(move || Replica::open(&store, &cluster_id, number, partitioner)).await;
    opened.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

/// Whether the log still has what comes behind a state: who waits for a log that is trimmed meanwhile must not take it from one that can go on.
async fn reaches(log: &dyn CommandLog, next: u64) -> Result<(), LogError> {
    match log.bounds().await {
        Err(LogError::Unreachable(_)) => Ok(()),
        bounds => bounds?.admit(log.number(), next),
    }
}

async fn failed(failure: &mut watch::Receiver<Option<Arc<EngineError>>>) -> Arc<EngineError> {
    match failure.wait_for(Option::is_some).await {
        Ok(failure) => failure.clone().expect("waited for it"),
        // The engine was stopped: it cannot fail any more.
        Err(_) => std::future::pending().await,
    }
}

/// What time it is for one engine.
#[derive(Clone, Copy)]
pub struct Clock {
    started: Duration,
}

impl Clock {
    fn start() -> Self {
        Self { started: since_boot() }
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set after 1970");
        Now { elapsed: since_boot().saturating_sub(self.started), wall_ms: wall.as_millis() as i64 }
    }
}

/// By a clock that nobody sets, and that goes on while the machine sleeps: a server elsewhere does not sleep with it.
fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has this clock").into()
}

/// The thread of one engine.
struct Loop {
    shell: Shell,
    hands: Hands,
    clock: Clock,
    heartbeat: Heartbeat,
    hold: Hold,
    metrics: Arc<Metrics>,
    business: Business,
    sagas: Sagas,
    tracer: Tracer,
    hot: HotBoard,
    /// Read, but not applied yet; the reader goes on when they are.
    entries: VecDeque<(LogEntry, OwnedSemaphorePermit)>,
    last_progress: Instant,
    told: Told,
    next_measure: Duration,
}

/// What ingresses heard last of how far the engine is, and when.
struct Told {
    applied: u64,
    at: Duration,
}

impl Loop {
    fn run(mut self, messages: &Receiver<Message>) -> Result<(), EngineError> {
        loop {
            let now = self.clock.now();
            if self.shell.is_well(now) {
                self.heartbeat.beat(now);
            }
            self.shell.work(now);
            while let Some(action) = self.shell.action(self.clock.now()) {
                if matches!(action, Action::End) {
                    self.hands.writer.stop();
                    return Ok(());
                }
                self.hands.carry_out(action);
            }
            self.measure(now);
            self.tell_progress();
            let next_tell = self.tell_ingresses();
            let mut is_idle = !self.shell.is_busy();
            for message in messages.try_iter().take(MESSAGES_PER_TURN_MAX) {
                self.take(message)?;
                is_idle = false;
                if !self.entries.is_empty() && self.clock.now().elapsed.saturating_sub(now.elapsed) > MESSAGES_TIME_MAX {
                    break;
                }
            }
            if self.shell.takes_entries(self.clock.now())
                && let Some((entry, _ahead)) = self.entries.pop_front()
            {
                self.turn(entry)?;
            } else if is_idle && let Ok(message) = messages.recv_timeout(next_tell.min(TIMER_INTERVAL)) {
                self.take(message)?;
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<(), EngineError> {
        let input = match message {
            Message::Entry { entry, ahead } => {
                self.entries.push_back((entry, ahead));
                return Ok(());
            }
            Message::Query { query, reply_to, .. } => {
                let (kind, began) = (metrics::kind_of(&query), Instant::now());
                self.shell.take(Input::Query { query, reply_to }, self.clock.now())?;
                self.metrics.answered(kind, began.elapsed());
                return Ok(());
            }
            Message::Input(input) => input,
            Message::LogFailed(error) => return Err(error),
            Message::Stop => {
                self.hands.inspector.cancel();
                Input::Stop
            }
        };
        let is_renewal = matches!(input, Input::Renewed { .. });
        self.shell.take(input, self.clock.now())?;
        if is_renewal && let Some(until) = self.shell.held_until() {
            self.hold.renewed(until);
        }
        Ok(())
    }

    fn turn(&mut self, entry: LogEntry) -> Result<(), EngineError> {
        let (sequence, records, began) = (entry.sequence, entry.entry.records.len(), Instant::now());
        self.shell.take(Input::Entry(entry), self.clock.now())?;
        let took = began.elapsed();
        self.metrics.turned(sequence, records, took);
        if let Some(spans) = self.shell.take_spans() {
            self.tracer.turned(sequence, took, spans);
        }
        Ok(())
    }

    fn measure(&mut self, now: Now) {
        self.metrics.waits_since(self.entries.front().map(|(entry, _)| entry.time_ms));
        if now.elapsed >= self.next_measure {
            self.next_measure = now.elapsed + MEASURE_EVERY;
            self.metrics.note(&self.shell.vitals(now));
            self.business.note(self.shell.books());
            // What is replayed happened before.
            if self.shell.replaying().is_none() {
                self.sagas.note(self.shell.tally());
            }
            self.shell.tally().clear();
            self.hot.note(self.shell.hot_goods());
        }
    }

    /// Tells ingresses how far the engine is when that is due, and says when it is next.
    fn tell_ingresses(&mut self) -> Duration {
        let now = self.clock.now();
        if self.shell.replaying().is_some() || !self.shell.answers(now) {
            return TELL_EVERY;
        }
        let applied = self.shell.applied();
        let wait = if applied == self.told.applied { TELL_EVERY } else { TELL_AFTER };
        let left = (self.told.at + wait).saturating_sub(now.elapsed);
        if !left.is_zero() {
            return left;
        }
        self.told = Told { applied, at: now.elapsed };
        let progress = EngineProgress { log: self.hands.number, applied };
        self.hands.post.send(subjects::progress(self.hands.number), progress.encode_to_vec());
        TELL_EVERY
    }

    fn tell_progress(&mut self) {
        if let Some((applied, until)) = self.shell.replaying()
            && self.last_progress.elapsed() > PROGRESS_INTERVAL
        {
            self.last_progress = Instant::now();
            tracing::info!(event = "engine.replaying", log = self.hands.number, applied, until, "replaying the log");
        }
    }
}

/// What carries the actions out.
struct Hands {
    number: u32,
    logs: Vec<Arc<dyn CommandLog>>,
    publisher: Publisher,
    post: Post,
    writer: Writer,
    inspector: Inspector,
    inbox: Sender<Message>,
    runtime: tokio::runtime::Handle,
    caught_up: Option<oneshot::Sender<()>>,
}

impl Hands {
    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Append { log, envelope, purpose } => {
                let to = &self.logs[log as usize];
                let payload = envelope::encode(&envelope, to.seal());
                let append = match purpose {
                    Purpose::Own => to.append(payload),
                    Purpose::Steps { after, .. } => to.append_steps(self.number, after, payload),
                };
                let inbox = self.inbox.clone();
                self.runtime.spawn(async move {
                    let result = append.await;
                    match &result {
                        Ok(_) => {}
                        Err(error @ AppendError::NotNext(_)) => tracing::debug!(log, "{error}"),
                        Err(error) => {
                            tracing::warn!(event = "outbox.not_acknowledged", log, %error, ?purpose, "an envelope of the engine's own is not acknowledged")
                        }
                    }
                    let _ = inbox.send(Message::Input(Input::Appended { purpose, result }));
                });
            }
            Action::LookAtSteps { target, acknowledged, after } => {
                let look = self.logs[target as usize].last_steps(self.number, acknowledged);
                let inbox = self.inbox.clone();
                self.runtime.spawn(async move {
                    let result = look.await;
                    let _ = inbox.send(Message::Input(Input::LastSteps { target, acknowledged, after, result }));
                });
            }
            Action::Publish { group, behind } => self.publisher.publish(group, behind),
            Action::Tell { writer, outcomes } => self.post.send_outcomes(writer, outcomes),
            Action::Answer { reply_to, reply } => self.post.answer(reply_to, reply),
            Action::Write(checkpoint) => self.writer.write(checkpoint),
            Action::Inspect { reply_to } => {
                let (post, inbox) = (self.post.clone(), self.inbox.clone());
                self.inspector.start(move |inspection| {
                    if let Some(inspection) = inspection {
                        let reply = QueryReply { body: Some(query_reply::Body::Inspection(inspection)) };
                        post.answer(reply_to, Box::new(reply));
                    }
                    let _ = inbox.send(Message::Input(Input::Inspected));
                });
            }
            Action::Trim { below } => {
                let trim = self.logs[self.number as usize].trim(below);
                self.runtime.spawn(async move {
                    if let Err(error) = trim.await {
                        tracing::warn!(event = "log.not_trimmed", %error, "the log could not be trimmed");
                    }
                });
            }
            Action::CaughtUp => drop(self.caught_up.take().map(|caught_up| caught_up.send(()))),
            Action::End => unreachable!("the loop ends itself"),
        }
    }
}
