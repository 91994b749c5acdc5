//! How much may be under way at once, over all clients.
//!
//! Reads, calls and streams have budgets of their own, and in each log, so that none of them takes the room of the others: not a few
//! streams that carry all they can, and not a log whose engine is slow.

use std::sync::Arc;

use arc_swap::ArcSwap;
use emshop_sync::tasks::Semaphore;
use tokio::sync::OwnedSemaphorePermit;

/// Reads of many rows that an engine is asked at the same time. It is never idle for want of more, and whoever asks for one row is not kept
/// waiting by many who ask for all they can.
const LISTS_AT_ONCE: usize = 16;
const OPEN: &str = "nobody closes these semaphores";

/// What may be under way over all logs, which share it evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Reads that wait for their answer.
    pub reads: u32,
    /// Calls that give a command and wait for what comes of it.
    pub calls: u32,
    /// Commands of streams.
    pub streamed: u32,
    /// Bytes of the records of calls, and those of streams.
    pub bytes: u32,
}

/// The budgets of all logs, by number.
pub struct Admission {
    now: ArcSwap<AllBudgets>,
}

struct AllBudgets {
    limits: Limits,
    logs: Box<[Budgets]>,
}

struct Budgets {
    reads: Arc<Semaphore>,
    reads_max: usize,
    lists_under_way: Arc<Semaphore>,
    lists_max: usize,
    lists_in_turn: Arc<Semaphore>,
    calls: Budget,
    streamed: Budget,
}

impl AllBudgets {
    fn new(limits: Limits, logs: u32) -> Self {
        let share = |limit: u32| limit.div_ceil(logs);
        let budgets = |_| Budgets {
            reads: Arc::new(Semaphore::new(share(limits.reads) as usize)),
            reads_max: share(limits.reads) as usize,
            lists_under_way: Arc::new(Semaphore::new(share(limits.reads).div_ceil(2) as usize)),
            lists_max: share(limits.reads).div_ceil(2) as usize,
            lists_in_turn: Arc::new(Semaphore::new(LISTS_AT_ONCE)),
            calls: Budget::new(share(limits.calls), share(limits.bytes)),
            streamed: Budget::new(share(limits.streamed), share(limits.bytes)),
        };
        Self { limits, logs: (0..logs).map(budgets).collect() }
    }
}

impl Admission {
    pub fn new(limits: Limits, logs: u32) -> Self {
        Self { now: ArcSwap::from_pointee(AllBudgets::new(limits, logs)) }
    }

    /// Lets in by these limits from now on. What is under way keeps its room in the former ones, and is not counted among what comes.
    pub fn change(&self, limits: Limits) {
        let now = self.now.load();
        if now.limits != limits {
            self.now.store(Arc::new(AllBudgets::new(limits, now.logs.len() as u32)));
        }
    }

    /// Room for one read from a log, or `None` when there is none now.
    pub fn read(&self, log: u32) -> Option<OwnedSemaphorePermit> {
        self.now.load().logs[log as usize].reads.clone().try_acquire_owned().ok()
    }

    /// Waits until it is the turn of a read of many rows, which then still needs room as a read; `None` when as many wait as half of the reads.
    pub async fn list(&self, log: u32) -> Option<[OwnedSemaphorePermit; 2]> {
        let (under_way, in_turn) = {
            let now = self.now.load();
            let budgets = &now.logs[log as usize];
            (budgets.lists_under_way.clone().try_acquire_owned().ok()?, budgets.lists_in_turn.clone())
        };
        Some([under_way, in_turn.acquire_owned().await.expect(OPEN)])
    }

    /// Room for the command of one call to a log, or `None` when there is none now.
    pub fn call(&self, log: u32, bytes: usize) -> Option<Room> {
        self.now.load().logs[log as usize].calls.try_admit(bytes)
    }

    /// Waits for room for commands of a stream to a log.
    pub async fn stream(&self, log: u32, commands: usize, bytes: usize) -> Room {
        let budget = self.now.load().logs[log as usize].streamed.clone();
        budget.admit(commands, bytes).await
    }

    /// What is under way to a log now.
    pub fn under_way(&self, log: u32) -> UnderWay {
        let now = self.now.load();
        let Budgets { reads, reads_max, lists_under_way, lists_max, calls, streamed, .. } = &now.logs[log as usize];
        UnderWay {
            reads: Taken::of(reads, *reads_max),
            lists: Taken::of(lists_under_way, *lists_max),
            calls: Taken::of(&calls.commands, calls.commands_max as usize),
            streamed: Taken::of(&streamed.commands, streamed.commands_max as usize),
            call_bytes: Taken::of(&calls.bytes, calls.bytes_max as usize),
            streamed_bytes: Taken::of(&streamed.bytes, streamed.bytes_max as usize),
        }
    }
}

/// How much of the budgets of a log is taken.
pub struct UnderWay {
    pub reads: Taken,
    pub lists: Taken,
    pub calls: Taken,
    pub streamed: Taken,
    pub call_bytes: Taken,
    pub streamed_bytes: Taken,
}

/// How much of something is taken, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub taken: usize,
    pub max: usize,
}

impl Taken {
    fn of(semaphore: &Semaphore, max: usize) -> Self {
        Self { taken: max.saturating_sub(semaphore.available_permits()), max }
    }
}

/// Bounds commands and their bytes from the moment they are let in until they are answered. Clones share it.
#[derive(Clone)]
pub struct Budget {
    commands: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    commands_max: u32,
    bytes_max: u32,
}

/// Room taken up by what was let in; dropping it gives the room back.
pub struct Room {
    _commands: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Budget {
    pub fn new(commands_max: u32, bytes_max: u32) -> Self {
        let room = |units: u32| Arc::new(Semaphore::new(units as usize));
        Self { commands: room(commands_max), bytes: room(bytes_max), commands_max, bytes_max }
    }

    /// Room for one command, or `None` when there is none now.
    pub fn try_admit(&self, bytes: usize) -> Option<Room> {
        let commands = self.commands.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(self.clamp_bytes(bytes)).ok()?;
        Some(Room { _commands: commands, _bytes: bytes })
    }

    /// Waits for room. More than the bounds counts as the bounds: it is let in when nothing else is under way.
    pub async fn admit(&self, commands: usize, bytes: usize) -> Room {
        let commands = u32::try_from(commands).unwrap_or(u32::MAX).min(self.commands_max);
        let commands = self.commands.clone().acquire_many_owned(commands).await;
        let bytes = self.bytes.clone().acquire_many_owned(self.clamp_bytes(bytes)).await;
        Room { _commands: commands.expect(OPEN), _bytes: bytes.expect(OPEN) }
    }

    fn clamp_bytes(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn either_bound_refuses_and_room_comes_back() {
        let budget = Budget::new(2, 100);
        let first = budget.try_admit(40).expect("room for the first");
        let second = budget.try_admit(40).expect("room for the second");
        assert!(budget.try_admit(0).is_none(), "a third command is one too many");
        drop(second);
        assert!(budget.try_admit(61).is_none(), "61 bytes are one too many");
        let second = budget.try_admit(60).expect("60 bytes fit");
        drop((first, second));
        assert!(budget.try_admit(100).is_some());
    }

    #[test]
    fn batches_wait_and_the_oversize_goes_alone() {
        let budget = Budget::new(4, 100);
        let held = budget.admit(3, 10).now_or_never().expect("room at once");
        assert!(budget.admit(2, 10).now_or_never().is_none());
        assert!(budget.admit(1_000, 1_000).now_or_never().is_none());
        drop(held);
        assert!(budget.admit(1_000, 1_000).now_or_never().is_some());
    }

    #[test]
    fn neither_streams_nor_another_log_take_the_room_of_calls_and_reads() {
        let admission = Admission::new(Limits { reads: 2, calls: 2, streamed: 4, bytes: 200 }, 2);
        let streams = admission.stream(0, 2, 100).now_or_never().expect("room at once");
        assert!(admission.stream(0, 1, 1).now_or_never().is_none(), "half of all is the share of a log");
        let (call, read) = (admission.call(0, 100).expect("room"), admission.read(0).expect("room"));
        assert!(admission.call(0, 1).is_none() && admission.read(0).is_none());
        assert!(admission.call(1, 100).is_some() && admission.read(1).is_some());
        assert!(admission.stream(1, 2, 100).now_or_never().is_some());
        drop((streams, call, read));
        assert!(admission.call(0, 100).is_some() && admission.read(0).is_some());
    }

    #[test]
    fn what_is_under_way_is_known() {
        let admission = Admission::new(Limits { reads: 20, calls: 20, streamed: 30, bytes: 1_000 }, 2);
        let (read, _call) = (admission.read(0).expect("room"), admission.call(0, 100).expect("room"));
        let _list = admission.list(0).now_or_never().flatten().expect("room");
        let _stream = admission.stream(0, 3, 200).now_or_never().expect("room");
        let taken = |log| {
            let UnderWay { reads, lists, calls, streamed, call_bytes, streamed_bytes } = admission.under_way(log);
            [reads, lists, calls, streamed, call_bytes, streamed_bytes].map(|taken| (taken.taken, taken.max))
        };
        assert_eq!(taken(0), [(1, 10), (1, 5), (1, 10), (3, 15), (100, 500), (200, 500)]);
        drop(read);
        assert_eq!(taken(0)[0], (0, 10));
        assert_eq!(taken(1).map(|(taken, _)| taken), [0; 6]);
    }

    #[test]
    fn other_limits_hold_for_what_comes() {
        let limits = Limits { reads: 1, calls: 1, streamed: 1, bytes: 100 };
        let admission = Admission::new(limits, 1);
        let (call, stream) = (admission.call(0, 1).expect("room"), admission.stream(0, 1, 1).now_or_never().expect("room"));
        let mut waiting = Box::pin(admission.stream(0, 1, 1));
        assert!(admission.call(0, 1).is_none() && waiting.as_mut().now_or_never().is_none());
        admission.change(limits);
        assert!(admission.call(0, 1).is_none(), "nothing has changed");
        admission.change(Limits { calls: 2, ..limits });
        assert!((0..3).all(|_| admission.call(0, 1).is_some()), "each gives its room back at once");
        let held = [admission.call(0, 1).expect("room"), admission.call(0, 1).expect("room")];
        assert!(admission.call(0, 1).is_none());
        drop(stream);
        assert!(waiting.now_or_never().is_some(), "who waited gets the room that it waited for");
        drop((call, held));
    }

    #[test]
    fn lists_wait_for_lists_of_their_log_alone() {
        let reads = 2 * 2 * (LISTS_AT_ONCE as u32 + 1);
        let admission = Admission::new(Limits { reads, calls: 2, streamed: 4, bytes: 200 }, 2);
        let mut lists: Vec<_> = (0..LISTS_AT_ONCE).map(|_| admission.list(0).now_or_never().flatten().expect("room")).collect();
        let mut waiting = Box::pin(admission.list(0));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(admission.list(0).now_or_never().expect("no wait").is_none(), "half of the reads are under way");
        let reads: Vec<_> = (0..reads / 2).map(|_| admission.read(0).expect("lists that wait take no room of reads")).collect();
        assert!(admission.read(0).is_none() && admission.list(1).now_or_never().flatten().is_some());
        lists.pop();
        assert!(waiting.now_or_never().flatten().is_some());
        drop(reads);
    }
}
