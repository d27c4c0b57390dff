//! What a person says to `experiment`, and sees of it: arguments, the screen after a run, exit codes.

pub mod arguments;
mod cluster_commands;
pub mod commands;
pub mod exit;
pub mod log;
pub mod screen;
