//! `POST /webhooks/payments`: a payment provider tells how a payment went.
//!
//! What it says goes the way of all commands, so the same word again is a repeat, and an answer means that it is in the log.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use emshop_proto::errors::Code;
use emshop_proto::v1::command::Body as CommandBody;
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::{ConfirmPaymentRequest, Operator, OperatorKind, Outcome, Payment, Refusal, SimulatePaymentFailureRequest};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Value, json};

use crate::payment::{Notification, PaymentProvider};
use crate::way::dispatch::Dispatcher;

pub const PATH: &str = "/webhooks/payments";
/// A notification has a few hundred.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long its body may take to arrive.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

const PROVIDER: Operator = Operator { kind: OperatorKind::Provider as i32, user_id: 0, role: 0, subject: None };

pub fn routes(dispatcher: Arc<Dispatcher>, provider: Arc<dyn PaymentProvider>) -> Router {
    Router::new().route(PATH, post(move |request| answer(dispatcher, provider, request)))
}

async fn answer(dispatcher: Arc<Dispatcher>, provider: Arc<dyn PaymentProvider>, request: Request) -> Response {
    if !provider.notifies() {
        let message = "The payment provider of this server sends no notifications";
        return respond(StatusCode::NOT_FOUND, &json!({ "message": message }));
    }
    let (head, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err((status, refusal)) => return respond(status, &told(&refusal)),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let notification = match provider.verify(&head.headers, &body, now) {
        Ok(notification) => notification,
        Err(refusal) => {
            tracing::debug!(reason = refusal.message, "a notification is not a payment provider's");
            return refused(&refusal);
        }
    };
    let payment_id = notification.payment_id.clone();
    let outcome = match dispatcher.tell(command(notification), PROVIDER, head.extensions.get()).await {
        Ok(outcome) => outcome,
        Err(refusal) => {
            tracing::warn!(
                event = "payment.notification_refused",
                payment_id,
                reason = refusal.reason,
                "a payment provider's notification was refused"
            );
            return refused(&refusal);
        }
    };
    match outcome {
        Outcome { repeated, result: Some(OutcomeResult::Payment(payment)), .. } => done(&payment, repeated),
        _ => refused(&Code::Unknown.refusal()),
    }
}

async fn read(body: Body) -> Result<Bytes, (StatusCode, Refusal)> {
    let invalid = |status, what: &str| (status, Refusal { message: what.to_owned(), ..Code::PaymentCallbackInvalid.refusal() });
    match tokio::time::timeout(BODY_WAIT_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(invalid(StatusCode::PAYLOAD_TOO_LARGE, "A notification has at most 16 KiB"))
        }
        Ok(Err(_)) => Err(invalid(StatusCode::BAD_REQUEST, "The body could not be read")),
        Err(_) => Err(invalid(StatusCode::REQUEST_TIMEOUT, "The body took too long")),
    }
}

fn command(notification: Notification) -> CommandBody {
    let Notification { payment_id, third_party_sn, succeeded, amount } = notification;
    let order_id = String::new();
    if succeeded {
        CommandBody::ConfirmPayment(ConfirmPaymentRequest { payment_id, order_id, third_party_sn, amount: Some(amount) })
    } else {
        CommandBody::SimulatePaymentFailure(SimulatePaymentFailureRequest { payment_id, order_id })
    }
}

fn done(payment: &Payment, repeated: bool) -> Response {
    let status = payment.status().as_str_name();
    respond(StatusCode::OK, &json!({ "payment_id": payment.payment_id, "status": status, "repeated": repeated }))
}

fn refused(refusal: &Refusal) -> Response {
    let mut response = respond(http_status(refusal), &told(refusal));
    if refusal.retry_after_ms > 0 {
        let seconds = HeaderValue::from(refusal.retry_after_ms.div_ceil(1000));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

fn told(refusal: &Refusal) -> Value {
    let mut told = json!({ "code": refusal.code, "reason": refusal.reason, "message": refusal.message });
    if !refusal.violations.is_empty() {
        let violation = |one: &emshop_proto::v1::FieldViolation| json!({ "field": one.field, "description": one.description });
        told["violations"] = refusal.violations.iter().map(violation).collect();
    }
    told
}

fn http_status(refusal: &Refusal) -> StatusCode {
    use tonic::Code as Grpc;
    match Grpc::from(refusal.grpc_status) {
        Grpc::InvalidArgument => StatusCode::BAD_REQUEST,
        Grpc::Unauthenticated => StatusCode::UNAUTHORIZED,
        Grpc::PermissionDenied => StatusCode::FORBIDDEN,
        Grpc::NotFound => StatusCode::NOT_FOUND,
        Grpc::AlreadyExists | Grpc::Aborted | Grpc::FailedPrecondition => StatusCode::CONFLICT,
        Grpc::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Grpc::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Grpc::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
