//! How much of what streams send is between this ingress and the engine.
//!
//! A log is read in order, so a call waits for all that was appended before it. As little as keeps log and engine busy is on its way
//! therefore, and the rest waits here, where calls go first. How much that is depends on the machine: the window follows how long
//! envelopes take to be applied.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use emshop_proto::envelope::ENVELOPE_BYTES_MAX;

/// The window becomes narrower while envelopes take longer than this to be applied …
const SLOW: Duration = Duration::from_millis(80);
/// … and wider while they take less than this, and it is what holds streams up.
const FAST: Duration = Duration::from_millis(40);
const WINDOW_AT_START: usize = 1024 * 1024;
const WINDOW_MIN: usize = 2 * ENVELOPE_BYTES_MAX;
const WINDOW_MAX: usize = 64 * 1024 * 1024;

/// What is on its way of streams.
pub struct Flow {
    window: usize,
    /// Bytes of records that were sent and are not known to be applied.
    under_way: usize,
    /// Those of them that the log has, in its order.
    appended: VecDeque<Appended>,
    /// Something waited for the window since it was looked at.
    held_up: bool,
}

struct Appended {
    sequence: u64,
    bytes: usize,
    sent: Instant,
}

impl Flow {
    pub fn new() -> Self {
        Self { window: WINDOW_AT_START, under_way: 0, appended: VecDeque::new(), held_up: false }
    }

    /// Bytes that may be sent now. Whatever is first may go when nothing is under way.
    pub fn room(&self) -> usize {
        match self.under_way {
            0 => self.window.max(ENVELOPE_BYTES_MAX),
            under_way => self.window.saturating_sub(under_way),
        }
    }

    /// Records wait that there is no room for.
    pub fn held_up(&mut self) {
        self.held_up = true;
    }

    pub fn sent(&mut self, bytes: usize) {
        self.under_way += bytes;
    }

    /// The log did not take them, or did not say so.
    pub fn failed(&mut self, bytes: usize) {
        self.under_way -= bytes;
    }

    /// The log has them.
    pub fn appended(&mut self, sequence: u64, bytes: usize, sent: Instant) {
        // Acknowledgements of several envelopes come in any order.
        let behind = self.appended.iter().rposition(|other| other.sequence < sequence).map_or(0, |place| place + 1);
        self.appended.insert(behind, Appended { sequence, bytes, sent });
    }

    /// The engine has applied the log up to `applied`.
    pub fn applied(&mut self, applied: u64, now: Instant) {
        let mut newest = None;
        while let Some(appended) = self.appended.pop_front_if(|appended| appended.sequence <= applied) {
            self.under_way -= appended.bytes;
            newest = Some(now.saturating_duration_since(appended.sent));
        }
        let Some(took) = newest else { return };
        if took > SLOW {
            self.window = (self.window - self.window / 8).max(WINDOW_MIN);
        } else if took < FAST && self.held_up {
            self.window = (self.window + self.window / 4).min(WINDOW_MAX);
        }
        self.held_up = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends as much as there is room for, and has it applied after `took`, `times` times.
    fn go(flow: &mut Flow, sequence: &mut u64, took: Duration, times: usize) {
        let start = Instant::now();
        for _ in 0..times {
            let bytes = flow.room();
            *sequence += 1;
            flow.sent(bytes);
            flow.held_up();
            assert_eq!(flow.room(), 0);
            flow.appended(*sequence, bytes, start);
            flow.applied(*sequence, start + took);
        }
    }

    #[test]
    fn the_window_follows_how_long_envelopes_take() {
        let (mut flow, mut sequence) = (Flow::new(), 0);
        go(&mut flow, &mut sequence, 10 * MS, 5);
        assert_eq!(flow.room(), WINDOW_AT_START / 1024 * 5usize.pow(5), "by a quarter each time");
        go(&mut flow, &mut sequence, 60 * MS, 100);
        assert_eq!(flow.room(), WINDOW_AT_START / 1024 * 5usize.pow(5), "as it should be");
        go(&mut flow, &mut sequence, 500 * MS, 100);
        assert_eq!(flow.room(), WINDOW_MIN);
        go(&mut flow, &mut sequence, MS, 100);
        assert_eq!(flow.room(), WINDOW_MAX);
    }

    #[test]
    fn a_window_that_holds_nobody_up_stays() {
        let (mut flow, start) = (Flow::new(), Instant::now());
        flow.sent(10);
        flow.appended(1, 10, start);
        flow.applied(1, start);
        assert_eq!(flow.room(), WINDOW_AT_START);
    }

    #[test]
    fn what_is_under_way_counts_until_it_is_applied() {
        let (mut flow, start) = (Flow::new(), Instant::now());
        [10, 20, 30, 40].into_iter().for_each(|bytes| flow.sent(bytes));
        flow.failed(40);
        for (sequence, bytes) in [(7, 20), (9, 30), (5, 10)] {
            flow.appended(sequence, bytes, start);
        }
        let taken = |flow: &Flow| WINDOW_AT_START - flow.room();
        for (applied, left) in [(4, 60), (5, 50), (8, 30), (9, 0)] {
            flow.applied(applied, start + 50 * MS);
            assert_eq!(taken(&flow), left, "as far as {applied}");
        }
    }
}
