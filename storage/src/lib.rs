//! Where emshop keeps things: the command log, which is the truth, and the state store, which is a checkpoint of it.

pub mod log;
pub mod state;
