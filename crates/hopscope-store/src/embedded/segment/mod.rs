//! A segment: the events of one day of receipt, out of one log or merged out of several segments. Four files:
//! `.parquet` (the events), `.keys` (the key index), `.extra` (counts, progress and tallies), `.sums` (checksums
//! of the others). [`SegmentId`] says what they are named.

mod arrays;
pub(crate) mod attributes;
mod caches;
pub(crate) mod checked;
mod columns;
mod decode;
mod draft;
mod footer;
mod id;
mod implied;
pub(crate) mod keys;
pub(crate) mod merge;
mod output;
mod pages;
mod places;
mod read;
mod rebuild;
mod summary;
pub(crate) mod sums;
pub(crate) mod write;

pub(crate) use caches::Caches;
pub(crate) use checked::Damaged;
pub(crate) use columns::schema;
pub(crate) use decode::{Rows, decode};
pub(crate) use footer::InPage;
pub(crate) use id::{DAY_NS, SegmentId, day_of};
pub(crate) use read::{FILTER, Failed, IDENTITY, KEYS, MEASURED, Segment, merged, ranges_of};
pub(crate) use rebuild::{Rebuild, RebuildError};

use super::ints::{Malformed, Reader};
use serde::{Deserialize, Serialize};

/// Counts of one combination of all dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SummaryRow {
    /// System, cluster, destination, lane, group, service, stage, outcome.
    pub values: Vec<String>,
    pub events: u64,
    pub failed: u64,
    pub first_ns: i64,
    pub last_ns: i64,
}

impl SummaryRow {
    /// About the bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let texts: usize = self.values.iter().map(|value| size_of::<String>() + value.len()).sum();
        size_of::<Self>() + texts
    }
}

/// What a segment holds beside its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    /// `None` where there are too many combinations.
    pub summary: Option<Vec<SummaryRow>>,
    /// A frame of all progress and tallies.
    pub rest: Vec<u8>,
}

impl Extra {
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(&self.summary).unwrap_or_default();
        let mut out = (json.len() as u32).to_le_bytes().to_vec();
        out.extend_from_slice(&json);
        out.extend_from_slice(&self.rest);
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let len = reader.u32()? as usize;
        let json = reader.take(len)?;
        let summary = serde_json::from_slice(json).map_err(|_| Malformed("has an odd summary"))?;
        let rest = bytes[4 + len..].to_vec();
        Ok(Self { summary, rest })
    }
}
