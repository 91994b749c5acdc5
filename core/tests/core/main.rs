//! The core of the engine, turn by turn, over stores in memory: no NATS, no clock, no threads.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "what the core must not use, its tests may")]

mod ages;
mod balances;
mod cart;
mod catalogue;
mod checkout;
mod codes;
mod commands;
mod erasure;
mod events;
mod golden;
mod goods;
mod inventory;
mod keys;
mod limits;
mod lists;
mod logistics;
mod orders;
mod payment_holds;
mod payments;
mod replay;
mod returns;
mod serial;
mod sessions;
mod shop;
mod sound;
mod stages;
mod stock_history;
mod stock_listing;
mod strategies;
mod stuck;
mod tcc_stock;
mod transitions;
mod user_operations;
mod users;
mod waiting;
mod weaknesses;
