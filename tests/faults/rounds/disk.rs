//! A small disk, so that it can be full.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Enough for a round.
const OPTIONS: &str = "size=96m,mode=0700";
const CHUNK: usize = 64 * 1024;

/// A file system in memory, until dropped.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// # Errors
    /// When this user may not mount one.
    pub fn mount(at: &Path) -> Result<Self, String> {
        fs::create_dir_all(at).expect("a new folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", OPTIONS, "tmpfs"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self { at: at.to_owned() }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("there is no mount: {error}")),
        }
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a new file");
        let mut length = CHUNK;
        while length > 0 {
            match file.write(&vec![0; length]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => length /= 2,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Leaves this many MiB free.
    pub fn fill_but(&self, mebibytes: usize) {
        self.fill();
        let file = File::options().write(true).open(self.filler()).expect("it is there");
        let length = file.metadata().expect("its length").len();
        file.set_len(length - (mebibytes << 20) as u64).expect("it is cut");
    }

    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // At once, even if a server that is ending still has files in it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
