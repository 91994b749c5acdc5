//! The engine: applies a log to its partitions and performs what follows from it.
//!
//! Reading order: [`machine`] is the pure core (what a record does), [`partition`] and [`turn`] apply envelopes with it. Around it
//! the shell: [`recovery`] (what a start checks), [`engine`] (the loop), [`checkpoint`] (state to disk), [`events`] (to downstream), [`outbox`]
//! (to other logs), [`queries`] (reads), [`post`] (answers by core NATS).

pub mod checkpoint;
pub mod engine;
pub mod events;
pub mod machine;
pub mod outbox;
pub mod partition;
pub mod post;
pub mod queries;
pub mod recovery;
pub mod turn;

pub use engine::{Engine, EngineError, Options};
pub use machine::invariants::inspect;
