//! Targets: each takes any bytes, and panics when something does not hold that must hold for all of them.
//!
//! `make test` runs each over its corpus and some thousand inputs by chance; `make fuzz` lets libFuzzer look for inputs that reach
//! code which none reached before. Inputs that once found something are in `corpus/<target>`, and are tried first by both.
//!
//! Some targets take bytes as they come from outside. Others read them as choices ([`choice`]), so that what is made is well-formed, and
//! the bytes decide what it says.

pub mod choice;
mod formats;
mod keys;
mod log;
mod requests;
mod shop;
mod words;

/// Something that is tried with any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As the command line and the folder of its corpus call it.
    pub name: &'static str,
    /// Inputs of a bounded run; slow targets get fewer.
    pub runs: u32,
    /// Longest input, in bytes.
    pub bytes_max: usize,
    /// # Panics
    /// When something does not hold.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 12] = [
    Target { name: "envelope", runs: 100_000, bytes_max: 512, run: log::envelope },
    Target { name: "record", runs: 100_000, bytes_max: 512, run: log::record },
    Target { name: "message", runs: 25_000, bytes_max: 512, run: formats::message },
    Target { name: "events", runs: 50_000, bytes_max: 512, run: formats::events },
    Target { name: "keys", runs: 100_000, bytes_max: 256, run: keys::keys },
    Target { name: "ids", runs: 100_000, bytes_max: 128, run: words::ids },
    Target { name: "tracking-number", runs: 100_000, bytes_max: 64, run: words::tracking_number },
    Target { name: "page-token", runs: 100_000, bytes_max: 128, run: words::page_token },
    Target { name: "token", runs: 25_000, bytes_max: 512, run: words::token },
    Target { name: "webhook", runs: 50_000, bytes_max: 512, run: requests::webhook },
    Target { name: "batch", runs: 15_000, bytes_max: 1024, run: requests::batch },
    Target { name: "shop", runs: 1_500, bytes_max: 4096, run: shop::shop },
];

/// The target of a name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
