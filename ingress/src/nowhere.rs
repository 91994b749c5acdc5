//! What comes to a path at which nothing is served.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use emshop_proto::errors::Code;

use crate::status;

/// How often it is told: anybody can call by the thousand.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Says that there is nothing, as the caller understands it: a payment provider must not take it for success.
pub async fn answer(request: Request) -> Response {
    tell(&request);
    if is_grpc(request.headers()) {
        return status::of_refusal(Code::MethodUnknown.refusal()).into_http();
    }
    (StatusCode::NOT_FOUND, "There is nothing at this path\n").into_response()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn tell(request: &Request) {
    static SEEN: Mutex<(u64, Option<Instant>)> = Mutex::new((0, None));
    let mut seen = SEEN.lock().expect("nobody panics with it");
    seen.0 += 1;
    if seen.1.is_none_or(|told_at| told_at.elapsed() >= TELL_EVERY) {
        seen.1 = Some(Instant::now());
        let (method, path) = (request.method(), request.uri().path());
        tracing::warn!(%method, path, so_far = seen.0, "somebody calls what there is not");
    }
}
