//! How a process ends.

use std::io::{self, Write};

/// What a process tells whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode(u8);

impl ExitCode {
    /// All is well.
    pub const SUCCESS: Self = Self(0);
}

impl From<u8> for ExitCode {
    fn from(code: u8) -> Self {
        Self(code)
    }
}

/// Ends the process at once. Not in the way of the C library, which takes down what RocksDB stands on while a thread of ours may still write
/// a checkpoint: an engine that cannot go on is not waited for, since its disk may be why.
/// What is on its way to the standard output is lost.
#[allow(unsafe_code, reason = "the call takes a number and does not return")]
pub fn at_once(ExitCode(code): ExitCode) -> ! {
    unsafe { nix::libc::_exit(code.into()) }
}

/// Ends a process that has done its work. [`at_once`] is for one that must not wait for whoever reads what it printed.
pub fn in_order(code: ExitCode) -> ! {
    // Nobody is left to be told that this fails.
    let _ = io::stdout().flush();
    at_once(code)
}
