//! Tokens: who a caller is, signed, so that every ingress with the same key takes their word for it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use emshop_proto::errors::Code;
use emshop_proto::v1::{Role, Token};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::access::Caller;

/// `iss` of all tokens.
const ISSUER: &str = "emshop";
/// Clocks of two machines may differ by this.
const CLOCK_SKEW_SECONDS: u64 = 30;
/// Of an HS256 key: as many as the hash has.
const SECRET_BYTES: usize = 32;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// One secret signs and verifies. Its file has 32 bytes in hex.
    #[default]
    Hs256,
    /// Ed25519: others can verify with the public key. Its file is a PKCS#8 private key in PEM.
    EdDsa,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a key for HS256 is {SECRET_BYTES} bytes in hex")]
    Secret,
    #[error("a key for EdDSA is an Ed25519 private key, PKCS#8 in PEM")]
    PrivateKey,
}

/// Signs and verifies.
#[derive(Clone)]
pub struct Tokens {
    algorithm: Algorithm,
    signing: EncodingKey,
    verifying: DecodingKey,
    /// What a token must say, made once: each call has one.
    validation: Validation,
    lifetime: Duration,
    /// The key as its file has it, for what else only ingresses may know.
    secret: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The user id.
    sub: String,
    role: String,
    /// Seconds since 1970.
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl Tokens {
    /// `key` is the content of a key file. Tokens are good for `lifetime`.
    pub fn new(algorithm: Algorithm, key: &str, lifetime: Duration) -> Result<Self, KeyError> {
        let (signing, verifying) = match algorithm {
            Algorithm::Hs256 => {
                let mut secret = [0; SECRET_BYTES];
                hex::decode_to_slice(key.trim(), &mut secret).map_err(|_| KeyError::Secret)?;
                (EncodingKey::from_secret(&secret), DecodingKey::from_secret(&secret))
            }
            Algorithm::EdDsa => {
                let private = SigningKey::from_pkcs8_pem(key).map_err(|_| KeyError::PrivateKey)?;
                let der = private.to_pkcs8_der().map_err(|_| KeyError::PrivateKey)?;
                let public = private.verifying_key();
                (EncodingKey::from_ed_der(der.as_bytes()), DecodingKey::from_ed_der(public.as_bytes()))
            }
        };
        Ok(Self { algorithm, signing, verifying, validation: validation(algorithm), lifetime, secret: key.trim().into() })
    }

    /// With a key that nobody else has, for a process that believes no token but its own.
    pub fn of_chance(lifetime: Duration) -> Self {
        Self::new(Algorithm::Hs256, &new_key(Algorithm::Hs256), lifetime).expect("a key that was made for it")
    }

    /// What all ingresses share and nobody else has.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    pub fn sign(&self, caller: Caller) -> Token {
        self.sign_at(caller, SystemTime::now())
    }

    fn sign_at(&self, Caller { user_id, role }: Caller, now: SystemTime) -> Token {
        let iat = now.duration_since(UNIX_EPOCH).expect("the clock is set after 1970").as_secs();
        let exp = iat.saturating_add(self.lifetime.as_secs());
        let claims =
            Claims { iss: ISSUER.to_owned(), sub: user_id.to_string(), role: name_of(role).to_owned(), iat, nbf: iat, exp };
        let token = jsonwebtoken::encode(&Header::new(jwt(self.algorithm)), &claims, &self.signing);
        let token = token.expect("the key fits the algorithm, and claims are JSON");
        Token { token, expires_at_ms: i64::try_from(exp.saturating_mul(1000)).unwrap_or(i64::MAX) }
    }

    /// Whom a token names; otherwise what is wrong with it.
    pub fn verify(&self, token: &str) -> Result<Caller, Code> {
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation);
        let claims = decoded.map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => Code::SignatureInvalid,
            ErrorKind::ExpiredSignature => Code::TokenExpired,
            _ => Code::TokenInvalid,
        })?;
        let Claims { sub, role, .. } = claims.claims;
        let user_id = sub.parse().ok().filter(|user_id| *user_id > 0);
        match (user_id, role_of(&role)) {
            (Some(user_id), Some(role)) => Ok(Caller { user_id, role }),
            _ => Err(Code::TokenInvalid),
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.debug_struct("Tokens").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(jwt(algorithm));
    validation.leeway = CLOCK_SKEW_SECONDS;
    validation.validate_nbf = true;
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "sub"]);
    validation
}

fn jwt(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    }
}

/// A new key, as its file has it.
pub fn new_key(algorithm: Algorithm) -> String {
    let secret: [u8; SECRET_BYTES] = rand::random();
    match algorithm {
        Algorithm::Hs256 => format!("{}\n", hex::encode(secret)),
        Algorithm::EdDsa => {
            // Without the public key, which not every tool reads.
            let pair = KeypairBytes { secret_key: secret, public_key: None };
            pair.to_pkcs8_pem(LineEnding::LF).expect("any 32 bytes are a private key").to_string()
        }
    }
}

/// What a role is called in a token and on the command line.
pub fn name_of(role: Role) -> &'static str {
    match role {
        Role::Super => "super",
        Role::Admin => "admin",
        Role::User | Role::Unspecified => "user",
    }
}

pub fn role_of(name: &str) -> Option<Role> {
    [Role::User, Role::Admin, Role::Super].into_iter().find(|role| name_of(*role) == name)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm as Jwt, encode};
    use serde_json::{Value, json};

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(7_200);
    const ADMIN: Caller = Caller { user_id: 7, role: Role::Admin };

    fn tokens(algorithm: Algorithm) -> Tokens {
        Tokens::new(algorithm, &new_key(algorithm), LIFETIME).expect("a new key")
    }

    /// Signed with the right key, but what it says is the test's to choose.
    fn forged(tokens: &Tokens, change: impl FnOnce(&mut Value)) -> String {
        let now = jsonwebtoken::get_current_timestamp();
        let mut claims = json!({"iss": "emshop", "sub": "7", "role": "user", "iat": now, "nbf": now, "exp": now + 60});
        change(&mut claims);
        encode(&Header::new(jwt(tokens.algorithm)), &claims, &tokens.signing).expect("claims")
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        for algorithm in [Algorithm::Hs256, Algorithm::EdDsa] {
            let tokens = tokens(algorithm);
            for role in [Role::User, Role::Admin, Role::Super] {
                let caller = Caller { user_id: (1 << 53) - 1, role };
                let before = SystemTime::now();
                let Token { token, expires_at_ms } = tokens.sign(caller);
                assert_eq!(tokens.verify(&token), Ok(caller), "{algorithm:?}");
                let expires = UNIX_EPOCH + Duration::from_millis(expires_at_ms.unsigned_abs());
                let lifetime = expires.duration_since(before).expect("it is good for a while");
                assert!(lifetime.abs_diff(LIFETIME) < Duration::from_secs(5), "{lifetime:?}");
            }
        }
    }

    #[test]
    fn expired_and_early_tokens_are_refused() {
        let tokens = tokens(Algorithm::Hs256);
        let signed_ago = |seconds| tokens.sign_at(ADMIN, SystemTime::now() - Duration::from_secs(seconds)).token;
        assert_eq!(tokens.verify(&signed_ago(7_200 + CLOCK_SKEW_SECONDS + 2)), Err(Code::TokenExpired));
        assert_eq!(tokens.verify(&signed_ago(7_000)), Ok(ADMIN));
        let later = SystemTime::now() + Duration::from_secs(CLOCK_SKEW_SECONDS + 60);
        assert_eq!(tokens.verify(&tokens.sign_at(ADMIN, later).token), Err(Code::TokenInvalid));
    }

    #[test]
    fn tokens_of_other_keys_and_algorithms_are_refused() {
        let (ours, theirs) = (tokens(Algorithm::Hs256), tokens(Algorithm::Hs256));
        assert_eq!(ours.verify(&theirs.sign(ADMIN).token), Err(Code::SignatureInvalid));
        let ed = tokens(Algorithm::EdDsa);
        assert_eq!(ed.verify(&tokens(Algorithm::EdDsa).sign(ADMIN).token), Err(Code::SignatureInvalid));
        assert_eq!(ours.verify(&ed.sign(ADMIN).token), Err(Code::TokenInvalid));

        // Whoever knows the public key must not get far by calling it a secret.
        let public = ed.verifying.try_get_as_bytes().expect("a public key");
        let claims = json!({"iss": "emshop", "sub": "7", "role": "super", "nbf": 0, "iat": 0, "exp": u32::MAX});
        let confused = encode(&Header::new(Jwt::HS256), &claims, &EncodingKey::from_secret(public)).expect("claims");
        assert_eq!(ed.verify(&confused), Err(Code::TokenInvalid));

        // The right secret under another hash.
        let other = encode(&Header::new(Jwt::HS512), &claims, &ours.signing).expect("claims");
        assert_eq!(ours.verify(&other), Err(Code::TokenInvalid));
    }

    #[test]
    fn unsigned_tokens_are_refused() {
        let ours = tokens(Algorithm::Hs256);
        let good = ours.sign(ADMIN).token;
        let [header, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().expect("three parts");
        // {"alg":"none","typ":"JWT"} and {"alg":"None"}
        for none in ["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJOb25lIn0"] {
            for signature in ["", signature] {
                assert_eq!(ours.verify(&format!("{none}.{claims}.{signature}")), Err(Code::TokenInvalid));
            }
        }
        assert_eq!(ours.verify(&format!("{header}.{claims}.")), Err(Code::SignatureInvalid));
        for garbage in ["", ".", "..", "a.b.c", header, &format!("{header}.{claims}"), &format!("{good}.x")] {
            assert_eq!(ours.verify(garbage), Err(Code::TokenInvalid), "{garbage:?}");
        }
    }

    #[test]
    fn claims_that_say_nothing_of_use_are_refused() {
        let ours = tokens(Algorithm::Hs256);
        assert_eq!(ours.verify(&forged(&ours, |_| ())), Ok(Caller { user_id: 7, role: Role::User }));
        let mut wrong = vec![
            forged(&ours, |claims| claims["iss"] = json!("others")),
            forged(&ours, |claims| claims["sub"] = json!("0")),
            forged(&ours, |claims| claims["sub"] = json!("-7")),
            forged(&ours, |claims| claims["sub"] = json!(7)),
            forged(&ours, |claims| claims["role"] = json!("king")),
            forged(&ours, |claims| claims["role"] = json!("")),
            forged(&ours, |claims| claims["exp"] = json!("tomorrow")),
        ];
        for missing in ["iss", "sub", "role", "nbf", "exp", "iat"] {
            wrong.push(forged(&ours, |claims| drop(claims.as_object_mut().expect("an object").remove(missing))));
        }
        for token in wrong {
            assert_eq!(ours.verify(&token), Err(Code::TokenInvalid), "{token}");
        }
    }

    #[test]
    fn keys_are_what_their_algorithm_takes() {
        let (secret, private) = (new_key(Algorithm::Hs256), new_key(Algorithm::EdDsa));
        assert!(private.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{private}");
        assert_ne!(secret, new_key(Algorithm::Hs256));
        for bad in ["", "00", &private, &secret[1..], &format!("{}00", secret.trim())] {
            assert_eq!(Tokens::new(Algorithm::Hs256, bad, LIFETIME).err(), Some(KeyError::Secret), "{bad:?}");
        }
        for bad in ["", &secret, &private[..60]] {
            assert_eq!(Tokens::new(Algorithm::EdDsa, bad, LIFETIME).err(), Some(KeyError::PrivateKey), "{bad:?}");
        }
        let tokens = Tokens::new(Algorithm::Hs256, &secret, LIFETIME).expect("a new key");
        assert!(!format!("{tokens:?}").contains(secret.trim()), "keys do not show");
    }
}
