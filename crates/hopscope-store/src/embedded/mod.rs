//! [`Embedded`]: the store in one folder, with no server to install.
//!
//! A tenant is a folder with its own log, segments and manifest. `append` answers after its record is on the
//! disk; reads see it from then on. It is not: for two processes at once (a lock says so), nor a general
//! database.

mod backup;
mod candidates;
mod catalog;
mod check;
mod collect;
mod compact;
mod count;
mod counting;
pub mod dir;
mod export;
mod fingerprint;
mod folder;
mod frame;
mod ints;
mod manifest;
mod memtable;
mod options;
mod queue;
mod read;
mod real_dir;
mod recover;
mod repair;
mod repeats;
mod replay;
mod retain;
mod rolled;
mod seal;
mod segment;
pub mod sim_dir;
pub mod simulate;
mod snapshot;
mod space;
mod table;
mod wal;

pub use backup::{BackedUp, Restored, backup, restore};
pub use catalog::{COLUMNS, Column, parquet_files};
pub use compact::{Level, Status};
pub use export::{Exported, Import};
pub use options::{Options, WalMode};
pub use real_dir::RealDir;
pub use repair::{Repaired, rebuild_rollups, repair};
pub use retain::DroppedDay;
pub use snapshot::Snapshot;
pub use space::{
    DaySpace, DestinationSpace, Disk, Growth, Received, Space, TenantSpace, day_begins_ns, day_of,
};

use crate::{
    Aggregated, Aggregation, Appended, CheckReport, Depth, Error, ErrorKind, Finding, Found, Page, Policy,
    Retained, Retention, Store,
};
use async_trait::async_trait;
use compact::Eagerness;
use dir::Dir;
use folder::{Folder, io_error, locked};
use hopscope_model::{Batch, Coverage, Evidence, Key, Limits, Query, Tenant};
use queue::Writer;
use read::Cancel;
use segment::Caches;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

const LOCK_FILE: &str = "LOCK";

/// A folder with this file is a restore that did not finish.
const RESTORING: &str = "RESTORING";

/// The store in one folder.
pub struct Embedded {
    dir: Arc<dyn Dir>,
    options: Options,
    /// One for all tenants.
    caches: Arc<Caches>,
    /// Dropped before the lock: their threads use the folder.
    tenants: Mutex<BTreeMap<Tenant, Arc<Writer>>>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("dir", &self.dir).field("options", &self.options).finish()
    }
}

impl Embedded {
    /// Opens the store in that folder, made where it is missing, and replays its logs.
    ///
    /// # Errors
    /// `Unavailable` where another process has the folder, `Internal` where it cannot be read or written.
    /// Damaged files are no error: they are put aside, and [`Store::check`] names them.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let dir =
            RealDir::open(path).map_err(io_error(&format!("cannot open the folder {}", path.display())))?;
        Self::open_in(Arc::new(dir), options)
    }

    /// The same in any [`Dir`].
    pub fn open_in(dir: Arc<dyn Dir>, options: Options) -> Result<Self, Error> {
        let lock = dir.lock(LOCK_FILE).map_err(io_error("cannot lock the folder"))?;
        let lock = lock.ok_or_else(|| {
            let message = "another hopscope is using this folder\nhint: stop it, or give this one a folder of its own with --data";
            Error::new(ErrorKind::Unavailable, message)
        })?;
        if dir.open(RESTORING).is_ok() {
            let message =
                "a restore into this folder did not finish\nhint: `hopscope store restore` it again";
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let mut tenants = BTreeMap::new();
        let caches = Arc::new(Caches::new(&options));
        for name in dir.list("").map_err(io_error("cannot list the folder"))? {
            // Other names are not tenants': the lock file is in capitals for that reason.
            if let Some(tenant) = Tenant::new(&name) {
                let folder =
                    Folder::open(Arc::clone(&dir), tenant.clone(), options.clone(), Arc::clone(&caches))?;
                tenants.insert(tenant, Arc::new(Writer::start(folder)?));
            }
        }
        Ok(Self { dir, options, caches, tenants: Mutex::new(tenants), _lock: lock })
    }

    /// Waits until everything that was appended is durable or refused, and takes nothing more. What is not
    /// sealed yet stays in the log and is replayed at the next start. Dropping the store does the same.
    pub async fn close(&self) -> Result<(), Error> {
        let writers: Vec<Arc<Writer>> = locked(&self.tenants).values().cloned().collect();
        blocking(move || {
            writers.iter().for_each(|writer| writer.stop());
            Ok(())
        })
        .await
    }

    /// Seals everything that is in memory into segments, now. Sealing happens by itself; this is for copies of
    /// the folder, and for tests.
    pub async fn seal(&self) -> Result<(), Error> {
        let writers: Vec<Arc<Writer>> = locked(&self.tenants).values().cloned().collect();
        blocking(move || writers.iter().try_for_each(|writer| writer.folder().seal_all())).await
    }

    /// Merges the segments of every day into as few as can be, now. Merging happens by itself where it pays;
    /// this is for copies of the folder, and for tests.
    pub async fn compact(&self) -> Result<(), Error> {
        let writers: Vec<Arc<Writer>> = locked(&self.tenants).values().cloned().collect();
        let compact = |writer: &Arc<Writer>| {
            while writer.folder().compact_one(Eagerness::Everything, &|| Ok(()))? {}
            Ok(())
        };
        blocking(move || writers.iter().try_for_each(compact)).await
    }

    /// How a tenant's segments are doing; `None` where it has nothing.
    pub fn status(&self, tenant: &Tenant) -> Option<Status> {
        self.writer(tenant).map(|writer| writer.folder().status())
    }

    /// The tenants that have a folder.
    pub fn tenants(&self) -> Vec<Tenant> {
        locked(&self.tenants).keys().cloned().collect()
    }

    /// What is missing, of all tenants.
    pub(crate) fn gaps(&self) -> Vec<Finding> {
        let writers: Vec<Arc<Writer>> = locked(&self.tenants).values().cloned().collect();
        writers.iter().flat_map(|writer| writer.folder().gaps()).collect()
    }

    /// Drops what the policy of a tenant no longer keeps: whole segments, so far.
    pub async fn apply(&self, tenant: &Tenant, policy: &Policy, now_ns: i64) -> Result<Retained, Error> {
        let policy = policy.clone();
        self.read(tenant, Retained::default(), move |folder, _| folder.apply(&policy, now_ns)).await
    }

    /// Writes the events of a tenant that match to a new Parquet file.
    pub async fn export(
        &self,
        tenant: &Tenant,
        query: &Query,
        now_ns: i64,
        to: &Path,
    ) -> Result<Exported, Error> {
        let (query, to) = (query.clone(), to.to_owned());
        let export = move |folder: &Folder, cancel: &Cancel| folder.export(&query, now_ns, &to, cancel);
        self.read(tenant, Exported::default(), export).await
    }

    /// What it takes on the disk.
    pub async fn space(&self) -> Result<Space, Error> {
        let writers: Vec<Arc<Writer>> = locked(&self.tenants).values().cloned().collect();
        blocking(move || {
            let tenants = writers.iter().map(|writer| writer.folder().space());
            Ok(Space { tenants: tenants.collect::<Result<_, _>>()? })
        })
        .await
    }

    fn writer(&self, tenant: &Tenant) -> Option<Arc<Writer>> {
        locked(&self.tenants).get(tenant).cloned()
    }

    fn writer_or_new(&self, tenant: &Tenant) -> Result<Arc<Writer>, Error> {
        let mut tenants = locked(&self.tenants);
        if let Some(writer) = tenants.get(tenant) {
            return Ok(Arc::clone(writer));
        }
        if tenants.len() >= self.options.tenants_max {
            let message = format!("too many tenants tenants_max={}", self.options.tenants_max);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let (dir, caches) = (Arc::clone(&self.dir), Arc::clone(&self.caches));
        let folder = Folder::open(dir, tenant.clone(), self.options.clone(), caches)?;
        let writer = Arc::new(Writer::start(folder)?);
        tenants.insert(tenant.clone(), Arc::clone(&writer));
        Ok(writer)
    }

    /// Runs a read on a thread that may block, and stops it when nobody waits for it any more.
    async fn read<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        empty: T,
        read: impl FnOnce(&Folder, &Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        struct CancelOnDrop(Cancel);
        impl Drop for CancelOnDrop {
            fn drop(&mut self) {
                self.0.cancel();
            }
        }
        let Some(writer) = self.writer(tenant) else { return Ok(empty) };
        let cancel = Cancel::default();
        let guard = CancelOnDrop(cancel.clone());
        let answer = blocking(move || read(writer.folder(), &cancel)).await;
        drop(guard);
        answer
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let answer = tokio::task::spawn_blocking(work).await;
    answer.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Internal, "a task of the store panicked").because(error))
    })
}

#[async_trait]
impl Store for Embedded {
    async fn append(&self, batch: Batch) -> Result<Appended, Error> {
        if batch.is_empty() {
            return Ok(Appended::default());
        }
        self.writer_or_new(batch.tenant())?.append(batch).await
    }

    async fn search(&self, tenant: &Tenant, query: &Query, page: &Page) -> Result<Found, Error> {
        let (query, page) = (query.clone(), page.clone());
        if let Some(after) = &page.after {
            crate::order::place(after)?;
        }
        self.read(tenant, Found::default(), move |folder, cancel| folder.search(&query, &page, cancel)).await
    }

    async fn events(
        &self,
        tenant: &Tenant,
        keys: &[Key],
        limits: &Limits,
        after: Option<&str>,
    ) -> Result<Evidence, Error> {
        let (keys, limits, after) = (keys.to_vec(), *limits, after.map(str::to_owned));
        if let Some(after) = &after {
            crate::order::place(after)?;
        }
        let read =
            move |folder: &Folder, cancel: &Cancel| folder.events(&keys, &limits, after.as_deref(), cancel);
        self.read(tenant, Evidence::default(), read).await
    }

    async fn aggregate(&self, tenant: &Tenant, aggregation: &Aggregation) -> Result<Aggregated, Error> {
        aggregation.check()?;
        let aggregation = aggregation.clone();
        let empty = Aggregated { rows: Vec::new(), coverage: Coverage::default() };
        self.read(tenant, empty, move |folder, cancel| folder.aggregate(&aggregation, cancel)).await
    }

    async fn retain(&self, tenant: &Tenant, retention: &Retention) -> Result<Retained, Error> {
        let retention = *retention;
        self.read(tenant, Retained::default(), move |folder, _| folder.retain(&retention)).await
    }

    async fn check(&self, depth: Depth) -> Result<CheckReport, Error> {
        let writers: Vec<Arc<Writer>> = locked(&self.tenants).values().cloned().collect();
        blocking(move || {
            let mut report = CheckReport::default();
            writers.iter().try_for_each(|writer| writer.folder().check(depth, &mut report))?;
            Ok(report)
        })
        .await
    }
}
