//! Finding the nats-server to run.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ServerError;
use super::cluster::SERVER_VERSION_MIN;

/// Names the binary to run. Then no other is tried.
const OVERRIDE: &str = "EMSHOP_NATS_SERVER";

/// The first nats-server that is new enough: the one the environment names, on the path, in emshop's cache.
pub(super) fn find() -> Result<PathBuf, ServerError> {
    let candidates = match env::var_os(OVERRIDE) {
        Some(path) => vec![PathBuf::from(path)],
        None => on_path().chain(in_cache()).filter(|candidate| candidate.is_file()).collect(),
    };
    let mut refused = Vec::new();
    for candidate in candidates {
        match check(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(reason) => refused.push(format!("{} {reason}", candidate.display())),
        }
    }
    Err(ServerError::NoBinary(if refused.is_empty() {
        "there is none on the path or in the cache".into()
    } else {
        refused.join("; ")
    }))
}

fn on_path() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join("nats-server")).collect::<Vec<_>>().into_iter()
}

fn in_cache() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cache")))?;
    Some(cache.join("emshop/tools/nats-server"))
}

fn check(binary: &Path) -> Result<(), String> {
    let (major, minor) = SERVER_VERSION_MIN;
    let output = Command::new(binary).arg("--version").output().map_err(|error| format!("does not run: {error}"))?;
    let output = String::from_utf8_lossy(&output.stdout);
    match version(&output) {
        Some(version) if version >= SERVER_VERSION_MIN => Ok(()),
        _ => Err(format!("says it is {:?}, but {major}.{minor} or newer is needed", output.trim())),
    }
}

/// Major and minor version in an output such as `nats-server: v2.15.1`.
fn version(output: &str) -> Option<(u64, u64)> {
    let (_, version) = output.trim().rsplit_once('v')?;
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.9.10"), Some((2, 9)));
        assert_eq!(version("nats-server: v2.14.0-beta.2"), Some((2, 14)));
        assert_eq!(version("nats-server"), None);
    }
}
