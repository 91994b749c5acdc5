//! Rounds over a real shop: processes, nats-server, network and disks as a seed draws them, with faults while customers order, and a
//! ledger of all that was acknowledged.
//!
//! Reading order: [`plan`] (what a seed draws), [`round`] (how a round goes), [`live`] (faults under load), [`storage`]
//! (faults of what is stored), [`site`] and [`node`] (the processes), [`proxy`] (the network), [`disk`], [`stranger`] (who has no key), [`downstream`] (who knows the shop from events alone).
//! The ledger is [`crate::model`].

pub mod disk;
pub mod downstream;
pub mod live;
pub mod node;
pub mod plan;
pub mod proxy;
pub mod round;
pub mod site;
pub mod storage;
pub mod stranger;
