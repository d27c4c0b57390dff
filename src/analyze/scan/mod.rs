//! x
pub mod field;
pub mod layout;
pub mod line;
pub mod names;
