//! The gRPC ingress: from a client's call to a record in the log, and back with the outcome.
//!
//! Reading order is the flow: `access` (who calls, and may they) → `validate` → `prepare` (ids, defaults, record bytes) → `admission` → `dispatch` → `batcher`
//! (envelopes into the log) → `waiters` and `outcomes` (what the engine answers) → `sink` (a stream's outcomes) and
//! `status` (a call's refusal). Reads take the short way of `queries`. What a payment provider tells comes by `webhook`. `server` puts
//! it together.

mod access;
mod accounts;
mod admission;
mod batcher;
mod category_tree;
mod deadline;
mod dispatch;
mod gateway;
mod health;
mod link;
mod outcomes;
mod page_token;
mod password;
mod payment_provider;
mod position_token;
mod prepare;
mod queries;
mod refusals;
mod server;
mod services;
mod sink;
mod status;
mod token;
mod validate;
mod verification;
mod waiters;
mod webhook;

pub use access::Caller;
pub use payment_provider::{PaymentOptions, WebhookSecret};
pub use server::{BindError, Ingress, Options, bind};
pub use token::{Algorithm, KeyError, Tokens, new_key, role_of};
pub use verification::{Captcha, Sms, Verification};
