//! The audit trail: entries by kind, appended by ingresses and read by pages. Nothing decides anything by it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use emshop_proto::v1::AuditKind;
use futures::FutureExt;
use futures::future::{self, BoxFuture};

use super::{Bounds, LogError};

/// The most bytes that an entry has, so that a trail of a certain size has room for a certain number of them.
pub const PAYLOAD_BYTES_MAX: usize = 840;

/// An entry where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Ascends, with gaps where older entries have gone.
    pub sequence: u64,
    /// When it was stored, in Unix milliseconds by the clock of the trail; after a restore, when that was.
    pub stored_ms: i64,
    /// As it was appended.
    pub payload: Bytes,
}

/// A trail of entries. Cheap to share.
pub trait AuditLog: Send + Sync + 'static {
    /// Stores an entry. Appended again under the same id, soon enough, it stays one.
    fn append(&self, kind: AuditKind, id: &str, payload: Bytes) -> BoxFuture<'static, Result<(), LogError>>;

    /// The oldest and the newest entry that there may be.
    fn bounds(&self) -> BoxFuture<'static, Result<Bounds, LogError>>;

    /// The first entries from a sequence on, of one kind or of all, `most` of them at most.
    fn read(&self, from: u64, kind: Option<AuditKind>, most: usize) -> BoxFuture<'static, Result<Vec<AuditEntry>, LogError>>;
}

/// In memory, for tests. Clones share one trail.
#[derive(Clone, Default)]
pub struct MemoryAudit {
    entries: Arc<Mutex<Vec<Option<Kept>>>>,
    away: Arc<AtomicBool>,
    now_ms: Arc<AtomicI64>,
}

#[derive(Clone)]
struct Kept {
    kind: AuditKind,
    stored_ms: i64,
    id: String,
    payload: Bytes,
}

impl MemoryAudit {
    /// From now on it does not answer, or does again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// What is appended from now on is stored at this time, in Unix milliseconds.
    pub fn set_now(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// An entry has become too old.
    pub fn drop_entry(&self, sequence: u64) {
        self.entries()[sequence as usize - 1] = None;
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Option<Kept>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&mut Vec<Option<Kept>>) -> T,
    ) -> BoxFuture<'static, Result<T, LogError>> {
        let answer = match self.away.load(Ordering::SeqCst) {
            true => Err(LogError::Unreachable("it is away".to_owned())),
            false => Ok(answer(&mut self.entries())),
        };
        future::ready(answer).boxed()
    }
}

impl AuditLog for MemoryAudit {
    fn append(&self, kind: AuditKind, id: &str, payload: Bytes) -> BoxFuture<'static, Result<(), LogError>> {
        let stored_ms = self.now_ms.load(Ordering::SeqCst);
        self.answer(|entries| {
            if !entries.iter().flatten().any(|kept| kept.id == id) {
                entries.push(Some(Kept { kind, stored_ms, id: id.to_owned(), payload }));
            }
        })
    }

    fn bounds(&self) -> BoxFuture<'static, Result<Bounds, LogError>> {
        self.answer(|entries| {
            let gone = entries.iter().take_while(|kept| kept.is_none()).count() as u64;
            Bounds { first: gone + 1, last: entries.len() as u64 }
        })
    }

    fn read(&self, from: u64, kind: Option<AuditKind>, most: usize) -> BoxFuture<'static, Result<Vec<AuditEntry>, LogError>> {
        self.answer(|entries| {
            let there = (1..).zip(entries.iter()).filter_map(|(sequence, kept)| Some((sequence, kept.as_ref()?)));
            let wanted = there.filter(|(sequence, kept)| *sequence >= from && kind.is_none_or(|kind| kind == kept.kind));
            let entry = |(sequence, kept): (u64, &Kept)| {
                let Kept { stored_ms, ref payload, .. } = *kept;
                AuditEntry { sequence, stored_ms, payload: payload.clone() }
            };
            wanted.map(entry).take(most).collect()
        })
    }
}
