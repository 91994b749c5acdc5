//! The leases of all logs: a key-value bucket, in which nobody writes over what he has not seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::kv::{self, Operation, UpdateErrorKind};
use emshop_proto::subjects::{self, Epoch};
use tokio::time::{Instant, sleep, timeout};

use super::connection::Link;
use super::{Connection, Pulse};
use crate::LogError;
use crate::lease::{Holder, Record, Watch};

/// How often who waits looks.
const POLL: Duration = Duration::from_millis(250);
/// Shorter than a lease, so that one answer that is lost does not end it.
const WRITE_WAIT: Duration = Duration::from_millis(800);

/// Where engines find out which of them serves a log. Cheap to clone.
#[derive(Clone)]
pub struct Leases {
    link: Link,
    bucket: kv::Store,
    /// Hears of renewals too: while an engine has no lease it writes nothing else.
    pulse: Pulse,
    /// Who knows another one has no lease of this one.
    epoch: Epoch,
    /// For what this process waits, by log.
    waits: Arc<Mutex<BTreeMap<u32, String>>>,
}

/// What came of a renewal.
#[derive(Debug)]
pub enum Renewal {
    /// The log is still its holder's.
    Held,
    /// It is not: who has it, if anybody.
    Lost(Option<Holder>),
}

impl Leases {
    pub(super) async fn open(connection: &Connection, epoch: Epoch) -> Result<Self, LogError> {
        let link = &connection.core;
        let bucket = link.ask(link.jetstream.get_key_value(subjects::LEASE_BUCKET)).await?;
        let bucket = bucket.map_err(|error| LogError::Unreachable(format!("the bucket of leases: {error}")))?;
        Ok(Self { link: link.clone(), bucket, pulse: connection.pulse(), epoch, waits: Arc::default() })
    }

    /// A sentence for each log whose lease is waited for now.
    pub fn waits(&self) -> Vec<String> {
        self.waiting().values().cloned().collect()
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the log is this holder's, also for the server. It is at once where nobody has it, or somebody with the same data folder.
    /// `may_take` is asked before it is taken: who may not waits on where another one has had the log, which can go on with it.
    ///
    /// # Errors
    /// [`LogError::Unfit`] when the bucket has something else; that of `may_take`.
    pub async fn acquire(
        &self,
        log: u32,
        holder: &Holder,
        may_take: impl AsyncFn() -> Result<(), LogError>,
    ) -> Result<Lease, LogError> {
        let mut watch = Watch::default();
        let mut looked_at = Instant::now();
        let (mut told, mut told_unfit) = (None, false);
        loop {
            let (found, revision) = match self.find(log).await {
                Err(LogError::Unreachable(reason)) => {
                    self.waiting().insert(log, format!("nobody says who serves log {log}: {reason}"));
                    tracing::warn!(log, reason, "nobody says who serves the log; asking again");
                    sleep(POLL).await;
                    continue;
                }
                found => found?,
            };
            let since = std::mem::replace(&mut looked_at, Instant::now()).elapsed();
            let free = match &found {
                None => true,
                Some(record) if record.released || holder.relieves(&record.holder) => true,
                Some(_) => watch.is_over(revision, since, 2 * POLL),
            };
            let (before, epoch) = found.map_or((None, 0), |record| (Some(record.holder), record.epoch));
            let fit = if free { may_take().await } else { Ok(()) };
            match (fit, &before) {
                // Another one has had it, and can go on.
                (Err(error), Some(other)) if !holder.relieves(other) => {
                    self.waiting().insert(log, format!("log {log} is free, but not for this engine: left to {}", other.place()));
                    if !std::mem::replace(&mut told_unfit, true) {
                        tracing::warn!(log, %error, "the log is free, but not for this engine: left to {other}");
                    }
                    sleep(POLL).await;
                    continue;
                }
                (fit, _) => fit?,
            }
            // What is not known to be written is found the next time.
            if free && let Ok(Some(lease)) = self.take(log, holder, epoch + 1, revision).await {
                self.waiting().remove(&log);
                if let Some(before) = before.filter(|_| told.is_some()) {
                    tracing::warn!(
                        event = "lease.taken_over",
                        log,
                        epoch = lease.record.epoch,
                        "takes the log over from {before}"
                    );
                }
                return Ok(lease);
            }
            if let Some(other) = before {
                self.waiting().insert(log, format!("log {log} is served by {}: this engine waits", other.place()));
                if told.as_ref() != Some(&other) {
                    tracing::info!(
                        event = "lease.waiting",
                        log,
                        "served by {other}: waiting until it ends or does not renew its lease any more"
                    );
                    told = Some(other);
                }
            }
            sleep(POLL).await;
        }
    }

    /// Who has a log, as far as is written down, and since when in Unix milliseconds by the clock of its machine. Whether they still do shows
    /// only in what they do.
    ///
    /// # Errors
    /// [`LogError::Unfit`] when the bucket has something else; [`LogError::Unreachable`].
    pub async fn holder(&self, log: u32) -> Result<Option<(Holder, i64)>, LogError> {
        let (found, _) = self.find(log).await?;
        Ok(found.filter(|record| !record.released).map(|record| (record.holder, record.since_ms)))
    }

    /// `None` when another one was faster.
    async fn take(&self, log: u32, holder: &Holder, epoch: u64, revision: u64) -> Result<Option<Lease>, LogError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = Record { holder: holder.clone(), since_ms: now.as_millis() as i64, epoch, released: false };
        let revision = self.write(log, &record, revision).await?;
        Ok(revision.map(|revision| Lease { leases: self.clone(), log, record, revision }))
    }

    /// What is written down for a log, if anything is, and the revision behind which something else is written.
    async fn find(&self, log: u32) -> Result<(Option<Record>, u64), LogError> {
        let entry = self.link.ask(self.bucket.entry(self.key(log))).await?;
        let entry = entry.map_err(|error| LogError::Unreachable(format!("the lease of log {log}: {error}")))?;
        let Some(entry) = entry else { return Ok((None, 0)) };
        if entry.operation != Operation::Put {
            return Ok((None, entry.revision));
        }
        let record = serde_json::from_slice(&entry.value)
            .map_err(|error| LogError::Unfit(format!("the lease of log {log} was not written by emshop: {error}")))?;
        Ok((Some(record), entry.revision))
    }

    /// Its new revision; `None` when the last one is another than that.
    async fn write(&self, log: u32, record: &Record, revision: u64) -> Result<Option<u64>, LogError> {
        let value = serde_json::to_vec(record).expect("a record is JSON");
        let write = timeout(WRITE_WAIT, self.link.ask(self.bucket.update(self.key(log), value.into(), revision)));
        let written = match write.await {
            Ok(Ok(Ok(revision))) => Ok(Some(revision)),
            Ok(Ok(Err(error))) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Ok(Ok(Err(error))) => Err(LogError::Unreachable(format!("the lease of log {log}: {error}"))),
            Ok(Err(no_answer)) => Err(no_answer.into()),
            Err(_) => Err(LogError::Unreachable(format!("the lease of log {log} is not acknowledged"))),
        };
        let stream = subjects::lease_stream();
        if written.is_ok() {
            self.pulse.answered(&stream)
        } else {
            self.pulse.unanswered(&stream)
        }
        written
    }

    fn key(&self, log: u32) -> String {
        format!("{}.log.{log}", self.epoch)
    }
}

/// An engine's hold on its log.
pub struct Lease {
    leases: Leases,
    log: u32,
    record: Record,
    revision: u64,
}

impl Lease {
    /// Number of the log.
    pub fn log(&self) -> u32 {
        self.log
    }

    /// Says that its holder is still there.
    ///
    /// # Errors
    /// [`LogError`] when the server cannot be asked: it is then still held, as long as anybody knows.
    pub async fn renew(&mut self) -> Result<Renewal, LogError> {
        self.write().await
    }

    /// Whoever waits need not wait any longer.
    pub async fn release(mut self) {
        self.record.released = true;
        if let Err(error) = self.write().await {
            tracing::debug!(log = self.log, %error, "the lease is not released; it ends by itself");
        }
    }

    async fn write(&mut self) -> Result<Renewal, LogError> {
        loop {
            if let Some(revision) = self.leases.write(self.log, &self.record, self.revision).await? {
                self.revision = revision;
                return Ok(Renewal::Held);
            }
            match self.leases.find(self.log).await? {
                (Some(found), _) if found.holder.incarnation != self.record.holder.incarnation => {
                    return Ok(Renewal::Lost(Some(found.holder).filter(|_| !found.released)));
                }
                // Its own, of which it never heard.
                (Some(_), revision) => self.revision = revision,
                (None, _) => return Ok(Renewal::Lost(None)),
            }
        }
    }
}
