//! What an outside issuer's tokens may say, and by which keys.

mod causes;
mod following;

use std::sync::LazyLock;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use p256::pkcs8::EncodePrivateKey;
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::rand_core::OsRng;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::accounts::token::{self as own, new_key};

const ISSUER: &str = "https://login.example/realms/shop";

/// A key of the issuer, which has both halves of it.
#[derive(Clone)]
struct Pair {
    algorithm: Algorithm,
    signing: EncodingKey,
    /// As its key set has it.
    public: Value,
}

impl Pair {
    fn new(id: &str, algorithm: Algorithm, signing: EncodingKey) -> Self {
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&signing, algorithm).expect("a pair")).expect("JSON");
        public["kid"] = json!(id);
        public["use"] = json!("sig");
        Self { algorithm, signing, public }
    }

    fn ed25519(id: &str) -> Self {
        let pem = new_key(own::Algorithm::EdDsa);
        Self::new(id, Algorithm::EdDSA, EncodingKey::from_ed_pem(pem.as_bytes()).expect("a new key"))
    }

    fn p256(id: &str) -> Self {
        let der = p256::SecretKey::random(&mut OsRng).to_pkcs8_der().expect("a new key");
        Self::new(id, Algorithm::ES256, EncodingKey::from_ec_der(der.as_bytes()))
    }

    fn p384(id: &str) -> Self {
        let der = p384::SecretKey::random(&mut OsRng).to_pkcs8_der().expect("a new key");
        Self::new(id, Algorithm::ES384, EncodingKey::from_ec_der(der.as_bytes()))
    }

    /// Made once, since that takes a while.
    fn rsa(id: &str, bits: usize) -> Self {
        static KEYS: LazyLock<[EncodingKey; 2]> = LazyLock::new(|| {
            [2_048, 1_024].map(|bits| {
                let der = RsaPrivateKey::new(&mut OsRng, bits).expect("a new key").to_pkcs1_der().expect("DER");
                EncodingKey::from_rsa_der(der.as_bytes())
            })
        });
        Self::new(id, Algorithm::RS256, KEYS[usize::from(bits == 1_024)].clone())
    }

    /// The same one in a set that says something else of it.
    fn told(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut told = self.clone();
        change(&mut told.public);
        told
    }

    fn header(&self) -> Header {
        Header { kid: self.public["kid"].as_str().map(str::to_owned), ..Header::new(self.algorithm) }
    }

    /// A good token, but for what the test changes.
    fn sign(&self, change: impl FnOnce(&mut Header, &mut Value)) -> String {
        let (mut header, mut claims) = (self.header(), claims());
        change(&mut header, &mut claims);
        encode(&header, &claims, &self.signing).expect("claims")
    }

    fn good(&self) -> String {
        self.sign(|_, _| ())
    }
}

/// As Keycloak has them.
fn claims() -> Value {
    let now = get_current_timestamp();
    json!({
        "iss": ISSUER, "sub": "f3a1", "aud": ["account", "emshop"], "iat": now, "exp": now + 300, "typ": "Bearer",
        "realm_access": {"roles": ["offline_access", "shop-support"]},
    })
}

fn options(jwks: &str) -> IssuerOptions {
    let roles = [("shop-support", Role::Support), ("shop-finance", Role::Finance), ("shop-admin", Role::Admin)];
    IssuerOptions {
        issuer: ISSUER.to_owned(),
        audience: "emshop".to_owned(),
        jwks: jwks.to_owned(),
        role_claim: "realm_access.roles".to_owned(),
        roles: roles.map(|(value, role)| (value.to_owned(), role)).into(),
    }
}

fn set(pairs: &[&Pair]) -> String {
    json!({"keys": pairs.iter().map(|pair| &pair.public).collect::<Vec<_>>()}).to_string()
}

/// An issuer whose keys are known, wherever they are.
fn issuer(pairs: &[&Pair]) -> Issuer {
    let issuer = Issuer::new(options("https://login.example/certs")).expect("a URL");
    issuer.take(set(pairs).as_bytes()).expect("a key set");
    issuer
}

/// A role, or what whoever shows the token is told; that is nothing yet while its key is not known.
type Told = Result<Role, Option<Code>>;

fn role(issuer: &Issuer, token: &str) -> Told {
    issuer.verify(token).map(|identity| identity.caller.role).map_err(|unbelieved| match unbelieved {
        Unbelieved::KeyUnknown => None,
        Unbelieved::Refused(refused) => Some(refused.code),
    })
}

const INVALID: Told = Err(Some(Code::TokenInvalid));
const FORGED: Told = Err(Some(Code::SignatureInvalid));
const UNKNOWN: Told = Err(None);

#[test]
fn a_token_says_who_and_as_what() {
    let pair = Pair::ed25519("a");
    let issuer = issuer(&[&pair]);
    assert!(issuer.is_named_by(&pair.good()));
    let identity = issuer.verify(&pair.good()).expect("a good token");
    let subject = Subject { issuer: ISSUER.to_owned(), id: "f3a1".to_owned() };
    assert_eq!((identity.caller, identity.subject.as_deref()), (Caller { user_id: 0, role: Role::Support }, Some(&subject)));
    assert_eq!((identity.login, identity.expires_at_s - identity.issued_at_s), (None, 300));
}

#[test]
fn every_asymmetric_algorithm_is_believed_by_a_key_that_fits() {
    let rsa = Pair::rsa("r", 2_048).told(|key| drop(key.as_object_mut().expect("a key").remove("alg")));
    let [p256, p384, ed25519] = [Pair::p256("e"), Pair::p384("f"), Pair::ed25519("d")];
    let issuer = issuer(&[&rsa, &p256, &p384, &ed25519]);
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let algorithm = algorithm.parse().expect("an algorithm");
        assert_eq!(role(&issuer, &rsa.sign(|header, _| header.alg = algorithm)), Ok(Role::Support), "{algorithm:?}");
    }
    for pair in [&p256, &p384, &ed25519] {
        assert_eq!(role(&issuer, &pair.good()), Ok(Role::Support), "{:?}", pair.algorithm);
        // By the name of another kind of key.
        assert_eq!(role(&issuer, &pair.sign(|header, _| header.kid = Some("r".to_owned()))), INVALID, "{:?}", pair.algorithm);
    }
    // A key that says what it signs with does so alone.
    let strict = self::issuer(&[&Pair::rsa("r", 2_048)]);
    assert_eq!(role(&strict, &rsa.good()), Ok(Role::Support));
    assert_eq!(role(&strict, &rsa.sign(|header, _| header.alg = Algorithm::PS256)), INVALID);
}

#[test]
fn keys_are_for_what_their_set_says() {
    let pair = Pair::ed25519("a");
    let without = |name: &'static str| move |key: &mut Value| drop(key.as_object_mut().expect("a key").remove(name));
    for good in [
        pair.told(without("use")),
        pair.told(without("alg")),
        pair.told(|key| key["key_ops"] = json!(["verify"])),
        pair.told(|key| key["x5u"] = json!("https://login.example/certificate")),
    ] {
        assert_eq!(role(&issuer(&[&good]), &pair.good()), Ok(Role::Support), "{}", good.public);
    }
    let weak = Pair::rsa("a", 1_024);
    let secret = pair.told(|key| *key = json!({"kty": "oct", "kid": "a", "k": "c2VjcmV0", "alg": "HS256"}));
    for bad in [
        pair.told(|key| key["use"] = json!("enc")),
        pair.told(|key| key["key_ops"] = json!(["sign"])),
        pair.told(|key| key["alg"] = json!("ES256")),
        pair.told(|key| key["alg"] = json!("RSA-OAEP")),
        pair.told(|key| key["crv"] = json!("X25519")),
        pair.told(|key| key["x"] = json!("AAAA")),
        pair.told(|key| key["kty"] = json!("AKP")),
        pair.told(|key| *key = json!(7)),
        secret.clone(),
        weak.clone(),
    ] {
        let issuer = issuer(&[&bad]);
        assert!(issuer.keys().is_some_and(|keys| keys.is_empty()), "{}", bad.public);
        assert_eq!(role(&issuer, &pair.good()), UNKNOWN, "{}", bad.public);
    }
    assert_eq!(role(&issuer(&[&secret, &pair, &weak]), &pair.good()), Ok(Role::Support), "one takes nothing from the others");
}

#[test]
fn a_key_is_named_unless_there_is_one_alone() {
    let [one, other] = [Pair::ed25519("a"), Pair::ed25519("b")];
    let (alone, both) = (issuer(&[&one]), issuer(&[&one, &other]));
    let unnamed = one.sign(|header, _| header.kid = None);
    assert_eq!((role(&alone, &unnamed), role(&both, &unnamed)), (Ok(Role::Support), INVALID));
    assert_eq!((role(&alone, &other.good()), role(&both, &other.good())), (UNKNOWN, Ok(Role::Support)));
    for issuer in [&alone, &both] {
        assert_eq!(role(issuer, &other.sign(|header, _| header.kid = Some("a".to_owned()))), FORGED);
        assert_eq!(role(issuer, &one.sign(|header, _| header.kid = Some("c".to_owned()))), UNKNOWN);
    }
    assert_eq!(role(&alone, &other.sign(|header, _| header.kid = None)), FORGED);
}

#[test]
fn whoever_knows_the_public_key_cannot_sign() {
    let [rsa, ed25519] = [Pair::rsa("r", 2_048), Pair::ed25519("d")];
    let issuer = issuer(&[&rsa, &ed25519]);
    let text = |pair: &Pair, name: &str| pair.public[name].as_str().expect("base64").to_owned();
    let decoded = |text: &str| base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text).expect("base64");
    let known = [
        text(&rsa, "n").into_bytes(),
        decoded(&text(&rsa, "n")),
        text(&ed25519, "x").into_bytes(),
        decoded(&text(&ed25519, "x")),
    ];
    let known = known.into_iter().chain([rsa.public.to_string().into_bytes(), set(&[&rsa, &ed25519]).into_bytes()]);
    for secret in known {
        for (pair, algorithm) in [(&rsa, Algorithm::HS256), (&ed25519, Algorithm::HS256), (&rsa, Algorithm::HS512)] {
            let header = Header { alg: algorithm, ..pair.header() };
            let forged = encode(&header, &claims(), &EncodingKey::from_secret(&secret)).expect("claims");
            assert_eq!(role(&issuer, &forged), INVALID);
        }
    }
}

#[test]
fn unsigned_and_broken_tokens_are_refused() {
    let pair = Pair::ed25519("a");
    let issuer = issuer(&[&pair]);
    let good = pair.good();
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    // {"alg":"none","typ":"JWT"} and {"alg":"None"}
    for none in ["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJOb25lIn0"] {
        for signature in ["", signature] {
            assert_eq!(role(&issuer, &format!("{none}.{claims}.{signature}")), INVALID);
        }
    }
    assert_eq!(role(&issuer, &format!("{header}.{claims}.")), FORGED);
    let other = pair.sign(|_, claims| claims["realm_access"]["roles"] = json!(["shop-admin"]));
    let changed = other.split('.').nth(1).expect("three parts");
    assert_eq!(role(&issuer, &format!("{header}.{changed}.{signature}")), FORGED, "of another token");
    for garbage in ["", ".", "..", "a.b.c", header, &format!("{header}.{claims}"), &format!("{good}.x")] {
        assert_eq!(role(&issuer, garbage), INVALID, "{garbage:?}");
    }
    let large = pair.sign(|_, claims| claims["name"] = json!("x".repeat(TOKEN_BYTES_MAX)));
    assert!(role(&issuer, &large) == INVALID && !issuer.is_named_by(&large));
    assert_eq!(role(&issuer, &pair.sign(|header, _| header.crit = Some(vec!["b64".to_owned()]))), INVALID);
    // Keys that a token brings along, or says where to find, count for nothing.
    let theirs = Pair::ed25519("a");
    let own_key = serde_json::from_value::<Jwk>(theirs.public.clone()).expect("a key");
    assert_eq!(role(&issuer, &theirs.sign(|header, _| header.jwk = Some(own_key))), FORGED);
    assert_eq!(role(&issuer, &theirs.sign(|header, _| header.jku = Some("http://127.0.0.1:1/".to_owned()))), FORGED);
}

#[test]
fn claims_are_what_they_must_be() {
    let pair = Pair::ed25519("a");
    let issuer = issuer(&[&pair]);
    let with = |change: &dyn Fn(&mut Value)| role(&issuer, &pair.sign(|_, claims| change(claims)));
    let now = get_current_timestamp();
    let expired = Err(Some(Code::TokenExpired));
    let ok = Ok(Role::Support);
    type Case<'a> = (&'a dyn Fn(&mut Value), Told);
    let table: [Case; 24] = [
        (&|claims| claims["aud"] = json!("emshop"), ok),
        (&|claims| claims["aud"] = json!("others"), INVALID),
        (&|claims| claims["aud"] = json!(["account", "others"]), INVALID),
        (&|claims| claims["aud"] = json!([]), INVALID),
        (&|claims| claims["aud"] = json!(7), INVALID),
        (&|claims| claims["iss"] = json!("https://login.example/realms/others"), INVALID),
        (&|claims| claims["iss"] = json!([ISSUER, "others"]), INVALID),
        (&|claims| claims["iss"] = json!("emshop"), INVALID),
        (&|claims| claims["exp"] = json!(now - CLOCK_SKEW_SECONDS - 2), expired),
        (&|claims| claims["exp"] = json!(now - CLOCK_SKEW_SECONDS + 10), ok),
        (&|claims| claims["exp"] = json!("tomorrow"), INVALID),
        (&|claims| claims["exp"] = json!(now + LIFETIME_MAX.as_secs() + 10), INVALID),
        (&|claims| claims["exp"] = json!(u64::MAX), INVALID),
        (&|claims| claims["iat"] = json!(now + CLOCK_SKEW_SECONDS - 10), ok),
        (&|claims| claims["iat"] = json!(now + CLOCK_SKEW_SECONDS + 10), INVALID),
        (&|claims| claims["nbf"] = json!(now + CLOCK_SKEW_SECONDS - 10), ok),
        (&|claims| claims["nbf"] = json!(now + CLOCK_SKEW_SECONDS + 10), INVALID),
        (&|claims| claims["nbf"] = json!("now"), INVALID),
        (&|claims| claims["sub"] = json!(""), INVALID),
        (&|claims| claims["sub"] = json!(7), INVALID),
        (&|claims| claims["sub"] = json!("x".repeat(SUBJECT_BYTES_MAX)), ok),
        (&|claims| claims["sub"] = json!("x".repeat(SUBJECT_BYTES_MAX + 1)), INVALID),
        (&|claims| *claims = json!("claims"), INVALID),
        (&|claims| *claims = json!([]), INVALID),
    ];
    for (place, (change, expected)) in table.into_iter().enumerate() {
        assert_eq!(with(change), expected, "number {place}");
    }
    for missing in ["iss", "sub", "aud", "iat", "exp"] {
        assert_eq!(with(&|claims| drop(claims.as_object_mut().expect("claims").remove(missing))), INVALID, "{missing}");
    }
}

#[test]
fn the_highest_role_counts_and_without_one_nobody_is_let_in() {
    let pair = Pair::ed25519("a");
    let issuer = issuer(&[&pair]);
    let none = Err(Some(Code::RoleNotMapped));
    for (roles, expected) in [
        (json!(["shop-support", "shop-admin", "shop-finance"]), Ok(Role::Admin)),
        (json!(["shop-finance", "shop-support"]), Ok(Role::Finance)),
        (json!("shop-support"), Ok(Role::Support)),
        (json!([7, null, {"shop-admin": true}, "shop-support"]), Ok(Role::Support)),
        (json!(["customer"]), none),
        // The names of roles here say nothing there.
        (json!(["super", "admin", "user"]), none),
        (json!(["SHOP-ADMIN", "shop-admin "]), none),
        (json!("shop-admin shop-support"), none),
        (json!([["shop-admin"]]), none),
        (json!([]), none),
        (json!({"shop-admin": true}), none),
        (json!(null), none),
    ] {
        let token = pair.sign(|_, claims| claims["realm_access"]["roles"] = roles.clone());
        assert_eq!(role(&issuer, &token), expected, "{roles}");
    }
    let elsewhere = pair.sign(|_, claims| {
        claims["realm_access"] = json!({});
        claims["roles"] = json!(["shop-admin"]);
    });
    assert_eq!(role(&issuer, &elsewhere), none);
}

#[test]
fn a_claim_is_found_by_its_path() {
    let claims = json!({"a": {"b": {"c": 1}, "b.c": 2}, "https://shop.example/roles": 3, "d": {"e.f": {"g": 4}}, "h": 5});
    let claims = claims.as_object().expect("an object");
    let found = |path| claim(claims, path).and_then(Value::as_u64);
    assert_eq!(["a.b.c", "https://shop.example/roles", "d.e.f.g", "h"].map(found), [Some(2), Some(3), Some(4), Some(5)]);
    assert_eq!(["", ".", "a", "a.b", "a.b.d", "h.i", "a..b", "b.c"].map(found), [None; 8]);
}

#[test]
fn a_file_has_keys_at_the_start() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("keys.json");
    let start = || Issuer::new(options(path.to_str().expect("UTF-8")));
    assert!(matches!(start(), Err(IssuerError::Source(_))), "there is no file");
    for (text, is_set) in [("", false), ("[]", false), ("{\"keys\": 7}", false), ("{\"keys\": []}", true)] {
        std::fs::write(&path, text).expect("room");
        let error = start().expect_err("there is no key");
        assert_eq!(matches!(error, IssuerError::NoKeys), is_set, "{error}");
    }
    let many = json!({"keys": vec![Pair::ed25519("a").public; 101]}).to_string();
    std::fs::write(&path, many).expect("room");
    assert!(matches!(start(), Err(IssuerError::KeySet(NoKeySet::TooMany(101)))));
    std::fs::write(&path, set(&[&Pair::ed25519("a")])).expect("room");
    assert!(start().is_ok());
}
