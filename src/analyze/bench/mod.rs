//! What `cargo bench` measured: its report, and the gate that a slower commit does not pass.
//!
//! [`estimates`] reads what Criterion left, [`ratios`] holds figures of one run against each other and against what the
//! project wants of them, [`store`] does so for the store path, [`report`] puts that and the [`machine`] into a document,
//! and [`rounds`] decides between two revisions. The programs are `bench-report` and `scripts/bench`, which calls it.

pub mod estimates;
pub mod machine;
pub mod ratios;
pub mod report;
pub mod rounds;
pub mod store;

pub use estimates::{Bench, Error, Run};
