//! The one way from a refusal to a gRPC status with `google.rpc` details.

use std::collections::HashMap;
use std::time::Duration;

use emshop_proto::errors::{Code, DOMAIN};
use emshop_proto::v1::{OverLimit, Refusal};
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, QuotaViolation, StatusExt};

/// SKUs told one by one. A status travels in the trailers, of which many clients take no more than 8 KiB.
const GOODS_TOLD_MAX: usize = 20;

/// The status of a refused call. `identity` is what the client needs to ask again (see `prepare::identity`).
pub fn of(refusal: Refusal, identity: impl IntoIterator<Item = (&'static str, String)>) -> Status {
    with(refusal, identity, |_| {})
}

/// The status of a call that was one too many of `subject`.
pub fn of_quota(refusal: Refusal, subject: String) -> Status {
    let message = refusal.message.clone();
    with(refusal, [], |details| {
        details.add_quota_failure_violation(subject, message);
    })
}

fn with(
    refusal: Refusal,
    identity: impl IntoIterator<Item = (&'static str, String)>,
    more: impl FnOnce(&mut ErrorDetails),
) -> Status {
    let code = tonic::Code::from(Code::from_number(refusal.code).map_or(refusal.grpc_status, |code| code.grpc() as i32));
    let mut details = ErrorDetails::with_error_info(&refusal.reason, DOMAIN, metadata(&refusal, identity));
    if refusal.retry_after_ms > 0 {
        details.set_retry_info(Some(Duration::from_millis(refusal.retry_after_ms)));
    }
    if !refusal.violations.is_empty() {
        let violations = refusal.violations.into_iter();
        let violations: Vec<_> = violations.map(|one| FieldViolation::new(one.field, one.description)).collect();
        details.set_bad_request(violations);
    }
    if !refusal.over_limits.is_empty() {
        let violations: Vec<_> = refusal.over_limits.iter().take(GOODS_TOLD_MAX).map(quota).collect();
        details.set_quota_failure(violations);
    }
    more(&mut details);
    Status::with_error_details(code, refusal.message, details)
}

fn quota(over: &OverLimit) -> QuotaViolation {
    let OverLimit { goods_id, requested, allowed } = over;
    match goods_id {
        // How many there may be is a setting of the engine's, which tells how much room is left.
        0 => QuotaViolation::new("unpaid_orders", format!("requested {requested} more, allowed {allowed} more")),
        _ => QuotaViolation::new(format!("goods:{goods_id}"), format!("requested {requested}, allowed {allowed}")),
    }
}

/// The status of a call that needs no identity to be asked again, such as a read.
pub fn of_refusal(refusal: Refusal) -> Status {
    of(refusal, [])
}

fn metadata(refusal: &Refusal, identity: impl IntoIterator<Item = (&'static str, String)>) -> HashMap<String, String> {
    let mut metadata: HashMap<_, _> = identity.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    metadata.insert("code".to_owned(), refusal.code.to_string());
    for short in refusal.shortages.iter().take(GOODS_TOLD_MAX) {
        let told = format!("requested {}, available {}", short.requested, short.available);
        metadata.insert(format!("short.{}", short.goods_id), told);
    }
    if !refusal.shortages.is_empty() {
        metadata.insert("shortages".to_owned(), refusal.shortages.len().to_string());
    }
    if !refusal.unknown_goods_ids.is_empty() {
        let told: Vec<_> = refusal.unknown_goods_ids.iter().take(GOODS_TOLD_MAX).map(u64::to_string).collect();
        metadata.insert("unknown_goods_ids".to_owned(), told.join(","));
    }
    if !refusal.off_sale_goods_ids.is_empty() {
        let told: Vec<_> = refusal.off_sale_goods_ids.iter().take(GOODS_TOLD_MAX).map(u64::to_string).collect();
        metadata.insert("off_sale_goods_ids".to_owned(), told.join(","));
    }
    if let Some(total) = &refusal.actual_total {
        metadata.insert("actual_total".to_owned(), format!("{} {}", total.amount_minor, total.currency));
    }
    metadata
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::{Money, Shortage};

    use super::*;
    use crate::refusals;

    #[test]
    fn every_code_keeps_its_number_name_and_status() {
        for code in Code::ALL {
            let status = of_refusal(code.refusal());
            assert_eq!(status.code() as i32, code.grpc() as i32, "{code:?}");
            assert_eq!(status.message(), code.message());
            let details = status.get_error_details();
            let info = details.error_info().expect("ErrorInfo");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (code.name(), "emshop"));
            assert_eq!(info.metadata["code"], code.number().to_string());
            assert!(details.retry_info().is_none() && details.bad_request().is_none());
        }
    }

    #[test]
    fn a_code_of_a_newer_engine_keeps_the_status_it_names() {
        let refusal = Refusal { code: 999_999, grpc_status: tonic::Code::Aborted as i32, ..Refusal::default() };
        assert_eq!(of_refusal(refusal).code(), tonic::Code::Aborted);
    }

    #[test]
    fn details_say_what_was_wrong() {
        let shortages = (1..=50).map(|goods_id| Shortage { goods_id, requested: 5, available: 2 }).collect();
        let refusal = Refusal {
            shortages,
            unknown_goods_ids: vec![7, 9],
            actual_total: Some(Money::new(1999, "CNY")),
            retry_after_ms: 250,
            ..Code::StockInsufficient.refusal()
        };
        let status = of(refusal, [("order_id", "o1".to_owned())]);
        let details = status.get_error_details();
        let metadata = &details.error_info().expect("ErrorInfo").metadata;
        assert_eq!(metadata["order_id"], "o1");
        assert_eq!(metadata["short.1"], "requested 5, available 2");
        assert_eq!((metadata["shortages"].as_str(), metadata.contains_key("short.21")), ("50", false));
        assert_eq!(metadata["unknown_goods_ids"], "7,9");
        assert_eq!(metadata["actual_total"], "1999 CNY");
        assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(Duration::from_millis(250)));
        assert!(status.details().len() < 6 * 1024, "{} bytes do not fit into trailers", status.details().len());
    }

    #[test]
    fn limits_of_the_shop_are_a_quota_failure() {
        let over_limits = (0..=50).map(|goods_id| OverLimit { goods_id, requested: 3, allowed: 1 }).collect();
        let status = of_refusal(Refusal { over_limits, ..Code::UserUnitsTooMany.refusal() });
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        let details = status.get_error_details();
        assert!(details.retry_info().is_none(), "to try again does not help");
        let told = &details.quota_failure().expect("QuotaFailure").violations;
        let told: Vec<_> = told.iter().map(|one| (one.subject.as_str(), one.description.as_str())).collect();
        assert_eq!(told[..2], [("unpaid_orders", "requested 3 more, allowed 1 more"), ("goods:1", "requested 3, allowed 1")]);
        assert_eq!(told.len(), 20);
    }

    #[test]
    fn violations_are_a_bad_request() {
        let status = of_refusal(refusals::invalid_field("lines", "none"));
        let details = status.get_error_details();
        let violations = &details.bad_request().expect("BadRequest").field_violations;
        assert_eq!((violations[0].field.as_str(), violations[0].description.as_str()), ("lines", "none"));
    }
}
