//! What is measured of emshop.
//!
//! [`catalogue`] says what there is, each with what it means; a [`Registry`] keeps the values of one process. What measures something looks up
//! its handles once, when it is made, and keeps them: to count is an addition that waits for nobody. [`traces`] has the spans of single calls.

#![warn(missing_docs)]

pub mod catalogue;
mod registry;
pub mod traces;

pub use registry::{Counter, Gauge, Histogram, Lazy, Registry, TEXT_FORMAT};
