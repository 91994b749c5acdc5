//! Files with secrets: nobody but their owner may read them, and this process where root gives them to it by its group.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;
use tempfile::NamedTempFile;

/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;
/// That of them by which a group reads.
const GROUP_READS: u32 = 0o040;

/// Reads a secret.
///
/// # Errors
/// When the file cannot be read, or can be by others than its owner. Root may give it to a group of this process.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let unreadable = || format!("{} cannot be read", path.display());
    let metadata = fs::metadata(path).with_context(unreadable)?;
    let mode = metadata.permissions().mode();
    ensure!(
        is_private(mode, metadata.uid(), geteuid().as_raw()),
        "{path} can be read by others than its owner (mode {mode:04o}): run chmod 600 {path}, and if somebody may have seen what it holds, it is no secret any more",
        path = path.display(),
        mode = mode & 0o7777,
    );
    fs::read(path).with_context(unreadable)
}

/// Whether nobody reads a file with this mode and owner but who should. Who mounts secrets into containers leaves them to root, and lets the
/// group of the process read: then that group is as good an owner as there is.
fn is_private(mode: u32, owner: u32, us: u32) -> bool {
    let is_given = owner == 0 && us != 0;
    mode & OTHERS & !(if is_given { GROUP_READS } else { 0 }) == 0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_reads_what_root_gave_it_and_nothing_else() {
        let (root, us, another) = (0, 10_001, 10_002);
        for (mode, owner, is_good) in [
            (0o100_600, us, true),
            (0o100_400, us, true),
            (0o100_640, us, false),
            (0o100_440, root, true),
            (0o100_640, root, true),
            (0o100_400, root, true),
            (0o100_444, root, false),
            (0o100_660, root, false),
            (0o100_450, root, false),
            (0o100_440, another, false),
        ] {
            assert_eq!(is_private(mode, owner, us), is_good, "{mode:o} of {owner}");
        }
        // Root is given nothing by itself.
        assert!(!is_private(0o100_440, root, root));
        assert!(is_private(0o100_400, root, root));
    }
}
