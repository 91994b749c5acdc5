//! The engine of one log: turns by `emshop-core`, and around them what the world needs of them.
//!
//! Reading order: [`recovery`] (what a start checks), [`engine`] (the loop), [`checkpoint`] (state to disk), [`events`] (to downstream),
//! [`post`] (answers).

pub mod checkpoint;
pub mod engine;
pub mod events;
pub mod post;
pub mod recovery;

pub use engine::{Engine, EngineError, Options};
