//! How often somebody may call: by address, by user, by mobile number, and all together where it costs the shop.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use emshop_proto::access::{Access, Method};
use emshop_proto::errors::Code;
use emshop_proto::v1::user_service_server::SERVICE_NAME as USERS;
use emshop_proto::v1::{Refusal, Role};
use emshop_telemetry::{Counter, Registry, catalogue};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use crate::access::Caller;
use crate::services::service_name;
use crate::status;

/// What those call who have logged in before, and whose tokens are over.
const OF_SESSIONS: [&str; 2] = ["/emshop.v1.UserService/RefreshToken", "/emshop.v1.UserService/Logout"];
/// Where proxies say for whom they call.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// How often those are forgotten who have not called for long.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// Whoever has an address by IPv6 has so much of a network.
const NETWORK_BITS: u32 = 64;

/// So many times in so much time, at once or one after the other: `100/s`, `10/m`, `10/h`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(Option<(NonZeroU32, Unit)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

/// What is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What anybody may call for accounts, by address …
    pub accounts_per_address: Rate,
    /// … and by all together: each costs a write or a hash.
    pub accounts: Rate,
    /// Reads that need no token, by address.
    pub reads_per_address: Rate,
    /// Calls of a user.
    pub calls_per_user: Rate,
    /// Attempts with a mobile number.
    pub attempts_per_mobile: Rate,
    /// Codes that are sent, by all together.
    pub codes: Rate,
    /// Proxies, which say for whom they call.
    pub proxies: Vec<IpNet>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            accounts_per_address: Rate::per_second(20),
            accounts: Rate::per_second(500),
            reads_per_address: Rate::per_second(2_000),
            calls_per_user: Rate::per_second(100),
            attempts_per_mobile: Rate::per_minute(20),
            codes: Rate::per_minute(1_000),
            proxies: Vec::new(),
        }
    }
}

impl Limits {
    /// Everything.
    pub fn off() -> Self {
        Self {
            accounts_per_address: Rate::OFF,
            accounts: Rate::OFF,
            reads_per_address: Rate::OFF,
            calls_per_user: Rate::OFF,
            attempts_per_mobile: Rate::OFF,
            codes: Rate::OFF,
            proxies: Vec::new(),
        }
    }
}

impl Rate {
    pub const OFF: Self = Self(None);

    pub const fn per_second(times: u32) -> Self {
        Self(Some((NonZeroU32::new(times).expect("more than none"), Unit::Second)))
    }

    pub const fn per_minute(times: u32) -> Self {
        Self(Some((NonZeroU32::new(times).expect("more than none"), Unit::Minute)))
    }

    fn quota(self) -> Option<Quota> {
        self.0.map(|(times, unit)| match unit {
            Unit::Second => Quota::per_second(times),
            Unit::Minute => Quota::per_minute(times),
            Unit::Hour => Quota::per_hour(times),
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => formatter.write_str("off"),
            Some((times, Unit::Second)) => write!(formatter, "{times}/s"),
            Some((times, Unit::Minute)) => write!(formatter, "{times}/m"),
            Some((times, Unit::Hour)) => write!(formatter, "{times}/h"),
        }
    }
}

/// What is no rate.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no rate such as `100/s`, `10/m`, `10/h` or `off`")]
pub struct NoRate(String);

impl FromStr for Rate {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        let rate = || {
            let (times, unit) = text.split_once('/')?;
            let unit = match unit {
                "s" => Unit::Second,
                "m" => Unit::Minute,
                "h" => Unit::Hour,
                _ => return None,
            };
            Some((times.parse().ok()?, unit))
        };
        match text {
            "off" => Ok(Self::OFF),
            _ => rate().map(|rate| Self(Some(rate))).ok_or_else(|| NoRate(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Rate {
    type Error = NoRate;

    fn try_from(text: String) -> Result<Self, NoRate> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

/// Counts calls.
pub struct Rates {
    counted: ArcSwap<Counted>,
    registry: Registry,
}

/// By the limits of now.
struct Counted {
    accounts_per_address: Arc<Keyed<IpAddr>>,
    accounts: Arc<Together>,
    reads_per_address: Arc<Keyed<IpAddr>>,
    calls_per_user: Arc<Keyed<u64>>,
    attempts_per_mobile: Arc<Keyed<String>>,
    codes: Arc<Together>,
    proxies: Vec<IpNet>,
}

impl Counted {
    /// Where a rate stays as it was `before`, who was counted goes on being counted.
    fn new(limits: Limits, before: Option<&Self>, registry: &Registry) -> Self {
        // By the names of the settings.
        let refused = |limit: &'static str| move || registry.counter(&catalogue::RATE_LIMITED, &[limit]);
        macro_rules! limiter {
            ($kind:ident, $name:ident) => {
                match before.map(|before| &before.$name).filter(|before| before.rate == limits.$name) {
                    Some(same) => Arc::clone(same),
                    None => Arc::new($kind::new(limits.$name, refused(stringify!($name)))),
                }
            };
        }
        Self {
            accounts_per_address: limiter!(Keyed, accounts_per_address),
            accounts: limiter!(Together, accounts),
            reads_per_address: limiter!(Keyed, reads_per_address),
            calls_per_user: limiter!(Keyed, calls_per_user),
            attempts_per_mobile: limiter!(Keyed, attempts_per_mobile),
            codes: limiter!(Together, codes),
            proxies: limits.proxies,
        }
    }
}

impl Rates {
    pub fn new(limits: Limits, registry: &Registry) -> Self {
        let counted = ArcSwap::from_pointee(Counted::new(limits, None, registry));
        Self { counted, registry: registry.clone() }
    }

    /// Counts by these limits from now on.
    pub fn change(&self, limits: Limits) {
        let changed = Counted::new(limits, Some(&self.counted.load()), &self.registry);
        self.counted.store(Arc::new(changed));
    }

    /// Counts a call that needs no token.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn anybody(&self, method: &Method, peer: IpAddr, headers: &HeaderMap) -> Result<(), Box<TooMany>> {
        debug_assert_eq!(method.access, Access::Public);
        let (address, counted) = (self.address(peer, headers), self.counted.load());
        let subject = || format!("address:{address}");
        if service_name(method.path) == USERS {
            counted.accounts_per_address.count(&address, subject)?;
            // Who is in already must not be kept out by those who are not.
            if OF_SESSIONS.contains(&method.path) { Ok(()) } else { counted.accounts.count("accounts") }
        } else {
            counted.reads_per_address.count(&address, subject)
        }
    }

    /// Counts a call with a key that an engine has to be asked about, or a token of somebody else's that has to be verified.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn unknown(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(), Box<TooMany>> {
        let address = self.address(peer, headers);
        self.counted.load().reads_per_address.count(&address, || format!("address:{address}"))
    }

    /// Counts a call with a token. Staff is not counted: it is few, and works for many.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn caller(&self, caller: Caller) -> Result<(), Box<TooMany>> {
        match caller.role {
            Role::User => {
                let subject = || format!("user:{}", caller.user_id);
                self.counted.load().calls_per_user.count(&caller.user_id, subject)
            }
            _ => Ok(()),
        }
    }

    /// Counts an attempt with a mobile number.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn mobile(&self, mobile: &str) -> Result<(), Box<TooMany>> {
        self.counted.load().attempts_per_mobile.count(&mobile.to_owned(), || "mobile".to_owned())
    }

    /// Counts an attempt with the password of a user who has logged in.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn password(&self, user_id: u64) -> Result<(), Box<TooMany>> {
        self.counted.load().attempts_per_mobile.count(&format!("#{user_id}"), || format!("user:{user_id}"))
    }

    /// Counts a code that is sent.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn code(&self) -> Result<(), Box<TooMany>> {
        self.counted.load().codes.count("codes")
    }

    /// Forgets now and then who has not called for long.
    pub async fn forget(&self) {
        loop {
            tokio::time::sleep(FORGET_EVERY).await;
            let counted = self.counted.load_full();
            counted.accounts_per_address.forget();
            counted.reads_per_address.forget();
            counted.calls_per_user.forget();
            counted.attempts_per_mobile.forget();
        }
    }

    /// Who calls: what the last proxy says that is known here, and nobody else.
    pub fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let counted = self.counted.load();
        let is_proxy = |address: IpAddr| counted.proxies.iter().any(|network| network.contains(&address));
        let said = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let said: Vec<_> = said.flat_map(|value| value.split(',')).map(|address| address.trim().parse::<IpAddr>()).collect();
        let mut address = peer;
        for before in said.into_iter().rev() {
            match before {
                Ok(before) if is_proxy(address) => address = before.to_canonical(),
                _ => break,
            }
        }
        network(address)
    }
}

/// What an address counts as: of IPv6 its network.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - NETWORK_BITS))).into(),
    }
}

/// By key, or not at all; with how many were too many.
struct Keyed<K: Hash + Eq + Clone> {
    rate: Rate,
    limiter: Option<(DefaultKeyedRateLimiter<K>, Counter)>,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(rate: Rate, refused: impl FnOnce() -> Counter) -> Self {
        Self { rate, limiter: rate.quota().map(|quota| (RateLimiter::keyed(quota), refused())) }
    }

    fn count(&self, key: &K, subject: impl FnOnce() -> String) -> Result<(), Box<TooMany>> {
        let Some((limiter, refused)) = &self.limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|not_until| {
            refused.inc();
            TooMany::new(&not_until, subject())
        })
    }

    fn forget(&self) {
        if let Some((limiter, _)) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

struct Together {
    rate: Rate,
    limiter: Option<(DefaultDirectRateLimiter, Counter)>,
}

impl Together {
    fn new(rate: Rate, refused: impl FnOnce() -> Counter) -> Self {
        Self { rate, limiter: rate.quota().map(|quota| (RateLimiter::direct(quota), refused())) }
    }

    fn count(&self, subject: &str) -> Result<(), Box<TooMany>> {
        let Some((limiter, refused)) = &self.limiter else { return Ok(()) };
        limiter.check().map_err(|not_until| {
            refused.inc();
            TooMany::new(&not_until, subject.to_owned())
        })
    }
}

/// A call that was one too many.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany {
    wait: Duration,
    /// Whose calls were counted.
    subject: String,
}

impl TooMany {
    fn new(not_until: &NotUntil<<DefaultClock as Clock>::Instant>, subject: String) -> Box<Self> {
        Box::new(Self { wait: not_until.wait_time_from(DefaultClock::default().now()), subject })
    }
}

impl From<Box<TooMany>> for Status {
    fn from(too_many: Box<TooMany>) -> Self {
        let retry_after_ms = u64::try_from(too_many.wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let refusal = Refusal { retry_after_ms, ..Code::RateLimited.refusal() };
        status::of_quota(refusal, too_many.subject)
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::access;
    use tonic_types::StatusExt;

    use super::*;

    fn limits() -> Limits {
        Limits {
            accounts_per_address: Rate::per_minute(2),
            accounts: Rate::per_minute(3),
            reads_per_address: Rate::per_minute(1),
            calls_per_user: Rate::per_minute(2),
            attempts_per_mobile: Rate::per_minute(1),
            codes: Rate::OFF,
            proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        }
    }

    fn forwarded(values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| (FORWARDED_FOR.parse().expect("a name"), value.parse().expect("a value")));
        values.collect()
    }

    #[test]
    fn rates_are_written_as_they_are_read() {
        for text in ["1/s", "100/m", "4294967295/h", "off"] {
            assert_eq!(text.parse::<Rate>().expect("a rate").to_string(), text);
        }
        for text in ["", "0/s", "-1/s", "1/d", "1", "1/", "/s", "1.5/s", "Off", "4294967296/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
        let rate: Rate = serde_json::from_str("\"5/m\"").expect("a rate");
        assert_eq!(serde_json::to_string(&rate).expect("text"), "\"5/m\"");
    }

    #[test]
    fn each_is_counted_apart_and_all_together() {
        let registry = Registry::new();
        let rates = Rates::new(limits(), &registry);
        let login = access::method("/emshop.v1.UserService/Login").expect("one of ours");
        let read = access::method("/emshop.v1.GoodsService/GetGoods").expect("one of ours");
        let [one, two] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        let none = HeaderMap::new();
        let call = |method, address| rates.anybody(method, address, &none).map_err(|too_many| too_many.subject);
        assert_eq!([call(login, one), call(login, one)], [Ok(()), Ok(())]);
        assert_eq!(call(login, one), Err("address:192.0.2.1".to_owned()));
        assert_eq!([call(login, two), call(login, two)], [Ok(()), Err("accounts".to_owned())], "three by all");
        assert_eq!([call(read, one), call(read, two)], [Ok(()), Ok(())]);
        assert!(call(read, one).is_err());
        let caller = |user_id, role| rates.caller(Caller { user_id, role }).is_ok();
        assert_eq!([1, 1, 1, 2].map(|user| caller(user, Role::User)), [true, true, false, true]);
        assert!((0..100).all(|_| caller(3, Role::Admin) && rates.code().is_ok()));
        assert_eq!([rates.mobile("1").is_ok(), rates.mobile("1").is_ok(), rates.mobile("2").is_ok()], [true, false, true]);
        let text = registry.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("emshop_rate_limited_total{limit=\""));
        let refused = ["accounts\"} 1", "accounts_per_address\"} 1", "attempts_per_mobile\"} 1", "calls_per_user\"} 1"];
        assert_eq!(lines.collect::<Vec<_>>(), [&refused[..], &["reads_per_address\"} 1"]].concat(), "and no limit that is off");
    }

    #[test]
    fn limits_change_and_who_was_counted_by_another_one_goes_on_being_counted() {
        let rates = Rates::new(limits(), &Registry::new());
        let calls = |user_id| rates.caller(Caller { user_id, role: Role::User }).is_ok();
        let attempts = |mobile| rates.mobile(mobile).is_ok();
        assert_eq!([calls(1), calls(1), calls(1), attempts("1"), attempts("1")], [true, true, false, true, false]);
        rates.change(Limits { calls_per_user: Rate::per_minute(3), ..limits() });
        assert_eq!([calls(1), calls(1), calls(1), calls(1), attempts("1")], [true, true, true, false, false]);
        rates.change(Limits { proxies: Vec::new(), calls_per_user: Rate::OFF, ..limits() });
        let (proxy, said) = (IpAddr::from([10, 0, 0, 1]), forwarded(&["203.0.113.7"]));
        assert_eq!(rates.address(proxy, &said), proxy);
        assert!((0..100).all(|_| calls(1)) && !attempts("1"));
    }

    #[test]
    fn only_proxies_are_believed() {
        let rates = Rates::new(limits(), &Registry::new());
        let [proxy, other] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 9])];
        let table: [(IpAddr, &[&str], &str); 8] = [
            (other, &["203.0.113.7"], "192.0.2.9"),
            (proxy, &[], "10.0.0.1"),
            (proxy, &["203.0.113.7"], "203.0.113.7"),
            (proxy, &["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            (proxy, &["198.51.100.1", "203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            (proxy, &["198.51.100.1, nonsense"], "10.0.0.1"),
            (proxy, &["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::"),
            (proxy, &["::ffff:203.0.113.7"], "203.0.113.7"),
        ];
        for (peer, said, address) in table {
            assert_eq!(rates.address(peer, &forwarded(said)).to_string(), address, "{peer} says {said:?}");
        }
    }

    #[test]
    fn whoever_is_too_fast_is_told_when_to_come_back() {
        let rates = Rates::new(limits(), &Registry::new());
        rates.mobile("1").expect("the first one");
        let status = Status::from(rates.mobile("1").expect_err("the second one"));
        let details = status.get_error_details();
        let wait = details.retry_info().and_then(|info| info.retry_delay).expect("when");
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60), "{wait:?}");
        assert_eq!(details.quota_failure().expect("which").violations[0].subject, "mobile");
        assert_eq!(details.error_info().expect("why").reason, "RATE_LIMITED");
    }
}
