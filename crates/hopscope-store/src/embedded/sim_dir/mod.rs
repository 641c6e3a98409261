//! [`SimDir`]: a disk in memory that forgets what was not synced. For tests.
//!
//! At a power loss what was written since the last sync of its file survives, or a first part of it, or any of
//! its 512-byte sectors; and every folder entry that was made, renamed or removed since the last sync of its
//! folder survives or not by itself. What is chosen depends on the seed alone. Reads, writes and syncs can be
//! made to fail ([`Fault`]), and bits to flip.

mod content;
mod fault;

pub use fault::{Failure, Fault, Operation};

use super::dir::{Dir, File};
use crate::kit::random::Random;
use content::Content;
use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDir(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    /// What a program sees.
    entries: BTreeMap<String, Entry>,
    /// What is on the disk for certain.
    durable: BTreeMap<String, Entry>,
    /// Changes of entries since the last sync of their folder, in order.
    pending: Vec<Change>,
    ignore_sync_data: bool,
    ignore_sync_dir: bool,
    faults: Vec<Fault>,
    bytes_free: Option<u64>,
    operations_left: Option<u64>,
    operations: u64,
    locked: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
enum Entry {
    Folder,
    File(Arc<Mutex<Content>>),
}

/// One step of a folder that survives as a whole or not at all.
#[derive(Clone, Debug)]
struct Change {
    folder: String,
    remove: Option<String>,
    set: Option<(String, Entry)>,
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no such file path={path}"))
}

impl SimDir {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on [`File::sync_data`] does nothing and says `Ok`: as if the store had forgotten to call it.
    pub fn ignore_sync_data(&self) {
        self.disk().ignore_sync_data = true;
    }

    /// From now on [`Dir::sync_dir`] does nothing and says `Ok`: as if the store had forgotten to call it.
    pub fn ignore_sync_dir(&self) {
        self.disk().ignore_sync_dir = true;
    }

    /// From now on these operations fail too. What a failed sync should have made durable never is, although
    /// the next sync says `Ok`.
    pub fn fail(&self, fault: Fault) {
        self.disk().faults.push(fault);
    }

    /// From now on nothing fails but for want of power or space.
    pub fn mend(&self) {
        self.disk().faults.clear();
    }

    /// How many more bytes fit; `None` for any number.
    pub fn set_bytes_free(&self, bytes: Option<u64>) {
        self.disk().bytes_free = bytes;
    }

    /// After that many more operations that change the disk, every one fails: the power is gone.
    pub fn cut_power_after(&self, operations: u64) {
        self.disk().operations_left = Some(operations);
    }

    /// Operations that changed the disk so far.
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// The disk after the power came back: another one, chosen by the seed; this one is left as it is.
    pub fn after_power_loss(&self, random: &mut Random) -> Self {
        let disk = self.disk();
        let mut entries = disk.durable.clone();
        for change in disk.pending.iter().filter(|_| !random.chance(2)) {
            if let Some(path) = &change.remove {
                entries.remove(path);
            }
            if let Some((path, entry)) = &change.set {
                entries.insert(path.clone(), entry.clone());
            }
        }
        let folder_there = |entries: &BTreeMap<String, Entry>, path: &str| {
            let folder = folder_of(path);
            folder.is_empty() || matches!(entries.get(folder), Some(Entry::Folder))
        };
        let lost: Vec<String> =
            entries.keys().filter(|path| !folder_there(&entries, path)).cloned().collect();
        lost.iter().for_each(|path| drop(entries.remove(path)));
        let after: BTreeMap<String, Entry> = entries
            .into_iter()
            .map(|(path, entry)| match entry {
                Entry::Folder => (path, Entry::Folder),
                Entry::File(content) => {
                    let content = content.lock().unwrap_or_else(PoisonError::into_inner);
                    let content = Content::of(content.survives(random));
                    (path, Entry::File(Arc::new(Mutex::new(content))))
                }
            })
            .collect();
        Self::of(after)
    }

    /// The disk after the process was killed: nothing that was written is lost, nothing more is durable.
    pub fn after_kill(&self) -> Self {
        let disk = self.disk();
        let disk = Disk {
            entries: disk.entries.clone(),
            durable: disk.durable.clone(),
            pending: disk.pending.clone(),
            ignore_sync_data: disk.ignore_sync_data,
            ignore_sync_dir: disk.ignore_sync_dir,
            ..Disk::default()
        };
        Self(Arc::new(Mutex::new(disk)))
    }

    fn of(entries: BTreeMap<String, Entry>) -> Self {
        Self(Arc::new(Mutex::new(Disk { durable: entries.clone(), entries, ..Disk::default() })))
    }

    /// A disk of its own with the same content, all of it durable.
    pub fn copied(&self) -> Self {
        let copy = |entry: &Entry| match entry {
            Entry::Folder => Entry::Folder,
            Entry::File(content) => {
                let bytes = content.lock().unwrap_or_else(PoisonError::into_inner).seen().to_vec();
                Entry::File(Arc::new(Mutex::new(Content::of(bytes))))
            }
        };
        Self::of(self.disk().entries.iter().map(|(path, entry)| (path.clone(), copy(entry))).collect())
    }

    /// Every file with its length, in order of path.
    pub fn files(&self) -> Vec<(String, usize)> {
        let disk = self.disk();
        let len = |entry: &Entry| match entry {
            Entry::Folder => None,
            Entry::File(content) => Some(content.lock().unwrap_or_else(PoisonError::into_inner).seen().len()),
        };
        disk.entries.iter().filter_map(|(path, entry)| Some((path.clone(), len(entry)?))).collect()
    }

    /// Writes every file below a folder of the real disk, which is made.
    pub fn copy_to(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for (path, entry) in &self.disk().entries {
            match entry {
                Entry::Folder => std::fs::create_dir_all(folder.join(path))?,
                Entry::File(content) => {
                    let content = content.lock().unwrap_or_else(PoisonError::into_inner);
                    std::fs::write(folder.join(path), content.seen())?;
                }
            }
        }
        Ok(())
    }

    /// Flips one bit of a file, as a bad disk does: under the store's feet.
    pub fn flip(&self, path: &str, byte: usize, bit: u8) {
        if let Some(Entry::File(content)) = self.disk().entries.get(path) {
            content.lock().unwrap_or_else(PoisonError::into_inner).flip(byte, bit);
        }
    }
}

impl Disk {
    /// Counts an operation that changes the disk; fails it when the power is gone, or where it is made to.
    fn operate(&mut self, operation: Operation) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        self.operations += 1;
        self.strike(operation)
    }

    fn strike(&mut self, operation: Operation) -> io::Result<()> {
        // Each fault counts, whichever of them strikes.
        let struck = self.faults.iter_mut().filter_map(|fault| fault.strikes(operation)).last();
        struck.map_or(Ok(()), |failure| Err(failure.into()))
    }

    fn change(&mut self, folder: &str, remove: Option<&str>, set: Option<(&str, Entry)>) {
        if let Some(path) = remove {
            self.entries.remove(path);
        }
        let set = set.map(|(path, entry)| (path.to_owned(), entry));
        if let Some((path, entry)) = &set {
            self.entries.insert(path.clone(), entry.clone());
        }
        let remove = remove.map(str::to_owned);
        self.pending.push(Change { folder: folder.to_owned(), remove, set });
    }

    fn file(&self, path: &str) -> io::Result<Arc<Mutex<Content>>> {
        match self.entries.get(path) {
            Some(Entry::File(content)) => Ok(Arc::clone(content)),
            _ => Err(not_found(path)),
        }
    }

    fn folder(&self, path: &str) -> io::Result<()> {
        match path.is_empty() || matches!(self.entries.get(path), Some(Entry::Folder)) {
            true => Ok(()),
            false => Err(not_found(path)),
        }
    }
}

impl Dir for SimDir {
    fn make_dir(&self, path: &str) -> io::Result<()> {
        let mut disk = self.disk();
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for folder in ends.map(|end| &path[..end]) {
            if !disk.entries.contains_key(folder) {
                disk.operate(Operation::Write)?;
                disk.change(folder_of(folder), None, Some((folder, Entry::Folder)));
            }
        }
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let disk = self.disk();
        disk.folder(path)?;
        let here = disk.entries.keys().filter(|entry| folder_of(entry) == path);
        Ok(here.map(|entry| entry.rsplit('/').next().unwrap_or(entry).to_owned()).collect())
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        disk.operate(Operation::Write)?;
        disk.folder(folder_of(path))?;
        let content = match disk.file(path) {
            Ok(content) => {
                content.lock().unwrap_or_else(PoisonError::into_inner).truncate(0);
                content
            }
            Err(_) => {
                let content = Arc::new(Mutex::new(Content::default()));
                disk.change(folder_of(path), None, Some((path, Entry::File(Arc::clone(&content)))));
                content
            }
        };
        Ok(Arc::new(SimFile { disk: self.clone(), content }))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        disk.strike(Operation::Open)?;
        let content = disk.file(path)?;
        Ok(Arc::new(SimFile { disk: self.clone(), content }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate(Operation::Write)?;
        disk.folder(folder_of(to))?;
        let content = disk.file(from)?;
        disk.change(folder_of(to), Some(from), Some((to, Entry::File(content))));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate(Operation::Write)?;
        disk.file(path)?;
        disk.change(folder_of(path), Some(path), None);
        Ok(())
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate(Operation::Sync)?;
        disk.folder(path)?;
        if disk.ignore_sync_dir {
            return Ok(());
        }
        let (now, later) = std::mem::take(&mut disk.pending).into_iter().partition(|change| {
            // A rename between folders is durable with its target; its source goes with it.
            change.folder == path
        });
        disk.pending = later;
        let now: Vec<Change> = now;
        for Change { remove, set, .. } in now {
            if let Some(path) = remove {
                disk.durable.remove(&path);
            }
            if let Some((path, entry)) = set {
                disk.durable.insert(path, entry);
            }
        }
        Ok(())
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(self.disk().bytes_free.unwrap_or(u64::MAX))
    }

    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        struct Held(Arc<AtomicBool>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        if self.disk().file(path).is_err() {
            self.create(path)?;
        }
        let locked = Arc::clone(&self.disk().locked);
        match locked.swap(true, Ordering::AcqRel) {
            true => Ok(None),
            false => Ok(Some(Box::new(Held(locked)))),
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDir,
    content: Arc<Mutex<Content>>,
}

impl SimFile {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.disk();
        let struck = disk.operate(Operation::Write);
        let free = disk.bytes_free.unwrap_or(u64::MAX);
        let fits = bytes.len().min(usize::try_from(free).unwrap_or(usize::MAX));
        // A write that fails may have written a part.
        let fits = if struck.is_ok() { fits } else { fits / 2 };
        if let Some(free) = &mut disk.bytes_free {
            *free -= fits as u64;
        }
        // Without power nothing is written at all.
        if disk.operations_left != Some(0) || struck.is_ok() {
            self.content().append(&bytes[..fits]);
        }
        struck?;
        match fits == bytes.len() {
            true => Ok(()),
            false => Err(Failure::Full.into()),
        }
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.disk().strike(Operation::Read)?;
        let content = self.content();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = content.seen().get(start..).and_then(|rest| rest.get(..buffer.len()));
        let bytes = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content().seen().len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.disk().operate(Operation::Write)?;
        self.content().truncate(usize::try_from(len).map_err(io::Error::other)?);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk.disk();
        if let Err(error) = disk.operate(Operation::Sync) {
            self.content().lose_dirty();
            return Err(error);
        }
        if !disk.ignore_sync_data {
            self.content().sync();
        }
        Ok(())
    }
}
