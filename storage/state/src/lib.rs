//! The state store on RocksDB: one database per log, without a write-ahead log, since the command log is one, and without memtables,
//! since a checkpoint comes as sorted files.
//!
//! Reading order: `store` (rows in and out), `staging` (a checkpoint becomes files), `parts` (which files), `options` (how
//! RocksDB keeps them), `metrics` (how it gets on).

#![warn(missing_docs)]

mod metrics;
mod options;
mod parts;
mod staging;
mod store;

pub use store::{OpenError, RocksRows, RocksStore};
