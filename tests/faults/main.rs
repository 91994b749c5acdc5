//! The real binary, real nats-server and real disks, stopped and killed at all the wrong moments.

mod access;
mod accounts;
mod backup;
mod balance;
mod carts;
mod delivery;
mod events;
mod full_log;
mod goods;
mod history;
mod illness;
mod kill;
mod leases;
mod limits;
mod linear;
mod model;
mod outage;
mod process;
mod rounds;
mod search;
mod shop;
mod short;
mod split;
mod strangers;
mod void;
mod webhook;
