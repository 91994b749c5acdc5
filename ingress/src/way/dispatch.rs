//! From a command to its outcome: the way that all mutations go, by call or by stream.

use std::sync::Arc;
use std::time::Duration;

use emshop_proto::commands::{KEY_BYTES_MAX, KEY_METADATA};
use emshop_proto::errors::Code;
use emshop_proto::internal::{AccountCommand, account_command};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing::{self, Key};
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::{Command, Operator, Outcome, Refusal, command};
use emshop_sync::tasks::oneshot;
use emshop_telemetry::traces::{Begun, Traces};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status};

use crate::access::audit::{self, Asked, Audit, Origin};
use crate::way::admission::Admission;
use crate::way::batcher::{Batcher, Pending};
use crate::way::engines::Engine;
use crate::way::outcomes::Answer;
use crate::way::prepare::{self, Defaults, Prepared, prepare, prepare_account};
use crate::way::sink::{Sink, Unread};
use crate::way::traced::Traced;
use crate::way::waiters::Waiter;
use crate::{access, deadline, refusals, status, validate};

/// What is told of a command that a stream must not give.
const STREAM: &str = "/emshop.v1.PipelineService/Submit";

/// Who gives the commands of a stream.
#[derive(Default)]
pub struct Streamer {
    /// `None` while the server runs without authentication.
    pub operator: Option<Operator>,
    pub origin: Option<Origin>,
    /// The span of the stream, when it is traced.
    pub begun: Option<Begun>,
}

pub struct Dispatcher {
    pub partitioner: Partitioner,
    pub defaults: Defaults,
    pub admission: Arc<Admission>,
    /// One per log, by its number.
    pub batchers: Arc<[Batcher]>,
    pub engines: Arc<[Engine]>,
    /// When those who wait for an outcome are told that it is unknown; a client's own deadline may be earlier.
    pub outcome_wait_max: Duration,
    pub audit: Arc<Audit>,
    pub traces: Traces,
}

impl Dispatcher {
    /// Carries out the command of a call. `Ok` is never a refusal.
    pub async fn call<T>(&self, request: Request<T>, body: impl FnOnce(T) -> command::Body) -> Result<Outcome, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let mut command = Command { idempotency_key: idempotency_key(&metadata)?, ..body(request).into() };
        let prepared = self.prepare(&mut command, access::operator(&extensions).as_ref());
        let (prepared, mut asked) = prepared.map_err(|invalid| status::of_refusal(*invalid))?;
        if let Some(asked) = &mut asked {
            asked.came_from(audit::origin(&extensions));
        }
        let outcome = self.carry_out(prepared, extensions.get(), self.deadline(&metadata)).await;
        if let Some(asked) = asked {
            asked.came_to(&outcome);
        }
        outcome.map_err(|refusal| status::of(refusal, prepare::identity(&command)))
    }

    /// Carries out the commands of one call, each by itself and under the call's key: they get into their logs in the given order, and
    /// their outcomes come back in it. How many a call may have, and that each is of another thing, is its validation's to say.
    pub async fn call_each(
        &self,
        metadata: &MetadataMap,
        extensions: &Extensions,
        bodies: impl IntoIterator<Item = command::Body>,
    ) -> Result<Vec<Result<Outcome, Refusal>>, Status> {
        let (deadline, operator, key) = (self.deadline(metadata), access::operator(extensions), idempotency_key(metadata)?);
        let prepare =
            |body: command::Body| self.prepare(&mut Command { idempotency_key: key.clone(), ..body.into() }, operator.as_ref());
        let prepared = bodies.into_iter().map(prepare).collect::<Result<Vec<_>, _>>();
        let prepared = prepared.map_err(|invalid| status::of_refusal(*invalid))?;
        let sent: Vec<_> = prepared.into_iter().map(|(prepared, _)| self.send(prepared, extensions.get())).collect();
        let mut results = Vec::with_capacity(sent.len());
        for outcome in sent {
            results.push(match outcome {
                Ok(outcome) => wait_for(outcome, deadline).await,
                Err(refusal) => Err(*refusal),
            });
        }
        Ok(results)
    }

    /// Carries out what only the ingress itself may ask for, on behalf of a call with this metadata, and of whom its extensions name.
    /// `Ok` is never a refusal.
    pub async fn account(
        &self,
        metadata: &MetadataMap,
        caller: Option<&Extensions>,
        idempotency_key: String,
        body: account_command::Body,
    ) -> Result<Outcome, Refusal> {
        routing::account_asks(&body, |needed| self.check(needed, true)).map_err(|refusal| *refusal)?;
        let operator = caller.and_then(access::operator);
        let mut asked = self.audit.asked_of_account(operator.as_ref(), &body);
        if let Some(asked) = &mut asked {
            asked.came_from(caller.and_then(audit::origin));
        }
        let command = AccountCommand { idempotency_key, body: Some(body) };
        let prepared = prepare_account(&command, operator.as_ref(), self.partitioner);
        let begun = caller.and_then(Extensions::get);
        let outcome = self.carry_out(prepared, begun, self.deadline(metadata)).await;
        if let Some(asked) = asked {
            asked.came_to(&outcome);
        }
        outcome
    }

    /// Carries out a command that did not come by a call of ours. `Ok` is never a refusal.
    pub async fn tell(&self, body: command::Body, operator: Operator, begun: Option<&Begun>) -> Result<Outcome, Refusal> {
        let (prepared, _) = self.prepare(&mut body.into(), Some(&operator)).map_err(|invalid| *invalid)?;
        self.carry_out(prepared, begun, None).await
    }

    async fn carry_out(&self, prepared: Prepared, begun: Option<&Begun>, deadline: Option<Instant>) -> Result<Outcome, Refusal> {
        wait_for(self.send(prepared, begun).map_err(|refusal| *refusal)?, deadline).await
    }

    /// Validates a command and makes its record; with what is to be told of it, if anything is, by whoever waits for what comes of it.
    fn prepare(
        &self,
        command: &mut Command,
        operator: Option<&Operator>,
    ) -> Result<(Prepared, Option<Box<Asked>>), Box<Refusal>> {
        let violations = validate::command(command, operator);
        if !violations.is_empty() {
            return Err(Box::new(refusals::invalid(violations)));
        }
        let prepared = prepare(command, operator, self.partitioner, self.defaults);
        let Some(body) = &command.body else { return Ok((prepared, None)) };
        routing::asks(body, |needed| self.check(needed, prepared.receipt.is_none()))?;
        Ok((prepared, self.audit.asked(operator, body)))
    }

    /// New business is refused while a log that it needs takes no steps: these would wait without bound, and the client for what comes to
    /// no end. What is under way already goes on.
    fn check(&self, needed: Key, waits: bool) -> Result<(), Box<Refusal>> {
        self.batcher(needed.place(&self.partitioner).log, waits).map(drop)
    }

    /// Sends a command on its way, if there is room at once.
    fn send(&self, mut prepared: Prepared, begun: Option<&Begun>) -> Result<oneshot::Receiver<Answer>, Box<Refusal>> {
        let batcher = self.batcher_of(&prepared)?;
        let append = Traced::of(begun, &mut prepared.record);
        let room = self.admission.call(prepared.log, prepared.record.len()).ok_or_else(refusals::overloaded)?;
        let (reply, answer) = oneshot::channel();
        let waiter = Waiter::Call { reply, room };
        batcher.send(Pending { record: prepared.record, waiter, receipt: prepared.receipt, append });
        Ok(answer)
    }

    /// When the client wants its answer, if that is before it gets one in any case.
    fn deadline(&self, metadata: &MetadataMap) -> Option<Instant> {
        deadline::wait(metadata, self.outcome_wait_max).map(|wait| Instant::now() + wait)
    }

    /// Sends a stream's commands on their way; each outcome, refusals included, goes to the sink under the command's tag.
    /// Waits while there is no room in the logs that they are for.
    pub async fn submit(&self, commands: Vec<Command>, by: &Streamer, sink: &Arc<Sink>) {
        let mut ready: Vec<Vec<(u64, Prepared)>> = self.batchers.iter().map(|_| Vec::new()).collect();
        let mut refused = Unread::default();
        for mut command in commands {
            let tag = command.tag;
            match self.prepare_streamed(&mut command, by.operator.as_ref(), by.origin) {
                Ok(mut prepared) => {
                    let begun = self.traces.begin_one_of(by.begun.as_ref());
                    prepared.append = begun.map(|begun| Traced::new(begun, &mut prepared.record));
                    ready[prepared.log as usize].push((tag, prepared));
                }
                Err(refusal) => refused.add(tag, refusals::answer(*refusal)),
            }
        }
        sink.push(refused);
        for (log, ready) in ready.into_iter().enumerate().filter(|(_, ready)| !ready.is_empty()) {
            let bytes = ready.iter().map(|(_, prepared)| prepared.record.len()).sum();
            let room = Arc::new(self.admission.stream(log as u32, ready.len(), bytes).await);
            for (tag, Prepared { record, receipt, append, .. }) in ready {
                let waiter = Waiter::Stream { sink: sink.clone(), tag, room: room.clone() };
                self.batchers[log].send(Pending { record, waiter, receipt, append });
            }
        }
    }

    /// What comes by a stream is prepared only if it may, and can, go on.
    fn prepare_streamed(
        &self,
        command: &mut Command,
        operator: Option<&Operator>,
        origin: Option<Origin>,
    ) -> Result<Prepared, Box<Refusal>> {
        if let (Some(operator), Some(body)) = (operator, &command.body)
            && !access::may_stream(operator, body)
        {
            self.audit.refused(origin, STREAM, Code::PermissionDenied, Some(operator.clone()));
            return Err(Box::new(Code::PermissionDenied.refusal()));
        }
        let (prepared, asked) = self.prepare(command, operator)?;
        // It is told at once: what comes of it goes to the sink.
        if let Some(mut asked) = asked {
            asked.came_from(origin);
        }
        self.batcher_of(&prepared)?;
        Ok(prepared)
    }

    /// The batcher that a command goes to.
    fn batcher_of(&self, prepared: &Prepared) -> Result<&Batcher, Box<Refusal>> {
        self.batcher(prepared.log, prepared.receipt.is_none())
    }

    /// The batcher of a log that takes records now, and has an engine if somebody waits for what that makes of them.
    fn batcher(&self, log: u32, waits: bool) -> Result<&Batcher, Box<Refusal>> {
        let batcher = &self.batchers[log as usize];
        let gone = || (waits && self.engines[log as usize].is_gone()).then(refusals::no_engine);
        batcher.refusal().or_else(gone).map_or(Ok(batcher), |refusal| Err(Box::new(refusal)))
    }
}

/// The key that a call gives by its metadata; empty when it gives none.
///
/// # Errors
/// When it is not one text, or too long.
pub fn idempotency_key(metadata: &MetadataMap) -> Result<String, Status> {
    let mut keys = metadata.get_all(KEY_METADATA).iter();
    let key = keys.next().map_or(Some(""), |key| key.to_str().ok());
    match key.filter(|key| keys.next().is_none() && key.len() <= KEY_BYTES_MAX) {
        Some(key) => Ok(key.to_owned()),
        None => {
            let description = format!("must be one text of at most {KEY_BYTES_MAX} visible ASCII characters");
            Err(status::of_refusal(refusals::invalid_field("idempotency_key", description)))
        }
    }
}

/// `Ok` is never a refusal. Without a deadline it lasts until the way itself answers: a log that refuses, the engine, or the sweep
/// over those who have waited for too long. So most calls need no timer of their own.
async fn wait_for(answer: oneshot::Receiver<Answer>, deadline: Option<Instant>) -> Result<Outcome, Refusal> {
    let answered = match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, answer).await,
        None => Ok(answer.await),
    };
    let answer = match answered {
        Ok(Ok(answer)) => answer,
        // Whoever was to answer has stopped.
        Ok(Err(_)) => return Err(refusals::perhaps_unavailable()),
        Err(_) => return Err(refusals::outcome_unknown()),
    };
    match answer.outcome() {
        Ok(Outcome { result: Some(OutcomeResult::Refusal(refusal)), .. }) => Err(refusal),
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            tracing::error!(%error, "an outcome cannot be decoded; its command counts as unknown");
            Err(refusals::outcome_unknown())
        }
    }
}
