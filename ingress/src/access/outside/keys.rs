//! The keys of an outside issuer, as its JSON Web Key Set has them.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::Unbelieved;
use crate::access::refused::quote;
use crate::access::remembered::Remembered;

/// More than any issuer has.
const KEYS_MAX: usize = 100;

// What a kind of key signs with. A secret that both sides have is none of them: whoever verifies with it could sign, too.
const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];
const ED25519: &[Algorithm] = &[Algorithm::EdDSA];

// Characters of base64: an RSA key of less than 2,048 bits can be broken, one of more than 4,096 takes long for each token.
const MODULUS_CHARACTERS: std::ops::RangeInclusive<usize> = 342..=683;
const COORDINATE_CHARACTERS_P256: usize = 43;
const COORDINATE_CHARACTERS_P384: usize = 64;
const COORDINATE_CHARACTERS_ED25519: usize = 43;

/// Why there are no keys in what an issuer said.
#[derive(Debug, thiserror::Error)]
pub enum NoKeySet {
    #[error("it is no JSON Web Key Set: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has {0} keys, which is more than {KEYS_MAX}")]
    TooMany(usize),
}

/// Those of an issuer that tokens are verified with.
pub struct Keys {
    all: Vec<Key>,
    pub remembered: Remembered,
}

/// One of them.
pub struct Key {
    id: Option<String>,
    pub verifying: DecodingKey,
    /// What a token that it has signed must say, made once. Its algorithms are those of this key.
    pub validation: Validation,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Keys {
    /// The keys of a set; what verifies no tokens, such as a key for encryption, is left out. Whatever the algorithm, a token must say
    /// what `validation` asks for.
    pub fn read(set: &[u8], validation: &Validation) -> Result<Self, NoKeySet> {
        let KeySet { keys } = serde_json::from_slice(set)?;
        if keys.len() > KEYS_MAX {
            return Err(NoKeySet::TooMany(keys.len()));
        }
        // One of a kind that nobody here knows takes nothing from the others.
        let keys = keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let all = keys.filter_map(|key| Key::new(&key, validation)).collect();
        Ok(Self { all, remembered: Remembered::default() })
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What tokens name them by.
    pub fn ids(&self) -> String {
        self.all.iter().map(|key| key.id.as_deref().unwrap_or("(without a name)")).collect::<Vec<_>>().join(" ")
    }

    /// The key that a token names. The name may be missing where there is no choice.
    pub fn find(&self, header: &Header) -> Result<&Key, Unbelieved> {
        let Some(id) = &header.kid else {
            let [only] = self.all.as_slice() else {
                return Err(Unbelieved::invalid(&format!("it names no key (kid), and the issuer has {}", self.all.len())));
            };
            return Ok(only);
        };
        let named = || self.all.iter().filter(|key| key.id.as_ref() == Some(id));
        // Keys of different kinds may have the same name.
        let fitting = named().find(|key| key.validation.algorithms.contains(&header.alg));
        fitting.ok_or_else(|| match named().next() {
            Some(_) => {
                let id = quote(&id.as_str().into());
                Unbelieved::invalid(&format!("its key (kid) {id} does not sign with {:?}", header.alg))
            }
            None => Unbelieved::KeyUnknown,
        })
    }
}

impl Key {
    fn new(key: &Jwk, validation: &Validation) -> Option<Self> {
        let common = &key.common;
        let is_to_verify = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let is_said = |algorithm: &Algorithm| common.key_algorithm.is_none_or(|said| said == KeyAlgorithm::from(*algorithm));
        let algorithms: Vec<_> = algorithms(&key.algorithm).iter().copied().filter(is_said).collect();
        if !is_to_verify || algorithms.is_empty() {
            return None;
        }
        let verifying = DecodingKey::from_jwk(key).ok()?;
        Some(Self { id: common.key_id.clone(), verifying, validation: Validation { algorithms, ..validation.clone() } })
    }
}

/// What a key of these parameters can sign with that is good enough.
fn algorithms(parameters: &AlgorithmParameters) -> &'static [Algorithm] {
    match parameters {
        AlgorithmParameters::RSA(key) if MODULUS_CHARACTERS.contains(&key.n.len()) => RSA,
        AlgorithmParameters::EllipticCurve(key) => match (&key.curve, key.x.len(), key.y.len()) {
            (EllipticCurve::P256, COORDINATE_CHARACTERS_P256, COORDINATE_CHARACTERS_P256) => P256,
            (EllipticCurve::P384, COORDINATE_CHARACTERS_P384, COORDINATE_CHARACTERS_P384) => P384,
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) => match (&key.curve, key.x.len()) {
            (EllipticCurve::Ed25519, COORDINATE_CHARACTERS_ED25519) => ED25519,
            _ => &[],
        },
        _ => &[],
    }
}
