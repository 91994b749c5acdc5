//! The audit trail on JetStream: a stream with a subject for each kind of entry.

use std::time::UNIX_EPOCH;

use async_nats::jetstream::message::PublishMessage;
use async_nats::{Client, Message};
use bytes::Bytes;
use emshop_proto::subjects::{AUDIT_STREAM, Epoch};
use emshop_proto::v1::AuditKind;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::connection::Link;
use super::{Connection, cluster};
use crate::audit::{AuditEntry, AuditLog, PAYLOAD_BYTES_MAX};
use crate::{Bounds, LogError};

/// Of the kinds of entries, with some room for later ones.
pub(super) const KINDS_MAX: u64 = 16;
/// The most that an entry takes on disk: with its subject, its id, and what the server adds.
pub(super) const ENTRY_BYTES_MAX: u64 = PAYLOAD_BYTES_MAX as u64 + 152;

/// Ends the answers to a request of many messages.
const NO_MORE: u16 = 204;
const NOT_FOUND: u16 = 404;
const SEQUENCE: &str = "Nats-Sequence";
const STORED_AT: &str = "Nats-Time-Stamp";

/// The trail of a cluster.
#[derive(Clone)]
pub struct JetStreamAudit {
    epoch: Epoch,
    publish: Link,
    read: Link,
}

impl JetStreamAudit {
    pub(super) fn new(connection: &Connection, epoch: Epoch) -> Self {
        Self { epoch, publish: connection.publish.clone(), read: connection.read.clone() }
    }

    async fn store(self, subject: String, message: PublishMessage) -> Result<(), LogError> {
        let published = async { self.publish.jetstream.send_publish(subject, message).await?.await };
        self.publish.ask(published).await?.map(drop).map_err(|error| unreachable(&error))
    }

    async fn current_bounds(self) -> Result<Bounds, LogError> {
        let Some(info) = cluster::find(&self.read, AUDIT_STREAM).await? else {
            return Err(LogError::Unfit(format!("stream {AUDIT_STREAM} is not on the server any more: restore it")));
        };
        Ok(Bounds { first: info.state.first_sequence.max(1), last: info.state.last_sequence })
    }

    async fn get(self, request: Value) -> Result<Vec<AuditEntry>, LogError> {
        self.read.ask(many(&self.read.client, &request)).await?
    }
}

/// Many messages by one request.
async fn many(client: &Client, request: &Value) -> Result<Vec<AuditEntry>, LogError> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| unreachable(&error))?;
    let subject = format!("$JS.API.DIRECT.GET.{AUDIT_STREAM}");
    let asked = client.publish_with_reply(subject, inbox, request.to_string().into()).await;
    asked.map_err(|error| unreachable(&error))?;
    let mut entries = Vec::new();
    loop {
        let answer = answers.next().await.ok_or_else(|| unreachable(&"the answer broke off"))?;
        match answer.status.map(|status| status.as_u16()) {
            None => entries.push(entry(answer)?),
            Some(NO_MORE | NOT_FOUND) => return Ok(entries),
            Some(status) => return Err(unreachable(&format!("it answers {status}"))),
        }
    }
}

impl AuditLog for JetStreamAudit {
    fn append(&self, kind: AuditKind, id: &str, payload: Bytes) -> BoxFuture<'static, Result<(), LogError>> {
        let message = PublishMessage::build().payload(payload).message_id(id);
        self.clone().store(self.epoch.audit(kind), message).boxed()
    }

    fn bounds(&self) -> BoxFuture<'static, Result<Bounds, LogError>> {
        self.clone().current_bounds().boxed()
    }

    fn read(&self, from: u64, kind: Option<AuditKind>, most: usize) -> BoxFuture<'static, Result<Vec<AuditEntry>, LogError>> {
        let subject = kind.map_or_else(|| self.epoch.all_audit(), |kind| self.epoch.audit(kind));
        // The server would take 0 for a missing number.
        self.clone().get(json!({ "seq": from.max(1), "next_by_subj": subject, "batch": most })).boxed()
    }
}

fn entry(Message { headers, payload, .. }: Message) -> Result<AuditEntry, LogError> {
    let told = |name| headers.as_ref().and_then(|headers| headers.get(name)).map(|value| value.as_str());
    let place = || Some((told(SEQUENCE)?.parse().ok()?, milliseconds(told(STORED_AT)?)?));
    let (sequence, stored_ms) = place().ok_or_else(|| unreachable(&"a message without its sequence and time"))?;
    Ok(AuditEntry { sequence, stored_ms, payload })
}

/// Since 1970.
fn milliseconds(time: &str) -> Option<i64> {
    let since = humantime::parse_rfc3339(time).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

fn unreachable(error: &dyn std::fmt::Display) -> LogError {
    LogError::Unreachable(format!("the audit trail: {error}"))
}
