//! The ingress over real tonic and a real nats-server; only the engine is a stand-in that answers what a test wants to hear.

mod calls;
mod engine;
mod outage;
mod shop;
mod streams;
