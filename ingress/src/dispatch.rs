//! From a command to its outcome: the way that all mutations go, by call or by stream.

use std::sync::Arc;
use std::time::Duration;

use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::{Command, Outcome, Refusal, command};
use prost::Message;
use tokio::sync::oneshot;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::admission::Admission;
use crate::batcher::{Batcher, Pending};
use crate::link::Link;
use crate::prepare::{self, Prepared, prepare};
use crate::sink::{Sink, Unread};
use crate::waiters::Waiter;
use crate::{deadline, refusals, status, validate};

pub struct Dispatcher {
    pub partitioner: Partitioner,
    pub admission: Arc<Admission>,
    /// One per log, by its number.
    pub batchers: Arc<[Batcher]>,
    pub link: Link,
    /// How long an outcome is waited for at most.
    pub outcome_wait_max: Duration,
}

impl Dispatcher {
    /// Carries out the command of a call. `Ok` is never a refusal.
    pub async fn call<T>(&self, request: Request<T>, body: impl FnOnce(T) -> command::Body) -> Result<Outcome, Status> {
        let (metadata, _, request) = request.into_parts();
        let mut command = Command { tag: 0, body: Some(body(request)) };
        let violations = validate::command(&command);
        if !violations.is_empty() {
            return Err(status::of_refusal(refusals::invalid(violations)));
        }
        let prepared = prepare(&mut command, self.partitioner);
        let identity = prepare::identity(&mut command);
        drop(command);
        let outcome = self.outcome_of(prepared, &metadata).await.unwrap_or_else(refusals::outcome);
        match outcome.result {
            Some(OutcomeResult::Refusal(refusal)) => Err(status::of(refusal, identity)),
            _ => Ok(outcome),
        }
    }

    async fn outcome_of(&self, prepared: Prepared, metadata: &MetadataMap) -> Result<Outcome, Refusal> {
        let wait = deadline::wait(metadata, self.outcome_wait_max);
        let batcher = self.batcher(prepared.log).ok_or_else(refusals::unavailable)?;
        let room = self.admission.try_admit(prepared.record.len()).ok_or_else(refusals::overloaded)?;
        let (reply, outcome) = oneshot::channel();
        let waiter = Waiter::Call { reply, room };
        batcher.send(Pending { record: prepared.record, waiter, receipt: prepared.receipt });
        match tokio::time::timeout(wait, outcome).await {
            Ok(Ok(outcome)) => Ok(outcome),
            // Whoever was to answer has stopped.
            Ok(Err(_)) => Err(refusals::perhaps_unavailable()),
            Err(_) => Err(refusals::outcome_unknown()),
        }
    }

    /// Sends a stream's commands on their way; each outcome, refusals included, goes to the sink under the command's tag.
    /// Waits while there is no room.
    pub async fn submit(&self, commands: Vec<Command>, sink: &Arc<Sink>) {
        let mut ready = Vec::with_capacity(commands.len());
        let mut refused = Vec::new();
        let mut bytes = 0;
        for mut command in commands {
            let tag = command.tag;
            match self.prepare(&mut command) {
                Ok(prepared) => {
                    bytes += prepared.record.len();
                    ready.push((tag, prepared));
                }
                Err(refusal) => {
                    let outcome = Outcome { tag, ..refusals::outcome(*refusal) };
                    bytes += outcome.encoded_len();
                    refused.push(outcome);
                }
            }
        }
        let room = Arc::new(self.admission.admit(ready.len() + refused.len(), bytes).await);
        sink.push(refused.into_iter().map(|outcome| Unread::new(outcome, &room)).collect());
        for (tag, Prepared { log, record, receipt }) in ready {
            let waiter = Waiter::Stream { sink: sink.clone(), tag, room: room.clone() };
            self.batchers[log as usize].send(Pending { record, waiter, receipt });
        }
    }

    /// Refuses a stream's commands all for the same reason.
    pub async fn refuse(&self, commands: &[Command], refusal: &Refusal, sink: &Sink) {
        let room = Arc::new(self.admission.admit(commands.len(), commands.len() * refusal.encoded_len()).await);
        let outcome = |command: &Command| Outcome { tag: command.tag, ..refusals::outcome(refusal.clone()) };
        sink.push(commands.iter().map(|command| Unread::new(outcome(command), &room)).collect());
    }

    fn prepare(&self, command: &mut Command) -> Result<Prepared, Box<Refusal>> {
        let violations = validate::command(command);
        if !violations.is_empty() {
            return Err(Box::new(refusals::invalid(violations)));
        }
        let prepared = prepare(command, self.partitioner);
        match self.batcher(prepared.log) {
            Some(_) => Ok(prepared),
            None => Err(Box::new(refusals::unavailable())),
        }
    }

    /// The batcher of a log that takes records now.
    fn batcher(&self, log: u32) -> Option<&Batcher> {
        let batcher = &self.batchers[log as usize];
        (*self.link.borrow() && batcher.is_open()).then_some(batcher)
    }
}
