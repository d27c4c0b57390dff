//! Carries out the faults of a run ([`crate::variant::fault`]), and starts again what ends by a hand that is not ours.
//! What was done and when stands in the manifest ([`Record`]), with latencies before, during and after ([`impact`]).

pub mod impact;
mod injector;
mod pending_command;
mod record;
mod targets;

pub use self::{
    injector::Injector,
    record::{Record, Step},
    targets::Targets,
};
