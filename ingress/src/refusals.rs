//! What the ingress itself refuses; all other refusals come from the engine.

use emshop_proto::errors::Code;
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::{FieldViolation, Outcome, Refusal};

use crate::way::outcomes::Answer;

/// When to try again after the log or the engine was away: about what a restart takes.
const UNAVAILABLE_RETRY_MS: u64 = 1_000;
/// When to try again after an overload: the engine works off everything that may be under way in a few of these.
const OVERLOADED_RETRY_MS: u64 = 200;

pub fn invalid(violations: Vec<FieldViolation>) -> Refusal {
    Refusal { violations, ..Code::ValidationFailed.refusal() }
}

/// A request that is broken as a whole, told as a violation of one field.
pub fn invalid_field(field: &str, description: impl Into<String>) -> Refusal {
    invalid(vec![FieldViolation { field: field.to_owned(), description: description.into() }])
}

/// Nothing was done.
pub fn unavailable() -> Refusal {
    Refusal { retry_after_ms: UNAVAILABLE_RETRY_MS, ..Code::ServiceUnavailable.refusal() }
}

/// Nothing is heard of the engine that would have to answer. Nothing was done.
pub fn no_engine() -> Refusal {
    let message = "The engine of this part of the shop is away, and nothing was done; try again";
    Refusal { message: message.to_owned(), ..unavailable() }
}

/// The log did not say whether it took the command.
pub fn perhaps_unavailable() -> Refusal {
    let message =
        "The log did not answer, so the outcome is unknown: the command may yet be carried out; ask again with the same key";
    Refusal { message: message.to_owned(), ..outcome_unknown() }
}

pub fn overloaded() -> Refusal {
    Refusal { retry_after_ms: OVERLOADED_RETRY_MS, ..Code::Overloaded.refusal() }
}

/// A log has no room for commands. What an earlier try under the same key has done is not looked up.
pub fn log_full() -> Refusal {
    let message = "The log is full, and this try was not taken; try again with the same key when its engine has caught up";
    Refusal { message: message.to_owned(), retry_after_ms: UNAVAILABLE_RETRY_MS, ..Code::Overloaded.refusal() }
}

/// The command is on its way, but its outcome did not come in time.
pub fn outcome_unknown() -> Refusal {
    Refusal { retry_after_ms: UNAVAILABLE_RETRY_MS, ..Code::OutcomeUnknown.refusal() }
}

/// A stream's client left its outcomes unread.
pub fn not_read() -> Refusal {
    let message = "The outcomes were not read for too long; those unread are dropped, ask again with the same keys";
    Refusal { message: message.to_owned(), ..overloaded() }
}

/// The outcome of a command that is refused.
pub fn answer(refusal: Refusal) -> Answer {
    Answer::made(Outcome { result: Some(OutcomeResult::Refusal(refusal)), ..Outcome::default() })
}
