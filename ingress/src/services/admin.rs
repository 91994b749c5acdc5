//! What operators ask of the whole shop.

use std::time::{SystemTime, UNIX_EPOCH};

use emshop_proto::internal::WaitingQuery;
use emshop_proto::v1::admin_service_server::AdminService;
use emshop_proto::v1::{
    InspectRequest, InspectResponse, ListAuditEventsRequest, ListAuditEventsResponse, ListWaitingRequest, ListWaitingResponse,
    WaitsFor,
};
use tonic::{Request, Response, Status};

use super::{Gateway, accept};
use crate::page_token::{self, Position};
use crate::queries::questions;
use crate::validate;

const PAGE_SIZE_DEFAULT: u32 = 100;

/// Seven days.
const LONGER_THAN_SECONDS_DEFAULT: u32 = 604_800;

/// How often engines are asked for one page: each time one looks at a part of its orders only. A page that is not full then still says
/// where to go on.
const ROUNDS_MAX: usize = 16;

#[tonic::async_trait]
impl AdminService for Gateway {
    async fn inspect(&self, _request: Request<InspectRequest>) -> Result<Response<InspectResponse>, Status> {
        let logs = self.queries.ask_everywhere(questions::Inspect(InspectRequest {})).await?;
        Ok(Response::new(InspectResponse { logs }))
    }

    async fn list_waiting(&self, request: Request<ListWaitingRequest>) -> Result<Response<ListWaitingResponse>, Status> {
        let request = request.into_inner();
        let logs = self.queries.partitioner.logs();
        accept(validate::admin::list_waiting(&request, logs))?;
        let size = page_token::size(request.page_size, PAGE_SIZE_DEFAULT) as usize;
        let since_ms = since_ms(&request, SystemTime::now());
        let mut place = Some(Place::of(page_token::start(&request.page_token)));
        let mut orders = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let Some(from) = place else { break };
            let limit = (size - orders.len()) as u32;
            let question = WaitingQuery { limit, after: from.after, since_ms, waits_for: request.waits_for };
            let found = self.queries.ask(from.log, questions::Waiting(question)).await?;
            orders.extend(found.orders);
            place = from.next(found.after, logs);
            if orders.len() == size {
                break;
            }
        }
        Ok(Response::new(ListWaitingResponse { orders, next_page_token: place.map(Place::token).unwrap_or_default() }))
    }

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let request = request.into_inner();
        accept(validate::admin::list_audit_events(&request))?;
        self.audit_pages.page(request).await.map(Response::new)
    }
}

/// Whatever has waited since then has waited long enough to be listed.
fn since_ms(request: &ListWaitingRequest, now: SystemTime) -> i64 {
    let seconds = match (request.longer_than_seconds, request.waits_for()) {
        (0, WaitsFor::Operator) => return i64::MAX,
        (0, _) => LONGER_THAN_SECONDS_DEFAULT,
        (seconds, _) => seconds,
    };
    let now_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    now_ms - i64::from(seconds) * 1000
}

/// Where a list that goes through the logs one by one goes on: in this log, behind the order of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    log: u32,
    after: u64,
}

impl Place {
    /// The number in a token is one above, since none is 0.
    fn of([log, above]: [u64; 2]) -> Self {
        Self { log: u32::try_from(log).unwrap_or(u32::MAX), after: above.saturating_sub(1) }
    }

    fn token(self) -> String {
        [u64::from(self.log), self.after + 1].encode()
    }

    /// Behind the order where a log's answer ended, or at the beginning of the next log. `None` behind the last one.
    fn next(self, after: u64, logs: u32) -> Option<Self> {
        match after {
            0 => Some(Self { log: self.log + 1, after: 0 }).filter(|next| next.log < logs),
            after => Some(Self { after, ..self }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_list_goes_through_all_logs() {
        let place = |log, after| Place { log, after };
        let table = [
            (place(0, 0), 7, Some(place(0, 7))),
            (place(0, 7), 0, Some(place(1, 0))),
            (place(1, 0), 9, Some(place(1, 9))),
            (place(1, 9), 0, None),
        ];
        for (from, after, expected) in table {
            assert_eq!(from.next(after, 2), expected, "{from:?}");
            assert_eq!(Place::of(page_token::start(&from.token())), from);
        }
    }

    #[test]
    fn what_waits_for_an_operator_is_listed_at_once() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let of = |longer_than_seconds, waits_for: WaitsFor| {
            since_ms(
                &ListWaitingRequest { longer_than_seconds, waits_for: waits_for.into(), ..ListWaitingRequest::default() },
                now,
            )
        };
        assert_eq!(of(0, WaitsFor::Operator), i64::MAX);
        assert_eq!(of(0, WaitsFor::Payment), (1_000_000 - 604_800) * 1000);
        assert_eq!([WaitsFor::Unspecified, WaitsFor::Operator].map(|what| of(60, what)), [999_940_000; 2]);
    }
}
