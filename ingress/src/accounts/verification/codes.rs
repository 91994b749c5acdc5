//! Codes of six digits, and what stands for them in the log: a MAC by a key that only ingresses have, since whoever reads a log could try a
//! million hashes in no time.

/// Makes codes, and what stands for them.
pub struct Codes {
    key: [u8; 32],
}

impl Codes {
    /// `secret` is what all ingresses share.
    pub fn new(secret: &[u8]) -> Self {
        Self { key: blake3::derive_key("emshop 2026-11 codes of users who sign in", secret) }
    }

    /// By chance.
    pub fn draw() -> String {
        format!("{:06}", rand::random_range(0..1_000_000))
    }

    /// What stands for a code under its key in the log.
    pub fn hash(&self, key: &str, code: &str) -> Vec<u8> {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(key.as_bytes()).update(&[0]).update(code.as_bytes());
        mac.finalize().as_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_by_its_key_and_by_who_has_the_secret() {
        let codes = Codes::new(b"secret");
        assert_eq!(codes.hash("sms:login:1", "123456"), Codes::new(b"secret").hash("sms:login:1", "123456"));
        assert_ne!(codes.hash("sms:login:1", "123456"), Codes::new(b"another").hash("sms:login:1", "123456"));
        assert_ne!(codes.hash("sms:login:1", "123456"), codes.hash("sms:login:2", "123456"));
        assert_ne!(codes.hash("sms:login:1", "123456"), codes.hash("sms:login:11", "23456"));
        assert_eq!(codes.hash("k", "c").len(), 32);
    }

    #[test]
    fn codes_are_six_digits_by_chance() {
        let drawn: std::collections::HashSet<_> = (0..100).map(|_| Codes::draw()).collect();
        assert!(drawn.len() > 90 && drawn.iter().all(|code| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit())));
    }
}
