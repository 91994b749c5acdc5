//! What a stranger, or a client gone wild, tries against the real binary: each fails in the way that the docs say, and others are served.

mod aging;
mod ciphers;
mod crowd;
mod floods;
mod frames;
mod leaving;
mod often;
mod paths;
mod tls;
mod wire;

#[allow(dead_code, reason = "the tests of faults need more of it")]
#[path = "../faults/process.rs"]
mod process;
#[allow(dead_code, reason = "the tests of faults need more of it")]
#[path = "../faults/shop.rs"]
mod shop;

use std::fs;

use tonic::Status;
use tonic_types::StatusExt;

/// Why a call was refused.
fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap_or_else(|| panic!("{status:?} says why")).reason
}

/// Memory of a process, in KiB.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}
