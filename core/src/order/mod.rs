//! Orders, each with its payment and its parcel: what is done to them, and the sagas that do it. An order's id is its idempotency key.
//!
//! Reading order: [`row`] (what an order is), [`journal`] (what happened to it), [`case`](mod@case) (an order while a record works on it), [`commands`], [`payment`](mod@payment) and
//! [`parcel`] (what clients do), [`route`] (what a parcel does by itself), [`saga`](mod@saga) (how a saga moves on), [`steps`] (what each step does
//! and what undoes it), [`view`] (what clients see), [`waits`] (what an order waits for).

pub mod case;
pub mod commands;
pub mod journal;
pub mod parcel;
pub mod payment;
pub mod route;
pub mod row;
pub mod saga;
pub mod steps;
pub mod view;
pub mod waits;

pub use case::Case;
pub(crate) use case::latch;
pub(crate) use commands::complete_by_itself;
pub use row::{By, check_idle, check_user, completion, existing, expiry, may_follow, payment, receipt, saga};
