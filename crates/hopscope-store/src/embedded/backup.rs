//! Backup and restore: a folder of the files that a manifest names, with a list of them and their checksums that is
//! written last.
//!
//! `BACKUP` is that list. What it names is a whole backup, whatever else lies beside it: a backup that is brought up to
//! date leaves the files of the one before alone until the new list is in its place. Files of segments keep their
//! names, for they never change; the others carry their checksum in their name.

use super::dir::Dir;
use super::export::with_suffix;
use super::folder::io_error;
use super::manifest::{self, SegmentEntry, Unreadable};
use super::real_dir::RealDir;
use super::segment::sums;
use super::snapshot::tenants;
use super::{LOCK_FILE, RESTORING, wal};
use crate::{Error, ErrorKind};
use hopscope_model::Tenant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

const LIST: &str = "BACKUP";
const LOCK: &str = "BACKUP.lock";
const MAGIC: &str = "hopscope-backup ";
const FORMAT: u32 = 1;

/// Bytes that are read and written at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes of a block where only the checksum of the whole file counts.
const WHOLE: u32 = 64 << 10;

/// What a backup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Files of the backup, and their bytes.
    pub files: u64,
    /// As `files`.
    pub bytes: u64,
    /// Of them, those that were not there before.
    pub new_files: u64,
    /// As `new_files`.
    pub new_bytes: u64,
    /// Of the new ones, those that share their bytes with the store.
    pub linked_files: u64,
    /// Files of the backup before that are not needed any more.
    pub removed_files: u64,
    /// Segments, and the events in them.
    pub segments: u64,
    /// As `segments`.
    pub events: u64,
    /// Files whose checksum did not hold in the store.
    pub damaged: Vec<String>,
}

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was made.
    pub made_ns: i64,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The list of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct List {
    made_ns: i64,
    files: Vec<Listed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    /// Where it belongs in a store.
    path: String,
    /// Where it lies in the backup.
    stored: String,
    bytes: u64,
    crc32c: u32,
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// Brings the backup in the folder `to` up to date with the store in `from`, which nobody may be writing to: a
/// [`Snapshot`](super::Snapshot). With `links`, files are hard links where the file system has them: quick, and no help against
/// a broken disk.
pub fn backup(from: &Path, to: &Path, links: bool, now_ns: i64) -> Result<BackedUp, Error> {
    let store = RealDir::open(from).map_err(io_error("cannot open the store"))?;
    let _lock = begin(to)?;
    let before = match read_list(to)? {
        Some(list) => list.files.into_iter().map(|file| (file.stored.clone(), file)).collect(),
        None => BTreeMap::new(),
    };
    let mut backup = Backup { from, to, links, before, files: Vec::new(), done: BackedUp::default() };
    for tenant in tenants(from)? {
        backup.tenant(&store, &tenant)?;
    }
    backup.finish(now_ns)
}

/// Locks the folder of a backup, made where it is missing; refuses one that holds something else.
fn begin(to: &Path) -> Result<fs::File, Error> {
    let failed = |what: &str| io_error(&format!("{what} folder={}", to.display()));
    let is_new = match fs::read_dir(to) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(to).map_err(failed("cannot make the folder of the backup"))?;
            true
        }
        Err(error) => return Err(failed("cannot list the folder of the backup")(error)),
    };
    if !is_new && !to.join(LOCK).exists() {
        let what = "the folder is not empty and holds no backup";
        return Err(invalid(format!("{what} folder={}", to.display())));
    }
    let lock = fs::File::create(to.join(LOCK)).map_err(failed("cannot lock the folder of the backup"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(_) => {
            let message = format!("another backup goes to this folder just now folder={}", to.display());
            Err(Error::new(ErrorKind::Unavailable, message))
        }
    }
}

struct Backup<'a> {
    from: &'a Path,
    to: &'a Path,
    links: bool,
    /// Files of the backup before, by where they lie.
    before: BTreeMap<String, Listed>,
    files: Vec<Listed>,
    done: BackedUp,
}

impl Backup<'_> {
    fn tenant(&mut self, store: &RealDir, tenant: &Tenant) -> Result<(), Error> {
        let folder = tenant.name();
        fs::create_dir_all(self.to.join(folder)).map_err(io_error("cannot make a folder of the backup"))?;
        let manifest =
            manifest::read(store, folder).map_err(|unreadable| unreadable_manifest(folder, unreadable))?;
        for entry in &manifest.segments {
            self.segment(store, folder, entry)?;
        }
        let names = store.list(folder).map_err(io_error("cannot list the tenant's folder"))?;
        for name in names {
            let is_needed = wal::log_of(&name).is_some_and(|log| log >= manifest.first_log)
                || name == manifest::FILE
                || name == super::retain::FILE;
            if is_needed {
                self.changing(&format!("{folder}/{name}"))?;
            }
        }
        Ok(())
    }

    /// The files of a segment, each held against its checksums.
    fn segment(&mut self, store: &RealDir, folder: &str, entry: &SegmentEntry) -> Result<(), Error> {
        self.done.segments += 1;
        self.done.events += u64::from(entry.rows);
        let names = entry.id().file_names().map(|name| format!("{folder}/{name}"));
        if self.has_segment(&names, entry) {
            let there = names.iter().filter_map(|name| self.before.get(name).cloned());
            self.files.extend(there.collect::<Vec<_>>());
            return Ok(());
        }
        let sums_name = &names[3];
        let sums = super::dir::read_all(store, sums_name, sums::SUMS_BYTES_MAX);
        let sums = sums.ok().filter(|bytes| crc32c::crc32c(bytes) == entry.sums_crc32c);
        let sums = sums.and_then(|bytes| sums::decode(&bytes).ok());
        for (number, name) in names.iter().enumerate() {
            let blocks = sums.as_ref().and_then(|sums| sums.blocks.get(number));
            let block_bytes = sums.as_ref().map_or(WHOLE, |sums| sums.head.block_bytes);
            let (listed, of_file) = self.take(name, name, block_bytes)?;
            let sound = if number < 3 { blocks == Some(&of_file) } else { sums.is_some() };
            if !sound {
                self.done.damaged.push(name.clone());
            }
            self.files.push(listed);
        }
        Ok(())
    }

    /// Whether the backup before has this very segment.
    fn has_segment(&self, names: &[String; 4], entry: &SegmentEntry) -> bool {
        let there = |name: &String| {
            let listed = self.before.get(name)?;
            let bytes = fs::metadata(self.to.join(name)).ok()?.len();
            (bytes == listed.bytes).then_some(listed.crc32c)
        };
        let crcs: Option<Vec<u32>> = names.iter().map(there).collect();
        crcs.is_some_and(|crcs| crcs.last() == Some(&entry.sums_crc32c))
    }

    /// A file that goes on changing: it lies under a name of its own, beside that of the backup before.
    fn changing(&mut self, path: &str) -> Result<(), Error> {
        let (bytes, sums) =
            summed(&self.from.join(path), WHOLE, None).map_err(io_error("cannot read a file"))?;
        let stored = format!("{path}.{:08x}", sums.whole);
        let listed = Listed { path: path.to_owned(), stored: stored.clone(), bytes, crc32c: sums.whole };
        let (known, there) = (self.before.get(&stored), fs::metadata(self.to.join(&stored)));
        if known == Some(&listed) && there.is_ok_and(|there| there.len() == bytes) {
            self.files.push(listed);
        } else {
            let (listed, _) = self.take(path, &stored, WHOLE)?;
            self.files.push(listed);
        }
        Ok(())
    }

    /// Links or copies a file, and reads it back; its list entry and the checksums of its blocks.
    fn take(&mut self, path: &str, stored: &str, block_bytes: u32) -> Result<(Listed, Vec<u32>), Error> {
        let (from, to) = (self.from.join(path), self.to.join(stored));
        if self.before.contains_key(stored) {
            let message =
                format!("the backup holds another file of this name, is it of another store? file={stored}");
            return Err(invalid(message));
        }
        let failed = || io_error(&format!("cannot copy a file of the store file={path}"));
        // What an earlier backup left half way.
        if to.exists() {
            fs::remove_file(&to).map_err(failed())?;
        }
        let linked =
            self.links && wal::log_of(file_name(path)).is_none() && fs::hard_link(&from, &to).is_ok();
        let (bytes, sums) = if linked {
            summed(&to, block_bytes, None)
        } else {
            let part = with_suffix(&to, ".part");
            copy(&from, &part, block_bytes).and_then(|copied| {
                let back = summed(&part, block_bytes, None)?;
                if back != copied {
                    return Err(io::Error::other("what was written reads differently"));
                }
                fs::rename(&part, &to)?;
                Ok(copied)
            })
        }
        .map_err(failed())?;
        self.done.new_files += 1;
        self.done.new_bytes += bytes;
        self.done.linked_files += u64::from(linked);
        let listed = Listed { path: path.to_owned(), stored: stored.to_owned(), bytes, crc32c: sums.whole };
        Ok((listed, sums.blocks))
    }

    /// Makes everything durable, then the list, then removes what it does not name.
    fn finish(mut self, now_ns: i64) -> Result<BackedUp, Error> {
        let failed = || io_error("cannot finish the backup");
        let folders: Vec<&str> = self.files.iter().filter_map(|file| file.stored.split('/').next()).collect();
        for folder in folders.iter().collect::<std::collections::BTreeSet<_>>() {
            sync_dir(&self.to.join(folder)).map_err(failed())?;
        }
        self.done.files = self.files.len() as u64;
        self.done.bytes = self.files.iter().map(|file| file.bytes).sum();
        let list = List { made_ns: now_ns, files: self.files };
        write_list(self.to, &list).map_err(failed())?;
        let needed: std::collections::BTreeSet<&str> =
            list.files.iter().map(|file| file.stored.as_str()).collect();
        for tenant in tenant_folders(self.to).map_err(failed())? {
            for entry in fs::read_dir(self.to.join(&tenant)).map_err(failed())? {
                let name = entry.map_err(failed())?.file_name();
                let path = format!("{tenant}/{}", name.to_string_lossy());
                if !needed.contains(path.as_str()) {
                    fs::remove_file(self.to.join(&path)).map_err(failed())?;
                    self.done.removed_files += 1;
                }
            }
        }
        Ok(self.done)
    }
}

/// Why a store cannot be read for its manifest.
pub(super) fn unreadable_manifest(folder: &str, unreadable: Unreadable) -> Error {
    let what = match unreadable {
        Unreadable::Newer(format) => {
            let known = manifest::FORMAT;
            return invalid(format!(
                "this store was written by a newer hopscope format={format} known={known}"
            ));
        }
        Unreadable::Missing => "it is missing".to_owned(),
        Unreadable::Damaged(what) => what,
        Unreadable::Io(error) => return io_error("cannot read the manifest")(error),
    };
    Error::new(ErrorKind::Corrupt, format!("the manifest cannot be read: {what} tenant={folder}"))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn tenant_folders(to: &Path) -> io::Result<Vec<String>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(to)? {
        let name = entry?.file_name().into_string().ok();
        folders.extend(name.filter(|name| Tenant::new(name).is_some()));
    }
    Ok(folders)
}

/// Checksums of a file: of all of it, and of its blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FileSums {
    whole: u32,
    blocks: Vec<u32>,
}

/// Length and checksums of a file; a copy of it goes to `out`.
fn summed(path: &Path, block_bytes: u32, out: Option<&mut fs::File>) -> io::Result<(u64, FileSums)> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, fs::File::open(path)?);
    let mut out = out.map(|out| BufWriter::with_capacity(BUFFER_BYTES, out));
    let (mut len, mut sums, mut block) = (0, FileSums::default(), Vec::with_capacity(block_bytes as usize));
    loop {
        block.clear();
        Read::by_ref(&mut file).take(u64::from(block_bytes)).read_to_end(&mut block)?;
        if block.is_empty() {
            out.as_mut().map_or(Ok(()), Write::flush)?;
            return Ok((len, sums));
        }
        len += block.len() as u64;
        sums.whole = crc32c::crc32c_append(sums.whole, &block);
        sums.blocks.push(crc32c::crc32c(&block));
        if let Some(out) = out.as_mut() {
            out.write_all(&block)?;
        }
    }
}

fn copy(from: &Path, to: &Path, block_bytes: u32) -> io::Result<(u64, FileSums)> {
    let mut out = fs::File::create(to)?;
    let copied = summed(from, block_bytes, Some(&mut out))?;
    out.sync_all()?;
    Ok(copied)
}

fn sync_dir(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn write_list(to: &Path, list: &List) -> io::Result<()> {
    let body = serde_json::to_vec(list).map_err(io::Error::other)?;
    let mut bytes = format!("{MAGIC}{FORMAT} crc32c={:08x}\n", crc32c::crc32c(&body)).into_bytes();
    bytes.extend(body);
    let new = to.join("BACKUP.new");
    let mut file = fs::File::create(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(new, to.join(LIST))?;
    sync_dir(to)
}

/// The list of the backup in a folder; `None` where none was ever finished.
fn read_list(folder: &Path) -> Result<Option<List>, Error> {
    let bytes = match fs::read(folder.join(LIST)) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(io_error("cannot read the list of the backup")(error)),
    };
    let damaged = || {
        let message = format!("the list of the backup is damaged folder={}", folder.display());
        Error::new(ErrorKind::Corrupt, message)
    };
    let split = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
    let (head, body) = (String::from_utf8_lossy(&bytes[..split]), &bytes[split + 1..]);
    let (format, checksum) =
        head.strip_prefix(MAGIC).and_then(|head| head.split_once(" crc32c=")).ok_or_else(damaged)?;
    let format: u32 = format.parse().map_err(|_| damaged())?;
    if format > FORMAT {
        let message = format!("this backup was written by a newer hopscope format={format} known={FORMAT}");
        return Err(invalid(message));
    }
    if format!("{:08x}", crc32c::crc32c(body)) != checksum {
        return Err(damaged());
    }
    serde_json::from_slice(body).map(Some).map_err(|_| damaged())
}

/// Makes a store out of a backup, in a folder that is missing or empty. Every byte is held against its checksum; until
/// the end the folder says that it is not whole, and no store opens it.
pub fn restore(from: &Path, data: &Path) -> Result<Restored, Error> {
    let list = read_list(from)?.ok_or_else(|| {
        invalid(format!("no backup there: it has no list, or was never finished folder={}", from.display()))
    })?;
    if list.files.iter().any(|file| !is_inside(&file.path) || !is_inside(&file.stored)) {
        let message = format!("the list of the backup points outside of it folder={}", from.display());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    let _lock = empty_folder(data)?;
    let failed = |file: &Listed| io_error(&format!("cannot restore file={}", file.stored));
    let mut restored = Restored { made_ns: list.made_ns, ..Restored::default() };
    for file in &list.files {
        let to = data.join(&file.path);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(failed(file))?;
        }
        let (bytes, sums) = copy(&from.join(&file.stored), &to, WHOLE).map_err(failed(file))?;
        if (bytes, sums.whole) != (file.bytes, file.crc32c) {
            let message =
                format!("a file of the backup is damaged: its checksum does not hold file={}", file.stored);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        restored.files += 1;
        restored.bytes += bytes;
    }
    let durable = || {
        for folder in tenant_folders(data)? {
            sync_dir(&data.join(folder))?;
        }
        sync_dir(data)?;
        fs::remove_file(data.join(RESTORING))?;
        sync_dir(data)
    };
    durable().map_err(io_error("cannot finish the restore"))?;
    Ok(restored)
}

/// Whether a path of a list is a plain one below its folder.
fn is_inside(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && *part != "." && *part != "..";
    parts.len() == 2 && parts.iter().all(plain) && Tenant::new(parts[0]).is_some()
}

/// Locks a folder without a store in it, made where it is missing, and marks it as not whole yet.
fn empty_folder(data: &Path) -> Result<Box<dyn std::any::Any + Send + Sync>, Error> {
    let dir = RealDir::open(data).map_err(io_error("cannot make the folder"))?;
    let names = dir.list("").map_err(io_error("cannot list the folder"))?;
    let is_free = names.iter().all(|name| name == LOCK_FILE) || names.iter().any(|name| name == RESTORING);
    if !is_free {
        let message = format!(
            "the folder is not empty: a store is never restored over another one folder={}",
            data.display()
        );
        return Err(invalid(message));
    }
    let lock = dir.lock(LOCK_FILE).map_err(io_error("cannot lock the folder"))?;
    let lock = lock.ok_or_else(|| {
        let message = format!("another hopscope is using this folder folder={}", data.display());
        Error::new(ErrorKind::Unavailable, message)
    })?;
    dir.create(RESTORING)
        .and_then(|file| file.sync_data())
        .and_then(|()| dir.sync_dir(""))
        .map_err(io_error("cannot write to the folder"))?;
    Ok(lock)
}
