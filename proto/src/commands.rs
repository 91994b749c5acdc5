//! What commands there are, by the names that they have in the protos.

use crate::v1::Command;
use crate::v1::command::Body;

include!(concat!(env!("OUT_DIR"), "/commands.rs"));

/// The name of a command, such as `adjust_stock`.
pub fn name_of(body: &Body) -> &'static str {
    NAMES[place_of(body)]
}

/// Longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 64;

/// Name of the metadata by which a unary call gives its idempotency key.
pub const KEY_METADATA: &str = "idempotency-key";

/// What a command names tells a repeat of it, whatever happened in between: it happens to that once at most, and is never undone. All
/// others get a key if the client gives none.
pub fn names_itself(body: &Body) -> bool {
    matches!(
        body,
        Body::SubmitOrder(_)
            | Body::CheckoutCart(_)
            | Body::CancelOrder(_)
            | Body::CompleteOrder(_)
            | Body::ConfirmPayment(_)
            | Body::PayWithBalance(_)
            | Body::SimulatePaymentSuccess(_)
            | Body::CancelPayment(_)
            | Body::SimulatePaymentFailure(_)
            | Body::ReserveStock(_)
            | Body::ReleaseReserved(_)
            | Body::ConfirmSell(_)
            | Body::Reback(_)
            | Body::TryPayment(_)
            | Body::ConfirmTriedPayment(_)
            | Body::CancelTriedPayment(_)
    )
}

/// Without a tag and without a key.
impl From<Body> for Command {
    fn from(body: Body) -> Self {
        Self { body: Some(body), ..Self::default() }
    }
}

/// A call under an idempotency key.
///
/// # Panics
/// When the key is not of visible ASCII characters.
#[cfg(feature = "services")]
pub fn call<T>(key: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert(KEY_METADATA, key.parse().expect("a key is of visible ASCII characters"));
    request
}
