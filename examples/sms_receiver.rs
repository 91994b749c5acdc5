//! Takes codes that emshop sends (`verification.sms: http`), and prints them: where a shop has its vendor send an SMS.
//! `cargo run --release --example sms_receiver -- 127.0.0.1:8080 secret-file`

use std::fs;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use emshop_ingress::SharedSecret;
use tokio::net::TcpListener;

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
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if let Err(unsigned) = secret.verify(&headers, body.as_bytes(), now) {
        eprintln!("{unsigned}");
        return StatusCode::UNAUTHORIZED;
    }
    println!("{body}");
    StatusCode::NO_CONTENT
}
