//! Staff of an outside issuer (OpenID Connect): whose tokens are believed, and as what. The shop has no accounts of theirs.
//!
//! `source` is where the issuer's keys are, `keys` what they may be used for, `look` when they are looked for.

mod keys;
mod look;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use emshop_proto::access::ROLES;
use emshop_proto::errors::Code;
use emshop_proto::v1::{Operator, OperatorKind, Role, Subject};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, Header, Validation, dangerous, get_current_timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};

use self::keys::{Keys, NoKeySet};
use self::look::Looking;
use self::source::Source;
use super::refused::{Refused, quote};
use super::{Caller, Identity};
use crate::accounts::token::{self, CLOCK_SKEW_SECONDS, LIFETIME_MAX};

/// What is longer is no token.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Of `sub`, as the standard has it.
const SUBJECT_BYTES_MAX: usize = 255;
/// No account has this number.
const NO_ACCOUNT: u64 = 0;

/// Whose tokens are believed beside our own, and what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerOptions {
    /// `iss` of the tokens.
    pub issuer: String,
    /// What is in their `aud`: whom the issuer gave them for.
    pub audience: String,
    /// Path of the issuer's key set, or its URL.
    pub jwks: String,
    /// Which claim says what somebody is: its name, or the way there, such as `realm_access.roles`.
    pub role_claim: String,
    /// What its values make somebody here.
    pub roles: BTreeMap<String, Role>,
}

/// Why an issuer's tokens can never be believed.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    #[error("{0}")]
    Source(String),
    #[error("{0}")]
    KeySet(#[from] NoKeySet),
    #[error("there is no key in it that verifies tokens")]
    NoKeys,
}

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq)]
pub enum Unbelieved {
    /// It names a key that the issuer has not told, yet.
    KeyUnknown,
    Refused(Refused),
}

impl Unbelieved {
    fn invalid(cause: &str) -> Self {
        Self::Refused(Refused::because(Code::TokenInvalid, cause))
    }
}

impl From<Refused> for Unbelieved {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Somebody else who says who somebody is.
pub struct Issuer {
    options: IssuerOptions,
    source: Source,
    /// What a token must say, whatever its key.
    validation: Validation,
    /// `None` until they were read for the first time.
    keys: RwLock<Option<Arc<Keys>>>,
    looking: Looking,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    /// Seconds since 1970.
    iat: u64,
    exp: u64,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What is read of a token before it is known whose keys to try.
#[derive(Deserialize)]
struct Said {
    iss: String,
}

impl Issuer {
    /// # Errors
    /// When its keys are in a file that has none, or at a URL that nobody should take keys from.
    pub fn new(options: IssuerOptions) -> Result<Self, IssuerError> {
        let source = Source::new(&options.jwks).map_err(IssuerError::Source)?;
        let validation = validation(&options);
        if let Some(read) = source.read_file() {
            let keys = Keys::read(&read.map_err(IssuerError::Source)?, &validation)?;
            if keys.is_empty() {
                return Err(IssuerError::NoKeys);
            }
        }
        Ok(Self { options, source, validation, keys: RwLock::default(), looking: Looking::default() })
    }

    /// Whether a token says that it is one of this issuer's. Nothing else that it says is looked at.
    pub fn is_named_by(&self, token: &str) -> bool {
        let said = || dangerous::insecure_decode_claims::<Said>(token);
        token.len() <= TOKEN_BYTES_MAX && said().is_ok_and(|said| said.iss == self.options.issuer)
    }

    /// Who a token says that somebody is, if it was verified before and is still good.
    pub fn known(&self, token: &str) -> Option<Identity> {
        self.keys()?.remembered.get(token)
    }

    /// Who a token of this issuer says that somebody is.
    pub fn verify(&self, token: &str) -> Result<Identity, Unbelieved> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Unbelieved::invalid(&too_long()));
        }
        let header = jsonwebtoken::decode_header(token);
        let header = header.map_err(|error| Unbelieved::invalid(&format!("its header cannot be read: {error}")))?;
        // What its reader must understand, this one does not.
        if header.crit.is_some() {
            return Err(Unbelieved::invalid("its header has crit"));
        }
        let keys = self.keys().ok_or(Unbelieved::KeyUnknown)?;
        let key = keys.find(&header)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.verifying, &key.validation);
        let claims = decoded.map_err(|error| self.refused(token, &header, &error))?.claims;
        let identity = self.identity(claims)?;
        keys.remembered.note(token, identity.clone());
        Ok(identity)
    }

    /// What is wrong with a token that cannot be decoded with the key that it names.
    fn refused(&self, token: &str, header: &Header, error: &Error) -> Refused {
        let IssuerOptions { issuer, audience, .. } = &self.options;
        let said = |claim: &str| {
            let claims = dangerous::insecure_decode_claims::<Map<String, Value>>(token);
            quote(&claims.ok().and_then(|mut claims| claims.remove(claim)).unwrap_or_default())
        };
        let cause = match error.kind() {
            ErrorKind::InvalidSignature => format!("its signature is not by its key (kid) {}", key_of(header)),
            ErrorKind::InvalidAudience => format!("its aud is {}, without auth.oidc.audience {audience:?}", said("aud")),
            ErrorKind::InvalidIssuer => misnamed(&said("iss"), issuer),
            ErrorKind::ExpiredSignature => format!("its exp is {}, which is over", said("exp")),
            ErrorKind::ImmatureSignature => format!("its nbf is {}, which is not yet", said("nbf")),
            _ => error.to_string(),
        };
        Refused::because(token::refusal_of(error), &cause)
    }

    fn identity(&self, claims: Claims) -> Result<Identity, Refused> {
        if let Some(cause) = self.misfit(&claims) {
            return Err(Refused::because(Code::TokenInvalid, &cause));
        }
        let Claims { iss, sub, iat, exp, others } = claims;
        let subject = Subject { issuer: iss, id: sub };
        let (path, value) = (&self.options.role_claim, claim(&others, &self.options.role_claim));
        let Some(role) = value.and_then(|value| self.highest(value)) else {
            let cause = match value {
                Some(value) => format!("its {path} is {}, nothing of which is in auth.oidc.roles", quote(value)),
                None => format!("it has no {path}, where auth.oidc.role_claim says that roles are"),
            };
            let by = Operator { kind: OperatorKind::Admin.into(), subject: Some(Box::new(subject)), ..Operator::default() };
            return Err(Refused { by: Some(by), ..Refused::because(Code::RoleNotMapped, &cause) });
        };
        let (caller, subject) = (Caller { user_id: NO_ACCOUNT, role }, Some(Arc::new(subject)));
        Ok(Identity { caller, login: None, subject, issued_at_s: iat, expires_at_s: exp })
    }

    /// What of the claims of a token is not as it must be.
    fn misfit(&self, Claims { iss, sub, iat, exp, .. }: &Claims) -> Option<String> {
        if *iss != self.options.issuer {
            return Some(misnamed(&quote(&iss.as_str().into()), &self.options.issuer));
        }
        if !(1..=SUBJECT_BYTES_MAX).contains(&sub.len()) {
            return Some(format!("its sub has {} bytes, and not 1 to {SUBJECT_BYTES_MAX}", sub.len()));
        }
        if *iat > get_current_timestamp() + CLOCK_SKEW_SECONDS {
            return Some(format!("its iat is {iat}, which is not yet"));
        }
        // Nobody tells the shop of those that are revoked, so none is good for longer than one of its own.
        let (lifetime, most) = (exp.saturating_sub(*iat), LIFETIME_MAX.as_secs());
        (lifetime > most).then(|| format!("it is good for {lifetime} s from iat to exp, and may be for {most}"))
    }

    /// The highest role that somebody has by these values of the claim.
    fn highest(&self, value: &Value) -> Option<Role> {
        let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        let has = |role: &Role| values.iter().filter_map(Value::as_str).any(|value| self.options.roles.get(value) == Some(role));
        ROLES.into_iter().rev().find(has)
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes by the keys of this set from now on.
    fn take(&self, set: &[u8]) -> Result<Arc<Keys>, NoKeySet> {
        let keys = Arc::new(Keys::read(set, &self.validation)?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys.clone());
        Ok(keys)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.debug_struct("Issuer").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What is wrong with a token that is neither one of the shop's nor names this issuer, if there is one. It may be meant as its.
pub fn disown(issuer: Option<&Issuer>, code: Code, token: &str) -> Refused {
    if token.len() > TOKEN_BYTES_MAX {
        return Refused::because(code, &too_long());
    }
    let Ok(Said { iss }) = dangerous::insecure_decode_claims::<Said>(token) else {
        return Refused::because(code, "it has no iss that can be read");
    };
    let said = quote(&iss.as_str().into());
    match issuer {
        _ if iss == token::ISSUER => code.into(),
        Some(issuer) => Refused::because(code, &misnamed(&said, &issuer.options.issuer)),
        None => Refused::because(code, &format!("its iss is {said}, and no auth.oidc.issuer is set")),
    }
}

fn misnamed(said: &str, issuer: &str) -> String {
    format!("its iss is {said}, and not auth.oidc.issuer {issuer:?}")
}

fn too_long() -> String {
    format!("it is longer than {TOKEN_BYTES_MAX} bytes")
}

/// What a token names its key by.
fn key_of(header: &Header) -> String {
    header.kid.as_deref().map_or_else(|| "without a name".to_owned(), |id| quote(&id.into()))
}

/// The claim at the end of a path. A name may have dots in it, as those that are URLs have.
fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let within = |at: usize| claim(claims.get(&path[..at])?.as_object()?, &path[at + 1..]);
    claims.get(path).or_else(|| path.match_indices('.').find_map(|(at, _)| within(at)))
}

fn validation(IssuerOptions { issuer, audience, .. }: &IssuerOptions) -> Validation {
    // Those of each key take the place of this one.
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.leeway = CLOCK_SKEW_SECONDS;
    validation.validate_nbf = true;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}
