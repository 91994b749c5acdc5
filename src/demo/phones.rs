//! The phones of the demo's customers: emshop sends codes to a server, as it does to that of a real shop, and who has the number reads them.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use emshop_ingress::SharedSecret;
use serde::Deserialize;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cli::Override;

type Inbox = Arc<Mutex<HashMap<String, String>>>;

/// What was sent to numbers.
pub struct Phones {
    codes: Inbox,
    url: String,
    secret: NamedTempFile,
    _server: JoinSet<()>,
}

#[derive(Deserialize)]
struct Body {
    mobile: String,
    code: String,
}

impl Phones {
    /// Listens on a free port of this machine.
    pub async fn start() -> Result<Self> {
        let bytes = hex::encode(rand::random::<[u8; 32]>()).into_bytes();
        // Nobody but its owner reads a temporary file.
        let mut file = NamedTempFile::new()?;
        file.write_all(&bytes)?;
        let secret = SharedSecret::new(bytes).context("64 bytes are enough")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let codes = Inbox::default();
        let server = Router::new().route("/", post(receive)).with_state((codes.clone(), secret));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            if let Err(error) = axum::serve(listener, server).await {
                tracing::warn!(%error, "no phone rings any more");
            }
        });
        Ok(Self { codes, url, secret: file, _server: serving })
    }

    /// Settings by which codes come here, captchas can be read by a program, and nobody is waited for who could go elsewhere.
    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![
            ("dev", Some("true")),
            ("verification.sms", Some("http")),
            ("verification.sms_url", Some(&self.url)),
            ("verification.sms_secret_file", self.secret.path().to_str()),
            ("verification.captcha", Some("plain")),
            ("ingress.leave_delay", Some("0s")),
        ]
    }

    /// The last code that was sent to a number.
    pub fn code(&self, mobile: &str) -> Result<String> {
        let codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.get(mobile).cloned().with_context(|| format!("no code was sent to {mobile}"))
    }
}

async fn receive(State((codes, secret)): State<(Inbox, SharedSecret)>, headers: HeaderMap, body: String) -> StatusCode {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if secret.verify(&headers, body.as_bytes(), now).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(Body { mobile, code }) = serde_json::from_str(&body) else { return StatusCode::BAD_REQUEST };
    codes.lock().unwrap_or_else(PoisonError::into_inner).insert(mobile, code);
    StatusCode::NO_CONTENT
}

/// What a captcha says, read off its picture.
pub fn read(image: &[u8]) -> Result<String> {
    let picture = std::str::from_utf8(image)?;
    let answer = picture.split('>').find_map(|part| part.split_once("</text")).context("a picture without a text")?.0;
    ensure!(!answer.is_empty(), "a captcha says nothing");
    Ok(answer.to_owned())
}
