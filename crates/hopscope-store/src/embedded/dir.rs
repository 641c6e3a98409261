//! [`Dir`] and [`File`]: the only way to the disk. Everything that the embedded store reads or writes goes
//! through them, so that a simulated disk can lose what was not synced.
//!
//! Paths are relative to the store's folder, with `/` between parts; the root itself is the empty path.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// A folder and all below it.
///
/// - What was written to a file survives a power loss only after [`File::sync_data`] answered.
/// - That a file or folder exists, was renamed or removed survives only after [`Dir::sync_dir`] of the folder
///   it is in answered.
/// - Everything survives the death of the process.
pub trait Dir: Debug + Send + Sync + 'static {
    /// Makes a folder and those above it; one that is there is left as it is.
    fn make_dir(&self, path: &str) -> io::Result<()>;

    /// Names in a folder, in order.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// A new, empty file; one that is there is emptied.
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>>;

    /// A file that is there.
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>>;

    /// Renames a file, over another one where there is one, at once.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes the entries of a folder durable.
    fn sync_dir(&self, path: &str) -> io::Result<()>;

    /// Bytes that can still be written to the file system it is on; the answer may be some moments old, so that
    /// it can be asked before every write.
    fn free_space(&self) -> io::Result<u64>;

    /// Takes the lock of that file, for as long as the answer lives; `None` where another holds it.
    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
}

/// An open file. It is written at its end only.
pub trait File: Debug + Send + Sync + 'static {
    /// Writes at the end. After an error any part of it may have been written.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Fills the buffer from `offset`; `UnexpectedEof` where the file ends before.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// True when it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the end off.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync_data(&self) -> io::Result<()>;
}

/// All bytes of a file that is known to be small enough.
pub(crate) fn read_all(dir: &dyn Dir, path: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_whole(&*dir.open(path)?, bytes_max)
}

/// The same of a file that is open.
pub(crate) fn read_whole(file: &dyn File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let len = file.len()?;
    if len > bytes_max {
        let message = format!("file is too long bytes={len} bytes_max={bytes_max}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Puts a whole file into the place of the one before, durably: after a loss of power it is the one or the other. Until
/// then it is beside it, its name with `.new` behind.
pub(crate) fn replace(dir: &dyn Dir, folder: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = format!("{folder}/{name}");
    let new = format!("{path}.new");
    write_all(dir, &new, bytes)?;
    dir.rename(&new, &path)?;
    dir.sync_dir(folder)
}

/// Writes a whole new file and syncs it; its folder is left to the caller.
pub(crate) fn write_all(dir: &dyn Dir, path: &str, bytes: &[u8]) -> io::Result<()> {
    let file = dir.create(path)?;
    file.append(bytes)?;
    file.sync_data()
}
