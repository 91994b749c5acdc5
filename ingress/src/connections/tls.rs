//! TLS of the port. Certificates are read again when their files change, so that they can be renewed while clients are served.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is spoken behind TLS, the preferred first.
pub type Protocols = &'static [&'static [u8]];

/// What connections are accepted by, as of the files now.
pub type Acceptor = watch::Receiver<TlsAcceptor>;

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and behind it those that lead to its authority.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Authorities of clients. With them, clients without a certificate are turned away.
    pub client_ca: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be read: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{} has no {what} in PEM: {error}", path.display())]
    Pem { path: PathBuf, what: &'static str, error: pem::Error },
    #[error("{} is no authority: {error}", path.display())]
    Authority { path: PathBuf, error: rustls::Error },
    #[error("clients cannot be verified by {}: {error}", path.display())]
    Verifier { path: PathBuf, error: VerifierBuilderError },
    #[error("the certificate in {} and the key in {} cannot be used together: {error}", cert.display(), key.display())]
    Unusable { cert: PathBuf, key: PathBuf, error: rustls::Error },
}

/// The bytes of the files.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// Gives what connections are accepted by, and a future that keeps it up to date for as long as somebody has it.
///
/// # Errors
/// When the files cannot be read or used.
pub fn acceptor(files: TlsFiles, protocols: Protocols) -> Result<(Acceptor, impl Future<Output = ()> + Send), TlsError> {
    let contents = files.read()?;
    let (current, receiver) = watch::channel(files.acceptor(&contents, protocols)?);
    Ok((receiver, follow(files, protocols, contents, current)))
}

async fn follow(files: TlsFiles, protocols: Protocols, mut last: Contents, current: watch::Sender<TlsAcceptor>) {
    while !current.is_closed() {
        tokio::time::sleep(LOOK_EVERY).await;
        // While they are being replaced, one may be missing, or not fit the other yet.
        let Ok(contents) = files.read() else { continue };
        if contents == last {
            continue;
        }
        match files.acceptor(&contents, protocols) {
            Ok(acceptor) => {
                current.send_replace(acceptor);
                tracing::info!(event = "certificates.changed", "the certificates were read again");
            }
            Err(error) => {
                tracing::warn!(event = "certificates.bad", %error, "the certificates have changed, and those before are used still")
            }
        }
        last = contents;
    }
}

impl TlsFiles {
    /// Whether there could be TLS by these files as they are now.
    ///
    /// # Errors
    /// As [`acceptor`].
    pub fn check(&self) -> Result<(), TlsError> {
        self.acceptor(&self.read()?, &[]).map(drop)
    }

    fn read(&self) -> Result<Contents, TlsError> {
        let read = |path: &PathBuf| fs::read(path).map_err(|error| TlsError::File { path: path.clone(), error });
        Ok(Contents { cert: read(&self.cert)?, key: read(&self.key)?, client_ca: self.client_ca.as_ref().map(read).transpose()? })
    }

    fn acceptor(&self, contents: &Contents, protocols: Protocols) -> Result<TlsAcceptor, TlsError> {
        let chain = certificates(&self.cert, &contents.cert)?;
        let unreadable = |error| TlsError::Pem { path: self.key.clone(), what: "key", error };
        let unusable = |error| TlsError::Unusable { cert: self.cert.clone(), key: self.key.clone(), error };
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(unreadable)?;
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let config = config.map_err(unusable)?;
        let config = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(bytes)) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path, bytes)? {
                    roots.add(authority).map_err(|error| TlsError::Authority { path: path.clone(), error })?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                config.with_client_cert_verifier(verifier.map_err(|error| TlsError::Verifier { path: path.clone(), error })?)
            }
            _ => config.with_no_client_auth(),
        };
        let mut config = config.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// One or more.
fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| TlsError::Pem { path: path.to_owned(), what: "certificate", error };
    let found = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if found.is_empty() { Err(unreadable(pem::Error::NoItemsFound)) } else { Ok(found) }
}
