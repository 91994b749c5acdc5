//! Reads: a core NATS request to the engine of a log, answered between two turns.

pub mod questions;

use std::sync::Arc;
use std::time::Duration;

use async_nats::{RequestErrorKind, Subject};
use bytes::Bytes;
use emshop_log::jetstream::{Connection, Reachable};
use emshop_proto::internal::{Query, QueryReply, query, query_reply};
use emshop_proto::letters::Letters;
use emshop_proto::partitioner::Partitioner;
use emshop_proto::subjects;
use futures::future::try_join_all;
use prost::Message;
use tokio::time::timeout;
use tonic::Status;

use self::questions::Question;
use crate::way::admission::Admission;
use crate::way::engines::Engine;
use crate::{refusals, status};

/// An engine answers within milliseconds; one that replays its log after a start answers when it is done.
const REPLY_WAIT: Duration = Duration::from_secs(5);
/// Inspecting reads the whole state.
const INSPECT_WAIT: Duration = Duration::from_secs(60);
/// While nobody listens, perhaps because an engine is being restarted, it is asked this often …
const ATTEMPTS: u32 = 5;
/// … with these pauses: for about a second.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(200);

pub struct Queries {
    core: async_nats::Client,
    admission: Arc<Admission>,
    engines: Arc<[Engine]>,
    reachable: Reachable,
    pub partitioner: Partitioner,
    /// Where the engine of each log answers, by its number.
    subjects: Vec<Subject>,
    letters: Arc<[Letters]>,
}

impl Queries {
    /// `letters` are those of all logs.
    pub fn new(
        connection: &Connection,
        partitioner: Partitioner,
        admission: Arc<Admission>,
        engines: Arc<[Engine]>,
        letters: Arc<[Letters]>,
    ) -> Self {
        let subjects = (0..partitioner.logs()).map(|log| subjects::query(log).into()).collect();
        let (core, reachable) = (connection.core().clone(), connection.reachable());
        Self { core, admission, engines, reachable, partitioner, subjects, letters }
    }

    /// Asks the engine of one log. What it refuses, such as an id that it does not know, is the status.
    pub async fn ask<Q: Question>(&self, log: u32, question: Q) -> Result<Q::Reply, Status> {
        self.ask_as(0, log, question).await
    }

    /// As [`Queries::ask`], for a user who may see only what is theirs; 0 sees everything.
    pub async fn ask_as<Q: Question>(&self, viewer: u64, log: u32, question: Q) -> Result<Q::Reply, Status> {
        let answer = self.answer(log, Query { body: Some(question.into_query()), viewer }).await?;
        Q::reply(answer).ok_or_else(|| unexpected("of another kind"))
    }

    /// Asks the engines of several logs at once; the answers come in the order of the questions.
    pub async fn ask_all<Q: Question>(&self, questions: impl IntoIterator<Item = (u32, Q)>) -> Result<Vec<Q::Reply>, Status> {
        try_join_all(questions.into_iter().map(|(log, question)| self.ask(log, question))).await
    }

    /// Asks the engines of all logs the same; the answers come in the order of the logs.
    pub async fn ask_everywhere<Q: Question + Clone>(&self, question: Q) -> Result<Vec<Q::Reply>, Status> {
        self.ask_everywhere_as(0, question).await
    }

    /// As [`Queries::ask_everywhere`], for a user as in [`Queries::ask_as`].
    pub async fn ask_everywhere_as<Q: Question + Clone>(&self, viewer: u64, question: Q) -> Result<Vec<Q::Reply>, Status> {
        try_join_all((0..self.partitioner.logs()).map(|log| self.ask_as(viewer, log, question.clone()))).await
    }

    async fn answer(&self, log: u32, query: Query) -> Result<query_reply::Body, Status> {
        let is_long = query.body.as_ref().is_some_and(questions::is_long);
        let wait = if matches!(query.body, Some(query::Body::Inspect(_))) { INSPECT_WAIT } else { REPLY_WAIT };
        let nonce = rand::random();
        let question = Bytes::from(self.letters[log as usize].question(&nonce, &query.encode_to_vec()));
        if self.engines[log as usize].is_gone() {
            return Err(status::of_refusal(refusals::no_engine()));
        }
        let overloaded = || status::of_refusal(refusals::overloaded());
        let _turn = match is_long {
            true => timeout(wait, self.admission.list(log)).await.ok().flatten().map(Some).ok_or_else(overloaded)?,
            false => None,
        };
        let _room = self.admission.read(log).ok_or_else(overloaded)?;
        let mut reachable = self.reachable.clone();
        if !*reachable.borrow_and_update() {
            return Err(status::of_refusal(refusals::unavailable()));
        }
        let answer = tokio::select! {
            answer = self.request(log, question, wait) => answer?,
            // What was asked over a connection that breaks is not answered any more.
            _ = reachable.changed() => return Err(status::of_refusal(refusals::unavailable())),
        };
        let Some(reply) = self.letters[log as usize].read_answer(&nonce, answer) else {
            tracing::error!(
                event = "stranger.answer",
                log,
                "an answer is not sealed with the cluster's key: somebody else answers in place of the engine"
            );
            return Err(status::of_refusal(refusals::unavailable()));
        };
        match QueryReply::decode(reply).map(|reply| reply.body) {
            Ok(Some(query_reply::Body::Refusal(refusal))) => Err(status::of_refusal(refusal)),
            Ok(Some(body)) => Ok(body),
            Ok(None) => Err(unexpected("nothing")),
            Err(error) => Err(unexpected(error)),
        }
    }

    async fn request(&self, log: u32, payload: Bytes, wait: Duration) -> Result<Bytes, Status> {
        for _ in 0..ATTEMPTS {
            let request = async_nats::Request::new().payload(payload.clone()).timeout(Some(wait));
            match self.core.send_request(self.subjects[log as usize].clone(), request).await {
                Ok(message) => return Ok(message.payload),
                Err(error) if error.kind() == RequestErrorKind::NoResponders => tokio::time::sleep(ATTEMPT_PAUSE).await,
                Err(error) => {
                    tracing::debug!(log, %error, "a query was not answered");
                    break;
                }
            }
        }
        Err(status::of_refusal(refusals::unavailable()))
    }
}

/// The engine answered something else than was asked.
pub fn unexpected(answer: impl std::fmt::Display) -> Status {
    Status::internal(format!("the engine's answer does not fit the question: {answer}"))
}
