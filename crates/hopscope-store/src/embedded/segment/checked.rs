//! [`CheckedFile`]: a file of which every block is verified when it is read from the disk.

use super::caches::Caches;
use crate::embedded::dir::{Dir, File};
use crate::embedded::options::Options;
use bytes::{Bytes, BytesMut};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that one checksum covers: what is read and verified to look at a few bytes of a file, and 0.1 % of it
/// in checksums.
pub(crate) const BLOCK_BYTES: usize = 4 << 10;

/// Most bytes that are read from the disk at a time.
const READ_BYTES_MAX: usize = 1 << 20;

/// Stored bytes that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    /// File, relative to the tenant's folder.
    pub file: String,
    /// One sentence.
    pub what: String,
    /// The system had no means to look, the bytes may be sound: it is no reason to put a file aside, nor to
    /// remember anything.
    pub passing: bool,
}

impl Damaged {
    /// A file that does not hold what it should.
    pub fn new(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.into(), what: what.into(), passing: false }
    }

    /// A file that could not be opened. One that is gone is damage; everything else (no descriptors, no rights,
    /// a device that is away) says nothing of what it holds.
    pub fn unopened(file: impl Into<String>, error: &io::Error) -> Self {
        let passing = error.kind() != io::ErrorKind::NotFound;
        Self { passing, ..Self::new(file, format!("cannot open: {error}")) }
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

impl std::error::Error for Damaged {}

/// The checksums of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockSums {
    /// Bytes that each covers, but for the last one.
    pub block_bytes: usize,
    /// CRC32C of every block.
    pub sums: Vec<u32>,
}

/// CRC32C of every block of these bytes.
pub(crate) fn block_sums(bytes: &[u8], block_bytes: usize) -> Vec<u32> {
    bytes.chunks(block_bytes).map(crc32c::crc32c).collect()
}

/// A file with the checksums of its blocks. It is opened when a block is read that is in no cache, and closed
/// when others need its descriptor.
#[derive(Clone, Debug)]
pub(crate) struct CheckedFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    opened: Opened,
    caches: Arc<Caches>,
    /// Its number in the caches.
    number: u64,
    folder: String,
    name: String,
    len: u64,
    sums: BlockSums,
    /// The last time that it was read it could not be opened. An error of a library that reads through this file
    /// is text by the time it is seen.
    unopened: AtomicBool,
}

/// Where the open file is.
#[derive(Debug)]
enum Opened {
    /// In the caches, as long as they have room; in this folder otherwise.
    InCaches(Arc<dyn Dir>),
    /// Here.
    Held(Arc<dyn File>),
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.caches.forget(self.number, self.sums.sums.len() as u32);
    }
}

impl CheckedFile {
    /// A file that must be there and have this length; its blocks are looked at when they are read.
    pub fn open(
        dir: &Arc<dyn Dir>,
        caches: &Arc<Caches>,
        place: (&str, &str),
        len: u64,
        sums: BlockSums,
    ) -> Result<Self, Damaged> {
        Self::checked(Opened::InCaches(Arc::clone(dir)), caches, place, len, sums)
    }

    /// The same of a file that stays open, with caches of its own: for what is no part of a store's reads.
    pub fn alone(
        dir: &dyn Dir,
        (folder, name): (&str, &str),
        len: u64,
        sums: BlockSums,
    ) -> Result<Self, Damaged> {
        let file = dir.open(&format!("{folder}/{name}"));
        let file = file.map_err(|error| Damaged::unopened(name, &error))?;
        let caches = Arc::new(Caches::new(&Options::default()));
        Self::checked(Opened::Held(file), &caches, (folder, name), len, sums)
    }

    fn checked(
        opened: Opened,
        caches: &Arc<Caches>,
        (folder, name): (&str, &str),
        len: u64,
        sums: BlockSums,
    ) -> Result<Self, Damaged> {
        let inner = Inner {
            opened,
            caches: Arc::clone(caches),
            number: caches.number(),
            folder: folder.to_owned(),
            name: name.to_owned(),
            len,
            sums,
            unopened: AtomicBool::new(false),
        };
        let file = Self(Arc::new(inner));
        let actual = file.file()?.len().map_err(|error| file.damaged(format!("cannot read: {error}")))?;
        if actual != len || file.0.sums.sums.len() as u64 != len.div_ceil(file.block_bytes()) {
            return Err(file.damaged(format!("wrong length bytes={actual} expected={len}")));
        }
        Ok(file)
    }

    pub fn byte_len(&self) -> u64 {
        self.0.len
    }

    /// The caches that its blocks are in.
    pub fn caches(&self) -> &Caches {
        &self.0.caches
    }

    /// Damage of this file; where it could not even be opened, that.
    pub fn damaged(&self, what: String) -> Damaged {
        let passing = self.0.unopened.swap(false, Ordering::Relaxed);
        Damaged { passing, ..Damaged::new(&self.0.name, what) }
    }

    /// What is decoded of a part of it; `load` says its bytes of memory too.
    pub fn metadata<T: Send + Sync + 'static>(
        &self,
        part: u8,
        load: impl FnOnce() -> Result<(T, usize), Damaged>,
    ) -> Result<Arc<T>, Damaged> {
        self.0.caches.metadata((self.0.number, part), load)
    }

    fn block_bytes(&self) -> u64 {
        self.0.sums.block_bytes as u64
    }

    /// Bytes of a range, out of verified blocks.
    pub fn read(&self, start: u64, len: usize) -> Result<Bytes, Damaged> {
        let end = start
            .checked_add(len as u64)
            .filter(|end| *end <= self.0.len)
            .ok_or_else(|| self.damaged(format!("points outside of itself place={start} bytes={len}")))?;
        let block = self.block_bytes();
        let numbers = start / block..end.div_ceil(block).max(start / block);
        let part = |number: u64, bytes: &Bytes| {
            let from = start.saturating_sub(number * block) as usize;
            let to = (end - number * block).min(bytes.len() as u64) as usize;
            from..to
        };
        if numbers.end - numbers.start == 1 {
            let bytes = self.block(numbers.start, numbers.end)?;
            return Ok(bytes.slice(part(numbers.start, &bytes)));
        }
        let mut bytes = BytesMut::with_capacity(len);
        for number in numbers.clone() {
            let block = self.block(number, numbers.end)?;
            bytes.extend_from_slice(&block[part(number, &block)]);
        }
        Ok(bytes.freeze())
    }

    /// A block. Where it is in no cache, the blocks behind it, before `end`, that are in none either are read and
    /// kept with it: they are wanted next.
    fn block(&self, number: u64, end: u64) -> Result<Bytes, Damaged> {
        let Inner { caches, number: file, .. } = &*self.0;
        caches.block(*file, number as u32, || {
            let end = end.min(number + (READ_BYTES_MAX / self.0.sums.block_bytes).max(1) as u64);
            let known = (number + 1..end).find(|behind| caches.has_block(*file, *behind as u32));
            let mut blocks = self.load(number..known.unwrap_or(end))?;
            let mut own = None;
            for (number, block) in (number..).zip(blocks.by_ref()) {
                match own {
                    None => own = Some(block?),
                    Some(_) => caches.keep_block(*file, number as u32, block?),
                }
            }
            Ok(own.unwrap_or_default())
        })
    }

    /// Blocks from the disk, verified.
    fn load(&self, numbers: Range<u64>) -> Result<impl Iterator<Item = Result<Bytes, Damaged>>, Damaged> {
        let block = self.block_bytes();
        let start = numbers.start * block;
        let end = (numbers.end * block).min(self.0.len);
        let mut bytes = vec![0; (end - start) as usize];
        let read = self.file()?.read_exact_at(start, &mut bytes);
        read.map_err(|error| self.damaged(format!("cannot read: {error}")))?;
        let bytes = Bytes::from(bytes);
        let mut number = numbers.start;
        Ok(std::iter::from_fn(move || {
            if number == numbers.end {
                return None;
            }
            let from = ((number - numbers.start) * block) as usize;
            let own = from..bytes.len().min(from + block as usize);
            let sound = self.0.sums.sums.get(number as usize) == Some(&crc32c::crc32c(&bytes[own.clone()]));
            number += 1;
            if !sound {
                let damaged = format!("checksum of a block does not hold block={}", number - 1);
                return Some(Err(self.damaged(damaged)));
            }
            // A block that is kept must not hold those that were read with it.
            let alone = own.len() == bytes.len();
            Some(Ok(if alone { bytes.clone() } else { Bytes::copy_from_slice(&bytes[own]) }))
        }))
    }

    fn file(&self) -> Result<Arc<dyn File>, Damaged> {
        let Inner { opened, folder, name, number, .. } = &*self.0;
        let file = match opened {
            Opened::Held(file) => return Ok(Arc::clone(file)),
            Opened::InCaches(dir) => self.0.caches.file(*number, || dir.open(&format!("{folder}/{name}"))),
        };
        file.map_err(|error| {
            let damaged = Damaged::unopened(name, &error);
            self.0.unopened.store(damaged.passing, Ordering::Relaxed);
            damaged
        })
    }

    /// Looks at every block on the disk.
    pub fn verify(&self) -> Result<(), Damaged> {
        let end = self.0.sums.sums.len() as u64;
        let step = (READ_BYTES_MAX / self.0.sums.block_bytes).max(1);
        (0..end).step_by(step).try_for_each(|from| {
            self.load(from..end.min(from + step as u64))?.try_for_each(|block| block.map(drop))
        })
    }
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.0.len
    }
}

impl ChunkReader for CheckedFile {
    type T = Blocks;

    fn get_read(&self, start: u64) -> Result<Blocks, ParquetError> {
        Ok(Blocks { file: self.clone(), place: start, block: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.read(start, length).map_err(|damaged| ParquetError::External(Box::new(damaged)))
    }
}

/// Reads on from a place, block by block.
#[derive(Debug)]
pub(crate) struct Blocks {
    file: CheckedFile,
    place: u64,
    block: Bytes,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() {
            let to_block_end = self.file.block_bytes() - self.place % self.file.block_bytes();
            let len = to_block_end.min(self.file.0.len.saturating_sub(self.place));
            self.block = self.file.read(self.place, len as usize).map_err(io::Error::other)?;
            self.place += len;
        }
        let len = buffer.len().min(self.block.len());
        buffer[..len].copy_from_slice(&self.block.split_to(len));
        Ok(len)
    }
}
