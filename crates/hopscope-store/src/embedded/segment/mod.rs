//! A segment: the events of one log, sealed. Four files: `seg-N.parquet` (the events), `seg-N.keys` (the key
//! index), `seg-N.extra` (counts, progress and tallies), `seg-N.sums` (checksums of the others).

mod attributes;
pub(crate) mod checked;
mod columns;
mod decode;
pub(crate) mod keys;
mod read;
pub(crate) mod sums;
pub(crate) mod write;

pub(crate) use checked::Damaged;
pub(crate) use read::{Caches, FILTER, Failed, IDENTITY, KEYS, Segment, merged, ranges_of};

use super::ints::{Malformed, Reader};
use serde::{Deserialize, Serialize};

/// Names of the files of that log's segment: events, keys, the rest, checksums.
pub(crate) fn file_names(log: u64) -> [String; 4] {
    ["parquet", "keys", "extra", "sums"].map(|extension| format!("seg-{log:010}.{extension}"))
}

/// Number of the log whose segment a file name is of.
pub(crate) fn log_of(name: &str) -> Option<u64> {
    let (number, extension) = name.strip_prefix("seg-")?.split_once('.')?;
    ["parquet", "keys", "extra", "sums"].contains(&extension).then(|| number.parse().ok())?
}

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
