//! What comes to the loop of one log: entries, read and decoded ahead of it, queries, and news of what it has begun.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use async_nats::Client;
use emshop_log::CommandLog;
use emshop_proto::envelope::{self, DecodeError};
use emshop_proto::errors::Code;
use emshop_proto::internal::{Query, QueryReply, Void, query_reply, record};
use emshop_proto::letters::Letters;
use emshop_proto::subjects;
use futures::StreamExt;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::metrics::Metrics;
use super::post::Post;
use crate::shell::{EngineError, Input, LogEntry, ReplyTo};

/// Envelopes read and decoded ahead of the turn.
const ENTRIES_AHEAD_MAX: usize = 32;
/// Queries waiting for the end of a turn; beyond it they are refused.
const QUERIES_WAITING_MAX: usize = 4096;

/// How often it is told that others write to the log.
const STRANGERS_INTERVAL: Duration = Duration::from_secs(1);

/// What the loop is told.
pub enum Message {
    Entry { entry: LogEntry, ahead: OwnedSemaphorePermit },
    Query { query: Query, reply_to: ReplyTo, _waiting: OwnedSemaphorePermit },
    Input(Input),
    LogFailed(EngineError),
    Stop,
}

/// Which entries of a log from this one on an operator has declared void: an entry which says so stands behind the other one.
///
/// # Errors
/// When the log does not tell.
pub async fn void_entries(log: &dyn CommandLog, from: u64) -> Result<BTreeSet<u64>, EngineError> {
    let mut sequences = BTreeSet::new();
    for entry in log.voids(from).await? {
        let decoded = match envelope::decode(&entry.payload, log.seal()) {
            Err(DecodeError::Unsealed) => continue,
            decoded => decoded,
        };
        let undecodable = |source| EngineError::Undecodable { log: log.number(), sequence: entry.sequence, source };
        for record in decoded.map_err(undecodable)?.records {
            if let Some(record::Body::Void(Void { sequence, reason, by })) = record.body {
                tracing::warn!(event = "log.void", log = log.number(), sequence, reason, by, "an entry of the log is void");
                sequences.insert(sequence);
            }
        }
    }
    Ok(sequences)
}

/// Reads and decodes ahead of the engine.
pub async fn read_log(log: Arc<dyn CommandLog>, from: u64, voids: BTreeSet<u64>, inbox: Sender<Message>, metrics: Arc<Metrics>) {
    let ahead = Arc::new(Semaphore::new(ENTRIES_AHEAD_MAX));
    let (mut stream, mut strangers) = (log.read(from), Strangers::default());
    while let Some(entry) = stream.next().await {
        let permit = Arc::clone(&ahead).acquire_owned().await.expect("never closed");
        let decoded = entry.map_err(EngineError::from).and_then(|entry| match voids.contains(&entry.sequence) {
            true => Ok(LogEntry::void(&entry)),
            false => LogEntry::read(log.number(), &entry, log.seal()),
        });
        if let Ok(LogEntry { sequence, entry, .. }) = &decoded {
            metrics.read(entry);
            if entry.is_strange {
                strangers.noticed(log.number(), *sequence);
            }
        }
        let message = match decoded {
            Ok(entry) => Message::Entry { entry, ahead: permit },
            Err(error) => Message::LogFailed(error),
        };
        if inbox.send(message).is_err() {
            return;
        }
    }
}

/// Tells of what others write to a log, or ask of its engine, but not of each, since that may be much.
#[derive(Default)]
struct Strangers {
    seen: u64,
    told_at: Option<Instant>,
}

impl Strangers {
    /// Counts one more, and says whether it is to be told.
    fn is_to_be_told(&mut self) -> bool {
        self.seen += 1;
        let is_due = self.told_at.is_none_or(|told_at| told_at.elapsed() >= STRANGERS_INTERVAL);
        if is_due {
            self.told_at = Some(Instant::now());
        }
        is_due
    }

    fn asked(&mut self, log: u32) {
        if self.is_to_be_told() {
            tracing::error!(
                event = "stranger.question",
                log,
                so_far = self.seen,
                "a question is not sealed with the cluster's key, so it is not answered: somebody else writes to the NATS server"
            );
        }
    }

    fn noticed(&mut self, log: u32, sequence: u64) {
        if self.is_to_be_told() {
            tracing::error!(
                event = "stranger.entry",
                log,
                sequence,
                so_far = self.seen,
                "an entry of the log is not sealed with the cluster's key, so it counts as empty: somebody else writes to the NATS server"
            );
        }
    }
}

/// Answers those of the cluster who ask by core NATS.
pub async fn serve_queries(
    log: u32,
    client: Client,
    letters: Letters,
    inbox: Sender<Message>,
    post: Post,
) -> Result<(), EngineError> {
    let nats = |error: &dyn std::fmt::Display| EngineError::Nats(error.to_string());
    let mut subscription = client.subscribe(subjects::query(log)).await.map_err(|error| nats(&error))?;
    client.flush().await.map_err(|error| nats(&error))?;
    let (waiting, mut strangers) = (Arc::new(Semaphore::new(QUERIES_WAITING_MAX)), Strangers::default());
    tokio::spawn(async move {
        while let Some(message) = subscription.next().await {
            // Anything else is a subject on which an answer of ours could do something.
            let Some(subject) = message.reply.filter(|reply| reply.starts_with(subjects::INBOXES)) else { continue };
            let Some((nonce, query)) = letters.read_question(message.payload) else {
                strangers.asked(log);
                continue;
            };
            let reply_to = ReplyTo { subject, nonce };
            let refusal = match (Query::decode(query), Arc::clone(&waiting).try_acquire_owned()) {
                (Ok(query), Ok(permit)) => match inbox.send(Message::Query { query, reply_to, _waiting: permit }) {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                (Ok(_), Err(_)) => Code::Overloaded.refusal(),
                (Err(_), _) => Code::ValidationFailed.refusal(),
            };
            let body = Some(query_reply::Body::Refusal(refusal));
            post.answer(reply_to, Box::new(QueryReply { body }));
        }
    });
    Ok(())
}
