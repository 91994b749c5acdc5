//! Calls of other servers by HTTP.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Response, Url};

use crate::cli::TlsFlags;
use crate::reach;

/// The address of a server: a scheme and a host, and nothing behind them.
///
/// # Errors
/// When it is none of HTTP. It is not told, for it may have a secret in it.
pub fn server(text: &str) -> Result<Url> {
    let url: Url = text.parse().context("it is no URL")?;
    ensure!(["http", "https"].contains(&url.scheme()), "it is no URL of HTTP, but of {:?}", url.scheme());
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    ensure!(is_bare, "it is not the address of a server alone, such as http://127.0.0.1:8500");
    Ok(url)
}

/// A client that asks whom it is told, and nobody else: neither where a redirect leads, nor a proxy.
pub fn client(answer_wait: Duration) -> ClientBuilder {
    // Somebody else in this process may have chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(answer_wait).redirect(Policy::none()).no_proxy()
}

/// The same with certificates.
///
/// # Errors
/// When they cannot be read, or are none.
pub fn with_tls(client: ClientBuilder, flags: &TlsFlags) -> Result<ClientBuilder> {
    let client = match &flags.tls_ca {
        Some(ca) => {
            let certificates = Certificate::from_pem_bundle(&reach::read(ca)?);
            client.tls_certs_only(certificates.with_context(|| format!("{} has no certificates", ca.display()))?)
        }
        None => client,
    };
    Ok(match (&flags.tls_cert, &flags.tls_key) {
        (Some(cert), Some(key)) => {
            let pem = [reach::read(cert)?, reach::read(key)?].concat();
            client.identity(Identity::from_pem(&pem).with_context(|| format!("{} and its key", cert.display()))?)
        }
        _ => client,
    })
}

/// All of an answer, if it is not larger than this.
///
/// # Errors
/// When it is, or breaks off.
pub async fn body(mut answer: Response, bytes_max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        if bytes.len() + part.len() > bytes_max {
            bail!("the answer is larger than {} KiB", bytes_max / 1024);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_its_address_alone() {
        for good in ["http://127.0.0.1:8500", "https://consul.example/", "http://[::1]:1", "http://user:password@consul.example"]
        {
            assert!(server(good).is_ok(), "{good}");
        }
        for bad in
            ["", "consul.example", "unix:///run/consul", "ftp://consul.example", "http://consul.example/v1", "http://h/?a=s3cret"]
        {
            let error = server(bad).expect_err(bad);
            assert!(!format!("{error:#}").contains("s3cret"));
        }
    }
}
