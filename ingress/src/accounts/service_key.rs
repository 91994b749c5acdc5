//! Keys of service accounts: what a program shows with each call, in place of a token.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use emshop_proto::v1::CreateServiceAccountRequest;
use prost::Message;

/// What tells a key from a token, also to programs that look for secrets in sources.
pub const PREFIX: &str = "emshop_sk_";
const SECRET_BYTES: usize = 32;
const NUMBER_BYTES: usize = 8;

/// A key as its program has it.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceKey {
    pub user_id: u64,
    secret: [u8; SECRET_BYTES],
}

impl ServiceKey {
    /// The key of an account: the same for a repeat of the request, and known by who has the key `of_ingress` alone.
    pub fn of(user_id: u64, of_ingress: &[u8; 32], idempotency_key: &str, request: &CreateServiceAccountRequest) -> Self {
        let mut secret = blake3::Hasher::new_keyed(of_ingress);
        secret.update(&user_id.to_be_bytes()).update(idempotency_key.as_bytes()).update(&[0]).update(&request.encode_to_vec());
        Self { user_id, secret: *secret.finalize().as_bytes() }
    }

    /// `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (user_id, secret) = bytes.split_first_chunk::<NUMBER_BYTES>()?;
        let user_id = u64::from_be_bytes(*user_id);
        (user_id > 0).then_some(Self { user_id, secret: secret.try_into().ok()? })
    }

    pub fn text(&self) -> String {
        let bytes = [&self.user_id.to_be_bytes()[..], &self.secret].concat();
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What stands for it in log and state. As that of a session it needs no key.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("emshop 2026-11 secrets of service accounts", &self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_one_request_and_says_whose_it_is() {
        let request = |name: &str| CreateServiceAccountRequest { name: name.to_owned(), role: 2 };
        let key = ServiceKey::of(7, &[1; 32], "k", &request("back office"));
        assert!(ServiceKey::parse(&key.text()).is_some_and(|parsed| parsed == key));
        assert!(ServiceKey::of(7, &[1; 32], "k", &request("back office")) == key);
        let others = [
            ServiceKey::of(8, &[1; 32], "k", &request("back office")),
            ServiceKey::of(7, &[2; 32], "k", &request("back office")),
            ServiceKey::of(7, &[1; 32], "l", &request("back office")),
            ServiceKey::of(7, &[1; 32], "k", &request("front office")),
        ];
        assert!(others.iter().all(|other| other.hash() != key.hash()));
        let text = key.text();
        for bad in ["", PREFIX, &text[1..], &text[..text.len() - 2], &format!("{text}AA"), &text.replace(PREFIX, "")] {
            assert!(ServiceKey::parse(bad).is_none(), "{bad}");
        }
    }
}
