//! The file of checksums of a segment: what the segment is, the length of each of its files and the CRC32C of
//! every block of them. It is written last of a segment's files and has its own checksum at its end, so that
//! a segment whose sums are sound is complete.

use super::SegmentId;
use super::checked::{BLOCK_BYTES, BlockSums};
use super::keys::Part;
use crate::embedded::ints::{Malformed, Reader};
use crate::embedded::manifest::SegmentEntry;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"HOPSSUM1";

/// Most bytes of such a file.
pub(crate) const SUMS_BYTES_MAX: u64 = 64 << 20;

/// Most bytes that one checksum may cover.
const BLOCK_BYTES_MAX: u32 = 1 << 20;

/// What a segment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub entry: SegmentEntry,
    /// Parts of the key index, one a kind.
    pub keys: Vec<Part>,
    /// Bytes of the files: Parquet, keys, the rest.
    pub lens: [u64; 3],
    /// Bytes that one checksum covers.
    #[serde(default = "first_block_bytes")]
    pub block_bytes: u32,
    /// Of a segment as it was sealed: the days of all segments that its log became. The log is needed until
    /// all of them are there. Empty in format 1: then it is one.
    #[serde(default)]
    pub days: Vec<i32>,
    /// Of a merged segment: those that are merged in it, and those that were merged in them.
    #[serde(default)]
    pub replaces: Vec<SegmentId>,
}

/// What a checksum covered before the head said it.
fn first_block_bytes() -> u32 {
    64 << 10
}

impl Head {
    /// Of a segment as it was sealed, one for each of these days; lengths and keys are to be filled in.
    pub fn sealed(entry: SegmentEntry, days: &[i32]) -> Self {
        Self { days: days.to_vec(), ..Self::merged(entry, Vec::new()) }
    }

    /// Of a segment that was merged out of others; lengths and keys are to be filled in.
    pub fn merged(entry: SegmentEntry, replaces: Vec<SegmentId>) -> Self {
        let block_bytes = BLOCK_BYTES as u32;
        Self { entry, keys: Vec::new(), lens: [0; 3], block_bytes, days: Vec::new(), replaces }
    }
}

/// Head and the checksums of the blocks of each file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub head: Head,
    pub blocks: [Vec<u32>; 3],
}

impl Sums {
    /// Those of a file, by its number.
    pub fn of(&self, file: usize) -> BlockSums {
        BlockSums { block_bytes: self.head.block_bytes as usize, sums: self.blocks[file].clone() }
    }
}

pub(crate) fn encode(sums: &Sums) -> Vec<u8> {
    let json = serde_json::to_vec(&sums.head).unwrap_or_default();
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&(json.len() as u32).to_le_bytes());
    out.extend_from_slice(&json);
    for sum in sums.blocks.iter().flatten() {
        out.extend_from_slice(&sum.to_le_bytes());
    }
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Sums, Malformed> {
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(Malformed("ends too early"))?;
    if crc32c::crc32c(body).to_le_bytes() != *checksum {
        return Err(Malformed("checksum does not hold"));
    }
    let mut reader = Reader::new(body);
    if reader.array::<8>()? != *MAGIC {
        return Err(Malformed("is no file of checksums"));
    }
    let json = reader.u32()? as usize;
    let head: Head = serde_json::from_slice(reader.take(json)?).map_err(|_| Malformed("has an odd head"))?;
    if !(1..=BLOCK_BYTES_MAX).contains(&head.block_bytes) {
        return Err(Malformed("has blocks of an odd size"));
    }
    let mut blocks: [Vec<u32>; 3] = Default::default();
    for (blocks, len) in blocks.iter_mut().zip(head.lens) {
        let count = len.div_ceil(u64::from(head.block_bytes)) as usize;
        let sums = reader.take(count.checked_mul(4).ok_or(Malformed("is too long"))?)?;
        *blocks = sums.as_chunks().0.iter().map(|four| u32::from_le_bytes(*four)).collect();
    }
    reader.end()?;
    Ok(Sums { head, blocks })
}
