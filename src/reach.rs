//! How a server is reached; and why it was not: all that is known of the reason, and what may help.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use std::{fs, iter};

use anyhow::{Chain, Context, Result, anyhow};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::cli::TlsFlags;

/// To a machine that does not answer at all.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Connects to the server at a URL, by TLS where it begins with `https`.
///
/// # Errors
/// Why it was not reached, or what of the flags is no certificate.
pub async fn connect(target: &str, tls: &TlsFlags) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(target.to_owned()).with_context(|| format!("{target:?} is no address of a server"))?;
    let mut endpoint = endpoint.connect_timeout(CONNECT_WAIT);
    if endpoint.uri().scheme_str() == Some("https") {
        endpoint = endpoint.tls_config(client_tls(tls)?).map_err(|error| failure(target, tls, &error))?;
    }
    endpoint.connect().await.map_err(|error| failure(target, tls, &error))
}

fn client_tls(flags: &TlsFlags) -> Result<ClientTlsConfig> {
    let mut config = match &flags.tls_ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let (Some(cert), Some(key)) = (&flags.tls_cert, &flags.tls_key) {
        config = config.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(config)
}

/// Where what listens here is reached on this machine.
pub fn url_of(listen: SocketAddr, has_tls: bool) -> String {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let scheme = if has_tls { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, listen.port()))
}

/// The file of a flag.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// What to say of a call to `target` that did not get there, or no answer back.
pub fn failure(target: &str, tls: &TlsFlags, error: &(dyn Error + 'static)) -> anyhow::Error {
    anyhow!("{target} cannot be reached: {}. {}", reasons(error), hint(target, tls, error))
}

/// An error and what led to it. Libraries repeat each other: each reason is said once.
fn reasons(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for reason in Chain::new(error).map(ToString::to_string) {
        if !said.iter().any(|before| before.contains(&reason)) {
            said.push(reason);
        }
    }
    said.join(": ")
}

/// Both sides of TLS tell little of what the other one lacks, so what may be missing is told by what was given.
fn hint(target: &str, tls: &TlsFlags, error: &(dyn Error + 'static)) -> String {
    let is_refused = |error: &io::Error| error.kind() == ErrorKind::ConnectionRefused;
    if Chain::new(error).filter_map(|error| error.downcast_ref()).any(is_refused) {
        return "Nobody listens there".to_owned();
    }
    if !target.starts_with("https://") {
        return "If it has TLS, it is at https://".to_owned();
    }
    let certificate = "if it wants a certificate of its clients, show one (--tls-cert, --tls-key)";
    let authority = "if the system does not know who signs its certificate, name them (--tls-ca)";
    let missing = [(tls.tls_cert.is_none(), certificate), (tls.tls_ca.is_none(), authority)];
    let missing = missing.into_iter().filter_map(|(is_missing, hint)| is_missing.then_some(hint));
    iter::once("If it has no TLS, it is at http://").chain(missing).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] io::Error);

    fn said(target: &str, tls: &TlsFlags, error: Outer) -> String {
        failure(target, tls, &error).to_string()
    }

    #[test]
    fn each_reason_is_said_once_and_what_may_help() {
        let (http, https) = ("http://127.0.0.1:1", "https://127.0.0.1:1");
        let none = TlsFlags { tls_ca: None, tls_cert: None, tls_key: None };
        let all = TlsFlags { tls_ca: Some("ca".into()), tls_cert: Some("cert".into()), tls_key: Some("key".into()) };
        let broken = || Outer("transport error", io::Error::other("cut off"));
        assert_eq!(
            said(http, &none, broken()),
            format!("{http} cannot be reached: transport error: cut off. If it has TLS, it is at https://")
        );
        let sentence = said(https, &none, broken());
        assert!(
            ["no TLS, it is at http://", "--tls-cert", "--tls-ca"].iter().all(|words| sentence.contains(words)),
            "{sentence}"
        );
        assert!(!said(https, &all, broken()).contains("--tls-c"));
        let twice = Outer("cut off", io::Error::other("cut off"));
        assert_eq!(said(http, &none, twice).matches("cut off").count(), 1);
        let refused = Outer("tcp connect error", ErrorKind::ConnectionRefused.into());
        assert!(said(https, &none, refused).ends_with("Nobody listens there"));
    }
}
