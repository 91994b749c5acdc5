//! By which address others reach this process, where that is not the one that it listens on.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Error, Result, ensure};
use serde::{Deserialize, Serialize};

/// Where somebody is reached, written as `shop.example`, `10.1.2.3:50051` or `[::1]:50051`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reached {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: Option<u16>,
}

impl TryFrom<String> for Reached {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self { host: ip.to_string(), port: None });
        }
        let none = || format!("{text:?} is no address such as shop.example or 10.1.2.3:50051");
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().with_context(none)?)),
            None => (text.as_str(), None),
        };
        let is_name = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        ensure!(host.split('.').all(is_name), none());
        Ok(Self { host: host.to_owned(), port })
    }
}

impl From<SocketAddr> for Reached {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: Some(address.port()) }
    }
}

impl From<Reached> for String {
    fn from(reached: Reached) -> Self {
        reached.to_string()
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(formatter, "[{host}]") } else { formatter.write_str(host) }?;
        port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_a_port_or_without() {
        for (text, host, port) in [
            ("shop.example", "shop.example", None),
            ("shop.example:443", "shop.example", Some(443)),
            ("10.1.2.3", "10.1.2.3", None),
            ("10.1.2.3:50051", "10.1.2.3", Some(50_051)),
            ("[::1]:50051", "::1", Some(50_051)),
            ("[::1]", "::1", None),
        ] {
            let reached = Reached::try_from(text.to_owned()).expect("an address");
            assert_eq!((reached.host.as_str(), reached.port, reached.to_string()), (host, port, text.to_owned()));
        }
        assert_eq!(Reached::try_from("::1".to_owned()).expect("an address").to_string(), "[::1]");
        for text in
            ["", ":1", "shop.example:", "shop.example:x", "shop.example:70000", "a b", "http://shop.example", "shop..example"]
        {
            assert!(Reached::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
