//! How many files this process may have open: as many as it is allowed, for connections and the store's files count alike.

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as it goes without rights, and tells what it is then.
///
/// # Errors
/// What the kernel says.
pub fn raise() -> Result<usize> {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    let limit = raised.context("the limit of open files cannot be raised")?;
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}
