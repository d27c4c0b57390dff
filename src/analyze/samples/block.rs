//! Blocks of rows, column by column: in memory, or one after the other in a temporary file.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use super::By;

/// Rows in a block, the unit of keeping and of reading back.
pub(super) const BLOCK_ROWS: usize = 1 << 16;

/// Rows that are kept together, at most [`BLOCK_ROWS`].
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Columns of pairs and of seconds, as of [`By`].
    pub keys: [Vec<u16>; 2],
    /// A column for each latency.
    pub us: Vec<Vec<i32>>,
}

/// Where a block that is not open any more is.
#[derive(Debug)]
pub(super) enum Kept {
    Memory(Block),
    Disk { file: Arc<File>, at: u64 },
}

impl Block {
    pub fn bytes(&self) -> u64 {
        (self.keys.len() * 2 + self.us.len() * 4) as u64 * self.keys[0].len() as u64
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let keys = self.keys.iter().flatten().flat_map(|key| key.to_le_bytes());
        keys.chain(self.us.iter().flatten().flat_map(|us| us.to_le_bytes())).collect()
    }
}

/// Pairs or seconds of a full block at `at` in the file.
pub(super) fn read_keys(file: &File, at: u64, by: By) -> io::Result<Vec<u16>> {
    read(file, at + (by as usize * 2 * BLOCK_ROWS) as u64, u16::from_le_bytes)
}

/// One latency of a full block at `at` in the file.
pub(super) fn read_latency(file: &File, at: u64, latency: usize) -> io::Result<Vec<i32>> {
    read(file, at + ((4 + latency * 4) * BLOCK_ROWS) as u64, i32::from_le_bytes)
}

/// One column of a block on disk.
fn read<T, const BYTES: usize>(file: &File, at: u64, decode: fn([u8; BYTES]) -> T) -> io::Result<Vec<T>> {
    let mut bytes = vec![0; BLOCK_ROWS * BYTES];
    file.read_exact_at(&mut bytes, at)?;
    let (values, _) = bytes.as_chunks::<BYTES>();
    Ok(values.iter().map(|&value| decode(value)).collect())
}
