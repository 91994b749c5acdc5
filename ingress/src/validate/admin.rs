//! Of what operators ask.

use std::net::IpAddr;

use emshop_proto::v1::{AuditKind, FieldViolation, ListAuditEventsRequest, ListWaitingRequest, WaitsFor};

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

pub fn list_audit_events(request: &ListAuditEventsRequest) -> Vec<FieldViolation> {
    let ListAuditEventsRequest { kind, address, from_ms, until_ms, page_size, page_token, .. } = request;
    let mut check = Check::default();
    check.require(AuditKind::try_from(*kind).is_ok(), "kind", "is not known");
    check.require(address.is_empty() || address.parse::<IpAddr>().is_ok(), "address", "must be an IP address");
    check.number("from_ms", *from_ms, 0..=i64::MAX);
    check.number("until_ms", *until_ms, 0..=i64::MAX);
    check.require(*until_ms <= 0 || from_ms <= until_ms, "until_ms", "must not be before from_ms");
    check.page::<[u64; 1]>(*page_size, PAGE_SIZE_MAX, page_token);
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

    #[test]
    fn lists_of_the_audit_trail() {
        check::<ListAuditEventsRequest>(
            ListAuditEventsRequest::default,
            |request| fields(list_audit_events(&request)),
            &[
                ("", |r| r.kind = AuditKind::LeftOut.into()),
                ("kind", |r| r.kind = 99),
                ("", |r| r.user_id = u64::MAX),
                ("", |r| r.address = "10.0.0.1".to_owned()),
                ("", |r| r.address = "2001:db8::1".to_owned()),
                ("address", |r| r.address = "10.0.0.0/8".to_owned()),
                ("address", |r| r.address = "shop.example".to_owned()),
                ("", |r| (r.from_ms, r.until_ms) = (i64::MAX, 0)),
                ("", |r| (r.from_ms, r.until_ms) = (7, 7)),
                ("until_ms", |r| (r.from_ms, r.until_ms) = (8, 7)),
                ("from_ms", |r| r.from_ms = -1),
                ("until_ms", |r| r.until_ms = -1),
                ("", |r| r.page_size = 100),
                ("page_size", |r| r.page_size = 101),
                ("", |r| r.page_token = "7".to_owned()),
                ("page_token", |r| r.page_token = "0".to_owned()),
                ("page_token", |r| r.page_token = "1.7".to_owned()),
            ],
        );
    }
}
