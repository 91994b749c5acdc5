//! What applying a record leads to outside of its log's state. Data only: the shell performs it.

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{Step, StockChangeRow, Waiter};
use emshop_proto::v1::{LogPosition, Outcome, Refusal, event, outcome};

use crate::events::Events;
use crate::hot::Hot;
use crate::spans::Spans;
use crate::stock::levels::Untold;
use crate::tally::Tally;

/// Outcomes, events and steps of one envelope, in the order they came about.
#[derive(Default)]
pub struct Effects {
    /// For those who wait: each behind its writer and its ticket.
    pub outcomes: Vec<(u64, u64, Outcome)>,
    /// For downstream services.
    pub events: Events,
    /// For other logs, by number.
    pub steps: Vec<(u32, Step)>,
    /// SKUs whose events are yet to come, perhaps in a later turn.
    pub untold: Untold,
    /// Changes of stock, in order: they become one row of the history.
    pub stock_changes: Vec<StockChangeRow>,
    /// What is done of traced records.
    pub spans: Spans,
    /// What became of sagas. It goes on over turns,
    pub tally: Tally,
    /// and so does what is asked for most.
    pub hot: Hot,
}

impl Effects {
    /// Tells one who waits; nothing when nobody does.
    pub fn outcome(&mut self, waiter: &Waiter, outcome: Outcome) {
        if let Some(outcome::Result::Refusal(refusal)) = &outcome.result {
            self.spans.refused(refusal.code);
        }
        if waiter.ticket != 0 {
            self.outcomes.push((waiter.writer, waiter.ticket, outcome));
        }
    }

    /// Tells the world.
    pub fn event(&mut self, event_type: EventType, body: event::Body) {
        self.events.push(event_type, body, self.spans.record());
    }

    /// Asks an aggregate of another log, or replies to one.
    pub fn step(&mut self, log: u32, step: Step) {
        self.steps.push((log, Step { trace: self.spans.record(), ..step }));
    }
}

/// What a handler makes of a command.
pub type Handled = Result<Answered, Refused>;

/// When a command is answered that is not refused.
#[derive(Debug)]
pub enum Answered {
    /// At once.
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
    /// What came of it.
    pub result: Result<outcome::Result, Refusal>,
    /// It had been carried out before.
    pub repeated: bool,
}

impl Answer {
    /// Of what was carried out now.
    pub fn new(result: outcome::Result) -> Self {
        Self { result: Ok(result), repeated: false }
    }

    /// Of what had been carried out before.
    pub fn repeated(mut self) -> Self {
        self.repeated = true;
        self
    }

    /// As a client gets it, from this position of the log.
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
