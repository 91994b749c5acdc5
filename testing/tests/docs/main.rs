//! The documentation says what the source says: pages and tables are generated from it, and what the others quote must be there.

mod access;
mod api;
mod errors;
mod events;
mod lines;
mod metrics;
mod paths;
mod retries;
mod rows;
mod sentences;
mod statuses;
