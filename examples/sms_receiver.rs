//! Takes codes that emshop sends (`verification.sms: http`), and prints them: where a shop has its vendor send an SMS.
//! `cargo run --release --example sms_receiver -- 127.0.0.1:8080 secret-file`

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use emshop_ingress::{SIGNATURE_HEADER, SharedSecret, TIMESTAMP_HEADER};
use tokio::net::TcpListener;

/// What is older may have been sent before, and read by somebody.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (address, file) = arguments.next().zip(arguments.next()).context("say where to listen, and the file of the secret")?;
    let secret = SharedSecret::new(fs::read(file)?.trim_ascii().to_vec()).context("a secret has 16 bytes or more")?;
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, Router::new().route("/", post(receive)).with_state(Arc::new(secret))).await?;
    Ok(())
}

/// 204 says that the SMS is on its way; whatever else, and emshop refuses the client's call.
async fn receive(State(secret): State<Arc<SharedSecret>>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timestamp = header(TIMESTAMP_HEADER);
    let signed_at = Duration::from_secs(timestamp.parse().unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if !secret.verifies(timestamp, body.as_bytes(), header(SIGNATURE_HEADER)) || now.abs_diff(signed_at) > TOLERANCE {
        return StatusCode::UNAUTHORIZED;
    }
    println!("{body}");
    StatusCode::NO_CONTENT
}
