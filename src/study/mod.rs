//! Many runs: campaigns, and searches for the load at which the promise breaks.

pub mod campaign;
pub mod search;
