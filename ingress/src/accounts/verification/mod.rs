//! Whether somebody has a mobile number, or is a human: what a provider sends or draws, and the client says back.
//!
//! The log and the engine know codes by their hashes only.

mod captcha;
mod sms;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use captcha::CaptchaProvider;
pub use sms::SmsProvider;

/// How long a code that was sent is good.
pub const SMS_CODE_SECONDS: u32 = 300;
/// How long a captcha is good.
pub const CAPTCHA_SECONDS: u32 = 120;

/// Which providers verify.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verification {
    pub sms: Sms,
    pub captcha: Captcha,
}

/// Who sends codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sms {
    /// Nobody: the code is always 123456.
    #[default]
    Development,
}

/// Who draws captchas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Captcha {
    /// A machine reads it as well as a human, and it always says 12345.
    #[default]
    Development,
}

impl Sms {
    pub fn provider(self) -> Arc<dyn SmsProvider> {
        match self {
            Self::Development => Arc::new(sms::Development),
        }
    }
}

impl Captcha {
    pub fn provider(self) -> Arc<dyn CaptchaProvider> {
        match self {
            Self::Development => Arc::new(captcha::Development),
        }
    }
}

/// What stands for a code in the log. The key keeps the same code under two keys apart.
pub fn code_hash(key: &str, code: &str) -> Vec<u8> {
    Sha256::new().chain_update(key).chain_update([0]).chain_update(code).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_by_its_key() {
        assert_eq!(code_hash("sms:login:1", "123456"), code_hash("sms:login:1", "123456"));
        assert_ne!(code_hash("sms:login:1", "123456"), code_hash("sms:login:2", "123456"));
        assert_ne!(code_hash("sms:login:1", "123456"), code_hash("sms:login:11", "23456"));
        assert_eq!(code_hash("k", "c").len(), 32);
    }
}
