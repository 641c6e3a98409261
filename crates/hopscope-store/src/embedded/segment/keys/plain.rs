//! Version 1 of the key index, which is only read: entries of eight bytes in order of fingerprint, of which the
//! first in every 64 KiB of the file is in the segment's head.
//!
//! An entry is 36 bits of the fingerprint, 24 of the first row, 4 that bound how many rows in a row have it.

use super::packed::Entry;
use super::{PREFIX_SHIFT, ROWS_MAX, RUN_BITS, RUN_CODE_MAX};
use crate::embedded::segment::checked::{CheckedFile, Damaged};
use std::ops::Range;

pub(super) const ENTRY_BYTES: usize = 8;

/// Bytes of the file that have a fence: a block of checksums, in format 1.
pub(super) const BLOCK_BYTES: usize = 64 << 10;

/// Where the entries of a kind are, and the first in every block of the file that they are in.
#[derive(Debug)]
pub(super) struct Plain {
    pub start: u64,
    pub count: u32,
    pub fences: Vec<u64>,
}

impl Plain {
    /// Takes a part, if its fences are as many as it has blocks.
    pub fn new(start: u64, count: u32, fences: Vec<u64>) -> Option<Self> {
        let plain = Self { start, count, fences };
        (plain.fences.len() == plain.blocks().count()).then_some(plain)
    }

    pub fn bytes(&self) -> u64 {
        u64::from(self.count) * ENTRY_BYTES as u64
    }

    /// The parts of its range of the file that lie in one block each.
    fn blocks(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let (start, end) = (self.start, self.start + self.bytes());
        let block = BLOCK_BYTES as u64;
        let first = start / block;
        let count = if start == end { 0 } else { end.div_ceil(block) - first };
        (first..first + count).map(move |number| start.max(number * block)..end.min((number + 1) * block))
    }

    /// See [`KeyIndex::probe`](super::KeyIndex::probe).
    pub fn probe(
        &self,
        file: &CheckedFile,
        fingerprints: &[u64],
        mut each: impl FnMut(usize, Entry),
    ) -> Result<(), Damaged> {
        let blocks: Vec<Range<u64>> = self.blocks().collect();
        let mut loaded: Option<(usize, Vec<u64>)> = None;
        for (place, fingerprint) in fingerprints.iter().enumerate() {
            let least = fingerprint >> PREFIX_SHIFT << PREFIX_SHIFT;
            let most = least | ((1 << PREFIX_SHIFT) - 1);
            // The block before the first fence past it may end with it.
            let mut block = self.fences.partition_point(|fence| *fence < least).saturating_sub(1);
            while let Some(range) = blocks.get(block).filter(|_| self.fences[block] <= most) {
                if loaded.as_ref().is_none_or(|(number, _)| *number != block) {
                    let bytes = file.read(range.start, (range.end - range.start) as usize)?;
                    let entries =
                        bytes.as_chunks().0.iter().map(|eight| u64::from_le_bytes(*eight)).collect();
                    loaded = Some((block, entries));
                }
                let entries = loaded.as_ref().map_or(&[][..], |(_, entries)| entries);
                let from = entries.partition_point(|entry| *entry < least);
                let under = entries[from..].iter().take_while(|entry| **entry <= most);
                under.for_each(|entry| each(place, unpacked(*entry)));
                block += 1;
            }
        }
        Ok(())
    }
}

/// What the eight bytes of an entry say.
pub(super) fn unpacked(entry: u64) -> Entry {
    Entry {
        fingerprint: entry >> PREFIX_SHIFT,
        row: (entry >> RUN_BITS) as u32 & (ROWS_MAX - 1),
        code: (entry & u64::from(RUN_CODE_MAX)) as u32,
    }
}
