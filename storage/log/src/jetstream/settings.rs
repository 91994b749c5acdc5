//! The settings that all processes of a cluster share: a key-value bucket with one key. A message of it is all of them at once, so that what
//! is found acceptable together is taken together.
//!
//! A message says by its seal at which sequence it stands: one that a stranger has written counts for nothing, and so does a copy of an
//! earlier one.

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use emshop_proto::seal::{SEAL_BYTES, Seal};
use emshop_proto::subjects::{SETTINGS, SETTINGS_STREAM};
use serde_json::json;

use super::connection::Link;
use super::{Connection, cluster, direct};
use crate::LogError;

/// Messages that stay.
pub(super) const HISTORY: usize = 64;

/// The bucket of a cluster.
#[derive(Clone)]
pub struct SettingsBucket {
    seal: Seal,
    publish: Link,
    read: Link,
}

/// What the settings became at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Ascends by one, with each message.
    pub number: u64,
    /// As it was put; `None` where a stranger has written.
    pub document: Option<Bytes>,
}

impl SettingsBucket {
    pub(super) fn new(connection: &Connection, seal: Seal) -> Self {
        Self { seal, publish: connection.publish.clone(), read: connection.read.clone() }
    }

    /// Whether there is one: a cluster of an earlier release has none before an engine of this one has begun to serve it.
    ///
    /// # Errors
    /// [`LogError::Unreachable`].
    pub async fn is_there(&self) -> Result<bool, LogError> {
        Ok(cluster::find(&self.read, SETTINGS_STREAM).await?.is_some())
    }

    /// What came after this revision, in order; all that is kept when it is 0.
    ///
    /// # Errors
    /// [`LogError::Unreachable`].
    pub async fn since(&self, number: u64) -> Result<Vec<Revision>, LogError> {
        let request = json!({ "seq": number + 1, "next_by_subj": SETTINGS, "batch": HISTORY });
        let messages = self.read.ask(direct::many(&self.read.client, direct::API, SETTINGS_STREAM, &request)).await?;
        let messages = messages.map_err(|reason| unreachable(&reason))?;
        Ok(messages.into_iter().map(|message| self.read_message(message.sequence, message.payload)).collect())
    }

    /// Puts a document behind this revision, which is 0 where there is none. Tells its number; `None` when another one was faster.
    ///
    /// # Errors
    /// [`LogError::Unreachable`], also when nobody knows what came of it.
    pub async fn put(&self, behind: u64, document: &[u8]) -> Result<Option<u64>, LogError> {
        let number = behind + 1;
        let payload = [&self.seal.over(&[&number.to_le_bytes(), document]), document].concat();
        let message = PublishMessage::build().payload(payload.into()).expected_last_sequence(behind);
        let published = async { self.publish.jetstream.send_publish(SETTINGS, message).await?.await };
        match self.publish.ask(published).await? {
            Ok(_) => Ok(Some(number)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
            Err(error) => Err(unreachable(&error)),
        }
    }

    fn read_message(&self, number: u64, mut payload: Bytes) -> Revision {
        let is_long = payload.len() >= SEAL_BYTES;
        let seal = payload.split_to(if is_long { SEAL_BYTES } else { 0 });
        let is_ours = is_long && self.seal.is_of(&seal, &[&number.to_le_bytes(), &payload]);
        Revision { number, document: is_ours.then_some(payload) }
    }
}

fn unreachable(error: &dyn std::fmt::Display) -> LogError {
    LogError::Unreachable(format!("the bucket of settings: {error}"))
}
