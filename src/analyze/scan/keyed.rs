//! The names of a column of a Parquet file, as keys into those that are distinct: a few to look at instead of one a row.

use std::collections::HashMap;

use polars_arrow::array::{Array, BinaryViewArray};
use polars_buffer::Buffer;

/// The names of a column: each once, and which of them each row has.
pub struct Keyed {
    /// Places in `distinct`, one a row.
    pub keys: Buffer<u16>,
    /// Names; empty where there is none.
    pub distinct: Vec<Box<[u8]>>,
}

/// Entries of a table of keys by the views of their names; a power of two.
const VIEW_SLOTS: usize = 1 << 12;

impl Keyed {
    /// None with more names than there are keys.
    pub fn of(arrays: &[BinaryViewArray]) -> Option<Self> {
        let mut keys = Vec::with_capacity(arrays.iter().map(BinaryViewArray::len).sum());
        let mut known: HashMap<&[u8], u16> = HashMap::new();
        let mut key = |name| {
            let next = u16::try_from(known.len()).ok().filter(|&next| next < u16::MAX)?;
            Some(*known.entry(name).or_insert(next))
        };
        let mut slots = vec![(u128::MAX, 0); VIEW_SLOTS];
        for array in arrays {
            slots.fill((u128::MAX, 0));
            for (k, view) in array.views().iter().enumerate() {
                if array.validity().is_some_and(|valid| !valid.get_bit(k)) {
                    keys.push(key(&[])?);
                    continue;
                }
                // Within an array equal views (a name's bytes, or its place) are equal names: few have to be looked up.
                let view = view.as_u128();
                let slot = &mut slots[slot(view)];
                if slot.0 != view {
                    *slot = (view, key(array.value(k))?);
                }
                keys.push(slot.1);
            }
        }
        let mut distinct = vec![Box::default(); known.len()];
        known.into_iter().for_each(|(name, key)| distinct[usize::from(key)] = name.into());
        Some(Self { keys: Buffer::from_vec(keys), distinct })
    }

    /// The name of each row.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|&key| &*self.distinct[usize::from(key)])
    }
}

fn slot(view: u128) -> usize {
    let mixed = (view as u64 ^ (view >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // The upper bits depend on all bytes of a name, the lower ones on its first.
    (mixed >> 48) as usize % VIEW_SLOTS
}
