//! Values that settings write in words: sets of logs, addresses, times, sizes.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Numbers of logs, written as `0,2-3`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogSet(BTreeSet<u32>);

/// No cluster has more logs; keeps a slip of the finger from filling the memory.
const LOG_NUMBER_MAX: u32 = 9_999;

impl LogSet {
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }
}

impl TryFrom<String> for LogSet {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let mut logs = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number =
                |text: &str| text.trim().parse::<u32>().with_context(|| format!("{part:?} is not a number or range of logs"));
            let (first, last) = (number(first)?, number(last)?);
            ensure!(first <= last && last <= LOG_NUMBER_MAX, "{part:?} is not a range of logs");
            logs.extend(first..=last);
        }
        Ok(Self(logs))
    }
}

impl From<LogSet> for String {
    fn from(logs: LogSet) -> Self {
        logs.numbers().map(|log| log.to_string()).collect::<Vec<_>>().join(",")
    }
}

/// Networks, written as `10.0.0.0/8,192.168.1.7/32`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Networks(pub Vec<IpNet>);

impl TryFrom<String> for Networks {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let network = |part: &str| part.parse().with_context(|| format!("{part:?} is no network such as 10.0.0.0/8"));
        parts.map(network).collect::<Result<_>>().map(Self)
    }
}

impl From<Networks> for String {
    fn from(networks: Networks) -> Self {
        networks.0.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",")
    }
}

/// Where something listens, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Listen(pub Option<SocketAddr>);

impl TryFrom<String> for Listen {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        match text.as_str() {
            "off" => Ok(Self(None)),
            _ => text
                .parse()
                .map(|address| Self(Some(address)))
                .with_context(|| format!("{text:?} is no address such as 127.0.0.1:50052, nor `off`")),
        }
    }
}

impl From<Listen> for String {
    fn from(Listen(address): Listen) -> Self {
        address.map_or_else(|| "off".to_owned(), |address| address.to_string())
    }
}

/// Address of a NATS server, which may have a user and a password in it. Printed, it has neither of them in clear.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ServerUrl(String);

impl ServerUrl {
    /// With all that is in it.
    pub fn in_clear(&self) -> &str {
        &self.0
    }

    pub fn has_login(&self) -> bool {
        self.0.contains('@')
    }
}

impl From<String> for ServerUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl From<ServerUrl> for String {
    fn from(url: ServerUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Some((login, rest)) = self.0.rsplit_once('@') else { return formatter.write_str(&self.0) };
        let scheme = login.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
        write!(formatter, "{scheme}***@{rest}")
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{:?}", self.to_string())
    }
}

/// Address of a server that is called, which may have a secret in all of it but the host. Printed, it is the host.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct SecretUrl(String);

impl SecretUrl {
    /// With all that is in it.
    pub fn in_clear(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl From<SecretUrl> for String {
    fn from(url: SecretUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return formatter.write_str("***") };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (login, host) = authority.rsplit_once('@').map_or(("", authority), |(_, host)| ("***@", host));
        let path = if ["", "/"].contains(&path) { path } else { "/***" };
        write!(formatter, "{scheme}://{login}{host}{path}")
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{:?}", self.to_string())
    }
}

fn parse_time(text: &str) -> Result<Duration> {
    humantime::parse_duration(text).with_context(|| format!("{text:?} is not a time such as `250ms` or `2m`"))
}

/// Times as `250ms` or `2m`.
pub mod time {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*time))
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse_time(&String::deserialize(deserializer)?).map_err(|error| D::Error::custom(format!("{error:#}")))
    }
}

/// `always`, or a time.
pub mod sync {
    use emshop_log::jetstream::SyncMode;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(mode: &SyncMode, serializer: S) -> Result<S::Ok, S::Error> {
        match mode {
            SyncMode::Always => serializer.serialize_str("always"),
            SyncMode::Interval(time) => super::time::serialize(time, serializer),
        }
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<SyncMode, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "always" => Ok(SyncMode::Always),
            text => super::parse_time(text)
                .map(SyncMode::Interval)
                .map_err(|error| D::Error::custom(format!("neither `always` nor a time: {error:#}"))),
        }
    }
}

/// Numbers of bytes as `64MiB`.
pub mod size {
    use bytesize::ByteSize;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const UNITS: [(u64, &str); 5] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];

    /// In the largest unit that says it exactly.
    pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        let exact = UNITS.iter().find(|(unit, _)| *bytes > 0 && bytes.is_multiple_of(*unit));
        let (unit, name) = exact.unwrap_or(&(1, "B"));
        serializer.collect_str(&format_args!("{}{name}", bytes / unit))
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let size = text.parse::<ByteSize>().map_err(|_| D::Error::custom(format!("{text:?} is not a size such as `64MiB`")))?;
        Ok(size.as_u64())
    }
}

#[cfg(test)]
mod tests {
    use emshop_log::jetstream::SyncMode;

    use super::*;

    #[test]
    fn sets_of_logs() {
        for (text, back) in [("0", "0"), ("0,2-3", "0,2,3"), (" 3 - 4 ,1", "1,3,4"), ("1,1,0-1", "0,1")] {
            assert_eq!(String::from(LogSet::try_from(text.to_owned()).unwrap()), back, "{text:?}");
        }
        for text in ["", "a", "1-", "3-2", "-1", "0-99999999", "1,,2"] {
            assert!(LogSet::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_or_none() {
        for text in ["off", "127.0.0.1:50052", "[::1]:0"] {
            assert_eq!(String::from(Listen::try_from(text.to_owned()).unwrap()), text);
        }
        for text in ["", "on", "Off", "50052", "localhost:50052"] {
            assert!(Listen::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_is_printed_without_its_password() {
        for (url, printed) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("nats://shop:s3cret@nats.example", "nats://***@nats.example"),
            ("tls://shop:s3/c@ret@nats.example:1", "tls://***@nats.example:1"),
            ("s3cret@nats.example", "***@nats.example"),
        ] {
            let url = ServerUrl::from(url.to_owned());
            assert_eq!((url.to_string(), format!("{url:?}")), (printed.to_owned(), format!("{printed:?}")));
            assert_eq!(serde_json::to_string(&url).unwrap(), format!("{printed:?}"));
        }
    }

    #[test]
    fn of_an_address_that_may_have_a_secret_the_host_is_printed() {
        for (url, printed) in [
            ("https://sms.example", "https://sms.example"),
            ("https://sms.example:8443/", "https://sms.example:8443/"),
            ("https://sms.example/hooks/s3cret", "https://sms.example/***"),
            ("https://sms.example?key=s3cret", "https://sms.example/***"),
            ("http://shop:s3cret@sms.example/send?to=a@b", "http://***@sms.example/***"),
            ("s3cret", "***"),
        ] {
            let url = SecretUrl::from(url.to_owned());
            assert_eq!((url.to_string(), format!("{url:?}")), (printed.to_owned(), format!("{printed:?}")));
            assert_eq!(serde_json::to_string(&url).unwrap(), format!("{printed:?}"));
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        #[serde(with = "sync")]
        sync: SyncMode,
        #[serde(with = "time")]
        time: Duration,
        #[serde(with = "size")]
        size: u64,
    }

    #[test]
    fn words_come_back_as_they_went() {
        let samples = [
            (SyncMode::Always, 250, 64 << 20, r#"{"sync":"always","time":"250ms","size":"64MiB"}"#),
            (SyncMode::Interval(Duration::from_secs(120)), 1_500, 0, r#"{"sync":"2m","time":"1s 500ms","size":"0B"}"#),
            (SyncMode::Always, 0, 1_025, r#"{"sync":"always","time":"0s","size":"1025B"}"#),
        ];
        for (sync, time_ms, size, text) in samples {
            let sample = Sample { sync, time: Duration::from_millis(time_ms), size };
            assert_eq!(serde_json::to_string(&sample).unwrap(), text);
            assert_eq!(serde_json::from_str::<Sample>(text).unwrap(), sample);
        }
        for bad in [r#"{"sync":"often","time":"1s","size":"1"}"#, r#"{"sync":"always","time":"1s","size":"big"}"#] {
            assert!(serde_json::from_str::<Sample>(bad).is_err(), "{bad}");
        }
    }
}
