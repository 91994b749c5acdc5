//! A base for the image: a Debian 12 that is made here, since a build machine may not reach a registry of images. It is kept beside what
//! `make tools` installs, so that the next run begins with it.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::store::Store;

pub const NAME: &str = "localhost/debian:bookworm-slim";

/// What the slim image of Debian leaves out, too.
const LEFT_OUT: [&str; 6] = [
    "./usr/share/doc/*",
    "./usr/share/info/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
];

pub fn import(store: &Store) {
    let archive = emshop_deploy::tools().with_file_name("containers").join("bookworm-slim.tar");
    if !archive.is_file() {
        make(&archive);
    }
    store.podman(&["import", "--quiet", archive.to_str().expect("UTF-8"), NAME]);
}

fn make(archive: &Path) {
    let folder = archive.parent().expect("a folder");
    fs::create_dir_all(folder).expect("a folder for what is kept");
    let scratch = TempDir::new_in(folder).expect("a folder");
    let (root, packed) = (scratch.path().join("root"), scratch.path().join("packed.tar"));
    run(Command::new("debootstrap").args(["--variant=minbase", "bookworm"]).arg(&root));
    let left_out = LEFT_OUT.map(|pattern| format!("--exclude={pattern}"));
    run(Command::new("tar").args(left_out).arg("--create").arg("--file").arg(&packed).arg("--directory").arg(&root).arg("."));
    // As a whole or not at all: a run that is cut short leaves none that is taken for whole.
    fs::rename(packed, archive).expect("room for it");
}

pub fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: `scripts/tools containers` installs it"));
    assert!(
        done.status.success(),
        "{command:?}:\n{}",
        [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    );
}
