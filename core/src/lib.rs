//! The shop as a function: state and record in, state and effects out. Synchronous; no clock, no randomness, no I/O. Time and ids
//! come with the record.
//!
//! Reading order: [`entry`] (what is applied), [`context`] (where, when and by whom), [`apply`] (which handler a command goes to), `sound` (what is taken for granted of it), [`idempotency`] (once, however often it comes), [`order`], [`stock`], [`goods`] and
//! [`user`] (what it does), [`books`] (what comes together of it), `limits` (how much of it users may do), [`replica`] (one log: turns over its records), [`rules`], [`effects`], [`events`], [`outbox`] and [`spans`] (what follows), [`tally`] and [`hot`] (what is counted of it),
//! [`state`] (rows and keys, and the store behind them), [`queries`] (reads), [`invariants`] (what must hold, recomputed).

#![warn(missing_docs)]

pub mod apply;
pub mod books;
pub mod context;
pub mod effects;
pub mod entry;
pub mod events;
pub mod goods;
pub mod hot;
pub mod idempotency;
#[allow(clippy::disallowed_types, reason = "what it finds is the same in any order, and it reads everything there is")]
pub mod invariants;
mod limits;
pub mod order;
pub mod outbox;
pub mod planted;
pub mod queries;
pub mod replica;
pub mod rules;
mod sound;
pub mod spans;
pub mod state;
pub mod stock;
pub mod tally;
pub mod timer;
pub mod user;

pub use invariants::inspect;
