//! Reading a log in order, whatever happens to connections, consumers and servers.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::time::sleep;

use super::JetStreamLog;
use super::delivery::{Delivered, Delivery};
use crate::{Bounds, Entry, LogError};

/// Entries that are asked for one by one when a delivery broke twice at the same one: more of its kind may follow.
const SINGLY: u32 = 100;
const RESUME_RETRY: Duration = Duration::from_millis(100);

/// An entry that was in the log.
#[derive(Clone, Copy)]
struct Seen {
    sequence: u64,
    identity: u64,
}

/// A position in the log, and the means to get on from there.
pub(super) struct Reader {
    log: JetStreamLog,
    /// The sequence that comes next.
    next: u64,
    /// The newest entry that was seen in the log, whether it was read yet or not.
    newest: Option<Seen>,
    delivery: Option<Delivery>,
    /// The sequence that came next when the last delivery broke.
    broken_at: u64,
    /// How many entries are asked for one by one, before there is a delivery again.
    singly: u32,
}

impl Reader {
    pub fn stream(log: JetStreamLog, from: u64) -> BoxStream<'static, Result<Entry, LogError>> {
        let reader = Self { log, next: from, newest: None, delivery: None, broken_at: 0, singly: 0 };
        stream::try_unfold(reader, |mut reader| async move {
            let entry = reader.next().await?;
            Ok(Some((entry, reader)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Entry, LogError> {
        loop {
            if self.singly > 0
                && let Some(entry) = self.single().await?
            {
                return Ok(entry);
            }
            let delivery = match &mut self.delivery {
                Some(delivery) => delivery,
                None => {
                    let delivery = self.resume().await?;
                    self.delivery.insert(delivery)
                }
            };
            match delivery.next().await {
                Ok(Delivered::Entry(entry)) if entry.sequence == self.next => {
                    self.next += 1;
                    self.see(&entry)?;
                    return Ok(entry);
                }
                Ok(Delivered::Entry(entry)) => return Err(self.missing(entry.sequence).await),
                Ok(Delivered::Nothing) => self.check_for_stall().await?,
                Err(broken) => {
                    tracing::debug!(log = self.log.number, next = self.next, "delivery broke: {broken}");
                    self.delivery = None;
                    if std::mem::replace(&mut self.broken_at, self.next) == self.next {
                        self.singly = SINGLY;
                    }
                }
            }
        }
    }

    /// The next entry by itself: no delivery gets past one whose headers break the connection, as anybody can write them.
    async fn single(&mut self) -> Result<Option<Entry>, LogError> {
        self.singly -= 1;
        match self.log.find(self.next).await {
            Ok(Some(entry)) => {
                self.next += 1;
                self.see(&entry)?;
                Ok(Some(entry))
            }
            Ok(None) | Err(LogError::Unreachable(_)) => {
                self.singly = 0;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A delivery from the next sequence on, however long it takes until there is a server to give it.
    async fn resume(&mut self) -> Result<Delivery, LogError> {
        let (log, next) = (self.log.number, self.next);
        let mut interrupted = false;
        loop {
            match self.try_resume().await {
                Err(LogError::Unreachable(reason)) => {
                    if !interrupted {
                        tracing::warn!(event = "log.interrupted", log, next, "reading is interrupted: {reason}");
                    }
                    interrupted = true;
                    sleep(RESUME_RETRY).await;
                }
                Ok(delivery) => {
                    if interrupted {
                        tracing::info!(event = "log.resumed", log, next, "reading goes on");
                    }
                    return Ok(delivery);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_resume(&mut self) -> Result<Delivery, LogError> {
        self.bounds().await?;
        Delivery::open(&self.log, self.next).await
    }

    /// Takes notice of an entry.
    fn see(&mut self, entry: &Entry) -> Result<(), LogError> {
        let (sequence, identity) = (entry.sequence, entry.identity());
        match self.newest {
            Some(newest) if newest.sequence > sequence => {}
            Some(newest) if newest.sequence == sequence && newest.identity != identity => return Err(self.lost(sequence)),
            _ => self.newest = Some(Seen { sequence, identity }),
        }
        Ok(())
    }

    fn lost(&self, wanted: u64) -> LogError {
        LogError::LostRecords { log: self.log.number, last: wanted - 1, wanted }
    }

    /// The log's bounds, having made sure that it still continues what it was.
    ///
    /// A server whose storage was replaced by an older copy gives the lost sequences to other envelopes. The identity of the newest entry
    /// seen tells, even when the log has grown beyond it again, and before anything is read that stands in the place of what was lost.
    async fn bounds(&mut self) -> Result<Bounds, LogError> {
        let bounds = self.log.current_bounds().await?;
        bounds.admit(self.log.number, self.next)?;
        if let Some(newest) = self.newest {
            if bounds.last < newest.sequence {
                return Err(LogError::LostRecords { log: self.log.number, last: bounds.last, wanted: newest.sequence });
            }
            if let Some(entry) = self.log.find(newest.sequence).await? {
                self.see(&entry)?;
            }
        }
        if self.newest.is_none_or(|newest| newest.sequence < bounds.last)
            && let Some(entry) = self.log.find(bounds.last).await?
        {
            self.see(&entry)?;
        }
        Ok(bounds)
    }

    /// Gives up a delivery that brings nothing although there is something: the server may have lost track of its consumer.
    async fn check_for_stall(&mut self) -> Result<(), LogError> {
        match self.bounds().await {
            Ok(bounds) if bounds.last < self.next => {}
            Ok(_) | Err(LogError::Unreachable(_)) => self.delivery = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Why the server went on with `after` instead of the next sequence.
    async fn missing(&mut self, after: u64) -> LogError {
        match self.bounds().await {
            Err(error) if !matches!(error, LogError::Unreachable(_)) => error,
            _ => LogError::Gap { log: self.log.number, before: self.next - 1, after },
        }
    }
}
