//! What registering and logging in take, apart from log and engine.

pub mod password;
pub mod token;
pub mod verification;

use std::sync::Arc;
use std::thread;

use emshop_proto::errors::Code;
use emshop_proto::v1::{Refusal, Token, User, UserStatus};
use sha2::{Digest, Sha256};

use crate::access::Caller;
use crate::accounts::password::Passwords;
use crate::accounts::token::Tokens;
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
}

impl Accounts {
    pub fn new(tokens: Arc<Tokens>, verification: Verification) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let Verification { sms, captcha } = verification;
        let captchas = captcha.map(|provider| Captchas::new(provider, tokens.secret()));
        // Half of the cores, so that passwords, which anybody can send, leave some to those who shop.
        Self { passwords: Passwords::new(cores.div_ceil(2)), codes: Codes::new(tokens.secret()), sms, captchas, tokens }
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

    /// A token for a user who has shown who they are.
    pub fn log_in(&self, user: &User) -> Result<Token, Code> {
        match user.status() {
            UserStatus::Active => Ok(self.tokens.sign(Caller { user_id: user.user_id, role: user.role() })),
            _ => Err(Code::UserDisabled),
        }
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
    fn who_is_disabled_gets_no_token() {
        let tokens = Arc::new(Tokens::of_chance(Duration::from_secs(60)));
        let accounts = Accounts::new(tokens.clone(), Verification::default());
        let mut user = User { user_id: 7, ..User::default() };
        user.set_role(Role::Admin);
        for status in [UserStatus::Disabled, UserStatus::Unspecified] {
            user.set_status(status);
            assert_eq!(accounts.log_in(&user), Err(Code::UserDisabled));
        }
        user.set_status(UserStatus::Active);
        let token = accounts.log_in(&user).expect("an active user").token;
        assert_eq!(tokens.verify(&token), Ok(Caller { user_id: 7, role: Role::Admin }));
    }
}
