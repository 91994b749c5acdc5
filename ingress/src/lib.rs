//! The gRPC ingress: from a client's call to a record in the log, and back with the outcome.
//!
//! Reading order is the flow: `server` puts it together; `connections` are those of clients; `meter` measures their calls, traces them and has `access_log` write them down; `access` says who calls and whether they may; `services` are what they
//! call; `validate` says what a request must look like; `way` is how a command goes from there into the log, and its outcome
//! back; `health` and `stage` tell others whether calls should come here. `adjust` sets bounds anew while it runs. `status` is what a refusal becomes for a call. Reads take the short way of `queries`. Beside the flow stand `accounts`
//! (passwords, tokens, codes) and `payment` (the payment provider, and what it tells by its webhook).

mod access;
mod access_log;
mod accounts;
mod adjust;
mod connections;
mod deadline;
mod health;
mod meter;
mod nowhere;
pub mod page_token;
pub mod payment;
mod queries;
mod refusals;
mod server;
mod services;
mod signature;
mod stage;
mod status;
pub mod validate;
mod way;

pub use access::Caller;
pub use access::outside::{Issuer, IssuerError, IssuerOptions};
pub use access::rates::{Limits as RateLimits, Rate};
pub use accounts::session::SessionLifetime;
pub use accounts::token::{Algorithm, KeyError, LIFETIME_MAX, Tokens, new_key};
pub use accounts::verification::captcha::{Picture, Plain};
pub use accounts::verification::sms::{Http, LogLines, Message};
pub use accounts::verification::{CaptchaProvider, SmsProvider, Verification};
pub use adjust::Adjust;
pub use connections::Limits as ConnectionLimits;
pub use connections::tls::{Acceptor, TlsError, TlsFiles, acceptor};
pub use payment::PaymentOptions;
pub use server::{BindError, Ingress, Options, bind};
pub use signature::{SharedSecret, Unsigned};
pub use way::admission::Limits as UnderWay;
pub use way::outcomes::LocalOutcomes;
pub use way::prepare::{Defaults, Prepared, prepare};
