//! The key index of a segment: for every kind of key, entries in order of fingerprint.
//!
//! An entry is eight bytes: 36 bits of the fingerprint, 24 of the first row, 4 that bound how many rows in a
//! row have that key. Rows of one message lie together, so that most keys take one entry for all of them. An
//! index only proposes: what the rows hold decides.

use super::checked::{BLOCK_BYTES, CheckedFile, Damaged};
use crate::embedded::fingerprint::Kind;
use std::ops::Range;

const ENTRY_BYTES: usize = 8;
const ROW_BITS: u32 = 24;
const RUN_BITS: u32 = 4;
const PREFIX_SHIFT: u32 = ROW_BITS + RUN_BITS;

/// Most rows of a segment.
pub(crate) const ROWS_MAX: u32 = 1 << ROW_BITS;

/// Longest run of one entry, as a power of two.
const RUN_CODE_MAX: u32 = (1 << RUN_BITS) - 1;

/// What one kind's part of the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Part {
    /// Entries.
    pub count: u32,
    /// First entry in every block of the file that the part is in.
    pub fences: Vec<u64>,
}

/// Collects the keys of rows in their order.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    kinds: [OfKind; Kind::ALL.len()],
}

#[derive(Debug, Default)]
struct OfKind {
    entries: Vec<u64>,
    /// Runs that the last row was part of: fingerprint, first row, last row.
    open: Vec<(u64, u32, u32)>,
}

impl Writer {
    /// Adds a key of a row. Rows come in order.
    pub fn add(&mut self, row: u32, kind: Kind, fingerprint: u64) {
        let OfKind { entries, open } = &mut self.kinds[kind as usize];
        let prefix = fingerprint >> PREFIX_SHIFT;
        // Runs that did not come up to the row before are over.
        open.retain(|run| {
            let alive = run.2 + 1 >= row;
            if !alive {
                entries.push(entry(run));
            }
            alive
        });
        let known = open.iter_mut().find(|run| run.0 == prefix && run.2 - run.1 + 1 < 1 << RUN_CODE_MAX);
        match known {
            Some(run) => run.2 = row,
            None => open.push((prefix, row, row)),
        }
    }

    /// The file, and where its parts are.
    pub fn finish(self) -> (Vec<u8>, Vec<Part>) {
        let mut bytes = Vec::new();
        let mut parts = Vec::new();
        for mut of_kind in self.kinds {
            of_kind.entries.extend(of_kind.open.iter().map(entry));
            of_kind.entries.sort_unstable();
            let mut part = Part { count: of_kind.entries.len() as u32, fences: Vec::new() };
            for (number, entry) in of_kind.entries.iter().enumerate() {
                if number == 0 || bytes.len() % BLOCK_BYTES == 0 {
                    part.fences.push(*entry);
                }
                bytes.extend_from_slice(&entry.to_le_bytes());
            }
            parts.push(part);
        }
        (bytes, parts)
    }
}

fn entry(run: &(u64, u32, u32)) -> u64 {
    let rows = run.2 - run.1 + 1;
    let code = u64::from(rows.next_power_of_two().trailing_zeros());
    run.0 << PREFIX_SHIFT | u64::from(run.1) << RUN_BITS | code
}

fn rows_of(entry: u64) -> Range<u32> {
    let start = (entry >> RUN_BITS) as u32 & (ROWS_MAX - 1);
    start..start + (1 << (entry & u64::from(RUN_CODE_MAX)))
}

/// The key index of a segment, to read. Only its fences are in memory.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    file: CheckedFile,
    rows: u32,
    parts: Vec<(u64, Part)>,
}

impl KeyIndex {
    /// Takes the file, if its length fits its parts.
    pub fn new(file: CheckedFile, rows: u32, parts: Vec<Part>) -> Option<Self> {
        let mut start = 0;
        let mut placed = Vec::with_capacity(parts.len());
        for part in parts {
            let bytes = u64::from(part.count) * ENTRY_BYTES as u64;
            let blocks = blocks_of(start, bytes).count();
            if part.fences.len() != blocks {
                return None;
            }
            placed.push((start, part));
            start += bytes;
        }
        (start == file.byte_len() && placed.len() == Kind::ALL.len()).then_some(Self {
            file,
            rows,
            parts: placed,
        })
    }

    /// Rows that may be under any of these fingerprints; `fingerprints` in order.
    pub fn rows_under(&self, kind: Kind, fingerprints: &[u64]) -> Result<Vec<Range<u32>>, Damaged> {
        let mut found = Vec::new();
        self.probe(kind, fingerprints, |_, rows| found.push(rows))?;
        Ok(found)
    }

    /// Calls `each` with every fingerprint (by its place) and the rows that may be under it. Every block is
    /// read once at most, however many fingerprints there are.
    pub fn probe(
        &self,
        kind: Kind,
        fingerprints: &[u64],
        mut each: impl FnMut(usize, Range<u32>),
    ) -> Result<(), Damaged> {
        let (start, part) = &self.parts[kind as usize];
        let blocks: Vec<Range<u64>> = blocks_of(*start, u64::from(part.count) * ENTRY_BYTES as u64).collect();
        let mut loaded: Option<(usize, Vec<u64>)> = None;
        for (place, fingerprint) in fingerprints.iter().enumerate() {
            let least = fingerprint >> PREFIX_SHIFT << PREFIX_SHIFT;
            let most = least | ((1 << PREFIX_SHIFT) - 1);
            // The block before the first fence past it may end with it.
            let mut block = part.fences.partition_point(|fence| *fence < least).saturating_sub(1);
            while let Some(range) = blocks.get(block).filter(|_| part.fences[block] <= most) {
                if loaded.as_ref().is_none_or(|(number, _)| *number != block) {
                    let bytes = self.file.read(range.start, (range.end - range.start) as usize)?;
                    let entries =
                        bytes.as_chunks().0.iter().map(|eight| u64::from_le_bytes(*eight)).collect();
                    loaded = Some((block, entries));
                }
                let entries = loaded.as_ref().map_or(&[][..], |(_, entries)| entries);
                let from = entries.partition_point(|entry| *entry < least);
                for entry in entries[from..].iter().take_while(|entry| **entry <= most) {
                    let rows = rows_of(*entry);
                    each(place, rows.start..rows.end.min(self.rows));
                }
                block += 1;
            }
        }
        Ok(())
    }

    /// The file.
    pub fn file(&self) -> &CheckedFile {
        &self.file
    }
}

/// The parts of a range of the file that lie in one block each.
fn blocks_of(start: u64, bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let end = start + bytes;
    let block = BLOCK_BYTES as u64;
    let first = start / block;
    let count = if bytes == 0 { 0 } else { end.div_ceil(block) - first };
    (first..first + count).map(move |number| start.max(number * block)..end.min((number + 1) * block))
}

#[cfg(test)]
mod tests {
    use super::super::checked::block_sums;
    use super::*;
    use crate::embedded::dir::{Dir, write_all};
    use crate::embedded::sim_dir::SimDir;
    use crate::kit::random::Random;
    use std::collections::BTreeMap;

    #[test]
    fn proposes_every_row_of_every_key() {
        let mut random = Random(5);
        let mut writer = Writer::default();
        let mut wanted: BTreeMap<(u8, u64), Vec<u32>> = BTreeMap::new();
        for row in 0..60_000u32 {
            for kind in Kind::ALL {
                for _ in 0..random.below(3) {
                    let fingerprint = match kind {
                        Kind::Trace => 1 << 60,
                        Kind::Span => random.bits(),
                        _ => random.below(50) << 40,
                    };
                    writer.add(row, kind, fingerprint);
                    wanted.entry((kind as u8, fingerprint)).or_default().push(row);
                }
            }
        }
        let (bytes, parts) = writer.finish();
        let dir = SimDir::new();
        dir.make_dir("t").expect("made");
        write_all(&dir, "t/keys", &bytes).expect("written");
        let file =
            CheckedFile::open(&dir, "t", "keys", bytes.len() as u64, block_sums(&bytes)).expect("sound");
        let index = KeyIndex::new(file, 60_000, parts).expect("fits");
        for ((kind, fingerprint), rows) in wanted.iter().filter(|(key, _)| key.0 != 1 || key.1 % 97 == 0) {
            let kind = Kind::ALL[*kind as usize];
            let ranges = index.rows_under(kind, &[*fingerprint]).expect("sound");
            assert!(
                rows.iter().all(|row| ranges.iter().any(|range| range.contains(row))),
                "{kind:?} {fingerprint}"
            );
        }
        assert!(index.rows_under(Kind::Trace, &[0, 1 << 59, u64::MAX]).expect("sound").is_empty());
    }
}
