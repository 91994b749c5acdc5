//! Files with secrets: nobody but their owner may read them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
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

/// Writes a secret to a file in place of what it had, as a whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, secret: &[u8]) -> Result<()> {
    let write = || {
        let owner = fs::metadata(path)?.uid();
        let file = temporary(path, secret)?;
        ensure!(
            file.as_file().metadata()?.uid() == owner,
            "it belongs to another user, who could not read it any more: do this as that user"
        );
        file.persist(path)?;
        sync_folder(path)
    };
    write().with_context(|| format!("a key cannot be written to {}", path.display()))
}

fn write(path: &Path, secret: &[u8]) -> Result<()> {
    let file = temporary(path, secret)?;
    file.persist_noclobber(path)?;
    sync_folder(path)
}

/// Nobody but its owner may read a temporary file, under its final name too.
fn temporary(path: &Path, secret: &[u8]) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder(path))?;
    file.write_all(secret)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn sync_folder(path: &Path) -> Result<()> {
    Ok(fs::File::open(folder(path))?.sync_all()?)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}
