//! [`Filters`]: for each 2,048 rows of a segment which attributes may be in them, own ones and those of resources, so
//! that a search for one that is rare reads few pages. They lie in the file of events behind the last row group,
//! where readers of Parquet do not look, and its own metadata says where. Segments from before there were any have none.
//!
//! A filter is a Bloom filter in blocks: a fingerprint sets one bit in each of the four words of one block, so
//! that asking reads 32 bytes. It is as long as it needs: rows that say the same again take nothing.

use super::arrays::Arrays;
use super::attributes;
use super::checked::{CheckedFile, Damaged};
use super::draft::Summed;
use parquet::file::metadata::{FileMetaData, KeyValue};
use parquet::file::writer::SerializedFileWriter;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::ops::Range;

/// Rows of one filter: one page.
const FILTER_ROWS: u32 = 2_048;

const BLOCK_BYTES: usize = 32;
const BLOCK_BITS: usize = BLOCK_BYTES * 8;

/// Bits for each fingerprint: about one page in sixty is read in vain.
const FINGERPRINT_BITS: usize = 10;

/// Most blocks of a filter: three bytes a row. With more fingerprints than suit them, more pages are read in vain.
const BLOCKS_MAX: usize = 192;

/// Key in the metadata of the Parquet file.
const METADATA_KEY: &str = "hopscope.attributes";

/// Format of the filters.
const VERSION: &str = "1";

/// See the module.
#[derive(Debug)]
pub(super) struct Filters {
    /// Where they begin in the file.
    start: u64,
    /// Of each filter the blocks of it and those before it.
    ends: Vec<u32>,
}

impl Filters {
    /// Reads where they are, and says the bytes of memory; `None` where the file has none.
    pub fn load(file: &CheckedFile, metadata: &FileMetaData) -> Result<(Option<Self>, usize), Damaged> {
        let Some((start, count)) = place_of(metadata) else { return Ok((None, 0)) };
        let ends = file.read(start, count * size_of::<u32>())?;
        let (ends, _) = ends.as_chunks::<4>();
        let filters = Self {
            start: start + (count * 4) as u64,
            ends: ends.iter().map(|end| u32::from_le_bytes(*end)).collect(),
        };
        let bytes = size_of::<Self>() + count * size_of::<u32>();
        Ok((Some(filters), bytes))
    }

    /// Whether any of these rows may have an attribute with one of these fingerprints.
    pub fn may_have(
        &self,
        file: &CheckedFile,
        rows: &Range<u32>,
        fingerprints: &[u64],
    ) -> Result<bool, Damaged> {
        for filter in rows.start / FILTER_ROWS..rows.end.div_ceil(FILTER_ROWS) {
            let first =
                filter.checked_sub(1).map_or(Some(0), |before| self.ends.get(before as usize).copied());
            let end = self.ends.get(filter as usize).copied();
            // What is not told may be anything.
            let Some((first, end)) = first.zip(end).filter(|(first, end)| first <= end) else {
                return Ok(true);
            };
            if first == end {
                continue;
            }
            for fingerprint in fingerprints {
                let block = first as usize + block_of(*fingerprint, (end - first) as usize);
                let bytes = file.read(self.start + (block * BLOCK_BYTES) as u64, BLOCK_BYTES)?;
                let (words, _) = bytes.as_chunks::<8>();
                let sets = |(word, bit): (&[u8; 8], u64)| u64::from_le_bytes(*word) & bit != 0;
                if words.iter().zip(bits_of(*fingerprint)).all(sets) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

fn place_of(metadata: &FileMetaData) -> Option<(u64, usize)> {
    let pair = metadata.key_value_metadata()?.iter().find(|pair| pair.key == METADATA_KEY)?;
    let mut words = pair.value.as_ref()?.split(' ');
    (words.next() == Some(VERSION)).then_some(())?;
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// The fingerprint of a token of [`attributes::each_token`].
fn fingerprint_of(token: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(token)
}

/// Fingerprints of which a filter has one, if one of its rows has such an attribute: see [`attributes::has`].
pub(crate) fn fingerprints_of(name: &str, wanted: &str) -> Vec<u64> {
    attributes::tokens(name, wanted).iter().map(|token| fingerprint_of(token.as_bytes())).collect()
}

/// Its block, of so many.
fn block_of(fingerprint: u64, blocks: usize) -> usize {
    (((fingerprint >> 32) * blocks as u64) >> 32) as usize
}

/// Its bit in each word of the block.
fn bits_of(fingerprint: u64) -> [u64; 4] {
    [0, 6, 12, 18].map(|shift| 1 << ((fingerprint >> shift) & 63))
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

type Fingerprints = HashSet<u64, BuildHasherDefault<AsItIs>>;

/// Makes the filters of rows in their order.
#[derive(Default)]
pub(super) struct Writer {
    /// Of the rows since the last filter.
    fingerprints: Fingerprints,
    /// Attributes of one row that the filter has, as one: most rows say what one before them says.
    known: Fingerprints,
    rows: u32,
    /// One of them has attributes that cannot be read.
    unreadable: bool,
    blocks: Vec<u8>,
    ends: Vec<u32>,
}

impl Writer {
    /// Adds rows behind those that there are.
    pub fn add(&mut self, rows: &Arrays<'_>) {
        let mut last = None;
        for row in 0..rows.rows() {
            if let Some(json) = rows.attributes.at(row) {
                self.add_json(json);
            }
            let resource = rows.resource.number(row);
            if let Some(number) = resource.filter(|_| resource != last) {
                self.add_json(rows.resource.name(number));
            }
            last = resource;
            self.rows += 1;
            if self.rows == FILTER_ROWS {
                self.put();
                last = None;
            }
        }
    }

    fn add_json(&mut self, json: &str) {
        if !self.known.insert(fingerprint_of(json.as_bytes())) {
            return;
        }
        let fingerprints = &mut self.fingerprints;
        let read = attributes::each_token(json, |token| {
            fingerprints.insert(fingerprint_of(token));
        });
        self.unreadable |= read.is_none();
    }

    fn put(&mut self) {
        let first = self.blocks.len();
        let blocks = (self.fingerprints.len() * FINGERPRINT_BITS).div_ceil(BLOCK_BITS).min(BLOCKS_MAX);
        if self.unreadable {
            self.blocks.resize(first + BLOCK_BYTES, u8::MAX);
        } else {
            self.blocks.resize(first + blocks * BLOCK_BYTES, 0);
            let (words, _) = self.blocks[first..].as_chunks_mut::<8>();
            for fingerprint in &self.fingerprints {
                let block = block_of(*fingerprint, blocks) * (BLOCK_BYTES / 8);
                for (word, bit) in words[block..].iter_mut().zip(bits_of(*fingerprint)) {
                    *word = (u64::from_le_bytes(*word) | bit).to_le_bytes();
                }
            }
        }
        self.ends.push((self.blocks.len() / BLOCK_BYTES) as u32);
        (self.rows, self.unreadable) = (0, false);
        self.fingerprints.clear();
        self.known.clear();
    }

    /// Puts them behind the rows that were written.
    pub fn finish(mut self, file: &mut SerializedFileWriter<Summed>) -> io::Result<()> {
        if self.rows > 0 {
            self.put();
        }
        let place = format!("{VERSION} {} {}", file.bytes_written(), self.ends.len());
        for end in &self.ends {
            file.write_all(&end.to_le_bytes())?;
        }
        file.write_all(&self.blocks)?;
        file.append_key_value_metadata(KeyValue::new(METADATA_KEY.to_owned(), place));
        Ok(())
    }
}
