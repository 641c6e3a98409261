//! [`Caches`]: what reads keep between them, for the whole store and within its limits: blocks of files that
//! are verified, what is decoded of them to find the way (footers, fences), and open files.
//!
//! What is read once does not drive out what is read often, and two reads that miss the same thing load it
//! once: both are `quick_cache`'s doing. Nothing here is ever stale: files of segments do not change, and their
//! numbers are not used again.

use super::checked::{BLOCK_BYTES, Damaged};
use crate::embedded::dir::File;
use crate::embedded::options::Options;
use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle, GuardResult};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter, Weighter};
use std::any::Any;
use std::fmt;
use std::hash::Hash;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zstd::bulk::Decompressor;

/// Parts of a file that metadata is of, at most.
const PARTS_MAX: u8 = 16;

/// About the bytes of metadata of one part, to begin with.
const PART_BYTES: usize = 32 << 10;

/// How long a read waits for another one to load the same. Then it loads by itself: a read that hangs must not
/// hang all others.
const LOAD_WAIT_MAX: Duration = Duration::from_millis(100);

/// Most contexts of zstd that are kept for the next page, of about 100 KiB each.
const CONTEXTS_MAX: usize = 16;

/// Most bytes that a page may have: what Parquet has numbers for.
const UNPACKED_BYTES_MAX: usize = i32::MAX as usize;

/// See the module.
pub(crate) struct Caches {
    blocks: Cache<(u64, u32), Bytes, ByBytes>,
    metadata: Cache<(u64, u8), Metadata, ByBytes>,
    files: Cache<u64, Arc<dyn File>>,
    numbers: AtomicU64,
    rows_read: AtomicU64,
    /// Contexts of zstd that nobody uses just now.
    idle: Mutex<Vec<Decompressor<'static>>>,
}

/// Something decoded, and the bytes of memory that it takes.
#[derive(Clone)]
struct Metadata {
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
}

#[derive(Clone, Copy)]
struct ByBytes;

impl Weighter<(u64, u32), Bytes> for ByBytes {
    fn weight(&self, _: &(u64, u32), block: &Bytes) -> u64 {
        block.len() as u64
    }
}

impl Weighter<(u64, u8), Metadata> for ByBytes {
    fn weight(&self, _: &(u64, u8), metadata: &Metadata) -> u64 {
        metadata.bytes as u64
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caches")
            .field("block_bytes", &self.blocks.weight())
            .field("metadata_bytes", &self.metadata.weight())
            .field("files", &self.files.len())
            .finish()
    }
}

impl Caches {
    /// Empty, with the limits of these options.
    pub fn new(options: &Options) -> Self {
        let (blocks_max, metadata_max) = (options.block_bytes_max, options.metadata_bytes_max);
        Self {
            blocks: cache(blocks_max / BLOCK_BYTES, blocks_max, ByBytes),
            metadata: cache(metadata_max / PART_BYTES, metadata_max, ByBytes),
            files: cache(options.files_open_max, options.files_open_max, UnitWeighter),
            numbers: AtomicU64::new(0),
            rows_read: AtomicU64::new(0),
            idle: Mutex::default(),
        }
    }

    /// A number for a file, never given before.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts rows that were decoded of a segment.
    pub fn count_rows(&self, rows: usize) {
        self.rows_read.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Rows that were decoded of segments so far: what reads cost.
    #[cfg(test)]
    pub fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

    /// What zstd made these bytes of, in one of the contexts that reads share: making one takes longer than to
    /// decompress a page.
    pub fn unpacked(&self, bytes: &[u8]) -> io::Result<Bytes> {
        if bytes.is_empty() {
            return Ok(Bytes::new());
        }
        let len = Decompressor::upper_bound(bytes).filter(|len| *len <= UNPACKED_BYTES_MAX);
        let len = len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a page of an odd length"))?;
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = idle().pop();
        let mut context = ready.map_or_else(Decompressor::new, Ok)?;
        let unpacked = context.decompress(bytes, len);
        let mut idle = idle();
        if idle.len() < CONTEXTS_MAX {
            idle.push(context);
        }
        unpacked.map(Bytes::from)
    }

    /// The block of a file, loaded where it is not here.
    pub fn block(
        &self,
        file: u64,
        block: u32,
        load: impl FnOnce() -> Result<Bytes, Damaged>,
    ) -> Result<Bytes, Damaged> {
        get_or_load(&self.blocks, &(file, block), load)
    }

    /// Whether the block of a file is here; it does not count as a use of it.
    pub fn has_block(&self, file: u64, block: u32) -> bool {
        self.blocks.contains_key(&(file, block))
    }

    /// Keeps a block that was loaded along with another one.
    pub fn keep_block(&self, file: u64, block: u32, bytes: Bytes) {
        self.blocks.insert((file, block), bytes);
    }

    /// What is decoded of a part of a file, loaded where it is not here; `load` says its bytes too.
    pub fn metadata<T: Send + Sync + 'static>(
        &self,
        (file, part): (u64, u8),
        load: impl FnOnce() -> Result<(T, usize), Damaged>,
    ) -> Result<Arc<T>, Damaged> {
        debug_assert!(part < PARTS_MAX);
        let found = get_or_load(&self.metadata, &(file, part), || {
            let (value, bytes) = load()?;
            Ok(Metadata { value: Arc::new(value), bytes })
        })?;
        let of_this_type = found.value.downcast();
        Ok(of_this_type.expect("a part of a file has one type: both are named in one place of the code"))
    }

    /// An open file, opened where it is not.
    pub fn file(
        &self,
        number: u64,
        open: impl FnOnce() -> io::Result<Arc<dyn File>>,
    ) -> io::Result<Arc<dyn File>> {
        get_or_load(&self.files, &number, open)
    }

    /// Forgets a file that nobody can read any more.
    pub fn forget(&self, file: u64, blocks: u32) {
        self.files.remove(&file);
        (0..PARTS_MAX).for_each(|part| drop(self.metadata.remove(&(file, part))));
        (0..blocks).for_each(|block| drop(self.blocks.remove(&(file, block))));
    }
}

fn get_or_load<K: Eq + Hash + Clone, V: Clone, W: Weighter<K, V> + Clone, E>(
    cache: &Cache<K, V, W>,
    key: &K,
    load: impl FnOnce() -> Result<V, E>,
) -> Result<V, E> {
    match cache.get_value_or_guard(key, Some(LOAD_WAIT_MAX)) {
        GuardResult::Value(value) => Ok(value),
        GuardResult::Guard(guard) => {
            let value = load()?;
            // It may be gone meanwhile: then its file is, too.
            let _ = guard.insert(value.clone());
            Ok(value)
        }
        GuardResult::Timeout => load(),
    }
}

/// One shard: a limit that is divided would refuse what is larger than its part, and loads are rare enough.
fn cache<K: Eq + Hash, V: Clone, W: Weighter<K, V> + Clone>(
    items: usize,
    weight_max: usize,
    weighter: W,
) -> Cache<K, V, W> {
    let mut options = OptionsBuilder::new();
    options.shards(1).estimated_items_capacity(items.max(1)).weight_capacity(weight_max as u64);
    let options = options.build().expect("both capacities are set");
    Cache::with_options(options, weighter, DefaultHashBuilder::default(), DefaultLifecycle::default())
}
