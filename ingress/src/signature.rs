//! What the shop and a server of somebody else's sign for each other: HMAC-SHA256 over time and body, with a secret that both have.

use std::fmt;
use std::time::Duration;

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// When it was signed, in Unix seconds.
pub const TIMESTAMP_HEADER: &str = "x-emshop-timestamp";
/// Hex of the HMAC over `<timestamp>.<body>`.
pub const SIGNATURE_HEADER: &str = "x-emshop-signature";

/// How far from now something may have been signed, since clocks differ and networks take their time.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Shorter ones could be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// What both sides sign with.
#[derive(Clone)]
pub struct SharedSecret(Vec<u8>);

/// Why nobody who has the secret can have sent something now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    #[error("the header {0} is missing")]
    Missing(&'static str),
    #[error("the header {0} is not one value of ASCII")]
    Odd(&'static str),
    #[error("{TIMESTAMP_HEADER} is not in Unix seconds")]
    Time,
    #[error("The signature does not fit")]
    Wrong,
    #[error("The signature is of another time than now, by more than {} s", TOLERANCE.as_secs())]
    Old,
}

impl SharedSecret {
    /// `None` when it is shorter than 16 bytes.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= SECRET_BYTES_MIN).then_some(Self(bytes))
    }

    /// The signature of a body that is signed at this time, in hex.
    pub fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        hex::encode(self.mac(timestamp, body).finalize().into_bytes())
    }

    /// Whether a body was signed by somebody who has the secret, and lately. `now` is the time since the Unix epoch.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Duration) -> Result<(), Unsigned> {
        let (timestamp, signature) = (header(headers, TIMESTAMP_HEADER)?, header(headers, SIGNATURE_HEADER)?);
        let signed_at = timestamp.parse().map_err(|_| Unsigned::Time)?;
        let signature = hex::decode(signature).unwrap_or_default();
        // In constant time.
        self.mac(timestamp, body).verify_slice(&signature).map_err(|_| Unsigned::Wrong)?;
        if now.abs_diff(Duration::from_secs(signed_at)) > TOLERANCE {
            return Err(Unsigned::Old);
        }
        Ok(())
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

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Unsigned> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(value)), None) => Ok(value),
        (None, _) => Err(Unsigned::Missing(name)),
        _ => Err(Unsigned::Odd(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_not_shown() {
        assert!(SharedSecret::new(vec![b'x'; 15]).is_none());
        let secret = SharedSecret::new(vec![b'x'; 16]).expect("long enough");
        assert!(!format!("{secret:?}").contains('x'));
    }
}
