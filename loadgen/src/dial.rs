//! Bytes to the server and back: TCP, and TLS on it when the target is `https://`. All connections of a run are opened here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HTTP2: &[u8] = b"h2";

/// What carries a connection.
pub type Bytes = Either<TcpStream, TlsStream<TcpStream>>;

/// Files of TLS.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TlsFiles {
    /// Certificates in PEM that the server's must be signed by, with an https:// target [default: those of the system].
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Certificate in PEM that the generator shows to the server.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// How far connections are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Not at all.
    None,
    /// The server shows a certificate.
    Tls,
    /// Both sides do.
    Mutual,
}

impl TlsFiles {
    pub fn security(&self, target: &str) -> Security {
        match self.tls_cert {
            _ if !target.starts_with("https://") => Security::None,
            None => Security::Tls,
            Some(_) => Security::Mutual,
        }
    }

    fn any(&self) -> bool {
        [&self.tls_ca, &self.tls_cert, &self.tls_key].into_iter().any(Option::is_some)
    }

    fn connector(&self) -> anyhow::Result<TlsConnector> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(self.roots()?);
        let mut config = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let private =
                    PrivateKeyDer::from_pem_file(key).with_context(|| format!("no private key in {}", key.display()))?;
                config.with_client_auth_cert(certificates(certificate)?, private).context("certificate and key do not fit")?
            }
            _ => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Arc::new(config).into())
    }

    fn roots(&self) -> anyhow::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let Some(file) = &self.tls_ca else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            ensure!(!roots.is_empty(), "this system has no certificates to trust; --tls-ca names some");
            return Ok(roots);
        };
        for certificate in certificates(file)? {
            roots.add(certificate).with_context(|| format!("{} has a certificate that is none", file.display()))?;
        }
        Ok(roots)
    }
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let unreadable = || format!("no certificates in {}", file.display());
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect).with_context(unreadable)?;
    ensure!(!certificates.is_empty(), unreadable());
    Ok(certificates)
}

/// The way to a server.
#[derive(Clone)]
pub struct Dial {
    /// Host and port.
    pub address: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    security: Security,
}

impl Dial {
    /// # Errors
    /// When `target` is not the URL of a server, or TLS is not what its files say.
    pub fn new(target: &Uri, files: &TlsFiles) -> anyhow::Result<Self> {
        let host = target.host().context("the target names no host")?;
        let (port, tls) = match target.scheme_str() {
            Some("http") => {
                ensure!(!files.any(), "certificates are of use for https:// targets alone");
                (80, None)
            }
            Some("https") => {
                let name = host.trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(name).with_context(|| format!("no certificate has the name {host}"))?;
                (443, Some((files.connector()?, name)))
            }
            _ => bail!("the target begins neither with http:// nor with https://"),
        };
        let security = files.security(&target.to_string());
        Ok(Self { address: format!("{host}:{}", target.port_u16().unwrap_or(port)), tls, security })
    }

    /// The scheme that calls name.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Why a server that was reached may not talk.
    pub fn doubt(&self) -> &'static str {
        match self.security {
            Security::None => "the server ended the connection: if it has TLS, its target begins with https://",
            Security::Tls => {
                "the server ended the connection: if it wants certificates of its clients, name one (--tls-cert and --tls-key)"
            }
            Security::Mutual => "the server ended the connection: it may not trust the certificate of --tls-cert",
        }
    }

    /// # Errors
    /// When nobody answers in time, or is not whom the certificates say.
    pub async fn open(&self) -> io::Result<Bytes> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await?
    }

    async fn connect(&self) -> io::Result<Bytes> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Either::Left(stream),
            Some((connector, name)) => Either::Right(connector.connect(name.clone(), stream).await.map_err(without_tls)?),
        })
    }
}

/// Says so of what is no TLS.
fn without_tls(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidMessage(_)) => {
            io::Error::new(error.kind(), format!("{error}: if the server has no TLS, its target begins with http://"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(target: &str, files: &TlsFiles) -> anyhow::Result<Dial> {
        Dial::new(&target.parse()?, files)
    }

    #[test]
    fn where_a_target_is() {
        for (target, address, scheme) in [
            ("http://shop", "shop:80", "http"),
            ("https://shop", "shop:443", "https"),
            ("https://[::1]:50051", "[::1]:50051", "https"),
        ] {
            let dial = dial(target, &TlsFiles::default()).expect("a target");
            assert_eq!((dial.address.as_str(), dial.scheme()), (address, scheme));
        }
        assert!(dial("shop:50051", &TlsFiles::default()).is_err());
    }

    #[test]
    fn certificates_are_looked_at_before_the_run() {
        let ca = |file: &str| TlsFiles { tls_ca: Some(file.into()), ..TlsFiles::default() };
        let error = |target, files| dial(target, &files).err().expect("it is wrong").to_string();
        assert!(error("http://shop", ca("ca.pem")).contains("https:// targets alone"));
        assert!(error("https://shop", ca("/nowhere/ca.pem")).contains("no certificates in /nowhere/ca.pem"));
        assert!(error("https://shop", ca(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))).contains("no certificates in"));
    }
}
