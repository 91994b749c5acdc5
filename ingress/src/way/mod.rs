//! The way of a command, in this order: [`dispatch`] takes it from a service and prepares it ([`prepare`]: ids, defaults, record
//! bytes), [`admission`] has room for it, a [`batcher`] puts it into an envelope and that into the log, and its waiter
//! ([`waiters`]) gets what the engine answers ([`outcomes`]): a call directly, a stream by its [`sink`]. Whether there is an engine, and how
//! far it is, is known to [`engines`]. What is measured of all that is in [`metrics`].

pub mod admission;
pub mod batcher;
pub mod dispatch;
pub mod engines;
#[cfg(all(test, feature = "shuttle"))]
mod handoffs;
pub mod metrics;
pub mod outcomes;
pub mod prepare;
pub mod sink;
pub mod traced;
pub mod waiters;
