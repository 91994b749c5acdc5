//! The real binary, real nats-server and real disks, stopped and killed at all the wrong moments.

#[path = "../../examples/events/continuity.rs"]
mod continuity;
mod events;
mod kill;
mod limits;
mod model;
mod outage;
mod process;
mod shop;
mod split;
