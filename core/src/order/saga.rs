//! How a saga moves on: one pure function over the number of its steps.
//!
//! A step that is refused leaves nothing behind, so compensation begins with the step before it. Only a step over several logs can be
//! refused by one and done by another; what it holds then is given back first.

use emshop_proto::v1::SagaStatus;

/// How a step, or the compensation of one, went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was done, or taken back.
    Done,
    /// `held`: parts of the step were done and must be taken back.
    Refused {
        /// Parts of the step were done.
        held: bool,
    },
}

/// Where a saga stands: the step is that of this index in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Forward, back, or at an end.
    pub status: SagaStatus,
    /// Index in the table.
    pub step: usize,
}

/// Where `event` takes a saga of `steps` steps.
///
/// # Panics
/// When the saga has ended already.
pub fn next(steps: usize, at: Position, event: Event) -> Position {
    let to = |status, step| Position { status, step };
    let back = || match at.step.checked_sub(1) {
        Some(before) => to(SagaStatus::Compensating, before),
        None => to(SagaStatus::Compensated, at.step),
    };
    match (at.status, event) {
        (SagaStatus::Running, Event::Done) if at.step + 1 == steps => to(SagaStatus::Completed, at.step),
        (SagaStatus::Running, Event::Done) => to(SagaStatus::Running, at.step + 1),
        (SagaStatus::Running, Event::Refused { held: true }) => to(SagaStatus::Compensating, at.step),
        (SagaStatus::Running, Event::Refused { held: false }) | (SagaStatus::Compensating, Event::Done) => back(),
        (SagaStatus::Compensating, Event::Refused { .. }) => to(SagaStatus::Stuck, at.step),
        (status, _) => panic!("a saga that is {} takes no more steps", status.as_str_name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: usize = 4;

    /// Runs a saga whose step number `refused` is refused, and tells what it did: step and whether it was compensated.
    fn run(refused: usize, held: bool) -> (SagaStatus, Vec<(usize, bool)>) {
        let (mut at, mut done) = (Position { status: SagaStatus::Running, step: 0 }, Vec::new());
        loop {
            let compensation = match at.status {
                SagaStatus::Running => false,
                SagaStatus::Compensating => true,
                ended => return (ended, done),
            };
            let refuse = !compensation && at.step == refused;
            if !refuse {
                done.push((at.step, compensation));
            }
            at = next(STEPS, at, if refuse { Event::Refused { held } } else { Event::Done });
        }
    }

    #[test]
    fn every_step_refused_takes_back_what_was_done_in_reverse() {
        for refused in 0..STEPS {
            let forward = (0..refused).map(|step| (step, false));
            let expected: Vec<_> = forward.chain((0..refused).rev().map(|step| (step, true))).collect();
            assert_eq!(run(refused, false), (SagaStatus::Compensated, expected), "step {refused}");
        }
        assert_eq!(run(STEPS, false), (SagaStatus::Completed, (0..STEPS).map(|step| (step, false)).collect()));
    }

    #[test]
    fn a_step_done_in_parts_is_taken_back_itself() {
        let expected = vec![(0, false), (1, false), (2, true), (1, true), (0, true)];
        assert_eq!(run(2, true), (SagaStatus::Compensated, expected));
    }

    #[test]
    fn a_compensation_that_is_refused_is_stuck() {
        let at = Position { status: SagaStatus::Compensating, step: 3 };
        assert_eq!(next(STEPS, at, Event::Refused { held: false }).status, SagaStatus::Stuck);
    }

    #[test]
    #[should_panic(expected = "takes no more steps")]
    fn an_ended_saga_stays_ended() {
        next(STEPS, Position { status: SagaStatus::Completed, step: 3 }, Event::Done);
    }
}
