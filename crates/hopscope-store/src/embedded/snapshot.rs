//! [`Snapshot`]: the folder of a store as it is at one moment, for commands that must neither disturb a running
//! server nor change anything: hard links to what is never written again, copies of the logs.
//!
//! It needs no lock and no server. Files that a manifest names never change, and a manifest is replaced at once:
//! if it is the same before and after, everything that it names was linked. A log that is appended to
//! meanwhile is copied as far as it goes; its torn end is cut off by whoever opens the snapshot, as after a loss of power.
//!
//! All of it is about folders of the operating system, not about [`Dir`](super::dir::Dir): a simulated disk has
//! no second process.

use super::folder::io_error;
use super::{manifest, recover, wal};
use crate::{Error, ErrorKind};
use hopscope_model::Tenant;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Name of a snapshot's folder begins so. In capitals: it is no tenant's.
const PREFIX: &str = "SNAPSHOT-";

/// Its lock, held by the process that uses it: one that nobody holds was left behind.
const HELD: &str = "HELD";

/// How often to begin anew because the store went on meanwhile.
const TRIES_MAX: u32 = 100;

/// A folder that holds a store as it was at one moment. Removed when dropped.
#[derive(Debug)]
pub struct Snapshot {
    root: PathBuf,
    _held: fs::File,
}

impl Snapshot {
    /// Takes a snapshot of the store in that folder, below it. It costs links and the bytes of the logs.
    ///
    /// # Errors
    /// `Invalid` where there is no store, `Unavailable` where the file system has no hard links or the store
    /// changes too fast.
    pub fn take(data: &Path) -> Result<Self, Error> {
        let tenants = tenants(data)?;
        remove_left(data).map_err(io_error("cannot remove a snapshot that was left behind"))?;
        let snapshot = Self::make(data).map_err(io_error("cannot make the folder of a snapshot"))?;
        for tenant in tenants {
            let (from, to) = (data.join(tenant.name()), snapshot.root.join(tenant.name()));
            copy_tenant(&from, &to)?;
        }
        Ok(snapshot)
    }

    /// Whether there is a store in that folder; nothing is made or changed.
    ///
    /// # Errors
    /// `Invalid` where there is none.
    pub fn look(data: &Path) -> Result<(), Error> {
        tenants(data).map(drop)
    }

    /// Its folder: a store like any other.
    pub fn path(&self) -> &Path {
        &self.root
    }

    fn make(data: &Path) -> io::Result<Self> {
        let mut number = std::process::id();
        loop {
            let root = data.join(format!("{PREFIX}{number}"));
            match fs::create_dir(&root) {
                Ok(()) => {
                    let held = fs::File::create(root.join(HELD))?;
                    held.lock()?;
                    return Ok(Self { root, _held: held });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number = number.wrapping_add(1),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.root) {
            tracing::warn!(folder = %self.root.display(), %error, "a snapshot is left: the next one removes it");
        }
    }
}

/// The tenants of the store in that folder; `Invalid` where that is none.
pub(crate) fn tenants(data: &Path) -> Result<Vec<Tenant>, Error> {
    let none = |why: String| {
        let folder = data.display();
        Error::new(ErrorKind::Invalid, format!("no store there: {why} folder={folder}"))
    };
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none("no such folder".into())),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(none("that is a file".into()));
        }
        Err(error) => return Err(io_error("cannot list the folder")(error)),
    };
    let mut tenants = Vec::new();
    let mut locked = false;
    for entry in entries {
        let entry = entry.map_err(io_error("cannot list the folder"))?;
        let name = entry.file_name();
        locked |= name == super::LOCK_FILE;
        let tenant = name.to_str().and_then(Tenant::new);
        tenants.extend(tenant.filter(|_| is_tenants(&entry.path())));
    }
    if tenants.is_empty() && !locked {
        return Err(none("neither a lock file nor a tenant's folder".into()));
    }
    tenants.sort();
    Ok(tenants)
}

/// Whether a folder holds a manifest or a log.
fn is_tenants(folder: &Path) -> bool {
    let named = |name: &str| name == manifest::FILE || wal::log_of(name).is_some();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(named))
}

/// Removes snapshots that no process uses any more; the names of those.
pub(crate) fn remove_left(data: &Path) -> io::Result<Vec<String>> {
    let left = left(data)?;
    for name in &left {
        fs::remove_dir_all(data.join(name))?;
    }
    Ok(left)
}

/// Snapshots that no process uses any more.
pub(crate) fn left(data: &Path) -> io::Result<Vec<String>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(data)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if !name.starts_with(PREFIX) {
            continue;
        }
        // Without the file it is being made just now, or being removed.
        let unused = fs::File::open(data.join(&name).join(HELD)).is_ok_and(|held| held.try_lock().is_ok());
        left.extend(unused.then_some(name));
    }
    Ok(left)
}

fn copy_tenant(from: &Path, to: &Path) -> Result<(), Error> {
    for _ in 0..TRIES_MAX {
        match try_copy(from, to) {
            Ok(true) => return Ok(()),
            Ok(false) => fs::remove_dir_all(to).map_err(io_error("cannot begin a snapshot anew"))?,
            Err(error) => return Err(error),
        }
    }
    let message = format!("the store changes too fast for a snapshot tries={TRIES_MAX}");
    Err(Error::new(ErrorKind::Unavailable, message))
}

/// `false` where the store went on meanwhile.
fn try_copy(from: &Path, to: &Path) -> Result<bool, Error> {
    let failed = io_error("cannot take a snapshot");
    let outcome = (|| {
        fs::create_dir_all(to)?;
        let before = read_manifest(from)?;
        for name in files(from)? {
            if name == manifest::FILE || name == manifest::NEW_FILE {
                continue;
            }
            let (of, into) = (from.join(&name), to.join(&name));
            if wal::log_of(&name).is_some() {
                fs::copy(of, into)?;
            } else {
                fs::hard_link(of, into)?;
            }
        }
        if let Some(manifest) = &before {
            fs::write(to.join(manifest::FILE), manifest)?;
        }
        Ok(read_manifest(from)? == before)
    })();
    match outcome {
        Ok(whole) => Ok(whole),
        // Sealed, merged or dropped between listing and linking.
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(false),
        Err(error) if cannot_link(&error) => {
            let message = "this file system has no hard links, which a snapshot is made of";
            Err(Error::new(ErrorKind::Unavailable, message).because(error))
        }
        Err(error) => Err(failed(error)),
    }
}

fn cannot_link(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, TooManyLinks, Unsupported};
    let not_permitted = error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error());
    not_permitted || matches!(error.kind(), CrossesDevices | TooManyLinks | Unsupported)
}

fn read_manifest(folder: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(folder.join(manifest::FILE)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names of the files of a tenant's folder; what is in quarantine is none of them.
fn files(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.extend(entry.file_name().into_string().ok());
        } else if entry.file_name() != recover::QUARANTINE {
            tracing::debug!(name = ?entry.file_name(), "not a file of the store");
        }
    }
    // A log that was begun while the others were copied must not be there without the end of its elder: in
    // order, and listed before any is copied.
    names.sort();
    Ok(names)
}
