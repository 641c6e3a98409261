//! [`Table`]: a memtable that several threads use, and the log it is of.

use super::memtable::Memtable;
use super::options::Options;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The events of one log, in memory.
#[derive(Debug)]
pub(crate) struct Table {
    /// Number of the log.
    pub log: u64,
    /// True where the log has damage: its file is then kept in quarantine.
    pub damaged: bool,
    memtable: RwLock<Memtable>,
}

impl Table {
    pub fn new(log: u64) -> Self {
        Self { log, damaged: false, memtable: RwLock::default() }
    }

    /// Whether it is to be sealed: it has so many times what a table may have.
    pub fn is_due(&self, options: &Options, times: usize) -> bool {
        let memtable = self.read();
        memtable.weight() >= options.seal_rows.saturating_mul(times)
            || memtable.bytes() >= options.table_bytes_max.saturating_mul(times)
    }

    // A panic while inserting leaves an event more or less in an index that only proposes rows: go on.
    pub fn read(&self) -> RwLockReadGuard<'_, Memtable> {
        self.memtable.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, with the rows before `until` in the index by key. Whoever looks pays for it, and only for rows that
    /// came since the last look: most are sealed before anybody asks for them by key.
    pub fn read_indexed(&self, until: u32) -> RwLockReadGuard<'_, Memtable> {
        loop {
            let memtable = self.read();
            if memtable.is_indexed(until) {
                return memtable;
            }
            drop(memtable);
            self.write().index_more();
        }
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Memtable> {
        self.memtable.write().unwrap_or_else(PoisonError::into_inner)
    }
}
