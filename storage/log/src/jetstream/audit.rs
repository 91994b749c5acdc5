//! The audit trail on JetStream: a stream with a subject for each kind of entry.

use std::time::UNIX_EPOCH;

use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use emshop_proto::subjects::{AUDIT_STREAM, Epoch};
use emshop_proto::v1::AuditKind;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::connection::Link;
use super::direct::{self, Message};
use super::{Connection, cluster};
use crate::audit::{AuditEntry, AuditLog, PAYLOAD_BYTES_MAX};
use crate::{Bounds, LogError};

/// Of the kinds of entries, with some room for later ones.
pub(super) const KINDS_MAX: u64 = 16;
/// The most that an entry takes on disk: with its subject, its id, and what the server adds.
pub(super) const ENTRY_BYTES_MAX: u64 = PAYLOAD_BYTES_MAX as u64 + 152;

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
        let messages = self.read.ask(direct::many(&self.read.client, direct::API, AUDIT_STREAM, &request)).await?;
        Ok(messages.map_err(|reason| unreachable(&reason))?.into_iter().map(entry).collect())
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

fn entry(Message { sequence, stored_at, payload }: Message) -> AuditEntry {
    // Before 1970 there was no nats-server.
    let stored_ms = stored_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    AuditEntry { sequence, stored_ms, payload }
}

fn unreachable(error: &dyn std::fmt::Display) -> LogError {
    LogError::Unreachable(format!("the audit trail: {error}"))
}
