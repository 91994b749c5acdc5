//! Consul's agent, by its HTTP API: <https://developer.hashicorp.com/consul/api-docs/agent/service>.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method, StatusCode, Url};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::config::Reached;
use crate::http;

/// For all of an answer: an agent is on the same machine, or near.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// An agent may know thousands of services.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// What is told of what went wrong.
const REASON_BYTES_MAX: usize = 4 * 1024;

/// How often the agent asks for the health of a service, and how long it waits for that.
const CHECK_INTERVAL: &str = "5s";
const CHECK_WAIT: &str = "3s";
/// A process that was killed and does not come back is forgotten after this.
const FORGET_AFTER: &str = "10m";

/// What precedes and follows in the full name of a service what it is called here.
const PACKAGE: &str = "emshop.v1.";
const SERVICE: &str = "Service";

/// A service of the API, as the agent is told of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Registration {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    tags: Vec<&'static str>,
    address: String,
    port: u16,
    meta: BTreeMap<&'static str, String>,
    check: Check,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    name: String,
    /// Where, and of which service.
    #[serde(rename = "GRPC")]
    grpc: String,
    #[serde(rename = "GRPCUseTLS")]
    grpc_use_tls: bool,
    interval: &'static str,
    timeout: &'static str,
    deregister_critical_service_after: &'static str,
}

impl Registration {
    /// Of a service by its full name, such as `emshop.v1.OrderService`. The id is the same each time that a process serves at this address.
    pub fn new(prefix: &str, service: &str, reached: &Reached, has_tls: bool) -> Self {
        let name = format!("{prefix}-{}", label(service));
        let port = reached.port.unwrap_or_default();
        Self {
            id: format!("{name}-{}-{port}", reached.host),
            name,
            tags: if has_tls { vec!["grpc", "tls"] } else { vec!["grpc"] },
            address: reached.host.clone(),
            port,
            meta: [("service", service.to_owned()), ("version", env!("CARGO_PKG_VERSION").to_owned())].into(),
            check: Check {
                name: format!("gRPC health of {service}"),
                grpc: format!("{reached}/{service}"),
                grpc_use_tls: has_tls,
                interval: CHECK_INTERVAL,
                timeout: CHECK_WAIT,
                deregister_critical_service_after: FORGET_AFTER,
            },
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    #[cfg(test)]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What a service is called in DNS: `user-operation` of `emshop.v1.UserOperationService`.
fn label(service: &str) -> String {
    let name = service.strip_prefix(PACKAGE).unwrap_or(service);
    let name = name.strip_suffix(SERVICE).unwrap_or(name);
    let mut label = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !label.is_empty() {
            label.push('-');
        }
        label.push(character.to_ascii_lowercase());
    }
    label
}

/// The agent. Printed, it is its address without secrets.
pub struct Agent {
    client: Client,
    url: Url,
    name: String,
}

impl fmt::Display for Agent {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Agent {
    /// # Errors
    /// When the URL is none of a server.
    pub fn new(url: &str, name: String) -> Result<Self> {
        Ok(Self { client: http::client(ANSWER_WAIT).build()?, url: http::server(url)?, name })
    }

    /// The ids of all services that it knows.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn services(&self, token: Option<&str>) -> Result<BTreeSet<String>> {
        let (status, body) = self.ask(Method::GET, &["services"], None, token).await?;
        expect(status, &body)?;
        let known: BTreeMap<String, IgnoredAny> =
            serde_json::from_slice(&body).context("it does not answer as Consul's agent does")?;
        Ok(known.into_keys().collect())
    }

    /// # Errors
    /// When it does not take it.
    pub async fn register(&self, registration: &Registration, token: Option<&str>) -> Result<()> {
        let body = serde_json::to_vec(registration)?;
        let (status, body) = self.ask(Method::PUT, &["service", "register"], Some(body), token).await?;
        expect(status, &body)
    }

    /// # Errors
    /// When it does not forget it.
    pub async fn deregister(&self, id: &str, token: Option<&str>) -> Result<()> {
        let (status, body) = self.ask(Method::PUT, &["service", "deregister", id], None, token).await?;
        // It has forgotten it already.
        if status == StatusCode::NOT_FOUND { Ok(()) } else { expect(status, &body) }
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Vec<u8>>,
        token: Option<&str>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let mut url = self.url.clone();
        url.path_segments_mut().expect("a URL of HTTP").pop_if_empty().extend(["v1", "agent"]).extend(path);
        if body.is_some() {
            // Checks of an earlier life are not left beside the new one.
            url.set_query(Some("replace-existing-checks=true"));
        }
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        if let Some(token) = token {
            request = request.header("X-Consul-Token", token);
        }
        let answer = request.send().await.map_err(reqwest::Error::without_url).context("it does not answer")?;
        Ok((answer.status(), http::body(answer, ANSWER_BYTES_MAX).await?))
    }
}

/// # Errors
/// What it says, where it does not say that it is done.
fn expect(status: StatusCode, body: &[u8]) -> Result<()> {
    let reason = String::from_utf8_lossy(&body[..body.len().min(REASON_BYTES_MAX)]);
    ensure!(status.is_success(), "it answers with status {status}: {}", reason.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_registration_is_what_the_agent_takes() {
        let reached = Reached { host: "::1".to_owned(), port: Some(50_051) };
        let told =
            serde_json::to_value(Registration::new("shop-1", "emshop.v1.UserOperationService", &reached, true)).expect("JSON");
        assert_eq!(
            told,
            json!({
                "ID": "shop-1-user-operation-::1-50051",
                "Name": "shop-1-user-operation",
                "Tags": ["grpc", "tls"],
                "Address": "::1",
                "Port": 50_051,
                "Meta": { "service": "emshop.v1.UserOperationService", "version": env!("CARGO_PKG_VERSION") },
                "Check": {
                    "Name": "gRPC health of emshop.v1.UserOperationService",
                    "GRPC": "[::1]:50051/emshop.v1.UserOperationService",
                    "GRPCUseTLS": true,
                    "Interval": "5s",
                    "Timeout": "3s",
                    "DeregisterCriticalServiceAfter": "10m",
                },
            })
        );
    }
}
