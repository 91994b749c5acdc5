//! What the shop and a server of somebody else's sign for each other: HMAC-SHA256 over time and body, with a secret that both have.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// When it was signed, in Unix seconds.
pub const TIMESTAMP_HEADER: &str = "x-emshop-timestamp";
/// Hex of the HMAC over `<timestamp>.<body>`.
pub const SIGNATURE_HEADER: &str = "x-emshop-signature";

/// Shorter ones could be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// What both sides sign with.
#[derive(Clone)]
pub struct SharedSecret(Vec<u8>);

impl SharedSecret {
    /// `None` when it is shorter than 16 bytes.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= SECRET_BYTES_MIN).then_some(Self(bytes))
    }

    /// The signature of a body that is signed at this time, in hex.
    pub fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        hex::encode(self.mac(timestamp, body).finalize().into_bytes())
    }

    /// Whether a signature, in hex, is of this time and body. In constant time.
    pub fn verifies(&self, timestamp: &str, body: &[u8], signature: &str) -> bool {
        let signature = hex::decode(signature).unwrap_or_default();
        self.mac(timestamp, body).verify_slice(&signature).is_ok()
    }

    fn mac(&self, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.chain_update(timestamp).chain_update(".").chain_update(body)
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedSecret")
    }
}
