//! Of what operators ask.

use emshop_proto::v1::{FieldViolation, ListWaitingRequest, WaitsFor};

use super::PAGE_SIZE_MAX;
use super::fields::Check;
use crate::page_token;

/// A year.
const LONGER_THAN_SECONDS_MAX: u32 = 31_536_000;

pub fn list_waiting(request: &ListWaitingRequest, logs: u32) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.number("longer_than_seconds", request.longer_than_seconds, 0..=LONGER_THAN_SECONDS_MAX);
    check.require(WaitsFor::try_from(request.waits_for).is_ok(), "waits_for", "is not known");
    // Log, and number of an order in it.
    check.page::<[u64; 2]>(request.page_size, PAGE_SIZE_MAX, &request.page_token);
    let [log, _] = page_token::start(&request.page_token);
    check.require(log < u64::from(logs), "page_token", "is of a log that is not there");
    check.into_violations()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, fields};
    use super::*;

    #[test]
    fn lists() {
        check::<ListWaitingRequest>(
            ListWaitingRequest::default,
            |request| fields(list_waiting(&request, 2)),
            &[
                ("", |r| r.longer_than_seconds = 31_536_000),
                ("longer_than_seconds", |r| r.longer_than_seconds = 31_536_001),
                ("", |r| r.waits_for = WaitsFor::Operator.into()),
                ("waits_for", |r| r.waits_for = 99),
                ("", |r| r.page_size = 100),
                ("page_size", |r| r.page_size = 101),
                ("", |r| r.page_token = "1.7".to_owned()),
                ("page_token", |r| r.page_token = "7".to_owned()),
                ("page_token", |r| r.page_token = "2.7".to_owned()),
            ],
        );
    }
}
