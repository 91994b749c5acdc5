//! What is said of a call that did not do what it was to.

use std::error::Error as _;

use anyhow::{Error, anyhow};
use emshop_proto::errors::DOMAIN;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::cli::TlsFlags;
use crate::reach;

/// Why a call has not done what it was to.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// By the rules, so nothing was done and to try again does not help.
    #[error("{0}")]
    Refused(String),
    /// Nobody is there who answers now, or what came of it is not known.
    #[error("{0}")]
    Unanswered(String),
}

impl CallError {
    /// Of a server that was not reached.
    pub fn unanswered(error: Error) -> Error {
        Self::Unanswered(format!("{error:#}")).into()
    }
}

/// A status in words: the name of docs/ERRORS.md, the sentence, and what goes with it.
pub fn of(target: &str, tls: &TlsFlags, status: &Status) -> Error {
    // What a server says has none.
    if let Some(source) = status.source() {
        return CallError::unanswered(reach::failure(target, tls, source));
    }
    let details = status.get_error_details();
    let sentence = sentence(status, &details);
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted | Code::Cancelled => {
            CallError::Unanswered(sentence).into()
        }
        Code::Internal | Code::Unknown | Code::DataLoss => anyhow!("{sentence}"),
        Code::Unauthenticated | Code::PermissionDenied => CallError::Refused(format!(
            "{sentence}. Show the token of somebody who may (--token-file, EMSHOP_TOKEN), or name the key that the server signs with (--data, \
             --key-file)"
        ))
        .into(),
        _ => CallError::Refused(sentence).into(),
    }
}

fn sentence(status: &Status, details: &ErrorDetails) -> String {
    let ours = details.error_info().filter(|info| info.domain == DOMAIN);
    let name = ours.map_or_else(|| format!("{:?}", status.code()), |info| info.reason.clone());
    let violations = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
    let violations = violations.iter().map(|violation| format!("{} {}", violation.field, violation.description));
    let again = details.retry_info().and_then(|info| info.retry_delay);
    let again = again.map(|delay| format!("again in {}", humantime::format_duration(delay)));
    let more: Vec<_> = violations.chain(again).collect();
    match more.as_slice() {
        [] => format!("{name}: {}", status.message()),
        more => format!("{name}: {} ({})", status.message(), more.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;

    fn told(code: Code, message: &str, details: ErrorDetails) -> Error {
        let tls = TlsFlags { tls_ca: None, tls_cert: None, tls_key: None };
        of("http://127.0.0.1:1", &tls, &Status::with_error_details(code, message, details))
    }

    fn ours(reason: &str) -> ErrorDetails {
        ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new())
    }

    #[test]
    fn a_refusal_has_its_name_and_what_goes_with_it() {
        let found = told(Code::NotFound, "Order not found", ours("ORDER_NOT_FOUND"));
        assert!(matches!(found.downcast_ref(), Some(CallError::Refused(_))));
        assert_eq!(found.to_string(), "ORDER_NOT_FOUND: Order not found");

        let mut details = ours("VALIDATION_FAILED");
        details.add_bad_request_violation("reason", "must be 1 to 256 bytes");
        let invalid = told(Code::InvalidArgument, "The request is not acceptable", details);
        assert_eq!(invalid.to_string(), "VALIDATION_FAILED: The request is not acceptable (reason must be 1 to 256 bytes)");

        let mut details = ours("SERVICE_UNAVAILABLE");
        details.set_retry_info(Some(Duration::from_secs(1)));
        let away = told(Code::Unavailable, "The log cannot be reached", details);
        assert!(matches!(away.downcast_ref(), Some(CallError::Unanswered(_))));
        assert_eq!(away.to_string(), "SERVICE_UNAVAILABLE: The log cannot be reached (again in 1s)");
    }

    #[test]
    fn who_may_not_is_told_how_one_may_and_a_bug_is_none_of_them() {
        let denied = told(Code::PermissionDenied, "Permission denied", ours("PERMISSION_DENIED")).to_string();
        assert!(denied.starts_with("PERMISSION_DENIED: ") && denied.contains("--token-file"), "{denied}");
        let bug = told(Code::Internal, "Internal error", ours("UNKNOWN"));
        assert!(bug.downcast_ref::<CallError>().is_none() && bug.to_string() == "UNKNOWN: Internal error");
        assert_eq!(told(Code::OutOfRange, "too large", ErrorDetails::new()).to_string(), "OutOfRange: too large");
    }
}
