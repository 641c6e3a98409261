//! The tasks behind [`Workers`](super::Workers): one for each handler at work, none that idles.

use super::queue::{Queue, Running};
use super::workers::{Full, Lane, Slot, Task, WorkersConfig};
use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

pub(super) struct Pool<L, T> {
    runtime: Handle,
    pub workers_max: usize,
    run: Run<L, T>,
    /// Room to wait: each waiting message holds one permit. Closed with the pool.
    pub room: Arc<Semaphore>,
    /// Held for a look or a change, never while foreign code runs (a handler, a message's drop), never over an await.
    state: Mutex<State<L, T>>,
    /// Told when the last worker has gone.
    idle: Notify,
}

/// Works on one message; never panics.
pub(super) type Run<L, T> = Box<dyn Fn(T, Task<L>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

pub(super) struct State<L, T> {
    pub queue: Queue<L, Waiting<T>>,
    pub at_work: HashMap<u64, Task<L>>,
    /// By number; none until its task is known.
    workers: HashMap<u64, Option<AbortHandle>>,
    closed: bool,
    aborted: bool,
    number_next: u64,
}

/// A message with its room.
pub(super) struct Waiting<T> {
    pub message: T,
    permit: OwnedSemaphorePermit,
}

impl<L: Lane, T: Send + 'static> Pool<L, T> {
    pub fn new(runtime: Handle, config: WorkersConfig, run: Run<L, T>) -> Arc<Self> {
        let waiting_max = config.waiting_max.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            runtime,
            workers_max: config.workers_max.max(1),
            run,
            room: Arc::new(Semaphore::new(waiting_max)),
            state: Mutex::new(State {
                queue: Queue::new(config.order),
                at_work: HashMap::new(),
                workers: HashMap::new(),
                closed: false,
                aborted: false,
                number_next: 0,
            }),
            idle: Notify::new(),
        })
    }

    /// Nothing that a panic could leave half-done happens under the lock.
    pub fn lock(&self) -> MutexGuard<'_, State<L, T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(
        self: &Arc<Self>,
        slot: Slot<L>,
        message: T,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Full<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Full { message, closed: true });
        }
        state.queue.push(slot, Waiting { message, permit });
        let number = (state.workers.len() < self.workers_max && state.queue.has_ready()).then(|| {
            let number = state.number();
            state.workers.insert(number, None);
            number
        });
        drop(state);
        if let Some(number) = number {
            self.spawn(number);
        }
        Ok(())
    }

    /// Outside the lock: a runtime that is shutting down drops the task here, and with it the place.
    fn spawn(self: &Arc<Self>, number: u64) {
        let place = Place { pool: Arc::clone(self), number };
        let handle = self.runtime.spawn(work(place)).abort_handle();
        let mut state = self.lock();
        let aborted = state.aborted;
        if let Some(known) = state.workers.get_mut(&number) {
            if aborted {
                handle.abort();
            }
            *known = Some(handle);
        }
    }

    /// The next message for that worker; `None`: it is to go, and is off the list already, so that a message which
    /// comes in now finds or makes another one.
    fn take(&self, worker: u64) -> Option<(Claim<'_, L, T>, Task<L>, T)> {
        let mut state = self.lock();
        let taken = if state.closed { None } else { state.queue.take() };
        let Some((running, slot, waiting)) = taken else {
            state.workers.remove(&worker);
            return None;
        };
        let number = state.number();
        let task = Task::new(slot);
        state.at_work.insert(number, task.clone());
        drop(state);
        let Waiting { message, permit } = waiting;
        drop(permit);
        Some((Claim { pool: self, number, running: Some(running) }, task, message))
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.room.close();
    }

    /// Stops all workers at their next await; what they were at.
    pub fn abort(&self) -> Vec<Slot<L>> {
        let mut state = self.lock();
        state.aborted = true;
        let handles: Vec<AbortHandle> = state.workers.values().flatten().cloned().collect();
        let at_work = state.at_work.values().map(|task| task.slot().clone()).collect();
        drop(state);
        handles.iter().for_each(AbortHandle::abort);
        at_work
    }

    /// Waits until no worker is left.
    pub async fn idle(&self) {
        loop {
            let mut told = pin!(self.idle.notified());
            // Before the look, or the last worker could go between look and wait.
            told.as_mut().enable();
            if self.lock().workers.is_empty() {
                return;
            }
            told.await;
        }
    }
}

impl<L, T> State<L, T> {
    fn number(&mut self) -> u64 {
        self.number_next += 1;
        self.number_next
    }
}

async fn work<L: Lane, T: Send + 'static>(place: Place<L, T>) {
    while let Some((claim, task, message)) = place.pool.take(place.number) {
        (place.pool.run)(message, task).await;
        drop(claim);
    }
}

/// A worker; dropped, it is gone, however that came.
struct Place<L: Lane, T: Send + 'static> {
    pool: Arc<Pool<L, T>>,
    number: u64,
}

impl<L: Lane, T: Send + 'static> Drop for Place<L, T> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.workers.remove(&self.number);
        let idle = state.workers.is_empty();
        drop(state);
        if idle {
            self.pool.idle.notify_waiters();
        }
    }
}

/// A message at work; dropped, the next of its chain may run.
struct Claim<'p, L: Lane, T: Send + 'static> {
    pool: &'p Pool<L, T>,
    number: u64,
    running: Option<Running<L>>,
}

impl<L: Lane, T: Send + 'static> Drop for Claim<'_, L, T> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.at_work.remove(&self.number);
        if let Some(running) = self.running.take() {
            state.queue.done(running);
        }
    }
}
