//! Files with secrets: nobody but their owner may read them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

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
        "{path} can be read by others than its owner (mode {mode:04o}): run chmod 600 {path}, and if somebody may have seen what it holds, it is no secret any more",
        path = path.display(),
        mode = mode & 0o7777,
    );
    fs::read(path).with_context(unreadable)
}

/// Writes a secret to a new file, as a whole or not at all.
///
/// # Errors
/// When it cannot be written, or there is such a file.
pub fn make(path: &Path, secret: &[u8]) -> Result<()> {
    write(path, secret).with_context(|| format!("a key cannot be written to {}", path.display()))
}

fn write(path: &Path, secret: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    // Nobody but its owner may read a temporary file, under its final name too.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(secret)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    Ok(fs::File::open(folder)?.sync_all()?)
}
