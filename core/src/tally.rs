//! How often sagas began, took steps and ended since somebody looked last. It is no part of the state.

use emshop_proto::v1::{SagaKind, SagaStatus, SagaStep};

/// How many kinds of sagas there are, and their steps, with a place for none.
const KINDS: usize = SagaKind::CheckoutCart as usize + 1;
const STEPS: usize = SagaStep::TakeCartItems as usize + 1;
const STATUSES: usize = SagaStatus::Stuck as usize + 1;

/// What a step of a saga came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepResult {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
    /// It was taken back.
    Compensated,
    /// What takes it back was refused, so the saga is stuck.
    Stuck,
}

impl StepResult {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Done, Self::Refused, Self::Compensated, Self::Stuck];

    /// Of a step, or of its compensation.
    pub fn of(compensation: bool, refused: bool) -> Self {
        match (compensation, refused) {
            (false, false) => Self::Done,
            (false, true) => Self::Refused,
            (true, false) => Self::Compensated,
            (true, true) => Self::Stuck,
        }
    }
}

/// Of more sagas than these it is not kept how long they took, until somebody looks.
const TIMED_MAX: usize = 65_536;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    started: [u64; KINDS],
    steps: [[[u64; 4]; STEPS]; KINDS],
    ended: [[u64; STATUSES]; KINDS],
    took: Vec<(SagaKind, i64)>,
}

impl Tally {
    /// A saga began.
    pub fn start(&mut self, kind: SagaKind) {
        self.started[kind as usize] += 1;
    }

    /// A step was taken, or taken back.
    pub fn step(&mut self, kind: SagaKind, step: SagaStep, result: StepResult) {
        self.steps[kind as usize][step as usize][result as usize] += 1;
    }

    /// A saga ended, or is stuck, so long after its begin by log time.
    pub fn end(&mut self, kind: SagaKind, status: SagaStatus, took_ms: i64) {
        self.ended[kind as usize][status as usize] += 1;
        if self.took.len() < TIMED_MAX {
            self.took.push((kind, took_ms));
        }
    }

    /// How often sagas of a kind began.
    pub fn started(&self, kind: SagaKind) -> u64 {
        self.started[kind as usize]
    }

    /// How often a step of theirs came to this.
    pub fn steps(&self, kind: SagaKind, step: SagaStep, result: StepResult) -> u64 {
        self.steps[kind as usize][step as usize][result as usize]
    }

    /// How often they ended like this.
    pub fn ended(&self, kind: SagaKind, status: SagaStatus) -> u64 {
        self.ended[kind as usize][status as usize]
    }

    /// How long each took that ended, in milliseconds.
    pub fn took(&self) -> &[(SagaKind, i64)] {
        &self.took
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.took.clear();
        let took = std::mem::take(&mut self.took);
        *self = Self { took, ..Self::default() };
    }
}
