//! Why a server was not reached: all that is known of the reason, and what may help.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::iter;

use anyhow::{Chain, anyhow};

use crate::cli::TlsFlags;

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
