//! Files with secrets: nobody but their owner may read them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Reads a secret.
///
/// # Errors
/// When the file cannot be read, or can be by others than its owner.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let unreadable = || format!("{} cannot be read", path.display());
    let mode = fs::metadata(path).with_context(unreadable)?.permissions().mode();
    ensure!(
        mode & OTHERS == 0,
        "{path} can be read by others than its owner (mode {mode:04o}): what it holds may be known; make a new secret, or run chmod 600 {path} if nobody has seen it",
        path = path.display(),
        mode = mode & 0o7777,
    );
    fs::read(path).with_context(unreadable)
}
