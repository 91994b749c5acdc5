//! What tests of several crates share. Nothing of it is in the product.

#![warn(missing_docs)]

pub mod docs;
pub mod source;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The top of the source tree that the test runs in, which need not be where this crate was compiled: clones share what is built.
///
/// # Panics
/// Outside of a source tree.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = std::env::current_dir().expect("tests run in a folder");
        let top = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
        top.expect("tests run in the source tree").to_owned()
    });
    &ROOT
}

/// The text of a file of the tree.
///
/// # Panics
/// When there is no such file.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder of the tree whose names end with `extension`, by name.
///
/// # Panics
/// When there is no such folder.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|ending| ending == extension) {
            found.push(path);
        }
    }
    found
}
