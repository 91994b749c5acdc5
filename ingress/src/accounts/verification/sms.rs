//! Codes by SMS.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use emshop_proto::v1::SmsPurpose;
use reqwest::{Client, Url};
use serde::Serialize;

use crate::signature::{SIGNATURE_HEADER, SharedSecret, TIMESTAMP_HEADER};

/// How long a code that was sent is good.
pub const CODE_SECONDS: u32 = 300;

/// Who waits for it is a human in front of a screen.
const SEND_WAIT: Duration = Duration::from_secs(5);

/// A code on its way.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub mobile: &'a str,
    pub purpose: SmsPurpose,
    pub code: &'a str,
}

/// Sends codes to mobile numbers.
#[tonic::async_trait]
pub trait SmsProvider: Send + Sync {
    /// # Errors
    /// When the message is not on its way, with the reason for the log lines.
    async fn send(&self, message: Message<'_>) -> Result<(), String>;
}

/// Sends nothing: who develops reads the log lines.
pub struct LogLines;

#[tonic::async_trait]
impl SmsProvider for LogLines {
    async fn send(&self, Message { mobile, purpose, code }: Message<'_>) -> Result<(), String> {
        tracing::info!(mobile, purpose = purpose.as_str_name(), code, "an SMS would be sent");
        Ok(())
    }
}

/// Tells a server of the shop's, which has a vendor send it: `POST` of a signed JSON body. Any answer of 2xx says that it is on its way.
pub struct Http {
    client: Client,
    url: Url,
    secret: SharedSecret,
}

#[derive(Serialize)]
struct Body<'a> {
    mobile: &'a str,
    purpose: &'a str,
    code: &'a str,
    expires_in_seconds: u32,
}

impl Http {
    /// # Errors
    /// When the URL is none of HTTP.
    pub fn new(url: &str, secret: SharedSecret) -> Result<Self, String> {
        // It may have a secret of its own, and is not told.
        let url: Url = url.parse().map_err(|error| format!("it is no URL: {error}"))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(format!("it is no URL of HTTP, but of {:?}", url.scheme()));
        }
        // Somebody else in this process may have chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A redirect would take the code to somebody else.
        let client = Client::builder().timeout(SEND_WAIT).redirect(reqwest::redirect::Policy::none()).build();
        Ok(Self { client: client.map_err(|error| error.to_string())?, url, secret })
    }
}

#[tonic::async_trait]
impl SmsProvider for Http {
    async fn send(&self, Message { mobile, purpose, code }: Message<'_>) -> Result<(), String> {
        let purpose = if purpose == SmsPurpose::Login { "login" } else { "register" };
        let body = Body { mobile, purpose, code, expires_in_seconds: CODE_SECONDS };
        let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set after 1970");
        let timestamp = now.as_secs().to_string();
        let signature = self.secret.sign(&timestamp, &body);
        let request = self.client.post(self.url.clone()).header("content-type", "application/json");
        let request = request.header(TIMESTAMP_HEADER, timestamp).header(SIGNATURE_HEADER, signature);
        // Without the URL, which may have a secret of its own.
        let answer = request.body(body).send().await.map_err(|error| format!("{:?}", error.without_url()))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("it was answered with status {}", answer.status())) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;

    fn secret() -> SharedSecret {
        SharedSecret::new(b"0123456789abcdef".to_vec()).expect("long enough")
    }

    const MESSAGE: Message = Message { mobile: "13800000000", purpose: SmsPurpose::Login, code: "004217" };

    #[tokio::test]
    async fn a_server_is_told_and_can_tell_that_it_is_us() {
        let received = Arc::new(Mutex::new(Vec::new()));
        let receive = {
            let received = received.clone();
            async move |headers: HeaderMap, body: String| received.lock().expect("no panic").push((headers, body))
        };
        let refuse = async || (StatusCode::FOUND, [("location", "/sms")]);
        let server = Router::new().route("/sms", axum::routing::post(receive)).route("/elsewhere", axum::routing::post(refuse));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, server).await });

        let http = |path: &str| Http::new(&format!("http://{address}{path}"), secret()).expect("a URL");
        assert_eq!(http("/sms").send(MESSAGE).await, Ok(()));
        let (headers, body) = received.lock().expect("no panic").pop().expect("it came");
        let told: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(told, json!({"mobile": "13800000000", "purpose": "login", "code": "004217", "expires_in_seconds": 300}));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        assert_eq!(secret().verify(&headers, body.as_bytes(), now), Ok(()));

        let status = "it was answered with status ".to_owned();
        assert_eq!(http("/missing").send(MESSAGE).await, Err(status.clone() + "404 Not Found"));
        assert_eq!(http("/elsewhere").send(MESSAGE).await, Err(status + "302 Found"));
        assert!(received.lock().expect("no panic").is_empty(), "it went where it was not sent");
    }

    #[tokio::test]
    async fn who_is_not_there_sends_nothing_and_what_is_no_url_is_refused() {
        let nobody = Http::new("http://127.0.0.1:1/sms?token=swordfish", secret()).expect("a URL");
        let error = nobody.send(MESSAGE).await.expect_err("nobody listens");
        assert!(!error.contains("swordfish"), "{error}");
        for url in ["", "sms", "ftp://host/sms"] {
            assert!(Http::new(url, secret()).is_err(), "{url}");
        }
    }
}
