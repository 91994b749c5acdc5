//! Which service account a key is of. The engine is asked once; what it said is forgotten when the account changes, and now and then.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use constant_time_eq::constant_time_eq_32;
use emshop_proto::errors::Code;
use emshop_proto::internal::{Credentials, UserQuery};
use emshop_proto::v1::UserStatus;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tonic::Status;

use super::{Caller, Identity, Login};
use crate::accounts::service_key::ServiceKey;
use crate::queries::{Queries, questions};

/// Changes are heard of sooner, but are not remembered for ever.
const KNOWN_FOR: Duration = Duration::from_secs(10 * 60);
/// Of an identity that ends with its account alone: streams need an end, though they do not live to see it.
const LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// No session has this number.
const NO_SESSION: u64 = 0;

/// Asks the engine about the user with this id.
pub type Ask = Box<dyn Fn(u64) -> BoxFuture<'static, Result<Credentials, Status>> + Send + Sync>;

/// Service accounts, as far as they are known here.
pub struct ServiceAccounts {
    engine: Ask,
    known: RwLock<HashMap<u64, Known>>,
}

struct Known {
    key_hash: [u8; 32],
    identity: Identity,
    until: Instant,
}

/// Asks whichever engine has the user.
pub fn engine(queries: Arc<Queries>) -> Ask {
    Box::new(move |user_id| {
        let queries = queries.clone();
        Box::pin(async move {
            let log = queries.partitioner.of_user(user_id).log;
            queries.ask(log, questions::Credentials(UserQuery { user_id })).await
        })
    })
}

impl ServiceAccounts {
    pub fn new(engine: Ask) -> Self {
        Self { engine, known: RwLock::default() }
    }

    /// Whose key it is, if that is known.
    pub fn known(&self, key: &ServiceKey) -> Option<Identity> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let of_account = known.get(&key.user_id).filter(|known| known.until > Instant::now())?;
        constant_time_eq_32(&of_account.key_hash, &key.hash()).then(|| of_account.identity.clone())
    }

    /// Whose key it is, as the engine says.
    ///
    /// `TOKEN_INVALID` when it is nobody's, or `USER_DISABLED`.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn ask(&self, key: &ServiceKey) -> Result<Result<Identity, Code>, Status> {
        match (self.engine)(key.user_id).await {
            Ok(found) => Ok(self.learn(key, found)),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(Err(Code::TokenInvalid)),
            Err(status) => Err(status),
        }
    }

    fn learn(&self, key: &ServiceKey, found: Credentials) -> Result<Identity, Code> {
        let Credentials { user, key_hash, .. } = found;
        let key_hash = key_hash.try_into().ok().filter(|of_account| constant_time_eq_32(of_account, &key.hash()));
        let (key_hash, user) = key_hash.zip(user).ok_or(Code::TokenInvalid)?;
        if user.status() != UserStatus::Active {
            return Err(Code::UserDisabled);
        }
        let user_id = key.user_id;
        let issued_at_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let identity = Identity {
            caller: Caller { user_id, role: user.role() },
            subject: None,
            login: Some(Login { auth_epoch: user.auth_epoch, session_id: NO_SESSION }),
            issued_at_s,
            expires_at_s: issued_at_s + LIFETIME.as_secs(),
        };
        let known = Known { key_hash, identity: identity.clone(), until: Instant::now() + KNOWN_FOR };
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(user_id, known);
        Ok(identity)
    }
}
