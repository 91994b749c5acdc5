//! The ingress over real tonic and a real nats-server; only the engine is a stand-in that answers what a test wants to hear.

mod access;
mod audit;
mod calls;
mod engine;
mod goods;
mod inventory;
mod keys;
mod outage;
mod search;
mod shop;
mod streams;
mod waiting;
