//! [`Options`]: the limits of the embedded store, each with its unit.

/// Limits of the embedded store. The defaults suit a server with 1 GiB of memory or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Events and samples of progress after which memory is sealed into a segment.
    pub seal_rows: usize,
    /// Bytes of log after which memory is sealed into a segment.
    pub seal_bytes: u64,
    /// Most bytes of log records that one sync makes durable together.
    pub group_bytes_max: usize,
    /// Most bytes of batches that wait for the log; more are refused with `Unavailable`.
    pub wal_queue_bytes_max: usize,
    /// Most bytes of one batch; a larger one is refused with `Invalid`.
    pub batch_bytes_max: usize,
    /// Most bytes of segment metadata that are kept in memory between reads.
    pub metadata_bytes_max: usize,
    /// Most tenants.
    pub tenants_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seal_rows: 262_144,
            seal_bytes: 64 << 20,
            group_bytes_max: 1 << 20,
            wal_queue_bytes_max: 64 << 20,
            batch_bytes_max: 64 << 20,
            metadata_bytes_max: 64 << 20,
            tenants_max: 1_000,
        }
    }
}
