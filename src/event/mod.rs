//! The event, when it is due, and how large the request is that carries it.

pub mod request_size;
pub mod schedule;
pub mod tag_data;
