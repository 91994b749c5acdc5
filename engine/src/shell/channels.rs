//! Which envelope of steps is under way to which log, and behind what it has to get in.

use std::collections::BTreeMap;
use std::time::Duration;

use emshop_log::LastSteps;

use super::Now;
use super::start::BrokenHistory;

const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// How often it is looked at whether other logs still have what they acknowledged: nothing may be under way there that would show it.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The way to each other log.
pub struct Channels {
    /// The log that sends.
    log: u32,
    targets: BTreeMap<u32, Channel>,
    looked_at: Duration,
}

#[derive(Default)]
struct Channel {
    /// Where the next envelope goes: behind this sequence.
    after: u64,
    /// Where the last steps stand in the other log; 0 when it has none.
    stand: u64,
    /// Number of the last of them.
    received: u64,
    under_way: UnderWay,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum UnderWay {
    #[default]
    Nothing,
    /// Steps up to this number were sent.
    Sent { through: u64 },
    /// They were not acknowledged, and are sent again then.
    Again { at: Duration },
}

impl Channels {
    /// From log `log`, whose last steps in others are these.
    pub fn new<'l>(log: u32, last: impl IntoIterator<Item = (u32, &'l LastSteps)>, now: Now) -> Self {
        let channel =
            |last: &LastSteps| Channel { after: last.at, stand: place(last), received: last_number(last), ..Channel::default() };
        let targets = last.into_iter().map(|(target, last)| (target, channel(last))).collect();
        Self { log, targets, looked_at: now.elapsed }
    }

    /// Number of the last step that `target` is known to have.
    pub fn received(&self, target: u32) -> u64 {
        self.targets.get(&target).map_or(0, |channel| channel.received)
    }

    /// The sequence behind which an envelope may be sent to `target` now, if one may.
    pub fn free(&self, target: u32, now: Now) -> Option<u64> {
        let Some(channel) = self.targets.get(&target) else { return Some(0) };
        match channel.under_way {
            UnderWay::Nothing => Some(channel.after),
            UnderWay::Sent { .. } => None,
            UnderWay::Again { at } => (at <= now.elapsed).then_some(channel.after),
        }
    }

    /// Steps up to `through` are on their way to `target`.
    pub fn sent(&mut self, target: u32, through: u64) {
        self.targets.entry(target).or_default().under_way = UnderWay::Sent { through };
    }

    /// `target` has the steps up to `through`, at this sequence: gives that number. `None` when they are not what is under way there: it was told before.
    pub fn acknowledged(&mut self, target: u32, through: u64, sequence: u64) -> Option<u64> {
        let channel = self.under_way(target, through)?;
        *channel = Channel { after: sequence, stand: sequence, received: through, under_way: UnderWay::Nothing };
        Some(through)
    }

    /// Nobody knows whether `target` has the steps up to `through`: they are sent again after a while.
    pub fn failed(&mut self, target: u32, through: u64, now: Now) {
        if let Some(channel) = self.under_way(target, through) {
            channel.under_way = UnderWay::Again { at: now.elapsed + RETRY_INTERVAL };
        }
    }

    /// The steps up to `through` did not get into `target`, since the last ones there are not those before them. Those up to
    /// `acknowledged` are known to be there. Gives the number of the last one there if it is above that; `None` when that was told before.
    ///
    /// # Errors
    /// When some of these are not there any more.
    pub fn not_next(
        &mut self,
        target: u32,
        through: u64,
        last: &LastSteps,
        acknowledged: u64,
        now: Now,
    ) -> Result<Option<u64>, BrokenHistory> {
        let Some(stood) = self.under_way(target, through).map(|channel| channel.stand) else { return Ok(None) };
        let there = self.look(target, last, acknowledged, stood)?;
        let Some(channel) = self.under_way(target, through) else { return Ok(None) };
        let received = channel.received.max(there);
        *channel = Channel { after: last.at, stand: place(last), received, under_way: UnderWay::Again { at: now.elapsed } };
        // An earlier try got there, and its acknowledgement did not get here.
        Ok((there > acknowledged).then_some(there))
    }

    /// Number of the last step that `target` has; those up to `acknowledged`, the last of which stood at `stood`, must be there.
    ///
    /// # Errors
    /// When they are not.
    pub fn look(&self, target: u32, last: &LastSteps, acknowledged: u64, stood: u64) -> Result<u64, BrokenHistory> {
        received(self.log, target, last, acknowledged, stood < last.bounds.first)
    }

    /// The logs to be looked at now, each with where the last steps stand there.
    pub fn to_look_at(&mut self, now: Now) -> Vec<(u32, u64)> {
        if now.elapsed - self.looked_at < LOOK_INTERVAL {
            return Vec::new();
        }
        self.looked_at = now.elapsed;
        self.targets.iter().filter(|(_, channel)| channel.stand > 0).map(|(target, channel)| (*target, channel.stand)).collect()
    }

    /// Nothing is left to be sent to `target`.
    pub fn idle(&mut self, target: u32) {
        if let Some(channel) = self.targets.get_mut(&target) {
            channel.under_way = UnderWay::Nothing;
        }
    }

    /// To whom something is to be sent again.
    pub fn due(&self, now: Now) -> Vec<u32> {
        let due = |channel: &Channel| matches!(channel.under_way, UnderWay::Again { at } if at <= now.elapsed);
        self.targets.iter().filter(|(_, channel)| due(channel)).map(|(target, _)| *target).collect()
    }

    fn under_way(&mut self, target: u32, through: u64) -> Option<&mut Channel> {
        self.targets.get_mut(&target).filter(|channel| channel.under_way == UnderWay::Sent { through })
    }
}

/// Number of the last step of log `source_log` that `target` has; those up to `acknowledged` must be there, unless the log may have been
/// trimmed beyond them.
///
/// # Errors
/// [`BrokenHistory::LostSteps`] when they are not.
pub fn received(
    source_log: u32,
    target: u32,
    last: &LastSteps,
    acknowledged: u64,
    may_be_trimmed: bool,
) -> Result<u64, BrokenHistory> {
    let found = last_number(last);
    let was_trimmed = last.steps.is_none() && may_be_trimmed;
    if !was_trimmed && found < acknowledged {
        return Err(BrokenHistory::LostSteps { log: target, source_log, found, acknowledged });
    }
    Ok(found)
}

/// Their sequence; 0 when there are none.
fn place(last: &LastSteps) -> u64 {
    last.steps.map_or(0, |steps| steps.sequence)
}

/// Number of the last of these steps; 0 when there are none.
fn last_number(last: &LastSteps) -> u64 {
    last.steps.map_or(0, |steps| steps.through)
}

#[cfg(test)]
mod tests {
    use emshop_log::{Bounds, Steps};

    use super::*;

    fn at(elapsed_ms: u64) -> Now {
        Now { elapsed: Duration::from_millis(elapsed_ms), wall_ms: 0 }
    }

    fn channels() -> Channels {
        Channels::new(0, [(1, &last(1, Some((40, 4..=5))))], at(0))
    }

    /// A log of 50 entries of which those from `first` on are there, with the last steps at a sequence.
    fn last(first: u64, steps: Option<(u64, std::ops::RangeInclusive<u64>)>) -> LastSteps {
        let steps = steps.map(|(sequence, numbers)| Steps { sequence, through: *numbers.end(), cause: None });
        LastSteps { steps, at: steps.map_or(0, |steps| steps.sequence), bounds: Bounds { first, last: 50 } }
    }

    #[test]
    fn one_envelope_at_a_time_however_often_it_is_acknowledged() {
        let mut channels = channels();
        assert_eq!((channels.free(1, at(0)), channels.free(2, at(0))), (Some(40), Some(0)));
        channels.sent(1, 7);
        assert_eq!(channels.free(1, at(99_999)), None);
        assert_eq!(channels.acknowledged(1, 6, 41), None, "an earlier one, again");
        assert_eq!(channels.acknowledged(1, 7, 41), Some(7));
        assert_eq!(channels.acknowledged(1, 7, 41), None, "the same again");
        assert_eq!(channels.free(1, at(0)), Some(41));
        channels.sent(1, 9);
        assert_eq!(channels.acknowledged(1, 7, 41), None, "and again, while the next one is under way");
        assert_eq!(channels.free(1, at(0)), None);
    }

    #[test]
    fn what_was_not_acknowledged_is_due_again_after_a_while() {
        let mut channels = channels();
        channels.sent(1, 7);
        channels.failed(1, 6, at(0));
        assert!(channels.due(at(99_999)).is_empty(), "another one failed");
        channels.failed(1, 7, at(1_000));
        assert_eq!((channels.due(at(1_249)), channels.free(1, at(1_249))), (vec![], None));
        assert_eq!((channels.due(at(1_250)), channels.free(1, at(1_250))), (vec![1], Some(40)));
        channels.sent(1, 8);
        assert!(channels.due(at(99_999)).is_empty());
    }

    #[test]
    fn what_the_other_log_has_decides_when_steps_are_not_the_next_ones() {
        let received = |through| Ok(Some(through));
        for (last, told, after) in [
            (last(1, Some((41, 6..=9))), received(9), 41),
            (last(1, Some((41, 6..=7))), received(7), 41),
            (last(1, Some((39, 1..=5))), Ok(None), 39),
            (last(45, None), Ok(None), 0),
        ] {
            let mut channels = channels();
            channels.sent(1, 9);
            assert_eq!(channels.not_next(1, 9, &last, 5, at(0)), told, "{last:?}");
            assert_eq!((channels.free(1, at(0)), channels.due(at(0))), (Some(after), vec![1]), "{last:?}");
            assert_eq!(channels.not_next(1, 9, &last, 5, at(0)), Ok(None), "told before");
        }
    }

    /// Steps go behind what a stranger wrote, and those before are where they were.
    #[test]
    fn what_a_stranger_wrote_among_steps_is_passed() {
        let strange = |first, steps| LastSteps { at: 48, ..last(first, steps) };
        let mut channels = channels();
        channels.sent(1, 9);
        assert_eq!(channels.not_next(1, 9, &strange(1, Some((40, 4..=5))), 5, at(0)), Ok(None));
        assert_eq!((channels.free(1, at(0)), channels.to_look_at(at(99_999))), (Some(48), vec![(1, 40)]));
        assert_eq!(
            channels.look(1, &strange(41, None), 5, 40),
            Ok(0),
            "the steps were trimmed, and what the stranger wrote is left"
        );
    }

    #[test]
    fn a_log_that_lost_steps_is_noticed() {
        for (last, found) in [(last(1, Some((30, 1..=4))), 4), (last(1, None), 0), (last(40, None), 0)] {
            let mut channels = channels();
            channels.sent(1, 9);
            let lost = BrokenHistory::LostSteps { log: 1, source_log: 0, found, acknowledged: 5 };
            assert_eq!(channels.not_next(1, 9, &last, 5, at(0)), Err(lost));
        }
    }
}
