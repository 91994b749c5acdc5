//! Codes by SMS.

use emshop_proto::v1::SmsPurpose;

/// Sends codes to mobile numbers.
#[tonic::async_trait]
pub trait SmsProvider: Send + Sync {
    /// A code for one message.
    fn new_code(&self) -> String;

    /// # Errors
    /// When the message is not on its way, with the reason for the log lines.
    async fn send(&self, mobile: &str, purpose: SmsPurpose, code: &str) -> Result<(), String>;
}

/// Sends nothing: who develops knows the code.
pub struct Development;

#[tonic::async_trait]
impl SmsProvider for Development {
    fn new_code(&self) -> String {
        "123456".to_owned()
    }

    async fn send(&self, mobile: &str, purpose: SmsPurpose, code: &str) -> Result<(), String> {
        tracing::info!(mobile, purpose = purpose.as_str_name(), code, "an SMS would be sent");
        Ok(())
    }
}
