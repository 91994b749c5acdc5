//! Tokens, signed with the key that the servers have, so that each user calls as themself: a server looks closer at a user's call
//! than at an admin's.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use emshop_proto::token_keys;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// Longer than any run.
const LIFETIME: Duration = Duration::from_secs(86_400);
/// `iss` of all tokens.
const ISSUER: &str = "emshop";
/// Of an HS256 key.
const SECRET_BYTES: usize = 32;

/// Signs tokens.
pub struct Signer {
    header: Header,
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims {
    iss: &'static str,
    sub: String,
    role: &'static str,
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl Signer {
    /// With the key of a file that signs now: 32 bytes in hex, or an Ed25519 private key, PKCS#8 in PEM.
    ///
    /// # Errors
    /// When the file cannot be read, or is neither.
    pub fn new(key_file: &Path) -> anyhow::Result<Self> {
        let keys = std::fs::read_to_string(key_file).with_context(|| format!("cannot read {}", key_file.display()))?;
        Self::of(&keys).with_context(|| format!("{} is no key of tokens", key_file.display()))
    }

    fn of(file: &str) -> anyhow::Result<Self> {
        let keys = token_keys::parse(file);
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let place = token_keys::signing(keys.iter().map(|key| key.since_s), now_s);
        let named = keys.get(place).context("there is no key in it")?;
        let (id, text) = (Some(named.id()), named.text.trim());
        if text.contains("PRIVATE KEY") {
            let header = Header { kid: id, ..Header::new(Algorithm::EdDSA) };
            return Ok(Self { header, key: EncodingKey::from_ed_pem(text.as_bytes())? });
        }
        let secret = hex::decode(text)?;
        ensure!(secret.len() == SECRET_BYTES, "a secret has {SECRET_BYTES} bytes");
        let header = Header { kid: id, ..Header::new(Algorithm::HS256) };
        Ok(Self { header, key: EncodingKey::from_secret(&secret) })
    }

    /// The token of an admin, who is user 1.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn admin(&self) -> anyhow::Result<String> {
        self.sign(1, "admin")
    }

    /// The header of each user's calls: those of user 1, 2, 3 …
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn users(&self, users: u64) -> anyhow::Result<Vec<HeaderValue>> {
        (1..=users).map(|user_id| authorization(&self.sign(user_id, "user")?)).collect()
    }

    fn sign(&self, user_id: u64, role: &'static str) -> anyhow::Result<String> {
        let iat = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = Claims { iss: ISSUER, sub: user_id.to_string(), role, iat, nbf: iat, exp: iat + LIFETIME.as_secs() };
        Ok(jsonwebtoken::encode(&self.header, &claims, &self.key)?)
    }
}

/// The header of calls with this token.
///
/// # Errors
/// When it is no token.
pub fn authorization(token: &str) -> anyhow::Result<HeaderValue> {
    let mut value: HeaderValue = format!("Bearer {token}").parse().context("the token is none")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Who makes the calls.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// What may do anything that a run needs; none while authentication is off.
    pub admin: Option<HeaderValue>,
    /// Those of user 1, 2, 3 …; none when the admin submits their orders for them.
    pub users: Arc<[HeaderValue]>,
}

impl Credentials {
    /// The header of the calls that a user makes.
    pub fn of_user(&self, user_id: u64) -> Option<&HeaderValue> {
        self.users.get(user_id as usize - 1).or(self.admin.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::Value;

    use super::*;

    const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

    #[test]
    fn each_user_has_a_token_of_their_own() {
        let signer = Signer::of(SECRET).expect("32 bytes");
        let credentials = Credentials {
            admin: Some(authorization(&signer.admin().expect("a token")).expect("a header")),
            users: signer.users(3).expect("tokens").into(),
        };
        let key = DecodingKey::from_secret(&hex::decode(SECRET.trim()).expect("hex"));
        let claims = |header: &HeaderValue| {
            assert!(header.is_sensitive(), "it is not to be in any table of the connection");
            let token = header.to_str().expect("ASCII").strip_prefix("Bearer ").expect("a bearer's").to_owned();
            jsonwebtoken::decode::<Value>(&token, &key, &Validation::default()).expect("signed with the key").claims
        };
        for user_id in 1..=3 {
            let claims = claims(credentials.of_user(user_id).expect("a token"));
            assert_eq!((&claims["sub"], &claims["role"]), (&Value::from(user_id.to_string()), &Value::from("user")));
            assert_eq!(claims["exp"].as_u64(), Some(claims["iat"].as_u64().expect("seconds") + LIFETIME.as_secs()));
        }
        assert_eq!(claims(&credentials.admin.expect("a token"))["role"], "admin");
    }

    #[test]
    fn without_tokens_of_users_the_admin_calls() {
        let admin = Some(authorization("a.b.c").expect("a header"));
        assert_eq!(Credentials { admin: admin.clone(), ..Credentials::default() }.of_user(7), admin.as_ref());
        assert_eq!(Credentials::default().of_user(7), None);
        assert!(authorization("a\nb").is_err());
    }

    #[test]
    fn keys_of_both_kinds_sign_and_others_are_refused() {
        let ed25519 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        assert!(Signer::of(ed25519).expect("a private key").admin().is_ok());
        for wrong in ["", "0001", "nonsense"] {
            assert!(Signer::of(wrong).is_err(), "{wrong}");
        }
    }
}
