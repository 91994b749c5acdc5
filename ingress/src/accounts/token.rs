//! Tokens: who a caller is, signed, so that every ingress with the same key takes their word for it.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use emshop_proto::errors::Code;
use emshop_proto::token_keys::{self, TokenKey};
use emshop_proto::v1::{Role, Token};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::access::remembered::Remembered;
use crate::access::{Caller, Identity, Login};

/// `iss` of all tokens.
pub const ISSUER: &str = "emshop";
/// No token is good for longer.
pub const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks of two machines may differ by this.
pub const CLOCK_SKEW_SECONDS: u64 = 30;
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

/// Signs and verifies. Clones share their keys.
#[derive(Clone)]
pub struct Tokens {
    algorithm: Algorithm,
    keys: Arc<RwLock<Arc<Keys>>>,
    /// What a token must say, made once: each call has one.
    validation: Validation,
    lifetime: Duration,
}

/// All that are believed, in the order of their file: one at least.
pub struct Keys {
    all: Vec<Key>,
    remembered: Remembered,
}

/// One key of the file.
pub struct Key {
    /// What tokens name it by.
    pub id: String,
    /// Since when it signs, in Unix seconds.
    since_s: u64,
    signing: EncodingKey,
    verifying: DecodingKey,
    /// What the tokens begin with that it signs.
    header: String,
    /// As its file has it, for what else only ingresses may know.
    pub secret: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The user id.
    sub: String,
    role: String,
    /// Of the user and of their session, when they have logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_epoch: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<u64>,
    /// Seconds since 1970.
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl Tokens {
    /// `keys` is the content of a key file. Tokens are good for `lifetime`.
    pub fn new(algorithm: Algorithm, keys: &str, lifetime: Duration) -> Result<Self, KeyError> {
        let keys = Arc::new(RwLock::new(Arc::new(Keys::read(algorithm, keys)?)));
        Ok(Self { algorithm, keys, validation: validation(algorithm), lifetime })
    }

    /// With a key that nobody else has, for a process that believes no token but its own.
    pub fn of_chance(lifetime: Duration) -> Self {
        Self::new(Algorithm::Hs256, &new_key(Algorithm::Hs256), lifetime).expect("a key that was made for it")
    }

    /// Goes on with the keys of another file, of which it tells the ids.
    pub fn replace(&self, keys: &str) -> Result<Vec<String>, KeyError> {
        let keys = Keys::read(self.algorithm, keys)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(self.ids())
    }

    /// Of all keys that are believed, the newest first.
    pub fn ids(&self) -> Vec<String> {
        self.keys().iter().map(|key| key.id.clone()).collect()
    }

    /// All keys that are believed, for what else all ingresses share and nobody else has.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Works with the key that signs now.
    pub fn with_signing<T>(&self, work: impl FnOnce(&Key) -> T) -> T {
        let keys = self.keys();
        work(signing(&keys, SystemTime::now()))
    }

    /// A token for somebody, by a login unless whoever has the key gives it.
    pub fn sign(&self, caller: Caller, login: Option<Login>) -> Token {
        self.sign_at(caller, login, SystemTime::now())
    }

    fn sign_at(&self, Caller { user_id, role }: Caller, login: Option<Login>, now: SystemTime) -> Token {
        let iat = now.duration_since(UNIX_EPOCH).expect("the clock is set after 1970").as_secs();
        let exp = iat.saturating_add(self.lifetime.as_secs());
        let (iss, sub, role) = (ISSUER.to_owned(), user_id.to_string(), role.name().to_owned());
        let (auth_epoch, sid) = (login.map(|login| login.auth_epoch), login.map(|login| login.session_id));
        let claims = Claims { iss, sub, role, auth_epoch, sid, iat, nbf: iat, exp };
        let keys = self.keys();
        let key = signing(&keys, now);
        let token = jsonwebtoken::encode(&header(self.algorithm, &key.id), &claims, &key.signing);
        let token = token.expect("the key fits the algorithm, and claims are JSON");
        Token { token, expires_at_ms: i64::try_from(exp.saturating_mul(1000)).unwrap_or(i64::MAX) }
    }

    /// What a token says; otherwise what is wrong with it.
    pub fn verify(&self, token: &str) -> Result<Identity, Code> {
        let keys = self.keys();
        if let Some(identity) = keys.remembered.get(token) {
            return Ok(identity);
        }
        let key = keys.named_in(self.algorithm, token)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.verifying, &self.validation);
        let identity = decoded.map_err(|error| refusal_of(&error))?.claims.identity()?;
        keys.remembered.note(token, identity.clone());
        Ok(identity)
    }

    /// Whether a token names one of the keys here, as those do that were signed here.
    pub fn are_named_by(&self, token: &str) -> bool {
        self.keys().named_by(token).is_some()
    }
}

impl Claims {
    fn identity(self) -> Result<Identity, Code> {
        let Self { sub, role, auth_epoch, sid, iat, exp, .. } = self;
        let login = match (auth_epoch, sid) {
            (Some(auth_epoch), Some(session_id)) => Some(Login { auth_epoch, session_id }),
            (None, None) => None,
            _ => return Err(Code::TokenInvalid),
        };
        // Revocations are not remembered for longer.
        if exp.saturating_sub(iat) > LIFETIME_MAX.as_secs() {
            return Err(Code::TokenInvalid);
        }
        let user_id = sub.parse().ok().filter(|user_id| *user_id > 0);
        match (user_id, Role::of_name(&role)) {
            (Some(user_id), Some(role)) => {
                Ok(Identity { caller: Caller { user_id, role }, subject: None, login, issued_at_s: iat, expires_at_s: exp })
            }
            _ => Err(Code::TokenInvalid),
        }
    }
}

impl Keys {
    /// The keys of a file.
    fn read(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        let keys = token_keys::parse(text);
        if keys.is_empty() {
            return Err(algorithm.misfit());
        }
        let all = keys.iter().map(|key| Key::new(algorithm, key)).collect::<Result<_, _>>()?;
        Ok(Self { all, remembered: Remembered::default() })
    }

    /// The key that a token names. Most are known by what they begin with, which is the same for all of one key.
    fn named_in(&self, algorithm: Algorithm, token: &str) -> Result<&Key, Code> {
        if let Some(key) = self.named_by(token) {
            return Ok(key);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Code::TokenInvalid)?;
        let id = header.kid.filter(|_| header.alg == jwt(algorithm)).ok_or(Code::TokenInvalid)?;
        self.iter().find(|key| key.id == id).ok_or(Code::SignatureInvalid)
    }

    fn named_by(&self, token: &str) -> Option<&Key> {
        self.iter().find(|key| token.starts_with(&key.header))
    }
}

impl Deref for Keys {
    type Target = [Key];

    fn deref(&self) -> &[Key] {
        &self.all
    }
}

/// What is wrong with a token.
pub fn refusal_of(error: &jsonwebtoken::errors::Error) -> Code {
    match error.kind() {
        ErrorKind::InvalidSignature => Code::SignatureInvalid,
        ErrorKind::ExpiredSignature => Code::TokenExpired,
        _ => Code::TokenInvalid,
    }
}

fn signing(keys: &[Key], now: SystemTime) -> &Key {
    let now_s = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    &keys[token_keys::signing(keys.iter().map(|key| key.since_s), now_s)]
}

fn header(algorithm: Algorithm, id: &str) -> Header {
    Header { kid: Some(id.to_owned()), ..Header::new(jwt(algorithm)) }
}

impl Key {
    fn new(algorithm: Algorithm, key: &TokenKey) -> Result<Self, KeyError> {
        let (text, misfit) = (key.text.trim(), algorithm.misfit());
        let (signing, verifying) = match algorithm {
            Algorithm::Hs256 => {
                let mut secret = [0; SECRET_BYTES];
                hex::decode_to_slice(text, &mut secret).map_err(|_| misfit)?;
                (EncodingKey::from_secret(&secret), DecodingKey::from_secret(&secret))
            }
            Algorithm::EdDsa => {
                let private = SigningKey::from_pkcs8_pem(text).map_err(|_| misfit)?;
                let der = private.to_pkcs8_der().map_err(|_| misfit)?;
                let public = private.verifying_key();
                (EncodingKey::from_ed_der(der.as_bytes()), DecodingKey::from_ed_der(public.as_bytes()))
            }
        };
        let id = key.id();
        let token = jsonwebtoken::encode(&header(algorithm, &id), &(), &signing).map_err(|_| misfit)?;
        let header = token.split_inclusive('.').next().unwrap_or_default().to_owned();
        Ok(Self { id, since_s: key.since_s, signing, verifying, header, secret: text.into() })
    }
}

impl Algorithm {
    /// What a key is not that does not fit.
    fn misfit(self) -> KeyError {
        match self {
            Self::Hs256 => KeyError::Secret,
            Self::EdDsa => KeyError::PrivateKey,
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

#[cfg(test)]
mod tests {
    use emshop_proto::access::ROLES;
    use jsonwebtoken::{Algorithm as Jwt, encode};
    use serde_json::{Value, json};

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(7_200);
    const ADMIN: Caller = Caller { user_id: 7, role: Role::Admin };

    const LOGIN: Login = Login { auth_epoch: 5, session_id: 6 };

    fn tokens(algorithm: Algorithm) -> Tokens {
        Tokens::new(algorithm, &new_key(algorithm), LIFETIME).expect("a new key")
    }

    fn caller(tokens: &Tokens, token: &str) -> Result<Caller, Code> {
        tokens.verify(token).map(|identity| identity.caller)
    }

    /// Signed with the right key, but what it says is the test's to choose.
    fn forged(tokens: &Tokens, change: impl FnOnce(&mut Value)) -> String {
        let now = jsonwebtoken::get_current_timestamp();
        let mut claims = json!({"iss": "emshop", "sub": "7", "role": "user", "iat": now, "nbf": now, "exp": now + 60});
        change(&mut claims);
        tokens.with_signing(|key| encode(&header(tokens.algorithm, &key.id), &claims, &key.signing).expect("claims"))
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        for algorithm in [Algorithm::Hs256, Algorithm::EdDsa] {
            let tokens = tokens(algorithm);
            for role in ROLES {
                let caller = Caller { user_id: (1 << 53) - 1, role };
                let before = SystemTime::now();
                let Token { token, expires_at_ms } = tokens.sign(caller, Some(LOGIN));
                let identity = tokens.verify(&token).expect("a good token");
                assert_eq!((identity.caller, identity.login), (caller, Some(LOGIN)), "{algorithm:?}");
                assert_eq!(identity.expires_at_s * 1_000, expires_at_ms.unsigned_abs());
                let expires = UNIX_EPOCH + Duration::from_millis(expires_at_ms.unsigned_abs());
                let lifetime = expires.duration_since(before).expect("it is good for a while");
                assert!(lifetime.abs_diff(LIFETIME) < Duration::from_secs(5), "{lifetime:?}");
            }
        }
    }

    #[test]
    fn expired_and_early_tokens_are_refused() {
        let tokens = tokens(Algorithm::Hs256);
        let signed_ago = |seconds| tokens.sign_at(ADMIN, None, SystemTime::now() - Duration::from_secs(seconds)).token;
        assert_eq!(tokens.verify(&signed_ago(7_200 + CLOCK_SKEW_SECONDS + 2)), Err(Code::TokenExpired));
        assert_eq!(caller(&tokens, &signed_ago(7_000)), Ok(ADMIN));
        let later = SystemTime::now() + Duration::from_secs(CLOCK_SKEW_SECONDS + 60);
        assert_eq!(tokens.verify(&tokens.sign_at(ADMIN, None, later).token), Err(Code::TokenInvalid));
    }

    /// One that was good a moment ago, and is remembered.
    #[test]
    fn what_was_verified_is_refused_when_its_time_is_over() {
        let tokens = tokens(Algorithm::Hs256);
        let almost_over = Duration::from_secs(7_200 + CLOCK_SKEW_SECONDS - 1);
        let token = tokens.sign_at(ADMIN, None, SystemTime::now() - almost_over).token;
        assert_eq!([(); 2].map(|()| caller(&tokens, &token)), [Ok(ADMIN); 2]);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(caller(&tokens, &token), Err(Code::TokenExpired));
    }

    #[test]
    fn tokens_of_other_keys_and_algorithms_are_refused() {
        let (ours, theirs) = (tokens(Algorithm::Hs256), tokens(Algorithm::Hs256));
        assert_eq!(ours.verify(&theirs.sign(ADMIN, None).token), Err(Code::SignatureInvalid));
        let ed = tokens(Algorithm::EdDsa);
        assert_eq!(ed.verify(&tokens(Algorithm::EdDsa).sign(ADMIN, None).token), Err(Code::SignatureInvalid));
        assert_eq!(ours.verify(&ed.sign(ADMIN, None).token), Err(Code::TokenInvalid));

        // Whoever knows the public key must not get far by calling it a secret.
        let keys = ed.keys();
        let public = keys[0].verifying.try_get_as_bytes().expect("a public key");
        let claims = json!({"iss": "emshop", "sub": "7", "role": "super", "nbf": 0, "iat": u32::MAX - 60, "exp": u32::MAX});
        let confused = encode(
            &Header { kid: Some(keys[0].id.clone()), ..Header::new(Jwt::HS256) },
            &claims,
            &EncodingKey::from_secret(public),
        )
        .expect("claims");
        assert_eq!(ed.verify(&confused), Err(Code::TokenInvalid));

        // The right secret under another hash.
        let key = &ours.keys()[0];
        let other = Header { kid: Some(key.id.clone()), ..Header::new(Jwt::HS512) };
        assert_eq!(ours.verify(&encode(&other, &claims, &key.signing).expect("claims")), Err(Code::TokenInvalid));
        // The right key without its name, or by another one.
        for (kid, code) in [(None, Code::TokenInvalid), (Some("another".to_owned()), Code::SignatureInvalid)] {
            let unnamed = Header { kid, ..Header::new(Jwt::HS256) };
            assert_eq!(ours.verify(&encode(&unnamed, &claims, &key.signing).expect("claims")), Err(code));
        }
    }

    #[test]
    fn unsigned_tokens_are_refused() {
        let ours = tokens(Algorithm::Hs256);
        let good = ours.sign(ADMIN, None).token;
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
        assert_eq!(caller(&ours, &forged(&ours, |_| ())), Ok(Caller { user_id: 7, role: Role::User }));
        let mut wrong = vec![
            forged(&ours, |claims| claims["iss"] = json!("others")),
            forged(&ours, |claims| claims["sub"] = json!("0")),
            forged(&ours, |claims| claims["sub"] = json!("-7")),
            forged(&ours, |claims| claims["sub"] = json!(7)),
            forged(&ours, |claims| claims["role"] = json!("king")),
            forged(&ours, |claims| claims["role"] = json!("")),
            forged(&ours, |claims| claims["exp"] = json!("tomorrow")),
            forged(&ours, |claims| claims["auth_epoch"] = json!(1)),
            forged(&ours, |claims| claims["sid"] = json!(1)),
            forged(&ours, |claims| {
                claims["auth_epoch"] = json!("now");
                claims["sid"] = json!(1);
            }),
            forged(&ours, |claims| claims["exp"] = json!(claims["iat"].as_u64().expect("seconds") + LIFETIME_MAX.as_secs() + 1)),
        ];
        for missing in ["iss", "sub", "role", "nbf", "exp", "iat"] {
            wrong.push(forged(&ours, |claims| drop(claims.as_object_mut().expect("an object").remove(missing))));
        }
        for token in wrong {
            assert_eq!(ours.verify(&token), Err(Code::TokenInvalid), "{token}");
        }
    }

    /// A key takes the place of another one without a token that is not believed.
    #[test]
    fn one_key_after_the_other_signs_and_all_are_believed() {
        for algorithm in [Algorithm::Hs256, Algorithm::EdDsa] {
            let (old, new) = (new_key(algorithm), new_key(algorithm));
            let later = jsonwebtoken::get_current_timestamp() + 60;
            let tokens = Tokens::new(algorithm, &old, LIFETIME).expect("a new key");
            let before = tokens.sign(ADMIN, None).token;
            let ids = tokens.replace(&format!("# signs from {later}\n{new}{old}")).expect("two keys");
            assert_eq!(ids.len(), 2);
            let meanwhile = tokens.sign(ADMIN, None).token;
            let after = tokens.sign_at(ADMIN, None, SystemTime::now() + Duration::from_secs(60)).token;
            let only = |key: &str| Tokens::new(algorithm, key, LIFETIME).expect("one key");
            assert_eq!(only(&old).verify(&meanwhile).map(|identity| identity.caller), Ok(ADMIN), "its time has not come");
            assert_eq!(only(&old).verify(&after), Err(Code::SignatureInvalid));
            assert!([&before, &meanwhile].iter().all(|token| tokens.verify(token).is_ok()));
            // Valid only in a minute, but signed with a key that is believed.
            assert_eq!(tokens.verify(&after), Err(Code::TokenInvalid));

            tokens.replace(&new).expect("the new one alone");
            assert_eq!(tokens.verify(&before), Err(Code::SignatureInvalid));
            assert!(tokens.verify(&tokens.sign(ADMIN, None).token).is_ok());
            assert!(tokens.replace("nonsense").is_err() && tokens.replace("").is_err());
            assert!(tokens.verify(&tokens.sign(ADMIN, None).token).is_ok(), "what is no key changes nothing");
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
