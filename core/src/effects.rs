//! What applying a record leads to outside of its partition. Data only: the turn delivers steps, the shell performs the rest.

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{Step, StockChangeRow, StockRow, Waiter};
use emshop_proto::partitioner::Place;
use emshop_proto::v1::{Outcome, Refusal, event, outcome};

/// A thing with the record that caused it: its index in the envelope. Within a turn everything is served in this order.
#[derive(Clone, Debug)]
pub struct Caused<T> {
    pub cause: u32,
    pub what: T,
}

/// Outcomes, events and steps of one partition, in the order they came about.
#[derive(Default)]
pub struct Effects {
    /// The record that is being applied.
    pub cause: u32,
    pub outcomes: Vec<Caused<(Waiter, Outcome)>>,
    pub events: Vec<Caused<(EventType, event::Body)>>,
    pub steps: Vec<Caused<(Place, Step)>>,
    /// Stock of the SKUs touched in this turn, as it was before: each gives one event, however many orders touched it. Of a SKU that is here
    /// twice the first counts.
    pub stock_before: Vec<(u64, StockRow)>,
    /// Changes of stock in this turn, in order: they become one row of the history.
    pub stock_changes: Vec<StockChangeRow>,
}

impl Effects {
    pub fn outcome(&mut self, waiter: Waiter, outcome: Outcome) {
        if waiter.ticket != 0 {
            self.outcomes.push(Caused { cause: self.cause, what: (waiter, outcome) });
        }
    }

    pub fn event(&mut self, event_type: EventType, body: event::Body) {
        self.events.push(Caused { cause: self.cause, what: (event_type, body) });
    }

    pub fn step(&mut self, to: Place, step: Step) {
        self.steps.push(Caused { cause: self.cause, what: (to, step) });
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

    pub fn into_outcome(self, position: emshop_proto::v1::LogPosition) -> Outcome {
        let result = self.result.unwrap_or_else(outcome::Result::Refusal);
        Outcome { tag: 0, repeated: self.repeated, position: Some(position), result: Some(result) }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { result: Err(refusal), repeated: false }
    }
}

impl From<Code> for Answer {
    fn from(code: Code) -> Self {
        code.refusal().into()
    }
}
