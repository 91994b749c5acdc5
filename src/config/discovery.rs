//! Settings of the directories in which clients find the API.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Reached, Role, SecretUrl, Settings};
use crate::http;

/// Behind it in the name of a service stands that of the API, and all of it is a label of DNS.
const PREFIX_BYTES_MAX: usize = 40;

/// Where clients find the API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Discovery {
    pub consul: Consul,
}

/// Consul, whose agent on this machine is told of each service of the API while it is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Consul {
    /// Consul's agent, such as `http://127.0.0.1:8500`, which is told of the services of the API; without one nobody is. `https` by the authorities of this system.
    pub url: Option<SecretUrl>,
    /// By which address clients reach this process, and the agent its health: a host, or `host:port`; without one it is `listen`.
    pub address: Option<Reached>,
    /// File with the token for the agent's ACL, which writes services whose names begin with the prefix, and reads them.
    pub token_file: Option<PathBuf>,
    /// With what the names of the services begin, which are `<prefix>-order`, `<prefix>-user` and so on: shops of one Consul have one each.
    pub prefix: String,
}

impl Default for Consul {
    fn default() -> Self {
        Self { url: None, address: None, token_file: None, prefix: "emshop".to_owned() }
    }
}

impl Consul {
    /// # Errors
    /// What of it does not go together, or makes no sense.
    pub fn check(&self, settings: &Settings) -> Result<()> {
        let Self { url, address, token_file, prefix } = self;
        let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ensure!(
            (1..=PREFIX_BYTES_MAX).contains(&prefix.len()) && prefix.bytes().all(is_label) && !prefix.starts_with('-'),
            "discovery.consul.prefix is 1 to {PREFIX_BYTES_MAX} of a-z, 0-9 and -, as names of DNS have them"
        );
        let Some(url) = url else {
            ensure!(
                address.is_none() && token_file.is_none(),
                "discovery.consul.address and discovery.consul.token_file are for Consul's agent: set discovery.consul.url"
            );
            return Ok(());
        };
        http::server(url.in_clear()).context("discovery.consul.url")?;
        ensure!(
            settings.role != Role::Engine,
            "discovery.consul.url is for those who serve the API, which an engine alone does not"
        );
        if address.is_none() && settings.listen.ip().is_unspecified() {
            bail!(
                "clients reach no {}: say by which address they reach this process in discovery.consul.address",
                settings.listen.ip()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_refused() {
        let settings = |consul: Consul, listen: &str, role| {
            let listen = listen.parse().expect("an address");
            Settings { discovery: Discovery { consul }, listen, role, ..Settings::default() }
        };
        let told = |consul: Consul, listen: &str, role| {
            consul.check(&settings(consul.clone(), listen, role)).map_err(|error| format!("{error:#}"))
        };
        let url = |url: &str| Some(SecretUrl::from(url.to_owned()));
        let agent = || Consul { url: url("http://127.0.0.1:8500"), ..Consul::default() };
        assert_eq!(told(Consul::default(), "0.0.0.0:1", Role::Engine), Ok(()));
        assert_eq!(told(agent(), "127.0.0.1:1", Role::All), Ok(()));
        let address = Some(Reached { host: "shop.example".to_owned(), port: None });
        assert_eq!(told(Consul { address: address.clone(), ..agent() }, "0.0.0.0:1", Role::Ingress), Ok(()));
        for (consul, listen, role, words) in [
            (Consul { address, ..Consul::default() }, "127.0.0.1:1", Role::All, "discovery.consul.url"),
            (Consul { token_file: Some("f".into()), ..Consul::default() }, "127.0.0.1:1", Role::All, "discovery.consul.url"),
            (Consul { url: url("consul.example"), ..Consul::default() }, "127.0.0.1:1", Role::All, "discovery.consul.url"),
            (Consul { url: url("http://h/v1"), ..Consul::default() }, "127.0.0.1:1", Role::All, "address of a server alone"),
            (agent(), "0.0.0.0:1", Role::All, "discovery.consul.address"),
            (agent(), "127.0.0.1:1", Role::Engine, "an engine alone does not"),
            (Consul { prefix: "Shop".to_owned(), ..agent() }, "127.0.0.1:1", Role::All, "discovery.consul.prefix"),
            (Consul { prefix: String::new(), ..agent() }, "127.0.0.1:1", Role::All, "discovery.consul.prefix"),
        ] {
            let error = told(consul.clone(), listen, role).expect_err(words);
            assert!(error.contains(words), "{consul:?}: {error}");
        }
    }
}
