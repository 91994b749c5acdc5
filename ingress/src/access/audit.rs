//! What concerns security, in log lines of the target `security` and as entries of the audit trail: who signed in, who was refused, and who
//! asked to change whose rights or money.
//!
//! A mobile number is told by a MAC, so that the lines of one can be found by whoever has the number and the key of tokens, and by nobody
//! else. What strangers make happen is told so often for each address, and for all of them together, and how much was left out.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use emshop_proto::errors::Code;
use emshop_proto::internal::account_command::Body as AccountBody;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AuditEvent, AuditKind, AuditOutcome, LogoutEverywhereRequest, Operator, OperatorKind, Outcome, Refusal, User,
};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use tonic::Extensions;
use tonic_types::StatusExt;

use super::refused::Refused;
use super::trail::Trail;
use crate::accounts::token::Tokens;

/// Refusals told of one address in a minute.
const REFUSED_PER_ADDRESS: NonZeroU32 = NonZeroU32::new(20).expect("more than none");
/// And of all addresses, in a second.
const REFUSED: NonZeroU32 = NonZeroU32::new(100).expect("more than none");
/// How often those are forgotten who have not called for long.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// Enough to tell numbers apart.
const MAC_DIGITS: usize = 16;
const KEY_OF: &str = "emshop audit of mobile numbers";

/// Where a call comes from, as the guard found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(pub IpAddr);

/// Where a call comes from; not known while the server runs without authentication.
pub fn origin(extensions: &Extensions) -> Option<Origin> {
    extensions.get().copied()
}

/// Writes the lines and the entries.
pub struct Audit {
    refused_per_address: Arc<DefaultKeyedRateLimiter<IpAddr>>,
    refused: DefaultDirectRateLimiter,
    untold: AtomicU64,
    /// Whose key numbers are told by.
    tokens: Tokens,
    trail: Trail,
}

impl Audit {
    pub fn new(tokens: Tokens, trail: Trail) -> Self {
        Self {
            refused_per_address: Arc::new(RateLimiter::keyed(Quota::per_minute(REFUSED_PER_ADDRESS))),
            refused: RateLimiter::direct(Quota::per_second(REFUSED)),
            untold: AtomicU64::new(0),
            tokens,
            trail,
        }
    }

    /// A user has shown who they are.
    pub fn signed_in(&self, origin: Option<Origin>, user: &User, how: &str) {
        let (user_id, role) = (user.user_id, user.role().as_str_name());
        tracing::info!(target: "security", user_id, role, how, from = %From(origin), "signed in");
        self.trail.tell(AuditEvent {
            outcome: AuditOutcome::Done.into(),
            user_id,
            role: user.role,
            mobile_mac: self.mac(&user.mobile),
            how: how.to_owned(),
            ..event(AuditKind::SignedIn, origin, None)
        });
    }

    /// Somebody has not.
    pub fn sign_in_refused(&self, origin: Option<Origin>, mobile: &str, how: &str, status: &tonic::Status) {
        if !is_refusal(status) {
            return;
        }
        let Some(untold) = self.tells(origin) else { return };
        let (mobile, reason) = (self.mac(mobile), status.message());
        tracing::warn!(target: "security", mobile, how, reason, from = %From(origin), untold, "a sign-in is refused");
        self.trail.tell(AuditEvent {
            outcome: AuditOutcome::Refused.into(),
            reason: reason_of(status),
            mobile_mac: mobile,
            how: how.to_owned(),
            ..event(AuditKind::SignInRefused, origin, None)
        });
    }

    /// Somebody has not shown what only this user has: a password that they say again, or the refresh token in force.
    pub fn not_shown(&self, origin: Option<Origin>, user_id: u64, how: &str, status: &tonic::Status) {
        if !is_refusal(status) {
            return;
        }
        let Some(untold) = self.tells(origin) else { return };
        tracing::warn!(target: "security", user_id, how, reason = status.message(), from = %From(origin), untold, "a user is not believed");
        self.trail.tell(AuditEvent {
            outcome: AuditOutcome::Refused.into(),
            reason: reason_of(status),
            user_id,
            how: how.to_owned(),
            ..event(AuditKind::NotBelieved, origin, None)
        });
    }

    /// A call was not let through.
    pub fn refused(&self, origin: Option<Origin>, path: &str, code: Code, by: Option<Operator>) {
        self.refused_because(origin, path, Refused { by, ..code.into() });
    }

    /// As [`Audit::refused`], with what only the line tells.
    pub fn refused_because(&self, origin: Option<Origin>, path: &str, Refused { code, cause, by }: Refused) {
        let Some(untold) = self.tells(origin) else { return };
        let reason = code.name();
        let cause = cause.as_deref();
        tracing::warn!(target: "security", path, reason, cause, by = %By(by.as_ref()), from = %From(origin), untold, "a call is refused");
        self.trail.tell(AuditEvent {
            outcome: AuditOutcome::Refused.into(),
            reason: reason.to_owned(),
            rpc: path.to_owned(),
            ..event(AuditKind::CallRefused, origin, by)
        });
    }

    /// A command that changes rights, money or accounts, by call or stream, is to be carried out; `None` for all others. Who asked also
    /// stands in the log, with the command.
    pub fn asked(&self, operator: Option<&Operator>, body: &Body) -> Option<Box<Asked>> {
        let (by, of) = (By(operator), |kind| event(kind, None, operator.cloned()));
        let event = match body {
            Body::SetUserRole(request) => {
                let (user_id, role) = (request.user_id, request.role().as_str_name());
                tracing::info!(target: "security", user_id, role, %by, "a role is to be set");
                AuditEvent { user_id, role: request.role, ..of(AuditKind::Role) }
            }
            Body::SetUserStatus(request) => {
                let (user_id, status) = (request.user_id, request.status().as_str_name());
                tracing::info!(target: "security", user_id, status, %by, "a status is to be set");
                AuditEvent { user_id, status: request.status, ..of(AuditKind::Status) }
            }
            Body::AdjustBalance(request) => {
                let delta = request.delta.as_ref();
                let (user_id, currency) = (request.user_id, delta.map(|delta| delta.currency.as_str()));
                let amount_minor = delta.map(|delta| delta.amount_minor);
                tracing::info!(target: "security", user_id, amount_minor, currency, %by, "a balance is to be adjusted");
                AuditEvent { user_id, delta: request.delta.clone(), ..of(AuditKind::Balance) }
            }
            Body::LogoutEverywhere(LogoutEverywhereRequest { user_id }) => {
                tracing::info!(target: "security", user_id, %by, "a user is to be logged out everywhere");
                AuditEvent { user_id: *user_id, ..of(AuditKind::LoggedOutEverywhere) }
            }
            _ => return None,
        };
        Some(self.until_answered(event))
    }

    /// The same of a command that only an ingress gives.
    pub fn asked_of_account(&self, operator: Option<&Operator>, body: &AccountBody) -> Option<Box<Asked>> {
        let (kind, user_id, what) = match body {
            AccountBody::SetPassword(command) => (AuditKind::PasswordChanged, command.user_id, "a password is to be changed"),
            AccountBody::DeleteUser(command) => (AuditKind::UserDeleted, command.user_id, "a user is to be deleted"),
            AccountBody::CreateServiceAccount(command) => {
                (AuditKind::ServiceAccountMade, command.user_id, "a service account is to be made")
            }
            _ => return None,
        };
        tracing::info!(target: "security", user_id, by = %By(operator), "{what}");
        Some(self.until_answered(AuditEvent { user_id, ..event(kind, None, operator.cloned()) }))
    }

    fn until_answered(&self, event: AuditEvent) -> Box<Asked> {
        Box::new(Asked { event: AuditEvent { outcome: AuditOutcome::Unknown.into(), ..event }, trail: self.trail.clone() })
    }

    /// Forgets now and then who has not called for long.
    pub fn forget(&self) -> impl Future<Output = ()> + Send + use<> {
        let refused = self.refused_per_address.clone();
        async move {
            loop {
                tokio::time::sleep(FORGET_EVERY).await;
                refused.retain_recent();
                refused.shrink_to_fit();
            }
        }
    }

    /// How many refusals were not told before this one; `None` when this is not told either.
    fn tells(&self, origin: Option<Origin>) -> Option<u64> {
        let is_enough = origin.is_some_and(|Origin(address)| self.refused_per_address.check_key(&address).is_err());
        if is_enough || self.refused.check().is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            self.trail.leave_out();
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }

    fn mac(&self, mobile: &str) -> String {
        let key = self.tokens.with_signing(|key| blake3::derive_key(KEY_OF, &key.secret));
        blake3::keyed_hash(&key, mobile.as_bytes()).to_hex()[..MAC_DIGITS].to_owned()
    }
}

fn event(kind: AuditKind, origin: Option<Origin>, by: Option<Operator>) -> AuditEvent {
    AuditEvent { kind: kind.into(), address: address(origin), by, ..AuditEvent::default() }
}

/// Whether somebody was not believed, and not only not answered.
fn is_refusal(status: &tonic::Status) -> bool {
    use tonic::Code::{Cancelled, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown};
    !matches!(status.code(), Cancelled | DeadlineExceeded | Internal | ResourceExhausted | Unavailable | Unknown)
}

/// Name of the code that a status tells.
fn reason_of(status: &tonic::Status) -> String {
    status.get_details_error_info().map_or_else(|| Code::Unknown.name().to_owned(), |info| info.reason)
}

fn address(origin: Option<Origin>) -> String {
    origin.map(|Origin(address)| address.to_string()).unwrap_or_default()
}

/// A change that was asked for. It is told when it is dropped: what came of it, if anybody has waited for that.
pub struct Asked {
    event: AuditEvent,
    trail: Trail,
}

impl Asked {
    /// It was asked for from there.
    pub fn came_from(&mut self, origin: Option<Origin>) {
        self.event.address = address(origin);
    }

    /// This came of it.
    pub fn came_to(mut self: Box<Self>, outcome: &Result<Outcome, Refusal>) {
        let (result, reason, position) = match outcome {
            Ok(outcome) => (AuditOutcome::Done, "", outcome.position),
            Err(refusal) if refusal.code == Code::OutcomeUnknown as i32 => (AuditOutcome::Unknown, refusal.reason.as_str(), None),
            Err(refusal) => (AuditOutcome::Refused, refusal.reason.as_str(), None),
        };
        self.event.set_outcome(result);
        self.event.reason = reason.to_owned();
        self.event.position = position;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.trail.tell(std::mem::take(&mut self.event));
    }
}

struct From(Option<Origin>);

impl fmt::Display for From {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Origin(address)) => address.fmt(formatter),
            None => formatter.write_str("unknown"),
        }
    }
}

struct By<'a>(Option<&'a Operator>);

impl fmt::Display for By<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Operator { user_id, subject, .. }) = self.0 else { return formatter.write_str("anybody") };
        match (self.0.map(Operator::kind), subject) {
            (_, Some(subject)) => write!(formatter, "staff {:?} of {}", subject.id, subject.issuer),
            (Some(OperatorKind::User), None) => write!(formatter, "user {user_id}"),
            (Some(OperatorKind::Admin), None) => write!(formatter, "staff {user_id}"),
            (kind, None) => formatter.write_str(kind.unwrap_or_default().as_str_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use emshop_log::audit::{AuditLog, MemoryAudit, PAYLOAD_BYTES_MAX};
    use emshop_proto::access::METHODS;
    use emshop_proto::internal::{CreateServiceAccount, DeleteUser, OpenSession, SetPassword};
    use emshop_proto::v1::{AdjustBalanceRequest, CancelOrderRequest, LogPosition, Money, Role, SetUserRoleRequest, Subject};
    use prost::Message;

    use super::*;
    use crate::{refusals, status};

    const LIFETIME: Duration = Duration::from_secs(60);

    fn at(last: u8) -> Option<Origin> {
        Some(Origin(Ipv4Addr::new(10, 0, 0, last).into()))
    }

    fn audit() -> Audit {
        Audit::new(Tokens::of_chance(LIFETIME), Trail::new(Arc::new(MemoryAudit::default())).0)
    }

    /// What stands in the trail after this was told.
    async fn trail_of(tell: impl FnOnce(&Audit)) -> (Vec<AuditEvent>, Vec<u8>) {
        let log = MemoryAudit::default();
        let (trail, writing) = Trail::new(Arc::new(log.clone()));
        let audit = Audit::new(Tokens::of_chance(LIFETIME), trail);
        tell(&audit);
        drop(audit);
        writing.await;
        let entries = log.read(1, None, usize::MAX).await.expect("it is there");
        let bytes = entries.iter().flat_map(|entry| entry.payload.to_vec()).collect();
        (entries.into_iter().map(|entry| AuditEvent::decode(entry.payload).expect("an entry")).collect(), bytes)
    }

    #[test]
    fn refusals_of_one_address_are_told_so_often_and_the_rest_is_counted() {
        let audit = audit();
        let told: Vec<_> = (0..50).map(|_| audit.tells(at(1))).collect();
        assert_eq!(told.iter().flatten().count(), 20);
        assert_eq!(audit.tells(at(2)), Some(30), "another address is told, with what was left out");
        assert_eq!(audit.tells(at(3)), Some(0));
    }

    #[test]
    fn refusals_of_many_addresses_are_told_so_often() {
        let audit = audit();
        let told = (0..=255).filter_map(|last| audit.tells(at(last))).count();
        // A few more while the time passes.
        assert!((100..150).contains(&told), "{told}");
    }

    #[test]
    fn numbers_are_told_apart_and_nothing_more() {
        let (audit, other) = (audit(), audit());
        assert_eq!(audit.mac("13800000000"), audit.mac("13800000000"));
        assert_ne!(audit.mac("13800000000"), audit.mac("13800000001"));
        assert_ne!(audit.mac("13800000000"), other.mac("13800000000"));
        assert_eq!(audit.mac("13800000000").len(), MAC_DIGITS);
    }

    #[tokio::test]
    async fn refusals_stand_in_the_trail_with_who_and_from_where_but_no_number() {
        let (events, bytes) = trail_of(|audit| {
            let incorrect = status::of_refusal(Code::PasswordIncorrect.refusal());
            (0..30).for_each(|_| audit.sign_in_refused(at(1), "13812345678", "password", &incorrect));
            let by = Operator { kind: OperatorKind::User.into(), user_id: 7, ..Operator::default() };
            audit.refused(at(2), "/emshop.v1.AdminService/Inspect", Code::PermissionDenied, Some(by));
            audit.refused(at(3), "/emshop.v1.AdminService/Inspect", Code::TokenExpired, None);
        })
        .await;
        let sign_ins: Vec<_> = events.iter().filter(|event| event.kind() == AuditKind::SignInRefused).collect();
        assert_eq!(sign_ins.len(), 20, "so many of one address");
        assert!(
            sign_ins
                .iter()
                .all(|event| event.reason == "PASSWORD_INCORRECT" && event.address == "10.0.0.1" && event.by.is_none())
        );
        let calls: Vec<_> = events.iter().filter(|event| event.kind() == AuditKind::CallRefused).collect();
        let [denied, expired] = calls[..] else { panic!("{calls:?}") };
        assert_eq!((denied.reason.as_str(), denied.address.as_str()), ("PERMISSION_DENIED", "10.0.0.2"));
        assert_eq!(denied.by, Some(Operator { kind: OperatorKind::User.into(), user_id: 7, ..Operator::default() }));
        assert_eq!((expired.reason.as_str(), &expired.by), ("TOKEN_EXPIRED", &None));
        assert_eq!(events.last().map(|event| (event.kind(), event.left_out)), Some((AuditKind::LeftOut, 10)));
        assert!(!bytes.windows(11).any(|window| window == b"13812345678"));
    }

    /// Whoever is not answered was not disbelieved.
    #[tokio::test]
    async fn what_is_not_answered_is_no_refusal() {
        let (events, _) = trail_of(|audit| {
            for status in [refusals::overloaded(), refusals::unavailable(), refusals::outcome_unknown(), refusals::no_engine()] {
                let status = status::of_refusal(status);
                audit.sign_in_refused(at(1), "13812345678", "password", &status);
                audit.not_shown(at(1), 5, "refresh token", &status);
            }
        })
        .await;
        assert_eq!(events, []);
    }

    #[tokio::test]
    async fn changes_stand_in_the_trail_with_what_came_of_them() {
        let role = Body::SetUserRole(SetUserRoleRequest { user_id: 5, role: Role::Admin.into() });
        let delta = Some(Money { amount_minor: -250, currency: "CNY".to_owned() });
        let balance = Body::AdjustBalance(AdjustBalanceRequest { user_id: 6, delta: delta.clone() });
        let by = Some(Operator { kind: OperatorKind::Admin.into(), user_id: 1, role: Role::Super.into(), ..Operator::default() });
        let position = Some(LogPosition { log: 0, sequence: 9 });
        let (events, _) = trail_of(|audit| {
            assert!(audit.asked(by.as_ref(), &Body::CancelOrder(CancelOrderRequest::default())).is_none());
            let ask = |body| audit.asked(by.as_ref(), body).expect("a change");
            let mut asked = ask(&role);
            asked.came_from(at(1));
            asked.came_to(&Ok(Outcome { position, ..Outcome::default() }));
            ask(&role).came_to(&Err(Code::UserNotFound.refusal()));
            ask(&role).came_to(&Err(refusals::outcome_unknown()));
            // Their clients have gone.
            drop(ask(&balance));
            drop(ask(&Body::LogoutEverywhere(LogoutEverywhereRequest { user_id: 8 })));
            for body in [
                AccountBody::DeleteUser(DeleteUser { user_id: 8, ..DeleteUser::default() }),
                AccountBody::SetPassword(SetPassword { user_id: 8, ..SetPassword::default() }),
                AccountBody::CreateServiceAccount(CreateServiceAccount { user_id: 8, ..CreateServiceAccount::default() }),
            ] {
                drop(audit.asked_of_account(by.as_ref(), &body).expect("a change"));
            }
            assert!(audit.asked_of_account(None, &AccountBody::OpenSession(OpenSession::default())).is_none());
        })
        .await;
        let came: Vec<_> = events.iter().map(|event| (event.kind(), event.outcome(), event.reason.as_str())).collect();
        let expected = [
            (AuditKind::Role, AuditOutcome::Done, ""),
            (AuditKind::Role, AuditOutcome::Refused, "USER_NOT_FOUND"),
            (AuditKind::Role, AuditOutcome::Unknown, "OUTCOME_UNKNOWN"),
            (AuditKind::Balance, AuditOutcome::Unknown, ""),
            (AuditKind::LoggedOutEverywhere, AuditOutcome::Unknown, ""),
            (AuditKind::UserDeleted, AuditOutcome::Unknown, ""),
            (AuditKind::PasswordChanged, AuditOutcome::Unknown, ""),
            (AuditKind::ServiceAccountMade, AuditOutcome::Unknown, ""),
        ];
        assert_eq!(came, expected);
        assert!(events.iter().all(|event| event.by == by));
        assert_eq!((events[0].user_id, events[0].role(), events[0].address.as_str()), (5, Role::Admin, "10.0.0.1"));
        assert!(events[4..].iter().all(|event| event.user_id == 8));
        assert_eq!((events[0].position, events[3].user_id, &events[3].delta), (position, 6, &delta));
    }

    #[test]
    fn an_entry_is_small() {
        let longest =
            |lengths: &mut dyn Iterator<Item = &'static str>| lengths.max_by_key(|text| text.len()).expect("some").to_owned();
        let subject = Box::new(Subject { issuer: "i".repeat(200), id: "s".repeat(255) });
        let event = AuditEvent {
            sequence: 0,
            at_ms: i64::MAX,
            kind: AuditKind::LeftOut.into(),
            by: Some(Operator { kind: OperatorKind::Provider.into(), user_id: u64::MAX, role: i32::MAX, subject: Some(subject) }),
            user_id: u64::MAX,
            mobile_mac: "f".repeat(MAC_DIGITS),
            address: "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".to_owned(),
            outcome: AuditOutcome::Unknown.into(),
            reason: longest(&mut Code::ALL.iter().map(|code| code.name())),
            position: Some(LogPosition { log: u32::MAX, sequence: u64::MAX }),
            rpc: longest(&mut METHODS.iter().map(|method| method.path)),
            how: "registration".to_owned(),
            role: i32::MAX,
            status: i32::MAX,
            delta: Some(Money { amount_minor: i64::MIN, currency: "CNY".to_owned() }),
            left_out: u64::MAX,
            // Bounded by the command that tells of it, in an entry without all the rest.
            setting: None,
        };
        assert!(event.encoded_len() <= PAYLOAD_BYTES_MAX, "{} bytes", event.encoded_len());
    }
}
