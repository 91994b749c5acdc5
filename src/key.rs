//! The key that signs tokens, in a file that only its owner reads.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use emshop_ingress::{Algorithm, Tokens};
use tempfile::NamedTempFile;

use crate::config::Auth;

/// Reads the key of a file.
pub fn load(path: &Path, auth: &Auth) -> Result<Tokens> {
    let key = fs::read_to_string(path).with_context(|| format!("the key in {} cannot be read", path.display()))?;
    tokens(&key, path, auth.algorithm, auth.token_lifetime)
}

/// Reads the key of a file, which is made when it is not there.
pub fn load_or_make(path: &Path, auth: &Auth) -> Result<Tokens> {
    if !path.exists() {
        make(path, auth.algorithm).with_context(|| format!("a key cannot be written to {}", path.display()))?;
    }
    load(path, auth)
}

/// As a whole or not at all.
fn make(path: &Path, algorithm: Algorithm) -> Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    // Nobody but its owner may read a temporary file, under its final name too.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(emshop_ingress::new_key(algorithm).as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error.into()),
        _ => Ok(()),
    }
}

fn tokens(key: &str, path: &Path, algorithm: Algorithm, lifetime: Duration) -> Result<Tokens> {
    let unusable = || format!("the key in {} does not fit the setting auth.algorithm", path.display());
    Tokens::new(algorithm, key, lifetime).with_context(unusable)
}
