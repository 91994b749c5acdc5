//! What the server said to a command, the same for a call and for an outcome on a stream.

use std::time::Duration;

use emshop_proto::errors::Code;
use emshop_proto::v1::{Outcome, Refusal, outcome};
use tonic::{Code as Grpc, Status};
use tonic_types::StatusExt;

/// Domain of the server's `google.rpc.ErrorInfo`.
const DOMAIN: &str = "emshop";
/// Before the next order after a failure that does not say when to try again.
const PAUSE: Duration = Duration::from_millis(10);

/// What the server said to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `repeated`: it had been carried out before.
    Accepted { repeated: bool },
    /// There was not enough stock, the only refusal that an order of ours deserves.
    Refused,
    /// Anything else.
    Failed(Failure),
}

/// An error; whether the command counts is open unless [`Failure::was_not_taken`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name in the server's table, or the gRPC status when the server named none.
    pub code: String,
    pub retry_after: Duration,
    /// The server has decided: whoever gave the command need not ask again, and it changed nothing.
    pub is_final: bool,
}

impl Failure {
    pub fn new(code: impl Into<String>) -> Self {
        Self { code: code.into(), retry_after: PAUSE, is_final: false }
    }

    /// The server says that it did not even log the command.
    pub fn was_not_taken(&self) -> bool {
        self.code == Code::Overloaded.name()
    }
}

impl Answer {
    /// Of a unary call, reduced to whether it was a repeat.
    pub fn of_call(result: Result<bool, Status>) -> Self {
        match result {
            Ok(repeated) => Self::Accepted { repeated },
            Err(status) => {
                let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
                match status.get_details_error_info().filter(|info| info.domain == DOMAIN) {
                    Some(named) => Self::of_refusal(named.reason, status.code(), retry_after),
                    None => {
                        let failure = Failure::new(format!("grpc {:?}", status.code()));
                        Self::Failed(Failure { retry_after: retry_after.unwrap_or(PAUSE), ..failure })
                    }
                }
            }
        }
    }

    /// Of a command on a stream.
    pub fn of_outcome(outcome: Outcome) -> Self {
        match outcome.result {
            Some(outcome::Result::Refusal(Refusal { reason, grpc_status, retry_after_ms, .. })) => {
                let retry_after = (retry_after_ms > 0).then(|| Duration::from_millis(retry_after_ms));
                Self::of_refusal(reason, grpc_status.into(), retry_after)
            }
            Some(_) => Self::Accepted { repeated: outcome.repeated },
            None => Self::Failed(Failure::new("outcome without result")),
        }
    }

    fn of_refusal(code: String, status: Grpc, retry_after: Option<Duration>) -> Self {
        let is_any = |codes: [Code; 2]| codes.iter().any(|known| known.name() == code);
        if is_any([Code::StockInsufficient, Code::StockInsufficientForReservation]) {
            return Self::Refused;
        }
        let is_open = matches!(status, Grpc::Unavailable | Grpc::DeadlineExceeded | Grpc::Internal | Grpc::Unknown);
        let is_final = !is_open && !is_any([Code::Overloaded, Code::RateLimited]);
        Self::Failed(Failure { code, retry_after: retry_after.unwrap_or(PAUSE), is_final })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn call(code: Code, retry_after: Option<Duration>) -> Answer {
        let mut details = ErrorDetails::with_error_info(code.name(), DOMAIN, HashMap::new());
        details.set_retry_info(retry_after);
        Answer::of_call(Err(Status::with_error_details(tonic::Code::from(code.grpc() as i32), code.message(), details)))
    }

    fn outcome(code: Code) -> Answer {
        Answer::of_outcome(Outcome { result: Some(outcome::Result::Refusal(code.refusal())), ..Outcome::default() })
    }

    #[test]
    fn a_call_and_an_outcome_say_the_same() {
        for code in Code::ALL {
            assert_eq!(call(*code, None), outcome(*code));
        }
        assert_eq!(call(Code::StockInsufficient, None), Answer::Refused);
        let not_found = Failure { is_final: true, ..Failure::new("GOODS_NOT_FOUND") };
        assert_eq!(call(Code::GoodsNotFound, None), Answer::Failed(not_found));
    }

    #[test]
    fn who_is_told_to_ask_again_has_no_answer_yet() {
        let is_final = |code| matches!(call(code, None), Answer::Failed(Failure { is_final: true, .. }));
        for code in [Code::UnpaidOrdersTooMany, Code::GoodsNotFound, Code::ValidationFailed, Code::PermissionDenied] {
            assert!(is_final(code), "{code:?}");
        }
        for code in [Code::Overloaded, Code::RateLimited, Code::ServiceUnavailable, Code::OutcomeUnknown, Code::Unknown] {
            assert!(!is_final(code), "{code:?}");
        }
    }

    #[test]
    fn failures_say_when_to_go_on() {
        let overloaded = Failure { retry_after: Duration::from_millis(70), ..Failure::new("OVERLOADED") };
        assert!(overloaded.was_not_taken());
        assert_eq!(call(Code::Overloaded, Some(overloaded.retry_after)), Answer::Failed(overloaded));
        let broken = Answer::of_call(Err(Status::unavailable("connection reset")));
        assert_eq!(broken, Answer::Failed(Failure::new("grpc Unavailable")));
    }
}
