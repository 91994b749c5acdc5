//! Tokens that were verified. Most calls come with one that came before, and to verify it anew costs a tenth of an order.

use jsonwebtoken::get_current_timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Identity;

/// Of tokens, with as much again for what they say.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Tokens that room is made for before there is one.
const ROOM: usize = 1_024;

/// Whom tokens name. It belongs to the keys that they were verified with, and goes with them.
pub struct Remembered(Cache<Box<str>, Identity, Size>);

impl Default for Remembered {
    fn default() -> Self {
        Self(Cache::with_weighter(ROOM, BYTES_MAX, Size))
    }
}

impl Remembered {
    /// Whom a token names that was verified, and whose time is not over.
    pub fn get(&self, token: &str) -> Option<Identity> {
        self.0.get(token).filter(|identity| get_current_timestamp() < identity.expires_at_s)
    }

    /// Notes whom a token names. It must have been verified: whoever shows it from now on is believed.
    pub fn note(&self, token: &str, identity: Identity) {
        self.0.insert(token.into(), identity);
    }
}

/// What a token takes.
#[derive(Clone)]
struct Size;

impl Weighter<Box<str>, Identity> for Size {
    fn weight(&self, token: &Box<str>, _: &Identity) -> u64 {
        token.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::Role;

    use super::*;
    use crate::access::Caller;

    fn until(expires_at_s: u64) -> Identity {
        let caller = Caller { user_id: 7, role: Role::User };
        Identity { caller, subject: None, login: None, issued_at_s: 0, expires_at_s }
    }

    #[test]
    fn what_is_over_or_another_token_is_not_believed() {
        let (remembered, now) = (Remembered::default(), get_current_timestamp());
        remembered.note("good", until(now + 60));
        remembered.note("over", until(now));
        assert_eq!(remembered.get("good"), Some(until(now + 60)));
        for token in ["over", "goo", "goodd", "Good", ""] {
            assert_eq!(remembered.get(token), None, "{token:?}");
        }
    }

    #[test]
    fn there_is_an_end_to_it() {
        let remembered = Remembered::default();
        let now = get_current_timestamp();
        for number in 0..2 * BYTES_MAX / 1_024 {
            remembered.note(&format!("{number:01024}"), until(now + 60));
        }
        assert!(remembered.0.weight() <= BYTES_MAX && remembered.0.weight() > BYTES_MAX / 2);
    }
}
