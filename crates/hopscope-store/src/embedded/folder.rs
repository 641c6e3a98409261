//! [`Folder`]: one tenant's folder, its log, its tables in memory and its segments. No thread and no async in
//! here: whoever drives it decides when, which is how a simulation can.

use super::dir::{Dir, read_all};
use super::frame;
use super::manifest::{self, Gap, Manifest};
use super::options::Options;
use super::table::Table;
use super::wal::{self, Log, Record};
use crate::{Appended, Error, ErrorKind};
use hopscope_model::{Batch, Tenant};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Most tables that wait to be sealed; while there are as many, the newest one grows on.
const FROZEN_MAX: usize = 1;

/// How far the newest table may grow past its limits before appends are refused.
const OVERGROWN: usize = 2;

/// Most bytes of a log file that replay reads.
const LOG_BYTES_MAX: u64 = 4 << 30;

/// One tenant's folder, open.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(super) dir: Arc<dyn Dir>,
    pub(super) tenant: Tenant,
    pub(super) options: Options,
    state: RwLock<Arc<State>>,
    log: Mutex<Log>,
    /// Held while the manifest changes.
    pub(super) manifest: Mutex<Manifest>,
}

/// What a read sees, all at one time.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub active: Arc<Table>,
    /// Tables that wait to be sealed, oldest first.
    pub frozen: Vec<Arc<Table>>,
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

pub(super) fn io_error(what: &str) -> impl FnOnce(io::Error) -> Error {
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
    /// Opens a tenant's folder, made where it is missing, and replays its logs.
    pub fn open(dir: Arc<dyn Dir>, tenant: Tenant, options: Options) -> Result<Self, Error> {
        let path = tenant.name();
        dir.make_dir(path)
            .and_then(|()| dir.sync_dir(""))
            .map_err(io_error("cannot make the tenant's folder"))?;
        let mut manifest = manifest::read(&*dir, path).unwrap_or_default();
        let (tables, log) = replay(&*dir, &tenant, &options, &mut manifest)?;
        let mut frozen: Vec<Arc<Table>> = tables.into_iter().map(Arc::new).collect();
        let active = frozen.pop().unwrap_or_else(|| Arc::new(Table::new(log.number)));
        let gaps = Arc::new(manifest.gaps.clone());
        let state = RwLock::new(Arc::new(State { active, frozen, gaps }));
        Ok(Self { dir, tenant, options, state, log: Mutex::new(log), manifest: Mutex::new(manifest) })
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
        if self.is_due(&log, 1) {
            self.rotate(&mut log);
        }
        answers
    }

    fn write(&self, log: &mut Log, items: &[Item]) -> Result<(), Error> {
        if self.is_due(log, OVERGROWN) {
            let message = "sealing is behind: the log is full until it catches up";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let record = |item: &'_ Item| (item.batch.received_ns(), item.batch.len() as u32);
        let records = items.iter().map(|item| {
            let (received_ns, rows) = record(item);
            Record { payload: &item.frame, received_ns, rows }
        });
        log.commit(records).map_err(|error| {
            let message = format!("the log could not be written: {error}");
            tracing::error!(tenant = self.tenant.name(), log = log.number, "{message}");
            Error::new(ErrorKind::Unavailable, message).because(error)
        })
    }

    fn is_due(&self, log: &Log, times: usize) -> bool {
        let rows = self.state().active.read().weight();
        rows >= self.options.seal_rows * times || log.len() >= self.options.seal_bytes * times as u64
    }

    /// Begins a new log and table, where there is room for one more to wait.
    fn rotate(&self, log: &mut Log) {
        let state = self.state();
        if state.frozen.len() >= FROZEN_MAX || state.active.read().is_empty() {
            return;
        }
        match Log::create(&*self.dir, self.tenant.name(), log.number + 1) {
            Ok(next) => {
                let active = Arc::new(Table::new(next.number));
                *log = next;
                self.change_state(|state| {
                    let frozen = std::mem::replace(&mut state.active, active);
                    state.frozen.push(frozen);
                });
            }
            // The old log goes on; it is tried again with the next commit.
            Err(error) => tracing::warn!(tenant = self.tenant.name(), %error, "no new log"),
        }
    }
}

/// Reads the logs that are not in segments yet, each into a table of its own; the log to go on with.
fn replay(
    dir: &dyn Dir,
    tenant: &Tenant,
    _options: &Options,
    manifest: &mut Manifest,
) -> Result<(Vec<Table>, Log), Error> {
    let path = tenant.name();
    let names = dir.list(path).map_err(io_error("cannot list the tenant's folder"))?;
    let logs: Vec<u64> = names.iter().filter_map(|name| wal::log_of(name)).collect();
    let mut tables: Vec<Table> = Vec::new();
    let mut last: Option<Log> = None;
    for number in logs.into_iter().filter(|log| *log >= manifest.first_log) {
        let file_path = format!("{path}/{}", wal::file_name(number));
        let bytes = read_all(dir, &file_path, LOG_BYTES_MAX).map_err(io_error("cannot read the log"))?;
        let scan = wal::scan(number, &bytes);
        let table = Table::new(number);
        for found in &scan.records {
            let Ok(batch) = frame::decode(tenant, &bytes[found.start..found.end]) else { continue };
            let others: Vec<_> = tables.iter().map(|table| table.read()).collect();
            let others: Vec<_> = others.iter().map(|table| &**table).collect();
            table.write().insert(batch, &others);
        }
        tables.push(table);
        let resume = || -> io::Result<Log> {
            if scan.keep < wal::FILE_HEADER_BYTES {
                return Log::create(dir, path, number);
            }
            let file = dir.open(&file_path)?;
            if scan.keep < bytes.len() as u64 {
                file.truncate(scan.keep)?;
            }
            file.sync_data()?;
            Ok(Log::resume(number, file, scan.keep))
        };
        last = Some(resume().map_err(io_error("cannot go on with the log"))?);
    }
    let log = match last {
        Some(log) => log,
        None => Log::create(dir, path, manifest.first_log).map_err(io_error("cannot create the log"))?,
    };
    dir.sync_dir(path).map_err(io_error("cannot sync the tenant's folder"))?;
    Ok((tables, log))
}
