//! What the tests of packages, images and charts share. What they look at is in the folders beside this one.

#![warn(missing_docs)]

pub mod http;
pub mod process;
pub mod tools;

use std::env;
use std::path::PathBuf;

/// A program of emshop, built with the tests that ask for it.
///
/// # Panics
/// When it has not been built: tests of other packages do so, which a build of the whole workspace has.
pub fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a process knows its program");
    let program = test.ancestors().nth(2).expect("tests are in a folder of the target folder").join(name);
    assert!(program.exists(), "{} is missing: build the whole workspace", program.display());
    program
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder where `make tools` puts what the machine lacks.
pub fn tools() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    cache.or_else(|| Some(env::home_dir()?.join(".cache"))).expect("a home").join("emshop/tools")
}

/// The nats-server of this machine: that on the path, or that of `make tools`.
pub fn nats_server() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).chain([tools()]).collect();
    folders.into_iter().map(|folder| folder.join("nats-server")).find(|file| file.is_file())
}
