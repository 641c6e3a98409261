//! The JSON of `GET /api/v1/store`: what is stored takes, how fast it grows, when the disk will be full.

use crate::api::Int64;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /api/v1/store`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreAnswer {
    /// When this was so.
    pub now_ns: Int64,
    /// Folder of the store.
    pub data: String,
    /// Bytes of all segments and logs.
    pub bytes: Int64,
    /// Bytes that may still be written to its file system, where that can be told.
    pub disk_free_bytes: Option<Int64>,
    /// Bytes of that file system.
    pub disk_bytes: Option<Int64>,
    /// Bytes that come in a day, over the last week or since the first receipt; absent before there is an hour
    /// to look at.
    pub growth_bytes_per_day: Option<Int64>,
    /// When the disk is full at that rate; absent where that is never, or cannot be told.
    pub full_ns: Option<Int64>,
    /// The same in a sentence, with how it was computed.
    pub forecast: String,
    /// What each tenant takes.
    pub tenants: Vec<StoredTenant>,
}

/// What one tenant takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoredTenant {
    /// Name.
    pub tenant: String,
    /// Bytes of segments: events and all their indexes.
    pub segment_bytes: Int64,
    /// Events in segments.
    pub segment_events: Int64,
    /// `segment_bytes` / `segment_events`.
    pub bytes_per_event: Option<f64>,
    /// Bytes of the logs.
    pub log_bytes: Int64,
    /// Events that are in the log only, so far.
    pub log_events: Int64,
    /// Earliest receipt of what is in segments.
    pub from_ns: Option<Int64>,
    /// Latest receipt.
    pub to_ns: Option<Int64>,
    /// Segments by day of receipt and level, oldest first.
    pub days: Vec<StoredDay>,
    /// By destination, most bytes first. An estimate: bytes of a segment are divided by its events.
    pub destinations: Vec<StoredDestination>,
    /// Bytes that no destination could be told for.
    pub unattributed_bytes: Int64,
    /// What is missing.
    pub gaps: Vec<StoredGap>,
    /// What retention dropped, oldest first.
    pub dropped: Vec<DroppedDay>,
}

/// Segments of one day and level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoredDay {
    /// `2026-11-21`, UTC: the day of the latest receipt.
    pub day: String,
    /// 0 as sealed, 1 merged.
    pub level: u32,
    /// Segments.
    pub segments: Int64,
    /// Events.
    pub events: Int64,
    /// Bytes.
    pub bytes: Int64,
}

/// What one destination takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoredDestination {
    /// System; empty for spans that are about no message.
    pub system: String,
    /// Destination; empty as `system`.
    pub destination: String,
    /// Events.
    pub events: Int64,
    /// Bytes, estimated.
    pub bytes: Int64,
}

/// Something that was stored and cannot be read any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoredGap {
    /// File.
    pub file: String,
    /// One sentence.
    pub what: String,
    /// Begin of the received time that may be missing, where it is known.
    pub from_ns: Option<Int64>,
    /// End of it.
    pub to_ns: Option<Int64>,
    /// Events that may be missing, where it is known.
    pub events: Option<Int64>,
}

/// Segments of one day that retention dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroppedDay {
    /// When.
    pub at_ns: Int64,
    /// Day of receipt, `2026-11-21`, UTC.
    pub day: String,
    /// `age` or `bytes`.
    pub why: String,
    /// Segments.
    pub segments: Int64,
    /// Events.
    pub events: Int64,
    /// Bytes given back.
    pub bytes: Int64,
}
