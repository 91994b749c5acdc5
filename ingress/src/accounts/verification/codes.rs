//! Codes of six digits, and what stands for them in the log: a MAC by a key that only ingresses have, since whoever reads a log could try a
//! million hashes in no time.

use crate::accounts::token::Tokens;
use crate::way::prepare::random_hex;

/// Between the id of a key and what is drawn.
const SEPARATOR: char = '-';

/// Makes codes, and what stands for them.
pub struct Codes {
    /// Share their keys: what was made with one that is believed still is good still.
    tokens: Tokens,
}

impl Codes {
    pub fn new(tokens: Tokens) -> Self {
        Self { tokens }
    }

    /// By chance.
    pub fn draw() -> String {
        format!("{:06}", rand::random_range(0..1_000_000))
    }

    /// What goes with a new code: it says which key the MAC is made with.
    pub fn verification_id(&self) -> String {
        self.tokens.with_signing(|key| format!("{}{SEPARATOR}{}", key.id, random_hex()))
    }

    /// What stands for a code under its key in the log. It is that of no code when no ingress has given this id.
    pub fn hash(&self, verification_id: &str, key: &str, code: &str) -> Vec<u8> {
        let keys = self.tokens.keys();
        let named = verification_id.split(SEPARATOR).next().and_then(|id| keys.iter().find(|key| key.id == id));
        let secret = named.map_or(&[][..], |key| key.secret.as_slice());
        let mut mac = blake3::Hasher::new_keyed(&blake3::derive_key("emshop 2026-11 codes of users who sign in", secret));
        mac.update(key.as_bytes()).update(&[0]).update(code.as_bytes());
        mac.finalize().as_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::accounts::token::{Algorithm, new_key};

    #[test]
    fn a_code_is_known_by_its_key_and_by_who_has_the_secret() {
        let tokens = Tokens::of_chance(Duration::from_secs(60));
        let (codes, others) = (Codes::new(tokens.clone()), Codes::new(Tokens::of_chance(Duration::from_secs(60))));
        let id = codes.verification_id();
        let hash = |key: &str, code: &str| codes.hash(&id, key, code);
        assert_eq!(hash("sms:login:1", "123456"), Codes::new(tokens).hash(&id, "sms:login:1", "123456"));
        assert_ne!(hash("sms:login:1", "123456"), others.hash(&id, "sms:login:1", "123456"));
        assert_ne!(hash("sms:login:1", "123456"), codes.hash("v", "sms:login:1", "123456"));
        assert_ne!(hash("sms:login:1", "123456"), hash("sms:login:2", "123456"));
        assert_ne!(hash("sms:login:1", "123456"), hash("sms:login:11", "23456"));
        assert_eq!(hash("k", "c").len(), 32);
    }

    #[test]
    fn a_code_outlives_a_change_of_the_key() {
        let [old, new] = [new_key(Algorithm::Hs256), new_key(Algorithm::Hs256)];
        let tokens = Tokens::new(Algorithm::Hs256, &old, Duration::from_secs(60)).expect("a new key");
        let codes = Codes::new(tokens.clone());
        let id = codes.verification_id();
        let before = codes.hash(&id, "k", "123456");
        tokens.replace(&format!("{new}{old}")).expect("two keys");
        assert_eq!(codes.hash(&id, "k", "123456"), before);
        assert_ne!(codes.verification_id()[..16], id[..16], "new ones are made with the new key");
        tokens.replace(&new).expect("the new key alone");
        assert_ne!(codes.hash(&id, "k", "123456"), before);
    }

    #[test]
    fn codes_are_six_digits_by_chance() {
        let drawn: std::collections::HashSet<_> = (0..100).map(|_| Codes::draw()).collect();
        assert!(drawn.len() > 90 && drawn.iter().all(|code| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit())));
    }
}
