//! [`Folder`]: one tenant's folder, its log, its tables in memory and its segments. No thread and no async in
//! here: whoever drives it decides when, which is how a simulation can.

use super::compact::Compaction;
use super::dir::Dir;
use super::frame;
use super::manifest::{Gap, Manifest};
use super::options::{Options, WalMode};
use super::recover::{Recovered, recover};
use super::segment::{Caches, Segment};
use super::table::Table;
use super::wal::{Log, Record};
use crate::{Appended, Error, ErrorKind};
use hopscope_model::{Batch, Tenant};
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Most tables that wait to be sealed; while there are as many, the newest one grows on.
const FROZEN_MAX: usize = 1;

/// How far the newest table may grow past its limits before appends are refused.
const OVERGROWN: usize = 2;

/// One tenant's folder, open.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(super) dir: Arc<dyn Dir>,
    pub(super) tenant: Tenant,
    pub(super) options: Options,
    pub(super) caches: Arc<Caches>,
    state: RwLock<Arc<State>>,
    log: Mutex<Log>,
    /// Held while the manifest changes.
    pub(super) manifest: Mutex<Manifest>,
    /// A write of the manifest failed: the one on the disk may be that one or the one before.
    pub(super) manifest_unsure: AtomicBool,
    pub(super) compaction: Compaction,
}

/// What a read sees, all at one time.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub active: Arc<Table>,
    /// Tables that wait to be sealed, oldest first.
    pub frozen: Vec<Arc<Table>>,
    /// Tables of logs before this one are in segments.
    pub first_log: u64,
    /// In no order that matters.
    pub segments: Vec<Arc<Segment>>,
    /// What is missing.
    pub gaps: Arc<Vec<Gap>>,
}

/// A batch and its frame, on the way to the log.
#[derive(Debug)]
pub(crate) struct Item {
    pub batch: Batch,
    pub frame: Vec<u8>,
}

impl Item {
    /// Encodes a batch; `Invalid` where it is too long.
    pub fn new(batch: Batch, options: &Options) -> Result<Self, Error> {
        let bytes = batch.byte_len();
        if bytes > options.batch_bytes_max {
            let bytes_max = options.batch_bytes_max;
            let message = format!("batch is too long bytes={bytes} batch_bytes_max={bytes_max}");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let frame = frame::encode(&batch);
        Ok(Self { batch, frame })
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.batch.byte_len() + self.frame.len()
    }
}

pub(super) fn io_error(what: &str) -> impl FnOnce(io::Error) -> Error + use<> {
    let what = what.to_owned();
    move |error| {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, format!("{what}: {error}")).because(error)
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Folder {
    /// Opens a tenant's folder, made where it is missing: puts damaged files aside, and replays the logs that
    /// are not in segments yet.
    pub fn open(
        dir: Arc<dyn Dir>,
        tenant: Tenant,
        options: Options,
        caches: Arc<Caches>,
    ) -> Result<Self, Error> {
        let Recovered { manifest, segments, tables, log } = recover(&dir, &tenant, &options, &caches)?;
        let mut frozen: Vec<Arc<Table>> = tables.into_iter().map(Arc::new).collect();
        // The log to go on with may be new: then every table waits to be sealed.
        let active = match frozen.pop_if(|table| table.log == log.number) {
            Some(active) => active,
            None => Arc::new(Table::new(log.number)),
        };
        let gaps = Arc::new(manifest.gaps.clone());
        let first_log = manifest.first_log;
        let state = RwLock::new(Arc::new(State { active, frozen, first_log, segments, gaps }));
        let (log, manifest) = (Mutex::new(log), Mutex::new(manifest));
        let (manifest_unsure, compaction) = (AtomicBool::new(false), Compaction::default());
        Ok(Self { dir, tenant, options, caches, state, log, manifest, manifest_unsure, compaction })
    }

    /// What there is now.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change_state(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = State::clone(&state);
        change(&mut next);
        *state = Arc::new(next);
    }

    /// Makes batches durable with one sync, then readable. One answer for each.
    pub fn commit(&self, items: Vec<Item>) -> Vec<Result<Appended, Error>> {
        let mut log = locked(&self.log);
        let count = items.len();
        if let Err(error) = self.write(&mut log, &items) {
            // Nothing of it was acknowledged; each caller is told the same.
            let answer = || Err(Error::new(error.kind, error.message.clone()));
            return (0..count).map(|_| answer()).collect();
        }
        let state = self.state();
        let frozen: Vec<_> = state.frozen.iter().map(|table| table.read()).collect();
        let others: Vec<_> = frozen.iter().map(|table| &**table).collect();
        let insert = |item: Item| Ok(state.active.write().insert(item.batch, &others));
        let answers = items.into_iter().map(insert).collect();
        drop(frozen);
        if self.is_due(&log, 1)
            && let Err(error) = self.rotate(&mut log)
        {
            // The old log goes on; it is tried again with the next commit.
            tracing::warn!(tenant = self.tenant.name(), %error, "no new log");
        }
        answers
    }

    fn write(&self, log: &mut Log, items: &[Item]) -> Result<(), Error> {
        self.check_space(items.iter().map(|item| item.frame.len() as u64).sum())?;
        if log.is_broken() || self.is_due(log, OVERGROWN) {
            self.rotate(log)?;
        }
        if self.is_behind(log) {
            let message = "sealing is behind: the log is full until it catches up";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let record = |item: &'_ Item| (item.batch.received_ns(), item.batch.len() as u32);
        let records = items.iter().map(|item| {
            let (received_ns, rows) = record(item);
            Record { payload: &item.frame, received_ns, rows }
        });
        let written = match self.options.wal_mode {
            WalMode::Sync => log.commit(records),
            WalMode::Interval(_) | WalMode::None => log.write(records),
        };
        written.map_err(|error| {
            let message = format!("the log could not be written: {error}");
            tracing::error!(tenant = self.tenant.name(), log = log.number, "{message}");
            Error::new(ErrorKind::Unavailable, message).because(error)
        })
    }

    /// Refuses to write where less than the reserve would be left: sealing needs room, and so do others.
    fn check_space(&self, bytes: u64) -> Result<(), Error> {
        // Where it cannot be told, a write that fails for want of space is undone.
        let Ok(free) = self.dir.free_space() else { return Ok(()) };
        let reserve = self.options.disk_reserve_bytes;
        if free.saturating_sub(bytes) >= reserve {
            return Ok(());
        }
        let message = format!("the disk is nearly full bytes_free={free} disk_reserve_bytes={reserve}");
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Makes what was written to the log durable; for the modes in which a commit does not.
    pub fn sync_log(&self) -> Result<(), Error> {
        let mut log = locked(&self.log);
        let synced = log.sync().map_err(io_error("the log could not be synced"));
        if log.is_broken() {
            // What is in memory is sealed as soon as it can be: that makes it durable.
            self.rotate(&mut log)?;
        }
        synced
    }

    fn is_due(&self, log: &Log, times: usize) -> bool {
        self.state().active.is_due(&self.options, times)
            || log.len() >= self.options.seal_bytes.saturating_mul(times as u64)
    }

    /// Whether there is more in memory than may wait for sealing. After a start that is all that the logs held:
    /// nothing is added to it, or it would grow with every crash.
    fn is_behind(&self, log: &Log) -> bool {
        self.state().frozen.len() > FROZEN_MAX || self.is_due(log, OVERGROWN)
    }

    /// Begins a new log and table now, so that all there is can be sealed.
    pub fn freeze(&self) -> Result<(), Error> {
        self.rotate(&mut locked(&self.log))
    }

    /// Whether appends are refused until a table has been sealed.
    pub fn is_overgrown(&self) -> bool {
        self.has_frozen() && self.is_behind(&locked(&self.log))
    }

    /// Whether a table waits to be sealed.
    pub fn has_frozen(&self) -> bool {
        !self.state().frozen.is_empty()
    }

    /// Begins a new log and table, where there is room for one more to wait.
    fn rotate(&self, log: &mut Log) -> Result<(), Error> {
        let state = self.state();
        // A broken log is left behind with an empty table too.
        let is_new = state.active.read().is_empty() && !log.is_broken();
        if state.frozen.len() >= FROZEN_MAX || is_new {
            return Ok(());
        }
        if let (WalMode::Interval(_), Err(error)) = (self.options.wal_mode, log.sync()) {
            tracing::error!(tenant = self.tenant.name(), log = log.number, %error, "the log could not be synced");
        }
        let next = Log::create(&*self.dir, self.tenant.name(), log.number + 1);
        let next = next.map_err(io_error("cannot begin a new log"))?;
        let active = Arc::new(Table::new(next.number));
        *log = next;
        self.change_state(|state| {
            let frozen = std::mem::replace(&mut state.active, active);
            state.frozen.push(frozen);
        });
        Ok(())
    }
}
