//! `emshop token`: a token for an operator, signed with the key that the servers have.

use anyhow::{Result, ensure};
use emshop_ingress::Caller;

use crate::cli::TokenFlags;
use crate::config::Settings;
use crate::key;

/// # Errors
/// When the key is not there, or cannot be used.
pub fn sign(flags: &TokenFlags, settings: &Settings) -> Result<String> {
    let path = key::path(settings);
    ensure!(
        path.exists(),
        "there is no key in {}: `emshop serve` makes one in its data folder (--data), or has one of its own (--key-file)",
        path.display()
    );
    let tokens = key::load(&path, &settings.auth)?;
    Ok(tokens.sign(Caller { user_id: flags.user, role: flags.role }, None).token)
}
