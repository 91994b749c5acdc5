//! What registering and logging in take, apart from log and engine.

mod aside;
pub mod password;
pub mod service_key;
pub mod session;
pub mod token;
pub mod verification;

use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use emshop_proto::errors::Code;
use emshop_proto::v1::{CreateServiceAccountRequest, Refusal, Token, User, UserStatus};
use sha2::{Digest, Sha256};

use crate::access::{Caller, Login};
use crate::accounts::password::Passwords;
use crate::accounts::service_key::ServiceKey;
use crate::accounts::session::{Session, SessionLifetime};
use crate::accounts::token::{Key, Tokens};
use crate::accounts::verification::captcha::Captchas;
use crate::accounts::verification::codes::Codes;
use crate::accounts::verification::{SmsProvider, Verification};

/// User ids have so many bits, so that JavaScript counts them right.
const USER_ID_BITS: u32 = 53;

pub struct Accounts {
    tokens: Arc<Tokens>,
    pub passwords: Passwords,
    pub codes: Codes,
    sms: Option<Arc<dyn SmsProvider>>,
    captchas: Option<Captchas>,
    pub session_lifetime: SessionLifetime,
}

impl Accounts {
    pub fn new(tokens: Arc<Tokens>, verification: Verification, session_lifetime: SessionLifetime) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let Verification { sms, captcha } = verification;
        let captchas = captcha.map(|provider| Captchas::new(provider, Tokens::clone(&tokens)));
        // Half of the cores, so that passwords, which anybody can send, leave some to those who shop.
        let passwords = Passwords::new(cores.div_ceil(2));
        Self { passwords, codes: Codes::new(Tokens::clone(&tokens)), sms, captchas, session_lifetime, tokens }
    }

    /// Who sends codes.
    ///
    /// # Errors
    /// `VERIFICATION_MISSING`.
    pub fn sms(&self) -> Result<&dyn SmsProvider, Box<Refusal>> {
        self.sms.as_deref().ok_or_else(|| missing("sends no codes: its operator has not set verification.sms"))
    }

    /// Who draws captchas; a login needs none where nobody does.
    pub fn captchas(&self) -> Option<&Captchas> {
        self.captchas.as_ref()
    }

    /// As [`Accounts::captchas`], for what needs one.
    ///
    /// # Errors
    /// `VERIFICATION_MISSING`.
    pub fn needed_captchas(&self) -> Result<&Captchas, Box<Refusal>> {
        self.captchas().ok_or_else(|| missing("draws no captchas: its operator has not set verification.captcha"))
    }

    /// A session for a user who has shown who they are.
    ///
    /// # Errors
    /// `USER_DISABLED`.
    pub fn log_in(&self, user: &User) -> Result<Session, Code> {
        if user.status() == UserStatus::Active { Ok(Session::draw(user.user_id)) } else { Err(Code::UserDisabled) }
    }

    /// The session that goes on in place of this one, which was shown under an idempotency key.
    pub fn refreshed(&self, session: &Session, idempotency_key: &str) -> Session {
        let derive = |key: &Key| blake3::derive_key("emshop 2026-11 sessions that are refreshed", &key.secret);
        session.next(&self.tokens.with_signing(derive), idempotency_key)
    }

    /// The key of a service account that is asked for under an idempotency key.
    pub fn service_key(&self, idempotency_key: &str, request: &CreateServiceAccountRequest) -> ServiceKey {
        let derive = |key: &Key| blake3::derive_key("emshop 2026-11 keys of service accounts", &key.secret);
        let user_id = user_id_of_registration("service account", idempotency_key);
        ServiceKey::of(user_id, &self.tokens.with_signing(derive), idempotency_key, request)
    }

    /// What a user is given whose session the engine has taken: an access token, and one to come back with.
    pub fn tokens(&self, user: &User, session: &Session) -> (Token, Token) {
        let caller = Caller { user_id: user.user_id, role: user.role() };
        let login = Login { auth_epoch: user.auth_epoch, session_id: session.session_id };
        let expires = SystemTime::now() + self.session_lifetime.0;
        let expires_at_ms = expires.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        (self.tokens.sign(caller, Some(login)), Token { token: session.token(), expires_at_ms })
    }
}

fn missing(what: &str) -> Box<Refusal> {
    Box::new(Refusal { message: format!("This server {what}"), ..Code::VerificationMissing.refusal() })
}

/// The id of who registers a number under a key. A repeat gives the same one.
pub fn user_id_of_registration(mobile: &str, idempotency_key: &str) -> u64 {
    let digest = Sha256::new().chain_update(b"emshop user ").chain_update(mobile).chain_update([0]);
    let digest = digest.chain_update(idempotency_key).finalize();
    let number = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    // 0 is nobody.
    (number >> (u64::BITS - USER_ID_BITS)).max(1)
}

/// What a user is called who did not say.
pub fn nick_name_of(mobile: &str) -> String {
    format!("user-{}", &mobile[mobile.len().saturating_sub(4)..])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use emshop_proto::v1::Role;

    use super::*;

    #[test]
    fn user_ids_are_small_and_the_same_for_a_repeat() {
        let id = user_id_of_registration;
        assert_eq!(id("13800000000", "k"), id("13800000000", "k"));
        let ids: HashSet<_> = (0..1_000).map(|key| id("13800000000", &key.to_string())).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| (1..1 << 53).contains(id)));
        assert!(ids.iter().any(|id| *id > 1 << 52), "all bits are used");
        assert_ne!(id("1380000000", "0k"), id("13800000000", "k"));
    }

    #[test]
    fn names_come_from_the_number() {
        assert_eq!(nick_name_of("13812345678"), "user-5678");
    }

    #[test]
    fn who_is_disabled_gets_no_session_and_others_tokens_of_theirs() {
        let tokens = Arc::new(Tokens::of_chance(Duration::from_secs(60)));
        let accounts = Accounts::new(tokens.clone(), Verification::default(), SessionLifetime(Duration::from_secs(600)));
        let mut user = User { user_id: 7, auth_epoch: 3, ..User::default() };
        user.set_role(Role::Admin);
        for status in [UserStatus::Disabled, UserStatus::Unspecified] {
            user.set_status(status);
            assert_eq!(accounts.log_in(&user), Err(Code::UserDisabled));
        }
        user.set_status(UserStatus::Active);
        let session = accounts.log_in(&user).expect("an active user");
        let (access, refresh) = accounts.tokens(&user, &session);
        let identity = tokens.verify(&access.token).expect("a good token");
        let login = Login { auth_epoch: 3, session_id: session.session_id };
        assert_eq!((identity.caller, identity.login), (Caller { user_id: 7, role: Role::Admin }, Some(login)));
        assert_eq!(Session::parse(&refresh.token), Ok(session));
        assert!(refresh.expires_at_ms > access.expires_at_ms);
        assert!(tokens.verify(&refresh.token).is_err(), "it opens nothing by itself");
    }
}
