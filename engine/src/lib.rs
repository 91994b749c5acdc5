//! The engine of one log: turns by `emshop-core`, and around them what the world needs of them.
//!
//! Reading order: [`recovery`] (what a start checks), [`intake`] (entries and queries on their way to the loop), [`engine`] (the loop),
//! [`schedule`] (when a checkpoint is taken), [`checkpoint`] (state to disk), [`events`] (to downstream), [`post`] (answers),
//! [`inspection`] (a long read beside all that).

pub mod checkpoint;
pub mod engine;
pub mod events;
pub mod inspection;
pub mod intake;
pub mod post;
pub mod recovery;
pub mod schedule;

pub use engine::{Engine, EngineError, Options};
