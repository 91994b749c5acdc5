//! Reading a log in order, whatever happens to connections, consumers and servers.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::time::sleep;

use super::JetStreamLog;
use super::delivery::{Delivered, Delivery};
use crate::{Bounds, Entry, LogError};

const RESUME_RETRY: Duration = Duration::from_millis(100);

/// A position in the log, and the means to get on from there.
pub(super) struct Reader {
    log: JetStreamLog,
    /// The sequence that comes next.
    next: u64,
    /// The server's time of the entry before, once one was read.
    previous_ns: Option<i128>,
    delivery: Option<Delivery>,
}

impl Reader {
    pub fn stream(log: JetStreamLog, from: u64) -> BoxStream<'static, Result<Entry, LogError>> {
        let reader = Self { log, next: from, previous_ns: None, delivery: None };
        stream::try_unfold(reader, |mut reader| async move {
            let entry = reader.next().await?;
            Ok(Some((entry, reader)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Entry, LogError> {
        loop {
            let delivery = match &mut self.delivery {
                Some(delivery) => delivery,
                None => {
                    let delivery = self.resume().await?;
                    self.delivery.insert(delivery)
                }
            };
            match delivery.next().await {
                Ok(Delivered::Entry { entry, time_ns }) if entry.sequence == self.next => {
                    self.next += 1;
                    self.previous_ns = Some(time_ns);
                    return Ok(entry);
                }
                Ok(Delivered::Entry { entry, .. }) => return Err(self.missing(entry.sequence).await),
                Ok(Delivered::Nothing) => self.check_for_stall().await?,
                Err(broken) => {
                    tracing::debug!(log = self.log.number, next = self.next, "delivery broke: {broken}");
                    self.delivery = None;
                }
            }
        }
    }

    /// A delivery from the next sequence on, however long it takes until there is a server to give it.
    async fn resume(&self) -> Result<Delivery, LogError> {
        let (log, next) = (self.log.number, self.next);
        let mut interrupted = false;
        loop {
            match self.try_resume().await {
                Err(LogError::Unreachable(reason)) => {
                    if !interrupted {
                        tracing::warn!(log, next, "reading is interrupted: {reason}");
                    }
                    interrupted = true;
                    sleep(RESUME_RETRY).await;
                }
                Ok(delivery) => {
                    if interrupted {
                        tracing::info!(log, next, "reading goes on");
                    }
                    return Ok(delivery);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_resume(&self) -> Result<Delivery, LogError> {
        self.bounds().await?;
        Delivery::open(&self.log, self.next).await
    }

    /// The log's bounds, having made sure that it still continues what was read.
    ///
    /// A server whose storage was replaced by an older copy gives the lost sequences to other envelopes. The time of the last entry read
    /// tells, even when the log has grown beyond it again.
    async fn bounds(&self) -> Result<Bounds, LogError> {
        let log = &self.log;
        let bounds = log.current_bounds().await?;
        bounds.admit(log.number, self.next)?;
        let previous = self.next - 1;
        if let Some(previous_ns) = self.previous_ns
            && previous >= bounds.first
            && log.time_ns(previous).await?.is_some_and(|time_ns| time_ns != previous_ns)
        {
            return Err(LogError::LostRecords { log: log.number, last: previous - 1, wanted: previous });
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
    async fn missing(&self, after: u64) -> LogError {
        match self.bounds().await {
            Err(error) if !matches!(error, LogError::Unreachable(_)) => error,
            _ => LogError::Gap { log: self.log.number, before: self.next - 1, after },
        }
    }
}
