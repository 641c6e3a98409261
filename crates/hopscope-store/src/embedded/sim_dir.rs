//! [`SimDir`]: a disk in memory that forgets what was not synced. For tests.
//!
//! At a power loss every 512-byte sector written since the last sync of its file survives or not by itself, the
//! length of the file may be the old, the new or one between; and every folder entry that was made, renamed or
//! removed since the last sync of its folder survives or not by itself. What is chosen depends on the seed
//! alone.

use super::dir::{Dir, File};
use crate::kit::random::Random;
use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECTOR_BYTES: usize = 512;

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
    syncs_to_fail: u32,
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

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
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

    /// The next syncs of data fail, and what they should have made durable is not.
    pub fn fail_syncs(&self, count: u32) {
        self.disk().syncs_to_fail = count;
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
                    let bytes = content.survives(random);
                    let content = Content { seen: bytes.clone(), durable: bytes };
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
                let seen = content.lock().unwrap_or_else(PoisonError::into_inner).seen.clone();
                Entry::File(Arc::new(Mutex::new(Content { durable: seen.clone(), seen })))
            }
        };
        Self::of(self.disk().entries.iter().map(|(path, entry)| (path.clone(), copy(entry))).collect())
    }

    /// Every file with its length, in order of path.
    pub fn files(&self) -> Vec<(String, usize)> {
        let disk = self.disk();
        let len = |entry: &Entry| match entry {
            Entry::Folder => None,
            Entry::File(content) => Some(content.lock().unwrap_or_else(PoisonError::into_inner).seen.len()),
        };
        disk.entries.iter().filter_map(|(path, entry)| Some((path.clone(), len(entry)?))).collect()
    }

    /// Flips one bit of a file, as a bad disk does: under the store's feet.
    pub fn flip(&self, path: &str, byte: usize, bit: u8) {
        if let Some(Entry::File(content)) = self.disk().entries.get(path) {
            let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
            let Content { seen, durable } = &mut *content;
            for bytes in [seen, durable] {
                if let Some(byte) = bytes.get_mut(byte) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }
}

impl Content {
    fn survives(&self, random: &mut Random) -> Vec<u8> {
        if self.seen == self.durable {
            return self.durable.clone();
        }
        let (short, long) = if self.seen.len() < self.durable.len() {
            (self.seen.len(), self.durable.len())
        } else {
            (self.durable.len(), self.seen.len())
        };
        let len = match random.below(3) {
            0 => self.durable.len(),
            1 => self.seen.len(),
            _ => short + random.below((long - short + 1) as u64) as usize,
        };
        let whole = random.chance(3);
        let mut bytes = vec![0; len];
        for (number, sector) in bytes.chunks_mut(SECTOR_BYTES).enumerate() {
            let new = whole || random.chance(2);
            for (place, byte) in sector.iter_mut().enumerate() {
                let at = number * SECTOR_BYTES + place;
                let from = if new { &self.seen } else { &self.durable };
                *byte = from.get(at).or_else(|| self.durable.get(at)).copied().unwrap_or(0);
            }
        }
        bytes
    }
}

impl Disk {
    /// Counts an operation that changes the disk; fails it when the power is gone.
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        self.operations += 1;
        Ok(())
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
                disk.operate()?;
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
        disk.operate()?;
        disk.folder(folder_of(path))?;
        let content = match disk.file(path) {
            Ok(content) => {
                content.lock().unwrap_or_else(PoisonError::into_inner).seen.clear();
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
        let content = self.disk().file(path)?;
        Ok(Arc::new(SimFile { disk: self.clone(), content }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        disk.folder(folder_of(to))?;
        let content = disk.file(from)?;
        disk.change(folder_of(to), Some(from), Some((to, Entry::File(content))));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        disk.file(path)?;
        disk.change(folder_of(path), Some(path), None);
        Ok(())
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
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
        let free = disk.bytes_free.unwrap_or(u64::MAX);
        let fits = bytes.len().min(usize::try_from(free).unwrap_or(usize::MAX));
        disk.operate()?;
        if let Some(free) = &mut disk.bytes_free {
            *free -= fits as u64;
        }
        self.content().seen.extend_from_slice(&bytes[..fits]);
        match fits == bytes.len() {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on the simulated disk")),
        }
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let content = self.content();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = content.seen.get(start..).and_then(|rest| rest.get(..buffer.len()));
        let bytes = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content().seen.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.disk().operate()?;
        self.content().seen.truncate(usize::try_from(len).map_err(io::Error::other)?);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.operate()?;
        if disk.syncs_to_fail > 0 {
            disk.syncs_to_fail -= 1;
            return Err(io::Error::other("the simulated disk could not sync"));
        }
        if !disk.ignore_sync_data {
            let mut content = self.content();
            let Content { seen, durable } = &mut *content;
            // Only what changed: a long log is synced again and again.
            let same = durable.len().min(seen.len());
            durable.truncate(same);
            if durable[..] != seen[..same] {
                durable.copy_from_slice(&seen[..same]);
            }
            durable.extend_from_slice(&seen[same..]);
        }
        Ok(())
    }
}
