//! What a run leaves: rows and manifest in files, progress and results on the terminal.

pub mod latency_tables;
pub mod parquet_file;
pub mod progress;
pub mod rows;
pub mod terminal;
