//! Which envelope of steps is under way to which log.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Now;

const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// The other logs that something is under way to.
#[derive(Default)]
pub struct Channels {
    targets: BTreeMap<u32, UnderWay>,
}

enum UnderWay {
    /// Steps up to this number were sent.
    Sent { through: u64 },
    /// They were not acknowledged, and are sent again then.
    Again { at: Duration },
}

impl Channels {
    /// Whether an envelope may be sent to `target` now.
    pub fn is_free(&self, target: u32, now: Now) -> bool {
        match self.targets.get(&target) {
            None => true,
            Some(UnderWay::Sent { .. }) => false,
            Some(UnderWay::Again { at }) => *at <= now.elapsed,
        }
    }

    /// Steps up to `through` are on their way to `target`.
    pub fn sent(&mut self, target: u32, through: u64) {
        self.targets.insert(target, UnderWay::Sent { through });
    }

    /// `target` has the steps up to `through`. `false` when they are not what is under way there: it was told before.
    pub fn acknowledged(&mut self, target: u32, through: u64) -> bool {
        let expected = self.is_under_way(target, through);
        if expected {
            self.targets.remove(&target);
        }
        expected
    }

    /// Nobody knows whether `target` has the steps up to `through`: they are sent again after a while, and dropped there if it has them.
    pub fn failed(&mut self, target: u32, through: u64, now: Now) {
        if self.is_under_way(target, through) {
            self.targets.insert(target, UnderWay::Again { at: now.elapsed + RETRY_INTERVAL });
        }
    }

    /// To whom something is to be sent again.
    pub fn due(&self, now: Now) -> Vec<u32> {
        let due = |under_way: &UnderWay| matches!(under_way, UnderWay::Again { at } if *at <= now.elapsed);
        self.targets.iter().filter(|(_, under_way)| due(under_way)).map(|(target, _)| *target).collect()
    }

    fn is_under_way(&self, target: u32, number: u64) -> bool {
        matches!(self.targets.get(&target), Some(UnderWay::Sent { through }) if *through == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(elapsed_ms: u64) -> Now {
        Now { elapsed: Duration::from_millis(elapsed_ms), wall_ms: 0 }
    }

    #[test]
    fn one_envelope_at_a_time_however_often_it_is_acknowledged() {
        let mut channels = Channels::default();
        assert!(channels.is_free(1, at(0)));
        channels.sent(1, 7);
        assert!(!channels.is_free(1, at(99_999)) && channels.is_free(2, at(0)));
        assert!(!channels.acknowledged(1, 6), "an earlier one, again");
        assert!(channels.acknowledged(1, 7));
        assert!(!channels.acknowledged(1, 7), "the same again");
        channels.sent(1, 9);
        assert!(!channels.acknowledged(1, 7), "and again, while the next one is under way");
        assert!(!channels.is_free(1, at(0)));
    }

    #[test]
    fn what_was_not_acknowledged_is_due_again_after_a_while() {
        let mut channels = Channels::default();
        channels.sent(1, 7);
        channels.failed(1, 6, at(0));
        assert!(channels.due(at(99_999)).is_empty(), "another one failed");
        channels.failed(1, 7, at(1_000));
        assert_eq!((channels.due(at(1_249)), channels.is_free(1, at(1_249))), (vec![], false));
        assert_eq!((channels.due(at(1_250)), channels.is_free(1, at(1_250))), (vec![1], true));
        channels.sent(1, 8);
        assert!(channels.due(at(99_999)).is_empty());
    }
}
