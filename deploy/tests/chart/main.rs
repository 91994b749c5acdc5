//! The Helm chart, rendered by helm itself for several values: whether Kubernetes takes it, and whether it does what it is for.

mod links;
mod pods;
mod refused;
mod release;
mod rules;
mod runs;
mod schemas;
