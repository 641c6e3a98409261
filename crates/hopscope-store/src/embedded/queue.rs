//! [`Writer`]: the queue in front of a tenant's log, and the thread that commits in groups.

use super::compact::Eagerness;
use super::folder::{Folder, Item, locked};
use super::options::WalMode;
use crate::{Appended, Error, ErrorKind};
use hopscope_model::Batch;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long to wait after a seal that failed.
const SEAL_RETRY: Duration = Duration::from_secs(1);

/// How long to wait for something to merge.
const COMPACT_RETRY: Duration = Duration::from_secs(10);

/// How much less important than the others the compacting thread is.
const COMPACT_NICE: i32 = 10;

/// How long a merge waits for those that are more important, at most, between two units of its work.
const GIVE_WAY: Duration = Duration::from_millis(5);

/// A tenant's folder with its threads.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    folder: Folder,
    queue: Mutex<Queue>,
    /// Something is waiting, or it is over.
    wake: Condvar,
    /// A table waits to be sealed, or it is over. Goes with the same mutex.
    wake_sealer: Condvar,
    /// A try to seal is over. Goes with the same mutex.
    sealed: Condvar,
    /// It is over. Goes with the same mutex.
    wake_syncer: Condvar,
    /// There may be something to merge, or it is over. Goes with the same mutex.
    wake_compactor: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Bytes that wait or are being written.
    bytes: usize,
    stopped: bool,
    /// The last try to seal failed.
    seal_failed: bool,
}

#[derive(Debug)]
struct Waiting {
    item: Item,
    answer: oneshot::Sender<Result<Appended, Error>>,
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "the store is closed")
}

impl Writer {
    /// Starts the thread of a folder.
    pub fn start(folder: Folder) -> Result<Self, Error> {
        let tenant = folder.tenant.name().to_owned();
        let shared = Arc::new(Shared {
            folder,
            queue: Mutex::default(),
            wake: Condvar::new(),
            wake_sealer: Condvar::new(),
            sealed: Condvar::new(),
            wake_syncer: Condvar::new(),
            wake_compactor: Condvar::new(),
        });
        let spawn = |name: String, run: fn(&Shared)| {
            let own = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(name).spawn(move || run(&own));
            thread.map_err(super::folder::io_error("cannot start a thread"))
        };
        let mut threads = vec![
            spawn(format!("log-{tenant}"), write_until_stopped)?,
            spawn(format!("seal-{tenant}"), seal_until_stopped)?,
        ];
        if shared.folder.options.compact {
            threads.push(spawn(format!("merge-{tenant}"), compact_until_stopped)?);
        }
        if let WalMode::Interval(_) = shared.folder.options.wal_mode {
            threads.push(spawn(format!("sync-{tenant}"), sync_until_stopped)?);
        }
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    pub fn folder(&self) -> &Folder {
        &self.shared.folder
    }

    /// Queues a batch; answers when it is durable and readable.
    pub async fn append(&self, batch: Batch) -> Result<Appended, Error> {
        let options = &self.shared.folder.options;
        let item = Item::new(batch, options)?;
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = locked(&self.shared.queue);
            if queue.stopped {
                return Err(stopped());
            }
            let bytes = queue.bytes + item.bytes();
            // One batch is always let in, or the largest could never be stored.
            if bytes > options.wal_queue_bytes_max && queue.bytes > 0 {
                let max = options.wal_queue_bytes_max;
                let message =
                    format!("the log's queue is full bytes={} wal_queue_bytes_max={max}", queue.bytes);
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            queue.bytes = bytes;
            queue.waiting.push_back(Waiting { item, answer });
        }
        self.shared.wake.notify_all();
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Lets what is queued be written, takes nothing more, and waits for the threads.
    pub fn stop(&self) {
        locked(&self.shared.queue).stopped = true;
        self.shared.wake.notify_all();
        self.shared.wake_sealer.notify_all();
        self.shared.sealed.notify_all();
        self.shared.wake_syncer.notify_all();
        self.shared.wake_compactor.notify_all();
        for thread in locked(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
        sync(&self.shared);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write_until_stopped(shared: &Shared) {
    let group_bytes_max = shared.folder.options.group_bytes_max;
    while let Some(group) = next_group(shared, group_bytes_max) {
        wait_for_room(shared);
        let bytes: usize = group.iter().map(|waiting| waiting.item.bytes()).sum();
        let (items, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
        for (answer, result) in answers.into_iter().zip(shared.folder.commit(items)) {
            // Whoever asked may have gone: the batch is stored all the same.
            let _ = answer.send(result);
        }
        locked(&shared.queue).bytes -= bytes;
        if shared.folder.has_frozen() {
            shared.wake_sealer.notify_all();
        }
    }
}

/// Syncs the log once in its period.
fn sync_until_stopped(shared: &Shared) {
    let WalMode::Interval(period) = shared.folder.options.wal_mode else { return };
    let mut queue = locked(&shared.queue);
    while !queue.stopped {
        let woken = shared.wake_syncer.wait_timeout(queue, period);
        drop(woken.unwrap_or_else(PoisonError::into_inner));
        sync(shared);
        queue = locked(&shared.queue);
    }
}

fn sync(shared: &Shared) {
    if shared.folder.options.wal_mode == WalMode::Sync {
        return;
    }
    if let Err(error) = shared.folder.sync_log() {
        tracing::error!(tenant = shared.folder.tenant.name(), %error, "what was stored may not be durable");
    }
}

/// Seals one table after the other. A failure (a full disk) is tried again when something is appended, or after
/// a while: until then the log keeps everything.
fn seal_until_stopped(shared: &Shared) {
    let mut failed = false;
    loop {
        {
            let mut queue = locked(&shared.queue);
            while !queue.stopped && (failed || !shared.folder.has_frozen()) {
                let woken = shared.wake_sealer.wait_timeout(queue, SEAL_RETRY);
                queue = woken.unwrap_or_else(PoisonError::into_inner).0;
                failed = false;
            }
            if queue.stopped {
                return;
            }
        }
        if let Err(error) = shared.folder.seal_one() {
            tracing::error!(tenant = shared.folder.tenant.name(), %error, "could not seal");
            failed = true;
        }
        locked(&shared.queue).seal_failed = failed;
        shared.sealed.notify_all();
        shared.wake_compactor.notify_all();
    }
}

/// Merges whenever something was sealed, as long as there is something to merge. It gives way to everything
/// else: a failure waits for the next seal, or for a while.
fn compact_until_stopped(shared: &Shared) {
    if let Err(error) = rustix::process::nice(COMPACT_NICE) {
        tracing::debug!(%error, "the compacting thread has the priority of the others");
    }
    let go_on = || give_way(shared);
    while !locked(&shared.queue).stopped {
        let more = shared.folder.compact_one(Eagerness::WhenDue, &go_on).unwrap_or_else(|error| {
            tracing::warn!(tenant = shared.folder.tenant.name(), %error, "could not merge segments");
            false
        });
        if !more {
            let queue = locked(&shared.queue);
            if !queue.stopped {
                drop(shared.wake_compactor.wait_timeout(queue, COMPACT_RETRY));
            }
        }
    }
}

/// Between two units of a merge: waits a little while appends or a table to be sealed wait, and ends the merge
/// when the store is closed.
fn give_way(shared: &Shared) -> Result<(), Error> {
    let mut queue = locked(&shared.queue);
    if !queue.stopped && (!queue.waiting.is_empty() || shared.folder.has_frozen()) {
        let woken = shared.sealed.wait_timeout(queue, GIVE_WAY);
        queue = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
    if queue.stopped { Err(stopped()) } else { Ok(()) }
}

/// Where sealing is far behind, the log waits for it, and the queue fills up behind the log. Not where sealing
/// fails: then appends are refused with the reason.
fn wait_for_room(shared: &Shared) {
    let mut queue = locked(&shared.queue);
    while !queue.stopped && !queue.seal_failed && shared.folder.is_overgrown() {
        queue = shared.sealed.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

/// What waits, as far as one sync takes it; `None` when it is over. While one group is synced the next one
/// gathers, so a group is what came in during one sync: no timer is needed.
fn next_group(shared: &Shared, bytes_max: usize) -> Option<Vec<Waiting>> {
    let mut queue = locked(&shared.queue);
    while queue.waiting.is_empty() {
        if queue.stopped {
            return None;
        }
        queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    let mut group = Vec::new();
    let mut bytes = 0;
    while let Some(next) = queue.waiting.front() {
        bytes += next.item.frame.len();
        if !group.is_empty() && bytes > bytes_max {
            break;
        }
        group.extend(queue.waiting.pop_front());
    }
    Some(group)
}
