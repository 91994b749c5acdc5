//! The core of the engine, turn by turn, over stores in memory: no NATS, no clock, no threads but the shards.

mod commands;
mod inventory;
mod orders;
mod replay;
mod shop;
mod transitions;
mod weaknesses;
