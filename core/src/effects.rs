//! What applying a record leads to outside of its log's state. Data only: the shell performs it.

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{Step, StockChangeRow, Waiter};
use emshop_proto::v1::{LogPosition, Outcome, Refusal, event, outcome};

use crate::events::Events;
use crate::stock::levels::Untold;

/// Outcomes, events and steps of one envelope, in the order they came about.
#[derive(Default)]
pub struct Effects {
    pub outcomes: Vec<(Waiter, Outcome)>,
    pub events: Events,
    /// For other logs, by number.
    pub steps: Vec<(u32, Step)>,
    /// SKUs whose events are yet to come, perhaps in a later turn.
    pub untold: Untold,
    /// Changes of stock, in order: they become one row of the history.
    pub stock_changes: Vec<StockChangeRow>,
}

impl Effects {
    pub fn outcome(&mut self, waiter: Waiter, outcome: Outcome) {
        if waiter.ticket != 0 {
            self.outcomes.push((waiter, outcome));
        }
    }

    pub fn event(&mut self, event_type: EventType, body: event::Body) {
        self.events.push(event_type, body);
    }

    pub fn step(&mut self, log: u32, step: Step) {
        self.steps.push((log, step));
    }
}

/// What a handler makes of a command.
pub type Handled = Result<Answered, Refused>;

/// When a command is answered that is not refused.
#[derive(Debug)]
pub enum Answered {
    Now(Box<Answer>),
    /// By the saga that it began or waits for, when that ends.
    Later,
}

/// A refusal on its way out of a handler; nothing was changed.
#[derive(Debug)]
pub struct Refused(pub Box<Refusal>);

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        code.refusal().into()
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(Box::new(refusal))
    }
}

/// What a command answers: a result or a refusal, and whether it had been carried out before.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub result: Result<outcome::Result, Refusal>,
    pub repeated: bool,
}

impl Answer {
    pub fn new(result: outcome::Result) -> Self {
        Self { result: Ok(result), repeated: false }
    }

    pub fn repeated(mut self) -> Self {
        self.repeated = true;
        self
    }

    pub fn into_outcome(self, position: LogPosition) -> Outcome {
        let result = self.result.unwrap_or_else(outcome::Result::Refusal);
        Outcome { tag: 0, repeated: self.repeated, position: Some(position), result: Some(result) }
    }

    /// As the end of a handler.
    pub fn now(self) -> Handled {
        Ok(Answered::Now(Box::new(self)))
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { result: Err(refusal), repeated: false }
    }
}

impl From<Refused> for Answer {
    fn from(Refused(refusal): Refused) -> Self {
        (*refusal).into()
    }
}

impl From<Code> for Answer {
    fn from(code: Code) -> Self {
        code.refusal().into()
    }
}
