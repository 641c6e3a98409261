//! [`TracedConsumer::run`]: async handlers side by side, retries, dead letters and shutdown in one call.

use super::TracedConsumer;
use super::failed::{Again, acknowledge, give_back, lost};
use crate::copy::DeadLetter;
use futures::{FutureExt, StreamExt};
use hopscope_sdk::work::{Order, Slot, Workers, WorkersConfig};
use hopscope_sdk::{Declared, Disposition, Failure, Outcome, Processing, Retry, Traced};
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicNackOptions};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// How [`TracedConsumer::run`] and [`TracedConsumer::run_batches`] handle messages.
///
/// Back-pressure is the channel's prefetch, which is yours to set with `basic_qos` before the consumer begins: not
/// below `workers_max`, or workers idle; not below `batch_max`, or batches never fill. Without one the broker sends
/// everything it has.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most handlers at work at a time. Batches are handled one after another.
    pub workers_max: usize,
    /// What runs one after another: the messages of the queue ([`Order::ByLane`]), or those of one business key
    /// ([`TracedChannel::with_key_headers`](crate::TracedChannel::with_key_headers)), where they have none those of one
    /// routing key ([`Order::ByKey`]). A message that is tried again through the broker comes after others.
    pub order: Order,
    /// Most messages in a batch.
    pub batch_max: usize,
    /// How long a batch waits for more after its first message.
    pub batch_wait: Duration,
    /// Before the broker is asked: tries in the handler's own time. Not for batches.
    pub in_place: Retry,
    /// Through the broker, by the attempt number that it counts.
    pub retry: Retry,
    /// How the broker is asked.
    pub again: Again,
    /// Where a message goes that is given up. `None`: it is rejected, and its queue's dead-letter exchange has it,
    /// where there is one; **else the broker drops it**.
    pub dead_letter: Option<DeadLetter>,
    /// How long a shutdown waits for handlers that are at work. What is left then is given back to the queue.
    pub drain: Duration,
}

/// 16 handlers without order, batches of up to 100 within 100 ms, one attempt, 10 s to drain.
impl Default for Options {
    fn default() -> Self {
        Self {
            workers_max: 16,
            order: Order::None,
            batch_max: 100,
            batch_wait: Duration::from_millis(100),
            in_place: Retry::never(),
            retry: Retry::never(),
            again: Again::default(),
            dead_letter: None,
            drain: Duration::from_secs(10),
        }
    }
}

/// Why the outcome of messages that were not finished is unknown.
pub(super) const SHUTDOWN: &str = "shutdown";
pub(super) const CANCELLED: &str = "consumer cancelled";
pub(super) const CLOSED: &str = "channel closed";

/// How long the broker has to take back what no handler has seen, however short the drain.
const GIVE_BACK_WAIT: Duration = Duration::from_secs(5);

impl TracedConsumer {
    /// Handles messages until `stop`, or until the consumer is cancelled or its channel closed; then gives back what no
    /// handler has begun on, waits for those at work, and gives back what they leave.
    ///
    /// `Ok` acknowledges a message. With `Err`, or a panic, it is tried again or given up, as the options say. Of a
    /// consumer with `no_ack` nothing is settled. A message whose channel closed while it was at work ends as unknown
    /// (`channel closed`), or failed where it failed: nobody can settle it any more, and it comes again.
    ///
    /// # Errors
    /// lapin's own: the channel or connection is closed, and will not recover.
    pub async fn run<E, H, F>(
        mut self,
        options: Options,
        handler: H,
        stop: impl Future<Output = ()>,
    ) -> lapin::Result<()>
    where
        H: Fn(Arc<Traced<Delivery>>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Send + 'static,
        for<'e> Failure: From<&'e E>,
    {
        // One waits, so that a worker that becomes free need not wait for the stream.
        let config = WorkersConfig { workers_max: options.workers_max, waiting_max: 1, order: options.order };
        let (order, drain) = (options.order, options.drain);
        let handling = Arc::new(Handling::new(options, self.no_ack));
        let work = {
            let (handling, handler) = (Arc::clone(&handling), Arc::new(handler));
            move |message, _task| Arc::clone(&handling).single(message, Arc::clone(&handler))
        };
        let workers = Workers::new(&Handle::current(), config, work, |_ended| {});
        let mut stop = pin!(stop);
        let end = loop {
            // Not before there is room: what lapin holds is given back untouched in the end.
            tokio::select! {
                biased;
                () = &mut stop => break End::Stopped,
                _ = workers.room() => {}
            }
            match self.next_or(stop.as_mut()).await {
                Ok(message) => {
                    let message = Arc::new(self.traced(message));
                    // There is room, and nobody else submits.
                    let _ = workers.submit(slot(&message, order), message).await;
                }
                Err(end) => break end,
            }
        };
        handling.ending(&end);
        self.give_back_prefetched(&end, drain).await;
        let drained = workers.drain(drain).await;
        for (_, message) in drained.not_started {
            handling.give_back_unseen(&message).await;
        }
        handling.give_back_left().await;
        end.into_result()
    }

    fn traced(&self, message: Delivery) -> Traced<Delivery> {
        let (queue, tag) = (self.consumer.queue(), self.consumer.tag());
        let delivery = crate::receive::receive(
            &self.channel.settings,
            "consume",
            queue.as_str(),
            tag.as_str(),
            &message,
        );
        Traced::new(message, delivery)
    }

    /// The next message as lapin gives it; waits for lapin to recover, where it is set up so.
    pub(super) async fn next_or(
        &mut self,
        mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Delivery, End> {
        loop {
            let next = tokio::select! {
                biased;
                () = &mut stop => return Err(End::Stopped),
                next = self.consumer.next() => next,
            };
            let error = match next {
                Some(Ok(message)) => return Ok(message),
                Some(Err(error)) => error,
                None => return Err(End::Cancelled),
            };
            tokio::select! {
                biased;
                () = &mut stop => return Err(End::Stopped),
                recovered = self.channel.channel.wait_for_recovery(error) => {
                    if let Err(error) = recovered {
                        return Err(End::Closed(error));
                    }
                }
            }
        }
    }

    /// Cancels the consumer and gives back what lapin holds and nobody saw: there is no record of it.
    pub(super) async fn give_back_prefetched(&mut self, end: &End, wait: Duration) {
        if !matches!(end, End::Stopped) {
            return;
        }
        let give_back = async {
            let cancel =
                self.channel.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
            if cancel.await.is_err() {
                return;
            }
            while let Some(Ok(message)) = self.consumer.next().await {
                if !self.no_ack {
                    let again = BasicNackOptions { requeue: true, multiple: false };
                    let _ = message.acker.nack(again).await;
                }
            }
        };
        // A connection that hangs gives back what it holds when it ends.
        // Handlers may have no time left; the broker's answer takes some all the same.
        let _ = tokio::time::timeout(wait.max(GIVE_BACK_WAIT), give_back).await;
    }
}

/// Why there is no next message.
#[derive(Debug)]
pub(super) enum End {
    Stopped,
    Cancelled,
    Closed(lapin::Error),
}

impl End {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Stopped => SHUTDOWN,
            Self::Cancelled => CANCELLED,
            Self::Closed(_) => CLOSED,
        }
    }

    pub(super) fn into_result(self) -> lapin::Result<()> {
        match self {
            Self::Stopped | Self::Cancelled => Ok(()),
            Self::Closed(error) => Err(error),
        }
    }
}

fn slot(message: &Traced<Delivery>, order: Order) -> Slot<()> {
    let slot = Slot::new((), i64::try_from(message.message().delivery_tag).unwrap_or(i64::MAX));
    if order != Order::ByKey {
        return slot;
    }
    message.delivery().with_details(|details| {
        let key = details.keys.first().copied().unwrap_or(message.message().routing_key.as_str());
        slot.with_key(key.as_bytes())
    })
}

struct Handling {
    options: Options,
    no_ack: bool,
    reason: OnceLock<&'static str>,
    /// Handlers that were stopped: what they were at.
    left: Mutex<Vec<(Arc<Traced<Delivery>>, Declared)>>,
}

impl Handling {
    fn new(options: Options, no_ack: bool) -> Self {
        Self { options, no_ack, reason: OnceLock::new(), left: Mutex::default() }
    }

    async fn single<E, H, F>(self: Arc<Self>, message: Arc<Traced<Delivery>>, handler: Arc<H>)
    where
        H: Fn(Arc<Traced<Delivery>>) -> F,
        F: Future<Output = Result<(), E>>,
        for<'e> Failure: From<&'e E>,
    {
        let work = Work { handling: &self, message: &message, processing: Some(message.process()) };
        if let Some(reason) = self.lost(&message) {
            work.declare(Outcome::Unknown(reason), None);
            return;
        }
        let attempts = self.options.in_place.run(work.processing(), || handler(Arc::clone(&message)));
        let failure = match AssertUnwindSafe(attempts).catch_unwind().await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Failure::from(&error)),
            Err(panic) => Some(Failure::panic(&*panic)),
        };
        match (failure, self.lost(&message)) {
            (failure, Some(reason)) => drop(work.declare(lost(failure, reason), None)),
            (None, None) if self.no_ack => drop(work.declare(Outcome::Ok, None)),
            (Some(failure), None) if self.no_ack => drop(work.declare(Outcome::Failed(failure), None)),
            (None, None) => {
                let declared = work.declare(Outcome::Ok, Some(Disposition::Accept));
                acknowledge(&message, declared).await;
            }
            (Some(failure), None) => {
                let fate = self.options.failed(&message, work.processing(), &failure).await;
                let declared = work.declare(Outcome::Failed(failure), Some(fate.disposition()));
                fate.settle(&message, declared).await;
            }
        }
    }

    /// Why nobody can settle it any more.
    fn lost(&self, message: &Traced<Delivery>) -> Option<&'static str> {
        message.message().acker.poisoned().then_some(CLOSED)
    }

    fn ending(&self, end: &End) {
        // Set once.
        let _ = self.reason.set(end.reason());
    }

    fn reason(&self) -> &'static str {
        self.reason.get().copied().unwrap_or(SHUTDOWN)
    }

    /// A message that was received and that no handler has begun on.
    async fn give_back_unseen(&self, message: &Traced<Delivery>) {
        let declared = message.process().declare(Outcome::Unknown(self.reason()), None);
        if !self.no_ack && self.lost(message).is_none() {
            let _recorded = give_back(message, declared).await;
        }
    }

    async fn give_back_left(&self) {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        for (message, declared) in left {
            if !self.no_ack && self.lost(&message).is_none() {
                let _recorded = give_back(&message, declared).await;
            }
        }
    }
}

/// A handler at work; dropped before its end (it was stopped), the message is left.
struct Work<'a> {
    handling: &'a Handling,
    message: &'a Arc<Traced<Delivery>>,
    processing: Option<Processing>,
}

impl Work<'_> {
    fn processing(&self) -> &Processing {
        self.processing.as_ref().expect("taken by `declare` alone, which takes the work too")
    }

    fn declare(mut self, outcome: Outcome, disposition: Option<Disposition>) -> Declared {
        let processing = self.processing.take().expect("taken by `declare` alone, which takes the work too");
        processing.declare(outcome, disposition)
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if let Some(processing) = self.processing.take() {
            let declared = processing.declare(Outcome::Unknown(self.handling.reason()), None);
            let mut left = self.handling.left.lock().unwrap_or_else(PoisonError::into_inner);
            left.push((Arc::clone(self.message), declared));
        }
    }
}
