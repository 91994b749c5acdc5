//! What the bucket holds: all shared values at once, and which of them was changed last, by whom.

use std::time::{Duration, UNIX_EPOCH};

use emshop_log::LogError;
use emshop_log::jetstream::{Revision, SettingsBucket};
use serde::{Deserialize, Serialize};

use crate::config::Shared;

/// What holds for all processes since one moment. A newer release may write more than this one knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub settings: Shared,
    pub change: Change,
    /// Who made it, in words.
    pub by: String,
    /// When, in Unix milliseconds by the clock of whoever made it.
    pub at_ms: u64,
}

/// What made a document of the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl Document {
    pub fn at(&self) -> String {
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(self.at_ms)).to_string()
    }

    /// What was changed, in a line.
    pub fn says(&self) -> String {
        let Change { name, before, after } = &self.change;
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(each its own)".to_owned());
        format!("{name} {} -> {} by {}", value(before), value(after), self.by)
    }
}

/// Why a message of the bucket counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Strange {
    #[error("it is not sealed with the cluster's key: somebody else writes to the NATS server")]
    Unsealed,
    #[error("this release cannot read it")]
    Unreadable,
}

/// What a message of the bucket says.
pub fn read(revision: &Revision) -> Result<Document, Strange> {
    let document = revision.document.as_ref().ok_or(Strange::Unsealed)?;
    serde_json::from_slice(document).map_err(|_| Strange::Unreadable)
}

/// The bucket as it was found.
#[derive(Default)]
pub struct Contents {
    pub revisions: Vec<(u64, Result<Document, Strange>)>,
}

impl Contents {
    /// Nothing, where there is no bucket yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn of(bucket: &SettingsBucket) -> Result<Self, LogError> {
        if !bucket.is_there().await? {
            return Ok(Self::default());
        }
        let revisions = bucket.since(0).await?;
        Ok(Self { revisions: revisions.iter().map(|revision| (revision.number, read(revision))).collect() })
    }

    /// What holds, and its number, if anything was ever set.
    pub fn newest(&self) -> Option<(u64, &Document)> {
        self.revisions.iter().rev().find_map(|(number, document)| Some((*number, document.as_ref().ok()?)))
    }

    pub fn shared(&self) -> Shared {
        self.newest().map(|(_, document)| document.settings.clone()).unwrap_or_default()
    }

    /// Number of the last message, whoever wrote it.
    pub fn last(&self) -> u64 {
        self.revisions.last().map_or(0, |(number, _)| *number)
    }
}
