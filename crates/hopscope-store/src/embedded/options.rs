//! [`Options`]: the limits of the embedded store, each with its unit, and how durable its log is.

use std::time::Duration;

/// When a batch is acknowledged, and what a loss of power may cost. The death of the process costs nothing in
/// any mode, and what is sealed into a segment is durable in every one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WalMode {
    /// After its record is synced: nothing acknowledged is ever lost.
    #[default]
    Sync,
    /// After its record is written; the log is synced once in this period, which is what may be lost.
    Interval(Duration),
    /// After its record is written; nobody syncs the log: all that is not in a segment yet may be lost.
    None,
}

/// Limits of the embedded store. The defaults suit a server with 1 GiB of memory or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Events and samples of progress after which memory is sealed into a segment.
    pub seal_rows: usize,
    /// Bytes of log after which memory is sealed into a segment. While sealing is behind, the log and the one
    /// before it may each become twice as long: all that a start replays is four times this.
    pub seal_bytes: u64,
    /// Bytes of memory after which it is sealed into a segment: a log is compressed, and may be many times as
    /// large in memory. While sealing is behind, a tenant may have four times this, as with `seal_bytes`.
    pub table_bytes_max: usize,
    /// Whether segments are merged in the background.
    pub compact: bool,
    /// Events after which the sealed segments of a day are merged into one, and most events of a merged segment.
    pub compact_rows: usize,
    /// Sealed segments of a day after which they are merged, however few events they have.
    pub compact_segments_max: usize,
    /// When the log is synced.
    pub wal_mode: WalMode,
    /// Most bytes of log records that one sync makes durable together. A group is what came in during the sync
    /// before: no batch waits for a timer.
    pub group_bytes_max: usize,
    /// Bytes of the file system that are left free: with fewer, appends are refused with `Unavailable` until
    /// there are more, and sealing still has room.
    pub disk_reserve_bytes: u64,
    /// Most bytes of batches that wait for the log; more are refused with `Unavailable`.
    pub wal_queue_bytes_max: usize,
    /// Most bytes of one batch; a larger one is refused with `Invalid`.
    pub batch_bytes_max: usize,
    /// Most bytes of what finds the way in segments (footers, fences of key indexes, counts) that are kept in
    /// memory between reads, of all tenants.
    pub metadata_bytes_max: usize,
    /// Most bytes of verified blocks of segments that are kept in memory between reads, of all tenants.
    pub block_bytes_max: usize,
    /// Most files of segments that are open between reads, of all tenants.
    pub files_open_max: usize,
    /// Most bytes that one read may hold beside its answer; one that needs more is refused with `Invalid`.
    pub read_bytes_max: usize,
    /// Most threads that one read uses at a time.
    pub read_threads_max: usize,
    /// Most tenants.
    pub tenants_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seal_rows: 262_144,
            seal_bytes: 64 << 20,
            table_bytes_max: 128 << 20,
            compact: true,
            compact_rows: 4_194_304,
            compact_segments_max: 24,
            wal_mode: WalMode::Sync,
            group_bytes_max: 1 << 20,
            disk_reserve_bytes: 256 << 20,
            wal_queue_bytes_max: 64 << 20,
            batch_bytes_max: 64 << 20,
            metadata_bytes_max: 64 << 20,
            block_bytes_max: 64 << 20,
            files_open_max: 256,
            read_bytes_max: 128 << 20,
            read_threads_max: 2,
            tenants_max: 1_000,
        }
    }
}
