//! A segment: the events of one day of receipt, out of one log or merged out of several segments. Four files:
//! `.parquet` (the events), `.keys` (the key index), `.extra` (rollup, progress and tallies), `.sums` (checksums
//! of the others). [`SegmentId`] says what they are named.

mod arrays;
pub(crate) mod attributes;
mod caches;
pub(crate) mod checked;
mod columns;
mod decode;
mod draft;
mod events_file;
mod filters;
mod footer;
mod id;
mod implied;
pub(crate) mod keys;
pub(crate) mod merge;
mod numbered;
mod output;
mod pages;
mod places;
mod read;
mod rebuild;
pub(crate) mod rollup;
pub(crate) mod sums;
pub(crate) mod write;

pub(crate) use caches::Caches;
use checked::CheckedFile;
pub(crate) use checked::Damaged;
pub(crate) use columns::schema;
pub(crate) use decode::{Rows, decode};
pub(crate) use filters::fingerprints_of;
pub(crate) use footer::InPage;
pub(crate) use id::{DAY_NS, SegmentId, day_of};
pub(crate) use read::{FILTER, Failed, IDENTITY, KEYS, MEASURED, Segment, merged, ranges_of};
pub(crate) use rebuild::{Parts, Rebuild, RebuildError, Rebuilt};

use super::ints::{Malformed, Reader};
use std::ops::Range;

/// What a file of a segment's other things begins with where it holds a rollup; up to format 2 there was the length
/// of a summary, which is far less.
const WITH_ROLLUP: u32 = u32::MAX;

/// What a segment holds beside its events: marker, length of the rollup, rollup, the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    /// Empty where there are too many combinations.
    pub rollup: Vec<u8>,
    /// A frame of all progress and tallies.
    pub rest: Vec<u8>,
}

/// Where the parts of such a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtraParts {
    pub rollup: Range<u64>,
    pub rest: Range<u64>,
    /// Up to format 2: JSON of counts, in place of a rollup.
    pub is_summary: bool,
}

impl Extra {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = WITH_ROLLUP.to_le_bytes().to_vec();
        out.extend_from_slice(&(self.rollup.len() as u64).to_le_bytes());
        out.extend_from_slice(&self.rollup);
        out.extend_from_slice(&self.rest);
        out
    }
}

impl ExtraParts {
    /// The bytes at the begin of a file that say where its parts are; a file may be shorter.
    pub const HEAD_BYTES: u64 = 12;

    /// Of an open file.
    pub fn in_file(file: &CheckedFile) -> Result<Self, Damaged> {
        let len = file.byte_len();
        let head = file.read(0, len.min(Self::HEAD_BYTES) as usize)?;
        Self::of(&head, len).map_err(|malformed| file.damaged(malformed.0.to_owned()))
    }

    /// Of a file of that length.
    fn of(head: &[u8], len: u64) -> Result<Self, Malformed> {
        let mut reader = Reader::new(head);
        let (begin, bytes, is_summary) = match reader.u32()? {
            WITH_ROLLUP => (Self::HEAD_BYTES, reader.u64()?, false),
            bytes => (4, u64::from(bytes), true),
        };
        let end = begin.checked_add(bytes).filter(|end| *end <= len).ok_or(Malformed("ends too early"))?;
        Ok(Self { rollup: begin..end, rest: end..len, is_summary })
    }
}
