//! A command log in memory, with faults, for simulation and tests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use emshop_proto::seal::{ClusterKey, KEY_BYTES, Seal};
use emshop_sync::tasks::Notify;
use emshop_sync::threads::{Mutex, MutexGuard};
use futures::future::{self, BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};

use super::{AppendError, Bounds, CommandLog, Entry, LastSteps, LogError, Steps};

/// The default limit of nats-server, so that what fits here fits there.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// What goes wrong with an append. Its writer is told [`AppendError::Unknown`] either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// The envelope is stored, but its acknowledgement gets lost.
    LostAck,
    /// The envelope gets lost on its way.
    NotStored,
}

/// Clones share one log. Appends are stored when they are called, so that a simulation decides their order.
#[derive(Clone)]
pub struct MemoryLog {
    number: u32,
    seal: Seal,
    shared: Arc<Shared>,
}

struct Shared {
    contents: Mutex<Contents>,
    changed: Notify,
}

struct Contents {
    first: u64,
    entries: VecDeque<Entry>,
    /// What was appended as steps of each source, ascending.
    steps: BTreeMap<u32, Vec<u64>>,
    time_ns: i64,
    next_fault: Option<AppendFault>,
}

impl Contents {
    fn bounds(&self) -> Bounds {
        Bounds { first: self.first, last: self.first + self.entries.len() as u64 - 1 }
    }

    fn last_steps(&self, source_log: u32, seal: &Seal) -> LastSteps {
        let sequences = self.steps.get(&source_log).into_iter().flatten().rev();
        let mut entries =
            sequences.filter_map(|sequence| self.entries.get(sequence.checked_sub(self.first)? as usize)).peekable();
        let at = entries.peek().map_or(0, |last| last.sequence);
        LastSteps {
            steps: entries.filter_map(|entry| Steps::of(entry, source_log, seal)).max_by_key(|steps| steps.through),
            at,
            bounds: self.bounds(),
        }
    }

    fn push(&mut self, payload: Bytes) -> u64 {
        let sequence = self.bounds().last + 1;
        self.entries.push_back(Entry { sequence, time_ns: self.time_ns, payload });
        sequence
    }
}

impl MemoryLog {
    /// An empty log. Its clock stands at 0 until it is set.
    pub fn new(number: u32) -> Self {
        let contents = Contents { first: 1, entries: VecDeque::new(), steps: BTreeMap::new(), time_ns: 0, next_fault: None };
        let seal = ClusterKey::new([0; KEY_BYTES]).seals("in memory").of(number);
        Self { number, seal, shared: Arc::new(Shared { contents: Mutex::new(contents), changed: Notify::new() }) }
    }

    /// Sets the clock that later appends are stamped with, in Unix milliseconds.
    pub fn set_time_ms(&self, time_ms: i64) {
        self.contents().time_ns = time_ms * 1_000_000;
    }

    /// Makes the next append fail.
    pub fn fail_next_append(&self, fault: AppendFault) {
        self.contents().next_fault = Some(fault);
    }

    /// Loses every entry above `last`, as a disk does that was not told to sync.
    pub fn truncate(&self, last: u64) {
        let mut contents = self.contents();
        let kept = (last + 1).saturating_sub(contents.first) as usize;
        contents.entries.truncate(kept);
        contents.steps.values_mut().for_each(|sequences| sequences.retain(|sequence| *sequence <= last));
        self.shared.changed.notify_waiters();
    }

    /// The entry, or `None` while it is still to come.
    fn entry(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        let contents = self.contents();
        contents.bounds().admit(self.number, sequence)?;
        Ok(contents.entries.get((sequence - contents.first) as usize).cloned())
    }

    async fn wait_for(&self, sequence: u64) -> Result<Entry, LogError> {
        loop {
            // Registered before the look, so that a change in between is not missed.
            let changed = self.shared.changed.notified();
            if let Some(entry) = self.entry(sequence)? {
                return Ok(entry);
            }
            changed.await;
        }
    }

    /// Steps are stored if those of their source end where they should.
    fn store(&self, payload: Bytes, steps: Option<(u32, u64)>) -> Result<u64, AppendError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(AppendError::Refused(format!("{} bytes are more than {PAYLOAD_BYTES_MAX}", payload.len())));
        }
        let mut contents = self.contents();
        if let Some((source_log, after)) = steps {
            let last = contents.last_steps(source_log, &self.seal);
            if last.at != after {
                return Err(AppendError::NotNext(last));
            }
        }
        let fault = contents.next_fault.take();
        if fault == Some(AppendFault::NotStored) {
            return Err(AppendError::Unknown("the envelope got lost".into()));
        }
        let sequence = contents.push(payload);
        if let Some((source_log, _)) = steps {
            contents.steps.entry(source_log).or_default().push(sequence);
        }
        self.shared.changed.notify_waiters();
        match fault {
            Some(_) => Err(AppendError::Unknown("the acknowledgement got lost".into())),
            None => Ok(sequence),
        }
    }

    fn drop_below(&self, sequence: u64) -> Result<(), LogError> {
        let mut contents = self.contents();
        let Bounds { first, last } = contents.bounds();
        if sequence > last + 1 {
            return Err(LogError::LostRecords { log: self.number, last, wanted: sequence - 1 });
        }
        if sequence > first {
            contents.entries.drain(..(sequence - first) as usize);
            contents.first = sequence;
        }
        Ok(())
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.shared.contents.lock().expect("no holder of the lock panics")
    }
}

impl CommandLog for MemoryLog {
    fn number(&self) -> u32 {
        self.number
    }

    fn seal(&self) -> &Seal {
        &self.seal
    }

    fn append(&self, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        future::ready(self.store(payload, None)).boxed()
    }

    fn append_steps(&self, source_log: u32, after: u64, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        future::ready(self.store(payload, Some((source_log, after)))).boxed()
    }

    fn last_steps(&self, source_log: u32, _at_least: u64) -> BoxFuture<'static, Result<LastSteps, LogError>> {
        future::ready(Ok(self.contents().last_steps(source_log, &self.seal))).boxed()
    }

    fn read(&self, from: u64) -> BoxStream<'static, Result<Entry, LogError>> {
        stream::try_unfold((self.clone(), from), |(log, next)| async move {
            let entry = log.wait_for(next).await?;
            Ok(Some((entry, (log, next + 1))))
        })
        .boxed()
    }

    /// In memory nobody decides that.
    fn voids(&self, _from: u64) -> BoxFuture<'static, Result<Vec<Entry>, LogError>> {
        future::ready(Ok(Vec::new())).boxed()
    }

    fn entry(&self, sequence: u64) -> BoxFuture<'static, Result<Option<Entry>, LogError>> {
        let contents = self.contents();
        let place = sequence.checked_sub(contents.first);
        future::ready(Ok(place.and_then(|place| contents.entries.get(place as usize).cloned()))).boxed()
    }

    fn bounds(&self) -> BoxFuture<'static, Result<Bounds, LogError>> {
        future::ready(Ok(self.contents().bounds())).boxed()
    }

    /// It has no bound.
    fn room(&self) -> BoxFuture<'static, Result<u64, LogError>> {
        future::ready(Ok(u64::MAX)).boxed()
    }

    fn trim(&self, sequence: u64) -> BoxFuture<'static, Result<(), LogError>> {
        future::ready(self.drop_below(sequence)).boxed()
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod handoffs {
    use emshop_sync::threads::thread;
    use emshop_sync::{all, block_on};
    use futures::TryStreamExt;

    use super::*;

    /// Below the model checker. See `emshop_sync`.
    #[test]
    fn a_reader_at_the_end_misses_no_entry() {
        all(|| {
            let log = MemoryLog::new(0);
            let appending = log.clone();
            let writer = thread::spawn(move || {
                for payload in [b"first".as_slice(), b"second"] {
                    let append = appending.append(Bytes::from_static(payload));
                    append.now_or_never().expect("at once").expect("stored");
                }
            });
            let entries: Vec<_> = block_on(log.read(1).take(2).try_collect()).expect("no error");
            assert_eq!(entries.iter().map(|entry| entry.payload.as_ref()).collect::<Vec<_>>(), [b"first".as_slice(), b"second"]);
            writer.join().expect("it does not panic");
        });
    }
}
