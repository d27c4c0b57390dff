//! Carries out the faults of a run ([`crate::variant::fault`]), and starts again what ends by a hand that is not ours.
//! What was done and when stands in the manifest ([`shasta_model::manifest::fault`]), with latencies before, during and
//! after ([`impact`]).

pub mod impact;
mod injector;
mod pending_command;
mod targets;

pub use self::{injector::Injector, targets::Targets};
