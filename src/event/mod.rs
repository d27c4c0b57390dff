//! The event, when it is due, and how large the request is that carries it.

pub mod headers;
pub mod partitioner;
pub mod payload;
pub mod request_size;
pub mod schedule;
