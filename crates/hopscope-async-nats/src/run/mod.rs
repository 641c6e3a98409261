//! [`TracedMessages::run`]: handlers side by side, retries, dead letters and shutdown in one call.

mod attend;
mod batches;
mod intake;

use crate::{DeadLetter, Received, TracedMessages};
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::AckPolicy;
use attend::Handling;
use futures::Stream;
use hopscope_sdk::work::{BatchOutcome, Order, Slot, Workers, WorkersConfig};
use hopscope_sdk::{Failure, Place, Retry};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How [`TracedMessages::run`] and [`TracedMessages::run_batches`] work.
///
/// Back-pressure is the consumer's own `max_ack_pending`, and before that the size of the pull: the client asks for 200
/// messages at once unless it is told otherwise ([`PullConsumer::stream`], `max_messages_per_batch`). What it holds waits
/// with its `ack_wait` running, so let that be longer than the handlers need for a pull.
///
/// [`PullConsumer::stream`]: async_nats::jetstream::consumer::Consumer::stream
#[derive(Clone, Debug)]
pub struct Options {
    /// Most handlers at work at a time. Batches are handled one after another.
    pub workers_max: usize,
    /// What runs one after another: all messages ([`Order::ByLane`]), or those of one subject ([`Order::ByKey`]). A
    /// message that is tried again through the server comes after others.
    pub order: Order,
    /// Most messages in a batch.
    pub batch_max: usize,
    /// How long a batch waits for more after its first message.
    pub batch_wait: Duration,
    /// Before the server is asked: tries in the handler's own time. Not for batches.
    pub in_place: Retry,
    /// Through the server: a `-NAK` with the delay, by the attempt number that it counts (`delivered`). The consumer's
    /// `max_deliver` must not be below it: the server says nothing to anybody who does not listen for its advisory.
    pub retry: Retry,
    /// Where a copy of a message goes that is given up, before it is terminated. `None`: it is terminated, and stays in the
    /// stream where the stream's retention keeps it.
    pub dead_letter: Option<DeadLetter>,
    /// Waits for the server's confirmation of each acknowledgement.
    pub double_ack: bool,
    /// How often the server hears that a handler is still at work (`+WPI`), which starts `ack_wait` anew: below the
    /// consumer's `ack_wait`. `None`: never.
    pub progress_every: Option<Duration>,
    /// How long a shutdown waits for handlers that are at work. What is left then is given back.
    pub drain: Duration,
}

/// 16 handlers without order, batches of up to 100 within 100 ms, one attempt, progress every 10 s (`ack_wait` is 30 s
/// unless set otherwise), 10 s to drain.
impl Default for Options {
    fn default() -> Self {
        Self {
            workers_max: 16,
            order: Order::None,
            batch_max: 100,
            batch_wait: Duration::from_millis(100),
            in_place: Retry::never(),
            retry: Retry::never(),
            dead_letter: None,
            double_ack: false,
            progress_every: Some(Duration::from_secs(10)),
            drain: Duration::from_secs(10),
        }
    }
}

/// Why a run ended by itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The client's stream of messages has ended; with its last error, where there was one.
    Ended(Option<async_nats::Error>),
    /// With `AckPolicy::All` an acknowledgement would cover messages that are not finished. Nothing was begun.
    Cumulative,
}

impl<S, E> TracedMessages<S>
where
    S: Stream<Item = Result<Message, E>> + Unpin,
    E: Into<async_nats::Error>,
{
    /// Works on what the consumer gives until `stop` is ready: `handler` is called for each message, for up to
    /// [`workers_max`](Options::workers_max) of them side by side. Then gives back (`-NAK`) what the client holds and no
    /// handler has begun on, waits for those at work, and gives back what they leave.
    ///
    /// `Ok` acknowledges a message. With `Err`, or a panic, it is tried again or given up, as the options say. Nothing is
    /// settled with `AckPolicy::None`. Errors after which the client goes on by itself (a missed heartbeat, a lost
    /// connection) do not end the run.
    ///
    /// ```no_run
    /// use hopscope_async_nats::{DeadLetter, Options, Received, TracedJetStream};
    /// use hopscope_sdk::Retry;
    /// use std::time::Duration;
    /// # async fn pack(_: Received) -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn example(jetstream: TracedJetStream) -> Result<(), hopscope_async_nats::async_nats::Error> {
    /// let consumer = jetstream.inner().get_stream("SHIPMENTS").await?.get_consumer("packing").await?;
    /// let options = Options {
    ///     retry: Retry::times(5).fixed(Duration::from_secs(1)),
    ///     dead_letter: Some(DeadLetter::to(jetstream.clone(), "dlt.packing")),
    ///     ..Options::default()
    /// };
    /// let stop = async { drop(tokio::signal::ctrl_c().await) };
    /// jetstream.messages(&consumer).await?.run(options, pack, stop).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn run<H, F, T>(
        self,
        options: Options,
        handler: H,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError>
    where
        H: Fn(Received) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), T>> + Send + 'static,
        T: Send + 'static,
        for<'e> Failure: From<&'e T>,
    {
        if self.receiver.ack_policy == AckPolicy::All {
            return Err(RunError::Cumulative);
        }
        let Self { mut messages, receiver } = self;
        // One waits, so that a worker that becomes free need not wait for the stream.
        let config = WorkersConfig { workers_max: options.workers_max, waiting_max: 1, order: options.order };
        let (order, drain) = (options.order, options.drain);
        let handling = Arc::new(Handling::new(options));
        let work = {
            let (handling, handler) = (Arc::clone(&handling), Arc::new(handler));
            move |message, _task| Arc::clone(&handling).single(message, Arc::clone(&handler))
        };
        let workers = Workers::new(&Handle::current(), config, work, |_ended| {});
        let mut stop = pin!(stop);
        let end = loop {
            // Not before there is room: what the client holds is given back untouched in the end.
            tokio::select! {
                biased;
                () = &mut stop => break intake::End::Stopped,
                _ = workers.room() => {}
            }
            match intake::next_or(&mut messages, stop.as_mut()).await {
                Ok(message) => {
                    let message = receiver.single(message);
                    // There is room, and nobody else submits.
                    let _ = workers.submit(slot(&message, order), message).await;
                }
                Err(end) => break end,
            }
        };
        intake::give_back_held(messages, receiver.ack_policy).await;
        let drained = workers.drain(drain).await;
        for (_, message) in drained.not_started {
            handling.give_back_unseen(&message).await;
        }
        handling.give_back_left().await;
        end.into_result()
    }

    /// As [`run`](Self::run), with a handler for whole batches, one after another: [`batch_max`](Options::batch_max)
    /// messages, or what has come [`batch_wait`](Options::batch_wait) after the first. It says which of them failed
    /// ([`BatchOutcome`], or a `Result` for all): those are tried again or given up, each by itself, as the options say;
    /// the others are acknowledged. A batch that the shutdown did not wait for is given back whole.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn run_batches<H, F, O>(
        self,
        options: Options,
        handler: H,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError>
    where
        H: Fn(Vec<Received>) -> F,
        F: Future<Output = O>,
        O: Into<BatchOutcome>,
    {
        if self.receiver.ack_policy == AckPolicy::All {
            return Err(RunError::Cumulative);
        }
        batches::drive(self, options, handler, stop).await
    }
}

/// Keyed by subject.
fn slot(message: &Received, order: Order) -> Slot<()> {
    let position = match message.delivery().place() {
        Place::JetStream { sequence: Some(sequence), .. } => i64::try_from(sequence).unwrap_or(i64::MAX),
        _ => 0,
    };
    let slot = Slot::new((), position);
    if order == Order::ByKey { slot.with_key(message.message().subject.as_bytes()) } else { slot }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(Some(error)) => write!(f, "the consumer gives no more messages: {error}"),
            Self::Ended(None) => f.write_str("the consumer gives no more messages"),
            Self::Cumulative => f.write_str(
                "handlers side by side need each message acknowledged by itself\nhint: AckPolicy::Explicit",
            ),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ended(Some(error)) => Some(&**error),
            Self::Ended(None) | Self::Cumulative => None,
        }
    }
}
