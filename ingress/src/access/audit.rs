//! What concerns security, in log lines of the target `security`: who signed in, who was refused, and who asked to change whose rights or
//! money.
//!
//! A mobile number is told by a MAC, so that the lines of one can be found by whoever has the number and the key of tokens, and by nobody
//! else. What strangers make happen is told so often for each address, and how much was left out.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use emshop_proto::errors::Code;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{Operator, OperatorKind, User};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tonic::Extensions;

use super::Caller;
use crate::accounts::token::Tokens;

/// Refusals told of one address in a minute.
const REFUSED_PER_ADDRESS: NonZeroU32 = NonZeroU32::new(20).expect("more than none");
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

/// Writes the lines.
pub struct Audit {
    refused: DefaultKeyedRateLimiter<IpAddr>,
    untold: AtomicU64,
    /// Whose key numbers are told by.
    tokens: Tokens,
}

impl Audit {
    pub fn new(tokens: Tokens) -> Self {
        Self { refused: RateLimiter::keyed(Quota::per_minute(REFUSED_PER_ADDRESS)), untold: AtomicU64::new(0), tokens }
    }

    /// A user has shown who they are.
    pub fn signed_in(&self, origin: Option<Origin>, user: &User, how: &str) {
        let (user_id, role) = (user.user_id, user.role().as_str_name());
        tracing::info!(target: "security", user_id, role, how, from = %From(origin), "signed in");
    }

    /// Somebody has not.
    pub fn sign_in_refused(&self, origin: Option<Origin>, mobile: &str, how: &str, status: &tonic::Status) {
        let Some(untold) = self.tells(origin) else { return };
        let (mobile, reason) = (self.mac(mobile), status.message());
        tracing::warn!(target: "security", mobile, how, reason, from = %From(origin), untold, "a sign-in is refused");
    }

    /// Somebody has not shown what only this user has: a password that they say again, or the refresh token in force.
    pub fn not_shown(&self, origin: Option<Origin>, user_id: u64, how: &str, status: &tonic::Status) {
        let Some(untold) = self.tells(origin) else { return };
        tracing::warn!(target: "security", user_id, how, reason = status.message(), from = %From(origin), untold, "a user is not believed");
    }

    /// A call was not let through.
    pub fn refused(&self, origin: Origin, path: &str, code: Code, caller: Option<Caller>) {
        let origin = Some(origin);
        let Some(untold) = self.tells(origin) else { return };
        let (user_id, reason) = (caller.map(|caller| caller.user_id), code.name());
        tracing::warn!(target: "security", path, reason, user_id, from = %From(origin), untold, "a call is refused");
    }

    /// A user, or staff, has done something to an account.
    pub fn account(&self, origin: Option<Origin>, operator: Option<Operator>, user_id: u64, what: &str) {
        tracing::info!(target: "security", user_id, by = %By(operator), from = %From(origin), "{what}");
    }

    /// Forgets now and then who has not called for long.
    pub async fn forget(&self) {
        loop {
            tokio::time::sleep(FORGET_EVERY).await;
            self.refused.retain_recent();
            self.refused.shrink_to_fit();
        }
    }

    /// How many refusals were not told before this one; `None` when this is not told either.
    fn tells(&self, origin: Option<Origin>) -> Option<u64> {
        if origin.is_some_and(|Origin(address)| self.refused.check_key(&address).is_err()) {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }

    fn mac(&self, mobile: &str) -> String {
        let key = self.tokens.with_signing(|key| blake3::derive_key(KEY_OF, &key.secret));
        blake3::keyed_hash(&key, mobile.as_bytes()).to_hex()[..MAC_DIGITS].to_owned()
    }
}

/// A command that changes rights or money, by call or stream. What comes of it stands in the log, and with it who asked.
pub fn asked(operator: Option<Operator>, body: &Body) {
    let by = By(operator);
    match body {
        Body::SetUserRole(request) => {
            let (user_id, role) = (request.user_id, request.role().as_str_name());
            tracing::info!(target: "security", user_id, role, %by, "a role is to be set");
        }
        Body::SetUserStatus(request) => {
            let (user_id, status) = (request.user_id, request.status().as_str_name());
            tracing::info!(target: "security", user_id, status, %by, "a status is to be set");
        }
        Body::AdjustBalance(request) => {
            let delta = request.delta.as_ref();
            let (user_id, currency) = (request.user_id, delta.map(|delta| delta.currency.as_str()));
            let amount_minor = delta.map(|delta| delta.amount_minor);
            tracing::info!(target: "security", user_id, amount_minor, currency, %by, "a balance is to be adjusted");
        }
        _ => {}
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

struct By(Option<Operator>);

impl fmt::Display for By {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(|operator| (operator.kind(), operator.user_id)) {
            None => formatter.write_str("anybody"),
            Some((OperatorKind::User, user_id)) => write!(formatter, "user {user_id}"),
            Some((OperatorKind::Admin, user_id)) => write!(formatter, "staff {user_id}"),
            Some((kind, _)) => formatter.write_str(kind.as_str_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(60);

    #[test]
    fn refusals_of_one_address_are_told_so_often_and_the_rest_is_counted() {
        let audit = Audit::new(Tokens::of_chance(LIFETIME));
        let at = |last| Some(Origin(Ipv4Addr::new(10, 0, 0, last).into()));
        let told: Vec<_> = (0..50).map(|_| audit.tells(at(1))).collect();
        assert_eq!(told.iter().flatten().count(), 20);
        assert_eq!(audit.tells(at(2)), Some(30), "another address is told, with what was left out");
        assert_eq!(audit.tells(at(3)), Some(0));
    }

    #[test]
    fn numbers_are_told_apart_and_nothing_more() {
        let (audit, other) = (Audit::new(Tokens::of_chance(LIFETIME)), Audit::new(Tokens::of_chance(LIFETIME)));
        assert_eq!(audit.mac("13800000000"), audit.mac("13800000000"));
        assert_ne!(audit.mac("13800000000"), audit.mac("13800000001"));
        assert_ne!(audit.mac("13800000000"), other.mac("13800000000"));
        assert_eq!(audit.mac("13800000000").len(), MAC_DIGITS);
    }
}
