//! The audit trail, by pages: from the newest entry back, by as much as one call may look at.

use std::net::IpAddr;
use std::sync::Arc;

use emshop_log::audit::{AuditEntry, AuditLog};
use emshop_log::{Bounds, LogError};
use emshop_proto::v1::{AuditEvent, AuditKind, ListAuditEventsRequest, ListAuditEventsResponse};
use prost::Message;
use tokio::sync::Semaphore;
use tonic::Status;

use crate::access::rates;
use crate::page_token::{self, Position};
use crate::{refusals, status};

const PAGE_SIZE_DEFAULT: u32 = 100;
/// Entries that are read by one request.
const READ_AT_ONCE: u64 = 256;
/// How often the trail is asked for one page.
const ROUNDS_MAX: usize = 32;
/// Where a part of the trail has few entries of the kind that is looked for, the next part is so many times as long.
const GROWTH: u64 = 4;
/// Pages that are made at once.
const PAGES_AT_ONCE: usize = 4;
/// So far the clocks of an ingress and of the trail may be apart.
const CLOCKS_DIFFER_MS: i64 = 60_000;
/// So late an entry may be written that could not be for a while, or after those of another ingress.
const LATE_MS: i64 = 24 * 60 * 60 * 1_000;

/// Makes pages.
pub struct AuditPages {
    log: Arc<dyn AuditLog>,
    room: Semaphore,
}

impl AuditPages {
    pub fn new(log: Arc<dyn AuditLog>) -> Self {
        Self { log, room: Semaphore::new(PAGES_AT_ONCE) }
    }

    /// The page of a request that was found valid.
    pub async fn page(&self, request: ListAuditEventsRequest) -> Result<ListAuditEventsResponse, Status> {
        let Ok(_room) = self.room.try_acquire() else { return Err(status::of_refusal(refusals::overloaded())) };
        let [below] = page_token::start(&request.page_token);
        let found = self.find(&Wanted::of(request), below).await;
        let (events, below) = found.map_err(|error| {
            tracing::warn!(%error, "the audit trail cannot be read");
            status::of_refusal(refusals::unavailable())
        })?;
        Ok(ListAuditEventsResponse { events, next_page_token: below.map(|below| [below].encode()).unwrap_or_default() })
    }

    /// Entries below a sequence, or all when it is 0; and below which one to go on, unless that was all.
    async fn find(&self, wanted: &Wanted, below: u64) -> Result<(Vec<AuditEvent>, Option<u64>), LogError> {
        let Bounds { first, last } = self.log.bounds().await?;
        let mut end = match below {
            0 => self.last_until(wanted.until_ms, Bounds { first, last }).await?,
            below => last.min(below - 1),
        };
        let (mut events, mut length) = (Vec::new(), READ_AT_ONCE);
        for _ in 0..ROUNDS_MAX {
            if end < first {
                return Ok((events, None));
            }
            let begin = (end + 1).saturating_sub(length).max(first);
            let mut part = self.log.read(begin, wanted.kind, READ_AT_ONCE as usize).await?;
            let is_cut = part.len() as u64 == READ_AT_ONCE && part.last().is_some_and(|last| last.sequence < end);
            if is_cut {
                // The newest ones are those that are missing.
                length = (length / GROWTH).max(READ_AT_ONCE);
                continue;
            }
            part.retain(|entry| entry.sequence <= end);
            if (part.len() as u64) < READ_AT_ONCE / GROWTH {
                length = length.saturating_mul(GROWTH);
            }
            for entry in part.into_iter().rev() {
                // Nothing is stored before it happens.
                if entry.stored_ms < wanted.from_ms.saturating_sub(CLOCKS_DIFFER_MS) {
                    return Ok((events, None));
                }
                let Some((sequence, event)) = read(entry) else { continue };
                if wanted.is(&event) {
                    events.push(event);
                    if events.len() == wanted.size {
                        return Ok((events, Some(sequence).filter(|sequence| *sequence > first)));
                    }
                }
            }
            end = begin - 1;
        }
        Ok((events, Some(end + 1).filter(|below| *below > first)))
    }

    /// The newest entry that may be from then or earlier. It is looked for by the times that entries tell: those of the stream are others after
    /// a restore.
    async fn last_until(&self, until_ms: i64, Bounds { mut first, mut last }: Bounds) -> Result<u64, LogError> {
        if until_ms == 0 {
            return Ok(last);
        }
        let until_ms = until_ms.saturating_add(LATE_MS);
        while first <= last {
            let middle = first + (last - first) / 2;
            let found = self.log.read(middle, None, 1).await?.pop().filter(|entry| entry.sequence <= last);
            match found.map(|entry| (entry.sequence, read(entry))) {
                // One that nobody can read says nothing, and is passed over.
                Some((sequence, event)) if event.as_ref().is_none_or(|(_, event)| event.at_ms <= until_ms) => {
                    first = sequence + 1
                }
                _ => last = middle - 1,
            }
        }
        Ok(last)
    }
}

/// What an entry tells, if it was an ingress that wrote it.
fn read(entry: AuditEntry) -> Option<(u64, AuditEvent)> {
    let AuditEntry { sequence, payload, .. } = entry;
    let event = AuditEvent::decode(payload).ok()?;
    Some((sequence, AuditEvent { sequence, ..event }))
}

struct Wanted {
    kind: Option<AuditKind>,
    user_id: u64,
    address: String,
    from_ms: i64,
    until_ms: i64,
    size: usize,
}

impl Wanted {
    fn of(request: ListAuditEventsRequest) -> Self {
        let ListAuditEventsRequest { user_id, from_ms, until_ms, page_size, .. } = request;
        let address = request.address.parse().map(|address: IpAddr| rates::network(address.to_canonical()).to_string());
        Self {
            kind: Some(request.kind()).filter(|kind| *kind != AuditKind::Unspecified),
            user_id,
            address: address.unwrap_or_default(),
            from_ms,
            until_ms,
            size: page_token::size(page_size, PAGE_SIZE_DEFAULT) as usize,
        }
    }

    fn is(&self, event: &AuditEvent) -> bool {
        let of_user = || event.user_id == self.user_id || event.by.as_ref().is_some_and(|by| by.user_id == self.user_id);
        (self.kind.is_none_or(|kind| kind == event.kind()))
            && (self.user_id == 0 || of_user())
            && (self.address.is_empty() || self.address == event.address)
            && event.at_ms >= self.from_ms
            && (self.until_ms == 0 || event.at_ms <= self.until_ms)
    }
}

#[cfg(test)]
mod tests {
    use emshop_log::audit::MemoryAudit;
    use emshop_proto::v1::{Operator, OperatorKind};

    use super::*;

    const ENTRIES: u64 = 3_000;
    /// Of the first entry; each is a minute later than the one before.
    const BEGIN_MS: i64 = 1_000_000_000;
    const RARE: u64 = 1_000;

    /// Whether an entry is to be found.
    type Expected = fn(&AuditEvent) -> bool;

    fn at_ms(number: u64) -> i64 {
        BEGIN_MS + number as i64 * 60_000
    }

    /// Sign-ins of users 1 to 10, and a role now and then.
    fn event(number: u64) -> AuditEvent {
        let kind = if number.is_multiple_of(RARE) { AuditKind::Role } else { AuditKind::SignedIn };
        let by = Some(Operator { kind: OperatorKind::Admin.into(), user_id: 99, ..Operator::default() })
            .filter(|_| kind == AuditKind::Role);
        let (user_id, address) = (number % 10 + 1, format!("10.0.0.{}", number % 100));
        AuditEvent { kind: kind.into(), at_ms: at_ms(number), user_id, address, by, ..AuditEvent::default() }
    }

    async fn pages() -> (AuditPages, MemoryAudit) {
        let log = MemoryAudit::default();
        for number in 1..=ENTRIES {
            let event = event(number);
            log.set_now(event.at_ms + 5);
            log.append(event.kind(), &number.to_string(), event.encode_to_vec().into()).await.expect("it is there");
        }
        (AuditPages::new(Arc::new(log.clone())), log)
    }

    /// The sequences of all pages, and how many pages there are.
    async fn all(pages: &AuditPages, request: ListAuditEventsRequest) -> (Vec<u64>, usize) {
        let (mut seen, mut count, mut page_token) = (Vec::new(), 0, String::new());
        loop {
            let page = pages.page(ListAuditEventsRequest { page_token, ..request.clone() }).await.expect("a page");
            assert!(page.events.len() <= 100);
            seen.extend(page.events.iter().map(|event| event.sequence));
            (count, page_token) = (count + 1, page.next_page_token);
            if page_token.is_empty() {
                return (seen, count);
            }
        }
    }

    #[tokio::test]
    async fn pages_go_back_through_all_entries_once() {
        let (pages, log) = pages().await;
        let gone = [1, 2, 3, 500, 501, 2_999, 2_900];
        gone.iter().for_each(|sequence| log.drop_entry(*sequence));
        let there: Vec<u64> = (1..=ENTRIES).rev().filter(|sequence| !gone.contains(sequence)).collect();
        for page_size in [7, 99, 100, 0] {
            let request = ListAuditEventsRequest { page_size, ..Default::default() };
            assert_eq!(all(&pages, request).await.0, there, "{page_size} a page");
        }
    }

    #[tokio::test]
    async fn filters_find_what_they_say_and_nothing_else() {
        let (pages, _) = pages().await;
        let request = ListAuditEventsRequest::default;
        let table: [(ListAuditEventsRequest, Expected); 7] = [
            (ListAuditEventsRequest { kind: AuditKind::Role.into(), ..request() }, |event| event.kind() == AuditKind::Role),
            (ListAuditEventsRequest { kind: AuditKind::SignedIn.into(), ..request() }, |event| {
                event.kind() == AuditKind::SignedIn
            }),
            (ListAuditEventsRequest { kind: AuditKind::Balance.into(), ..request() }, |_| false),
            (ListAuditEventsRequest { user_id: 4, ..request() }, |event| event.user_id == 4),
            (ListAuditEventsRequest { user_id: 99, ..request() }, |event| event.by.is_some()),
            (ListAuditEventsRequest { address: "::ffff:10.0.0.42".to_owned(), ..request() }, |event| {
                event.address == "10.0.0.42"
            }),
            (
                ListAuditEventsRequest { from_ms: at_ms(200), until_ms: at_ms(1_100), kind: AuditKind::Role.into(), ..request() },
                |event| event.kind() == AuditKind::Role && event.at_ms == at_ms(1_000),
            ),
        ];
        for (request, is_wanted) in table {
            let expected: Vec<u64> = (1..=ENTRIES).rev().filter(|number| is_wanted(&event(*number))).collect();
            assert_eq!(all(&pages, request.clone()).await.0, expected, "{request:?}");
        }
    }

    #[tokio::test]
    async fn times_bound_a_list_at_both_ends() {
        let (pages, log) = pages().await;
        // Written by nobody who knows how.
        log.append(AuditKind::Role, "strange", vec![u8::MAX; 9].into()).await.expect("it is there");
        for (from, until) in [(1, ENTRIES), (1_500, 1_500), (1_200, 1_800), (2_999, ENTRIES), (1, 1)] {
            let request = ListAuditEventsRequest { from_ms: at_ms(from), until_ms: at_ms(until), ..Default::default() };
            assert!(all(&pages, request).await.0.into_iter().eq((from..=until).rev()), "{from} to {until}");
        }
        let before = ListAuditEventsRequest { until_ms: 1, ..Default::default() };
        assert_eq!(all(&pages, before).await, (Vec::new(), 1));
    }

    /// What could not be written for a while stands behind what happened after it, changes before attempts.
    #[tokio::test]
    async fn what_was_written_late_is_found_by_its_time() {
        let (pages, log) = pages().await;
        log.set_now(at_ms(ENTRIES + 30));
        for kind in [AuditKind::Role, AuditKind::CallRefused] {
            for number in ENTRIES..ENTRIES + 20 {
                let event = AuditEvent { kind: kind.into(), at_ms: at_ms(number), ..AuditEvent::default() };
                log.append(kind, &format!("{kind:?} {number}"), event.encode_to_vec().into()).await.expect("it is there");
            }
        }
        for (from, until, late) in [(ENTRIES + 5, 0, 15), (ENTRIES + 5, ENTRIES + 8, 4)] {
            let until_ms = if until == 0 { 0 } else { at_ms(until) };
            for kind in [AuditKind::Role, AuditKind::CallRefused] {
                let request = ListAuditEventsRequest { kind: kind.into(), from_ms: at_ms(from), until_ms, ..Default::default() };
                assert_eq!(all(&pages, request).await.0.len(), late, "{kind:?}");
            }
            let request = ListAuditEventsRequest { from_ms: at_ms(from), until_ms, ..Default::default() };
            assert_eq!(all(&pages, request).await.0.len(), 2 * late);
        }
    }

    /// What is rare is found by few requests, however much stands between.
    #[tokio::test]
    async fn what_is_rare_takes_one_page() {
        let (pages, _) = pages().await;
        let request = ListAuditEventsRequest { kind: AuditKind::Role.into(), ..Default::default() };
        assert_eq!(all(&pages, request).await, (vec![3_000, 2_000, 1_000], 1));
    }

    #[tokio::test]
    async fn a_trail_that_is_away_is_told_as_such_and_room_is_bounded() {
        let (pages, log) = pages().await;
        let rooms: Vec<_> = (0..PAGES_AT_ONCE).map(|_| pages.room.try_acquire().expect("room")).collect();
        let refused = pages.page(ListAuditEventsRequest::default()).await.expect_err("no room");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        drop(rooms);
        log.set_away(true);
        let refused = pages.page(ListAuditEventsRequest::default()).await.expect_err("it is away");
        assert_eq!(refused.code(), tonic::Code::Unavailable);
    }
}
