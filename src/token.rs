//! `emshop token`: a token for an operator, signed with the key that the servers have.

use anyhow::Result;
use emshop_ingress::Caller;

use crate::cli::TokenFlags;
use crate::config::Settings;
use crate::key;

/// # Errors
/// When the key is not there, or cannot be used.
pub fn sign(flags: &TokenFlags, settings: &Settings) -> Result<String> {
    let tokens = key::load(&key::find(settings)?, &settings.auth)?;
    Ok(tokens.sign(Caller { user_id: flags.user, role: flags.role }, None).token)
}
