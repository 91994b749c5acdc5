//! Refresh tokens: what a client shows to get other tokens, without its user showing again who they are.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use emshop_proto::errors::Code;

const SECRET_BYTES: usize = 32;
const NUMBER_BYTES: usize = 8;

/// How long a session lasts that nobody comes back to.
#[derive(Clone, Copy, Debug)]
pub struct SessionLifetime(pub Duration);

impl SessionLifetime {
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX)
    }
}

/// What a refresh token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub user_id: u64,
    pub session_id: u64,
    secret: [u8; SECRET_BYTES],
}

impl Session {
    /// A new one.
    pub fn draw(user_id: u64) -> Self {
        // 0 is none.
        Self { user_id, session_id: rand::random::<u64>().max(1), secret: rand::random() }
    }

    /// # Errors
    /// `TOKEN_INVALID`.
    pub fn parse(token: &str) -> Result<Self, Code> {
        let parse = || {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
            let (user_id, rest) = bytes.split_first_chunk::<NUMBER_BYTES>()?;
            let (session_id, secret) = rest.split_first_chunk::<NUMBER_BYTES>()?;
            let (user_id, session_id) = (u64::from_be_bytes(*user_id), u64::from_be_bytes(*session_id));
            let session = Self { user_id, session_id, secret: secret.try_into().ok()? };
            (user_id > 0 && session_id > 0).then_some(session)
        };
        parse().ok_or(Code::TokenInvalid)
    }

    /// As the client has it.
    pub fn token(&self) -> String {
        let numbers = [self.user_id.to_be_bytes(), self.session_id.to_be_bytes()].concat();
        BASE64_URL_SAFE_NO_PAD.encode([&numbers[..], &self.secret].concat())
    }

    /// What stands for the secret in the log. It needs no key: nobody guesses what is drawn out of so many.
    pub fn secret_hash(&self) -> Vec<u8> {
        blake3::derive_key("emshop 2026-11 secrets of sessions", &self.secret).to_vec()
    }

    /// The one that is given for this one: the same for a repeat under the same idempotency key, and known by who has the key alone.
    pub fn next(&self, key: &[u8; 32], idempotency_key: &str) -> Self {
        let secret = blake3::keyed_hash(key, &[&self.secret[..], idempotency_key.as_bytes()].concat());
        Self { secret: *secret.as_bytes(), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_which_session_it_is_of() {
        let session = Session::draw(7);
        assert_eq!(Session::parse(&session.token()), Ok(session.clone()));
        assert_ne!(Session::draw(7), session);
        let (good, nobody) = (session.token(), Session { user_id: 0, ..session });
        for bad in ["", "x", &good[1..], &format!("{good}A"), &nobody.token()] {
            assert_eq!(Session::parse(bad), Err(Code::TokenInvalid), "{bad}");
        }
    }

    #[test]
    fn the_next_secret_is_the_same_for_a_repeat_alone() {
        let session = Session::draw(7);
        let next = session.next(&[1; 32], "k");
        assert_eq!(session.next(&[1; 32], "k"), next);
        assert_eq!((next.user_id, next.session_id), (7, session.session_id));
        for other in [session.next(&[1; 32], "l"), session.next(&[2; 32], "k"), next.next(&[1; 32], "k"), session] {
            assert_ne!(other.secret_hash(), next.secret_hash());
        }
    }
}
