//! The engine of one log: turns by `emshop-core`, and around them what the world needs of them.
//!
//! [`shell`] decides what is done and when, without doing anything: inputs come in, actions come out. [`runtime`] carries the actions out
//! with NATS, the state store and threads. [`mod@cut`] says which entries of several logs fit together, for backups.

pub mod cut;
pub mod runtime;
pub mod shell;

pub use runtime::{Engine, Limiter, Options};
pub use shell::EngineError;
