//! A whole shop in one thread, with faults: one seed decides what clients want, how long everything takes, and what goes wrong.
//!
//! The engines are the real ones, by their shells ([`emshop_engine::shell`]); around them logs, stores, ingresses, clients and consumers are
//! stand-ins that fail as the real ones can. A [`model`] that shares no code with the engines says what each command comes to.
//!
//! Reading order: [`plan`] (what a seed decides), [`world`] (what happens), [`host`] (an engine), [`logs`], [`ingress`], [`client`],
//! [`people`], [`consumer`], [`model`], [`shrink`] (the smallest run that still fails).

pub mod client;
pub mod consumer;
pub mod coverage;
pub mod host;
pub mod ingress;
pub mod logs;
pub mod model;
pub mod people;
pub mod plan;
pub mod shrink;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use coverage::Coverage;
use model::Wrong;
use plan::Settings;
use world::World;

/// Runs a shop, and tells what is wrong with it, if something is. What was reached until then is told in any case.
pub fn run(settings: &Settings) -> (Result<(), Wrong>, Coverage) {
    let mut world = World::new(settings);
    let result = catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("an engine panicked: {}", text.unwrap_or_default()))
    });
    (result, std::mem::take(&mut world.coverage))
}
