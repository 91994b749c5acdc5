//! Whether somebody has a mobile number, or is a human: what a provider sends or draws, and the client says back.

pub mod captcha;
pub mod codes;
pub mod sms;

use std::fmt;
use std::sync::Arc;

pub use captcha::CaptchaProvider;
pub use sms::SmsProvider;

/// Which providers verify. What has none cannot be had.
#[derive(Clone, Default)]
pub struct Verification {
    /// Who sends codes.
    pub sms: Option<Arc<dyn SmsProvider>>,
    /// Who draws captchas.
    pub captcha: Option<Arc<dyn CaptchaProvider>>,
}

impl fmt::Debug for Verification {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self { sms, captcha } = self;
        formatter.debug_struct("Verification").field("sms", &sms.is_some()).field("captcha", &captcha.is_some()).finish()
    }
}
