//! The way of entries into the audit trail. It keeps no call waiting: what finds no room is counted, and told by a later entry.
//!
//! Changes have room of their own, which is written first, so that no flood of refusals takes it.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use emshop_log::audit::AuditLog;
use emshop_proto::v1::{AuditEvent, AuditKind, OperatorKind};
use futures::future::join_all;
use prost::Message;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, timeout};

/// Entries that wait to be written, of either sort.
const WAITING_MAX: usize = 4_096;
/// Entries that are written at once.
const BATCH: usize = 64;
/// How often it is told that some were left out.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// A trail that takes nothing is tried again after so long, and twice as long each time, up to the second.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Takes entries. Clones share their room.
#[derive(Clone)]
pub struct Trail {
    changes: Sender<AuditEvent>,
    attempts: Sender<AuditEvent>,
    left_out: Arc<AtomicU64>,
}

impl Trail {
    /// With the work of writing, which ends when nobody can tell any more and all is written.
    pub fn new(log: Arc<dyn AuditLog>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let ((changes, of_changes), (attempts, of_attempts)) = (channel(WAITING_MAX), channel(WAITING_MAX));
        let left_out = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            log,
            changes: of_changes,
            attempts: of_attempts,
            left_out: Arc::clone(&left_out),
            told: Instant::now(),
            pending: Vec::new(),
            name: rand::random(),
            entries: 0,
        };
        (Self { changes, attempts, left_out }, writer.run())
    }

    /// Sends an entry on its way, which begins now.
    pub fn tell(&self, event: AuditEvent) {
        let room = if is_attempt(&event) { &self.attempts } else { &self.changes };
        if room.try_send(AuditEvent { at_ms: now_ms(), ..event }).is_err() {
            self.leave_out();
        }
    }

    /// Counts an entry that is not told.
    pub fn leave_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether strangers and customers can make it happen as often as they like.
fn is_attempt(event: &AuditEvent) -> bool {
    let of_customer = event.by.as_ref().is_some_and(|by| by.kind() == OperatorKind::User);
    let kind = event.kind();
    of_customer
        || matches!(kind, AuditKind::SignedIn | AuditKind::SignInRefused | AuditKind::CallRefused | AuditKind::NotBelieved)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

struct Writer {
    log: Arc<dyn AuditLog>,
    changes: Receiver<AuditEvent>,
    attempts: Receiver<AuditEvent>,
    left_out: Arc<AtomicU64>,
    /// When it was told last how many are left out.
    told: Instant,
    /// What is written next, or not acknowledged yet.
    pending: Vec<Pending>,
    /// Drawn by chance. With the number of an entry it is its id.
    name: u64,
    entries: u64,
}

struct Pending {
    kind: AuditKind,
    id: String,
    payload: Bytes,
}

impl Writer {
    async fn run(mut self) {
        loop {
            let mut taken = Vec::new();
            let more = timeout(TELL_EVERY, self.take(&mut taken)).await;
            let is_end = more == Ok(false);
            taken.extend(self.missing(is_end));
            for event in taken {
                self.entries += 1;
                let id = format!("{:x}-{:x}", self.name, self.entries);
                self.pending.push(Pending { kind: event.kind(), id, payload: event.encode_to_vec().into() });
            }
            self.write().await;
            if is_end {
                return;
            }
        }
    }

    /// Waits for entries. `false` when there are none, and nobody tells any.
    async fn take(&mut self, taken: &mut Vec<AuditEvent>) -> bool {
        let mut attempts = Vec::new();
        let more = tokio::select! {
            biased;
            1..=BATCH = self.changes.recv_many(taken, BATCH) => true,
            1..=BATCH = self.attempts.recv_many(&mut attempts, BATCH) => true,
            else => false,
        };
        taken.append(&mut attempts);
        more
    }

    /// The entry that tells of those that are left out, if it is time for it.
    fn missing(&mut self, is_end: bool) -> Option<AuditEvent> {
        if !is_end && self.told.elapsed() < TELL_EVERY {
            return None;
        }
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out == 0 {
            return None;
        }
        self.told = Instant::now();
        tracing::warn!(target: "security", left_out, "entries are left out of the audit trail");
        Some(AuditEvent { kind: AuditKind::LeftOut.into(), at_ms: now_ms(), left_out, ..AuditEvent::default() })
    }

    /// Writes what is pending: what is not acknowledged, again and again.
    async fn write(&mut self) {
        let mut wait = RETRY;
        while !self.pending.is_empty() {
            let appends = self.pending.iter().map(|Pending { kind, id, payload }| self.log.append(*kind, id, payload.clone()));
            let appended = join_all(appends).await;
            let mut failed = None;
            for (pending, appended) in mem::take(&mut self.pending).into_iter().zip(appended) {
                if let Err(error) = appended {
                    failed = Some(error);
                    self.pending.push(pending);
                }
            }
            if let Some(error) = failed {
                let (waiting, left_out) = (self.waiting(), self.left_out.load(Ordering::Relaxed));
                tracing::warn!(event = "audit.unwritten", %error, waiting, left_out, "the audit trail takes no entries; trying again");
                sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }

    fn waiting(&self) -> usize {
        self.pending.len() + self.changes.len() + self.attempts.len()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let lost = self.waiting() as u64 + self.left_out.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(target: "security", left_out = lost, "entries never got into the audit trail");
        }
    }
}

#[cfg(test)]
mod tests {
    use emshop_log::audit::MemoryAudit;

    use super::*;

    fn event(kind: AuditKind, user_id: u64) -> AuditEvent {
        AuditEvent { kind: kind.into(), user_id, ..AuditEvent::default() }
    }

    async fn written(log: &MemoryAudit) -> Vec<AuditEvent> {
        let entries = log.read(1, None, usize::MAX).await.expect("it is there");
        entries.into_iter().map(|entry| AuditEvent::decode(entry.payload).expect("an entry")).collect()
    }

    #[tokio::test]
    async fn what_is_told_is_written_in_order_and_the_work_ends() {
        let log = MemoryAudit::default();
        let (trail, writing) = Trail::new(Arc::new(log.clone()));
        let before = now_ms();
        for user_id in 1..=200 {
            trail.tell(event(AuditKind::Role, user_id));
        }
        drop(trail);
        writing.await;
        let written = written(&log).await;
        assert!(written.iter().map(|event| event.user_id).eq(1..=200));
        assert!(written.iter().all(|event| event.kind() == AuditKind::Role && (before..=now_ms()).contains(&event.at_ms)));
    }

    #[tokio::test]
    async fn a_flood_of_refusals_keeps_no_change_out_and_what_is_left_out_is_counted() {
        let log = MemoryAudit::default();
        let (trail, writing) = Trail::new(Arc::new(log.clone()));
        for user_id in 1..=WAITING_MAX as u64 + 7 {
            trail.tell(event(AuditKind::CallRefused, user_id));
        }
        trail.leave_out();
        trail.tell(event(AuditKind::Balance, 5));
        drop(trail);
        writing.await;
        let written = written(&log).await;
        assert_eq!((written[0].kind(), written[0].user_id), (AuditKind::Balance, 5), "it is written first");
        let last = written.last().expect("entries");
        assert_eq!((last.kind(), last.left_out, written.len()), (AuditKind::LeftOut, 8, WAITING_MAX + 2));
    }

    #[tokio::test]
    async fn a_trail_that_is_away_gets_each_entry_once_when_it_is_back() {
        let log = MemoryAudit::default();
        log.set_away(true);
        let (trail, writing) = Trail::new(Arc::new(log.clone()));
        let writing = tokio::spawn(writing);
        // Telling takes no time, whatever becomes of it.
        for user_id in 1..=WAITING_MAX as u64 * 2 {
            trail.tell(event(AuditKind::Status, user_id));
        }
        sleep(RETRY / 2).await;
        log.set_away(false);
        drop(trail);
        timeout(Duration::from_secs(30), writing).await.expect("it ends").expect("no panic");
        let written = written(&log).await;
        let (last, told) = written.split_last().expect("entries");
        assert_eq!(last.kind(), AuditKind::LeftOut);
        assert!(told.iter().map(|event| event.user_id).is_sorted());
        assert_eq!(told.len() as u64 + last.left_out, WAITING_MAX as u64 * 2, "all are there, or counted");
    }
}
