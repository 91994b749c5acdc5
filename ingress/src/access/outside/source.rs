//! Where the keys of an outside issuer are: in a file, or at a URL.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, Url};

/// The largest key sets have a dozen keys, with certificates.
const BYTES_MAX: usize = 256 * 1024;
/// For all of an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Where a key set is read.
#[derive(Clone, Debug)]
pub enum Source {
    File(PathBuf),
    Web { client: Client, url: Url },
}

/// How often it is read.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Not before that much time after it was read, whatever anybody wants, or after it could not be.
    pub pause: Duration,
    /// Again by then in any case.
    pub period: Duration,
}

impl Source {
    /// A path, or a URL of HTTP.
    ///
    /// # Errors
    /// When nobody should take keys from there.
    pub fn new(place: &str) -> Result<Self, String> {
        if !place.contains("://") {
            return Ok(Self::File(place.into()));
        }
        let url: Url = place.parse().map_err(|error| format!("{place:?} is no URL: {error}"))?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => {
                return Err(format!(
                    "{url} is plain HTTP, so whoever is on the way could hand in keys of their own: use https, a file, or a loopback address"
                ));
            }
            _ => return Err(format!("{url} is no URL of HTTP")),
        }
        // Somebody else in this process may have chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A redirect would have keys come from somebody else, and so would a proxy that sees them.
        let client = Client::builder().timeout(ANSWER_WAIT).redirect(reqwest::redirect::Policy::none());
        let client = if url.scheme() == "http" { client.no_proxy() } else { client };
        Ok(Self::Web { client: client.build().map_err(|error| error.to_string())?, url })
    }

    /// What is there now.
    ///
    /// # Errors
    /// The reason for the log lines.
    pub async fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => read_file(path),
            Self::Web { client, url } => fetch(client, url).await,
        }
    }

    /// As [`Source::read`], of a file alone: what another machine says cannot be waited for at a start.
    pub fn read_file(&self) -> Option<Result<Vec<u8>, String>> {
        match self {
            Self::File(path) => Some(read_file(path)),
            Self::Web { .. } => None,
        }
    }

    pub fn rhythm(&self) -> Rhythm {
        match self {
            Self::File(_) => Rhythm { pause: Duration::from_secs(1), period: Duration::from_secs(1) },
            Self::Web { .. } => Rhythm { pause: Duration::from_secs(10), period: Duration::from_secs(5 * 60) },
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("{} cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    // One byte more tells that there is more.
    let limit = BYTES_MAX as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() > BYTES_MAX { Err(too_large()) } else { Ok(bytes) }
}

async fn fetch(client: &Client, url: &Url) -> Result<Vec<u8>, String> {
    // Without the URL, which may have a secret of its own.
    let told = |error: reqwest::Error| format!("{:?}", error.without_url());
    let mut answer = client.get(url.clone()).send().await.map_err(told)?;
    if !answer.status().is_success() {
        return Err(format!("the answer has status {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(told)? {
        if bytes.len() + part.len() > BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn too_large() -> String {
    format!("it is larger than {} KiB", BYTES_MAX / 1024)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tempfile::TempDir;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn keys_come_by_no_way_on_which_they_can_be_changed() {
        for good in ["keys.json", "/etc/emshop/keys.json"] {
            assert!(matches!(Source::new(good), Ok(Source::File(_))), "{good}");
        }
        for good in ["https://login.example/certs", "http://127.0.0.1:8080/certs", "http://[::1]/certs", "http://localhost/certs"]
        {
            assert!(matches!(Source::new(good), Ok(Source::Web { .. })), "{good}");
        }
        for bad in
            ["http://login.example/certs", "http://localhost.example/", "http://10.0.0.1/", "ftp://127.0.0.1/", "https://", "://"]
        {
            assert!(Source::new(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_file_is_read_up_to_a_bound() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("keys.json");
        let source = Source::new(path.to_str().expect("UTF-8")).expect("a path");
        assert!(source.read().await.is_err(), "there is none");
        fs::write(&path, vec![b' '; BYTES_MAX]).expect("room");
        assert_eq!(source.read().await.map(|bytes| bytes.len()), Ok(BYTES_MAX));
        fs::write(&path, vec![b' '; BYTES_MAX + 1]).expect("room");
        assert_eq!(source.read().await, Err(too_large()));
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_a_bound_and_from_nobody_else() {
        let server = Router::new()
            .route("/keys", get(async || "{}"))
            .route("/large", get(async || vec![b' '; BYTES_MAX + 1]))
            .route("/elsewhere", get(async || (StatusCode::FOUND, [("location", "/keys")])));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, server).await });
        let read = async |path: &str| Source::new(&format!("http://{address}{path}")).expect("a URL").read().await;
        assert_eq!(read("/keys").await, Ok(b"{}".to_vec()));
        assert_eq!(read("/large").await, Err(too_large()));
        assert_eq!(read("/elsewhere").await, Err("the answer has status 302 Found".to_owned()));
        assert_eq!(read("/missing").await, Err("the answer has status 404 Not Found".to_owned()));
        let nobody = Source::new("http://127.0.0.1:1/keys?token=swordfish").expect("a URL").read().await;
        assert!(nobody.is_err_and(|error| !error.contains("swordfish")));
    }
}
