//! [`Workers`]: handlers side by side, bounded.

use super::pool::{Pool, Waiting};
use crate::Failure;
use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash, RandomState};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, TryAcquireError};

/// Which messages run one after another, in the order in which they were submitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// None: each runs as soon as a worker is free.
    #[default]
    None,
    /// Those of one lane.
    ByLane,
    /// Those of one lane and key; a message without a key waits for nobody.
    ByKey,
}

/// Bounds of [`Workers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkersConfig {
    /// Most handlers at work at a time; at least 1.
    pub workers_max: usize,
    /// Most messages that wait for a worker, or for one before them; at least 1. More is back-pressure.
    pub waiting_max: usize,
    /// What runs one after another.
    pub order: Order,
}

/// 16 handlers, as many messages that wait, no order.
impl Default for WorkersConfig {
    fn default() -> Self {
        Self { workers_max: 16, waiting_max: 16, order: Order::None }
    }
}

/// Where a message lies, as far as its work must know: what identifies it when its work ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot<L> {
    /// Partition, queue, subscription: what is revoked as a whole.
    pub lane: L,
    /// Offset, sequence, delivery tag.
    pub position: i64,
    pub(super) key: Option<u64>,
}

impl<L> Slot<L> {
    /// Without a key.
    pub fn new(lane: L, position: i64) -> Self {
        Self { lane, position, key: None }
    }

    /// With the key that [`Order::ByKey`] goes by. Two keys of the same hash wait for each other, no more.
    #[must_use]
    pub fn with_key(mut self, key: &[u8]) -> Self {
        static HASH: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        self.key = Some(HASH.hash_one(key));
        self
    }
}

/// What a handler is given beside its message. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Task<L>(Arc<Work<L>>);

#[derive(Debug)]
struct Work<L> {
    slot: Slot<L>,
    revoked: AtomicBool,
    told: Notify,
}

impl<L> Task<L> {
    pub(super) fn new(slot: Slot<L>) -> Self {
        Self(Arc::new(Work { slot, revoked: AtomicBool::new(false), told: Notify::new() }))
    }

    /// Which message this is.
    pub fn slot(&self) -> &Slot<L> {
        &self.0.slot
    }

    /// True once its lane was revoked: whatever comes of the work, settle nothing.
    pub fn is_revoked(&self) -> bool {
        self.0.revoked.load(Ordering::Acquire)
    }

    /// Waits until its lane is revoked; for `select!` in handlers that would rather stop.
    pub async fn revoked(&self) {
        let mut told = pin!(self.0.told.notified());
        // Before the look, or a revocation between look and wait would be missed.
        told.as_mut().enable();
        if !self.is_revoked() {
            told.await;
        }
    }

    fn revoke(&self) {
        self.0.revoked.store(true, Ordering::Release);
        self.0.told.notify_waiters();
    }
}

/// How a handler ended.
#[derive(Debug)]
pub enum End<R> {
    /// With what it returned.
    Done(R),
    /// In a panic.
    Panicked(Failure),
    /// It was stopped: at the deadline of [`Workers::drain`], when the workers were dropped, or with its runtime.
    Aborted,
}

/// One started message whose work has ended.
#[derive(Debug)]
pub struct Ended<L, R> {
    /// The message.
    pub slot: Slot<L>,
    /// How.
    pub end: End<R>,
    /// Its lane was revoked while it was at work: no commit, no settlement.
    pub revoked: bool,
}

/// There is no room, or the workers are closed: the message comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T> {
    /// As it was submitted.
    pub message: T,
    /// [`Workers::drain`] has begun: there will be no room again.
    pub closed: bool,
}

/// What [`Workers::revoke`] found of the lane.
#[derive(Debug)]
pub struct Revoked<L, T> {
    /// Messages whose work had not begun; it will not. They are yours again, to end as unknown.
    pub waiting: Vec<(Slot<L>, T)>,
    /// Messages at work. They go on, marked as revoked.
    pub running: Vec<Slot<L>>,
}

/// What [`Workers::drain`] left.
#[derive(Debug)]
pub struct Drained<L, T> {
    /// Messages whose work had not begun. They are yours again, to end as unknown or to give back to the broker.
    pub not_started: Vec<(Slot<L>, T)>,
    /// Messages that were at work at the deadline, and were told to stop.
    pub aborted: Vec<Slot<L>>,
}

/// Runs one handler on many messages side by side, on a tokio runtime: at most `workers_max` at a time, in order
/// within a lane or key where asked for, with back-pressure, and never more tasks than handlers at work.
///
/// `L` names a lane, `T` is a message with all its handler needs ([`Traced`](crate::Traced) of an owned message). For
/// each message that was started, `ended` is called exactly once, whatever happens to the handler, before the next
/// message of its lane or key begins; there one tells an [`Offsets`](super::Offsets) and commits. It must not block.
///
/// Messages that were not started come back, from [`revoke`](Self::revoke) and [`drain`](Self::drain): none is lost.
///
/// ```
/// use hopscope_sdk::work::{End, Order, Slot, Workers, WorkersConfig};
/// use std::sync::atomic::{AtomicI64, Ordering};
/// use std::{sync::Arc, time::Duration};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let sum = Arc::new(AtomicI64::new(0));
/// let config = WorkersConfig { workers_max: 4, waiting_max: 100, order: Order::ByKey };
/// let workers = Workers::new(
///     &tokio::runtime::Handle::current(),
///     config,
///     async |amount: i64, _task| amount * 2,
///     { let sum = Arc::clone(&sum); move |ended| if let End::Done(amount) = ended.end { sum.fetch_add(amount, Ordering::Relaxed); } },
/// );
/// for offset in 0..10 {
///     let slot = Slot::new("orders-0", offset).with_key(b"customer 4711");
///     workers.submit(slot, 1).await.expect("nobody has closed it");
/// }
/// # while sum.load(Ordering::Relaxed) < 20 { tokio::task::yield_now().await; }
/// let drained = workers.drain(Duration::from_secs(5)).await;
/// assert!(drained.not_started.is_empty() && drained.aborted.is_empty());
/// assert_eq!(sum.load(Ordering::Relaxed), 20);
/// # }
/// ```
pub struct Workers<L: Lane, T: Send + 'static>(Arc<Pool<L, T>>);

/// What can name a lane: any small value that can be compared and sent.
pub trait Lane: Clone + Eq + Hash + Send + Sync + 'static {}

impl<L: Clone + Eq + Hash + Send + Sync + 'static> Lane for L {}

impl<L: Lane, T: Send + 'static> Workers<L, T> {
    /// `handler` works on a message: retries, declares, settles; give what it shares by `Arc`. `ended` is told how each
    /// one ended; a panic in it is swallowed.
    pub fn new<R, F>(
        runtime: &Handle,
        config: WorkersConfig,
        handler: impl Fn(T, Task<L>) -> F + Send + Sync + 'static,
        ended: impl Fn(Ended<L, R>) + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: Send + 'static,
    {
        let (handler, ended) = (Arc::new(handler), Arc::new(ended));
        let run = move |message, task: Task<L>| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let report = Report { ended: Arc::clone(&ended), task: Some(task.clone()), result: PhantomData };
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let end = match caught(async move { handler(message, task).await }).await {
                    Ok(result) => End::Done(result),
                    Err(panic) => End::Panicked(panic),
                };
                report.end(end);
            })
        };
        Self(Pool::new(runtime.clone(), config, Box::new(run)))
    }

    /// Hands a message over; waits while there is no room, first come first served. `Err` once the workers are closed.
    ///
    /// Dropped while it waits, it takes the message with it: in a `select!`, wait for [`room`](Self::room) and
    /// [`try_submit`](Self::try_submit).
    ///
    /// # Errors
    /// [`Full`], with `closed`.
    pub async fn submit(&self, slot: Slot<L>, message: T) -> Result<(), Full<T>> {
        match Arc::clone(&self.0.room).acquire_owned().await {
            Ok(permit) => self.0.push(slot, message, permit),
            Err(_closed) => Err(Full { message, closed: true }),
        }
    }

    /// Hands a message over, where there is room now: for loops that must go on polling (Kafka: pause the partitions
    /// while there is none).
    ///
    /// # Errors
    /// [`Full`], with the message.
    pub fn try_submit(&self, slot: Slot<L>, message: T) -> Result<(), Full<T>> {
        match Arc::clone(&self.0.room).try_acquire_owned() {
            Ok(permit) => self.0.push(slot, message, permit),
            Err(error) => Err(Full { message, closed: error == TryAcquireError::Closed }),
        }
    }

    /// True while a message can be submitted at once.
    pub fn has_room(&self) -> bool {
        self.0.room.available_permits() > 0 && !self.0.room.is_closed()
    }

    /// Waits until there is room, or the workers are closed: true for room. Another submitter may take it first.
    pub async fn room(&self) -> bool {
        self.0.room.acquire().await.is_ok()
    }

    /// How many messages wait.
    pub fn waiting(&self) -> usize {
        self.0.lock().queue.waiting()
    }

    /// How many are at work.
    pub fn running(&self) -> usize {
        self.0.lock().at_work.len()
    }

    /// The lane was taken away (a rebalance, a closed channel): what waits of it is given back, what is at work of it
    /// is marked. Does not wait, so that a client's rebalance callback may call it.
    pub fn revoke(&self, lane: &L) -> Revoked<L, T> {
        let mut state = self.0.lock();
        let waiting = state.queue.remove(|slot| slot.lane == *lane);
        let running: Vec<Task<L>> =
            state.at_work.values().filter(|task| task.slot().lane == *lane).cloned().collect();
        drop(state);
        running.iter().for_each(Task::revoke);
        let running = running.iter().map(|task| task.slot().clone()).collect();
        Revoked { waiting: without_permits(waiting), running }
    }

    /// Closes: nothing is submitted or begun any more; what is at work may finish until the deadline, counted from now,
    /// and is stopped then. A handler that blocks its thread cannot be stopped; it is waited for a moment more and
    /// then left to its end. Call it again if it was dropped halfway; only the first finished call has the waiting
    /// messages.
    pub async fn drain(&self, deadline: Duration) -> Drained<L, T> {
        self.0.close();
        let mut aborted = Vec::new();
        if tokio::time::timeout(deadline, self.0.idle()).await.is_err() {
            aborted = self.0.abort();
            // Those that can be stopped have ended when this returns.
            let _ = tokio::time::timeout(ABORT_WAIT, self.0.idle()).await;
        }
        let waiting = self.0.lock().queue.remove(|_| true);
        Drained { not_started: without_permits(waiting), aborted }
    }
}

/// Without [`drain`](Workers::drain): what is at work is stopped, what waits is dropped.
impl<L: Lane, T: Send + 'static> Drop for Workers<L, T> {
    fn drop(&mut self) {
        self.0.close();
        self.0.abort();
        let waiting = self.0.lock().queue.remove(|_| true);
        drop(waiting);
    }
}

impl<L: Lane, T: Send + 'static> fmt::Debug for Workers<L, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("workers_max", &self.0.workers_max)
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .finish()
    }
}

/// How long a stopped handler may take to be gone: it is at its next await, or blocks its thread.
const ABORT_WAIT: Duration = Duration::from_millis(100);

fn without_permits<L, T>(waiting: Vec<(Slot<L>, Waiting<T>)>) -> Vec<(Slot<L>, T)> {
    waiting.into_iter().map(|(slot, waiting)| (slot, waiting.message)).collect()
}

/// Tells `ended` of one message, once: as said, or, when dropped before, as aborted.
struct Report<L: Lane, R, E: Fn(Ended<L, R>)> {
    ended: Arc<E>,
    task: Option<Task<L>>,
    result: PhantomData<fn(R)>,
}

impl<L: Lane, R, E: Fn(Ended<L, R>)> Report<L, R, E> {
    fn end(mut self, end: End<R>) {
        self.tell(end);
    }

    fn tell(&mut self, end: End<R>) {
        let Some(task) = self.task.take() else { return };
        let ended = Ended { slot: task.slot().clone(), end, revoked: task.is_revoked() };
        // What it leaves half-done is its own; the next message must run all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| (self.ended)(ended)));
    }
}

impl<L: Lane, R, E: Fn(Ended<L, R>)> Drop for Report<L, R, E> {
    fn drop(&mut self) {
        self.tell(End::Aborted);
    }
}

/// Runs to the end or to the first panic, in the work or in what it drops.
async fn caught<R>(work: impl Future<Output = R>) -> Result<R, Failure> {
    let mut work = Box::pin(work);
    let result = poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(task))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(Failure::panic(&*payload))),
    })
    .await;
    match catch_unwind(AssertUnwindSafe(|| drop(work))) {
        Err(payload) if result.is_ok() => Err(Failure::panic(&*payload)),
        _ => result,
    }
}
