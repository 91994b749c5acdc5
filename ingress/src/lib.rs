//! The gRPC ingress: from a client's call to a record in the log, and back with the outcome.
//!
//! Reading order is the flow: `validate` → `prepare` (ids, defaults, record bytes) → `admission` → `dispatch` → `batcher`
//! (envelopes into the log) → `waiters` and `outcomes` (what the engine answers) → `sink` (a stream's outcomes) and
//! `status` (a call's refusal). Reads take the short way of `queries`. `server` puts it together.

mod admission;
mod batcher;
mod deadline;
mod dispatch;
mod gateway;
mod health;
mod link;
mod outcomes;
mod page_token;
mod prepare;
mod queries;
mod refusals;
mod server;
mod services;
mod sink;
mod status;
mod validate;
mod waiters;

pub use server::{BindError, Ingress, Options, bind};
