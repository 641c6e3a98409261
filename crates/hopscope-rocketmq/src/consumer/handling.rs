//! [`TracedConsumer::run`]: async handlers, retries, dead letters, order and shutdown in one call.

use super::TracedConsumer;
use super::queues::Queues;
use super::send_back::{DEAD_LETTER, SendBack, level, levels_default};
use crate::failure::failure;
use crate::names;
use crate::received::Reader;
use hopscope_sdk::dead_letter::Original;
use hopscope_sdk::opentelemetry::KeyValue;
use hopscope_sdk::work::{BatchOutcome, Order};
use hopscope_sdk::{
    CopyKind, Declared, Disposition, Failure, Outcome, Processing, ProcessingBatch, Retry, Traced, Verdict,
};
use rocketmq_client_rust::{
    ClientError, ClientResult, ConsumeConcurrentlyContext, ConsumeConcurrentlyStatus, ConsumeOrderlyContext,
    ConsumeOrderlyStatus, MQPushConsumer,
};
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_queue::MessageQueue;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How [`TracedConsumer::run`] handles messages.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most handlers at work at a time. `None`: what the client is configured for (`consume_thread_min`). The client
    /// runs them on threads for blocking work, of which its runtime has a limited number.
    pub workers_max: Option<u32>,
    /// Most messages in a batch for [`TracedConsumer::run_batches`]. `None`: what the client is configured for.
    pub batch_max: Option<u32>,
    /// [`Order::None`] is RocketMQ's concurrent mode, the others are its ordered mode: one message of a queue at a
    /// time. Which messages share a queue is for the producer's selector to say, so [`Order::ByKey`] is that too.
    pub order: Order,
    /// Before the broker is asked: tries in the handler's own time.
    pub in_place: Retry,
    /// Through the broker, by the attempt number that it counts. Without order the message goes back, with a delay
    /// level; in order its queue is suspended meanwhile, for 10 ms to 30 s. Given up, it goes to `%DLQ%{group}`.
    pub retry: Retry,
    /// Delays of the broker's levels (`messageDelayLevel`), ascending: a retry takes the first that is not shorter.
    pub delay_levels: Vec<Duration>,
    /// How long a shutdown waits for handlers that are at work. What is left then comes again to another consumer.
    pub drain: Duration,
}

/// No order, as RocketMQ counts: 16 attempts after the first, 10 s apart at first and 2 h in the end.
impl Default for Options {
    fn default() -> Self {
        let delays = levels_default();
        let delay_levels = delays.clone();
        let after = move |attempt: u32| {
            let at = usize::try_from(attempt).map_or(delays.len(), |attempt| attempt + 1);
            delays.get(at.min(delays.len() - 1)).copied().unwrap_or_default()
        };
        Self {
            workers_max: None,
            batch_max: None,
            order: Order::None,
            in_place: Retry::never(),
            retry: Retry::times(17).delays(after),
            delay_levels,
            drain: Duration::from_secs(10),
        }
    }
}

impl TracedConsumer {
    /// Starts the consumer, handles messages until `stop`, waits for the handlers that are at work and shuts down.
    ///
    /// `Ok` settles a message as consumed. With `Err` it is tried again or given up, as the options say, and the
    /// others of its batch are not touched. A panic is a failure too. A message whose queue was taken away meanwhile,
    /// or that outlived the shutdown, ends as unknown: the client settles nothing of it and it comes again.
    ///
    /// # Errors
    /// The client's own, where it does not start.
    pub async fn run<E, H>(
        &mut self,
        options: Options,
        handler: H,
        stop: impl Future<Output = ()>,
    ) -> ClientResult<()>
    where
        for<'e> Failure: From<&'e E>,
        H: AsyncFn(&Traced<&MessageExt>) -> Result<(), E> + Send + Sync + 'static,
    {
        if options.order != Order::None {
            self.consumer.set_consume_message_batch_max_size(1);
        }
        let work = move |handling: &Handling, queue: &MessageQueue, messages: &[&MessageExt]| {
            messages.iter().map(|message| handling.single(queue, message, &handler)).collect()
        };
        self.work(options, work, stop).await
    }

    /// As [`run`](Self::run), with a handler of batches: it says which messages failed, and those alone come again.
    /// Every message is linked from the one process span.
    ///
    /// In order, a batch in which one failed comes again as a whole: RocketMQ suspends queues, not messages.
    ///
    /// # Errors
    /// The client's own, where it does not start.
    pub async fn run_batches<H>(
        &mut self,
        options: Options,
        handler: H,
        stop: impl Future<Output = ()>,
    ) -> ClientResult<()>
    where
        H: AsyncFn(&[Traced<&MessageExt>]) -> BatchOutcome + Send + Sync + 'static,
    {
        if let Some(batch_max) = options.batch_max {
            self.consumer.set_consume_message_batch_max_size(batch_max.max(1));
        }
        let work = move |handling: &Handling, queue: &MessageQueue, messages: &[&MessageExt]| {
            handling.batch(queue, messages, &handler)
        };
        self.work(options, work, stop).await
    }

    async fn work<W>(&mut self, options: Options, work: W, stop: impl Future<Output = ()>) -> ClientResult<()>
    where
        W: Fn(&Handling, &MessageQueue, &[&MessageExt]) -> Vec<(Declared, Fate)> + Send + Sync + 'static,
    {
        let consumer = &mut self.consumer;
        if let Some(workers_max) = options.workers_max {
            consumer.set_consume_thread_min(workers_max.max(1));
            consumer.set_consume_thread_max(workers_max.max(1));
        }
        let drain = options.drain;
        consumer.set_await_termination_millis_when_shutdown(drain.as_millis().try_into().unwrap_or(u64::MAX));
        // The options say when a message is given up, not the broker.
        consumer.set_max_reconsume_times(i32::try_from(options.retry.attempts_max()).unwrap_or(i32::MAX));
        let handling = Handling {
            is_broadcast: consumer.message_model().to_string() == BROADCASTING,
            send_back: SendBack::new(consumer),
            reader: self.reader(),
            queues: self.watch_queues(),
            runtime: Handle::current(),
            options,
        };
        let queues = Arc::clone(&handling.queues);
        self.register(handling, work);
        self.consumer.start().await?;
        stop.await;
        // The client has more to do after the deadline, and a handler may end meanwhile.
        let close_in_time = async {
            tokio::time::sleep(drain).await;
            queues.close();
            std::future::pending().await
        };
        tokio::select! {
            () = self.consumer.shutdown() => queues.close(),
            () = close_in_time => {}
        }
        Ok(())
    }

    fn register<W>(&mut self, handling: Handling, work: W)
    where
        W: Fn(&Handling, &MessageQueue, &[&MessageExt]) -> Vec<(Declared, Fate)> + Send + Sync + 'static,
    {
        if handling.options.order == Order::None {
            self.consumer.register_message_listener_concurrently(
                move |messages: &[&MessageExt], context: &ConsumeConcurrentlyContext| {
                    let handled = work(&handling, context.get_message_queue(), messages);
                    Ok(handling.settle_each(messages, handled))
                },
            );
        } else {
            self.consumer.register_message_listener_orderly(
                move |messages: &[&MessageExt], context: &mut ConsumeOrderlyContext| {
                    let handled = work(&handling, context.get_message_queue(), messages);
                    let (answer, delay) = handling.settle_in_order(messages, handled);
                    if let Some(delay) = delay {
                        let delay_ms = delay.as_millis().try_into().unwrap_or(i64::MAX);
                        context.set_suspend_current_queue_time_millis(delay_ms);
                    }
                    Ok(answer)
                },
            );
        }
    }
}

/// The client's name for a group of which every member gets every message.
const BROADCASTING: &str = "BROADCASTING";

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Done,
    Again(Duration),
    GiveUp,
    /// Nothing of it is settled any more.
    Lost,
}

struct Handling {
    reader: Reader,
    queues: Arc<Queues>,
    send_back: SendBack,
    runtime: Handle,
    is_broadcast: bool,
    options: Options,
}

impl Handling {
    /// Waits on the client's thread, which is one for blocking work. The panic is the handler's, or says that the
    /// client has called from elsewhere.
    fn wait<T>(&self, future: impl Future<Output = T>) -> std::thread::Result<T> {
        catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(future)))
    }

    fn single<E, H>(&self, queue: &MessageQueue, message: &MessageExt, handler: &H) -> (Declared, Fate)
    where
        for<'e> Failure: From<&'e E>,
        H: AsyncFn(&Traced<&MessageExt>) -> Result<(), E>,
    {
        let traced = Traced::new(message, self.reader.receive("receive", queue.topic(), message));
        let processing = traced.process();
        let result = self.wait(self.options.in_place.run(&processing, || handler(&traced)));
        let failure = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Failure::from(&error)),
            Err(panic) => Some(Failure::panic(&*panic)),
        };
        match (failure, self.queues.lost(queue)) {
            (None, None) => (processing.succeed(), Fate::Done),
            (None, Some(reason)) => (processing.declare(Outcome::Unknown(reason), None), Fate::Lost),
            (Some(failure), Some(_)) => (processing.fail(failure), Fate::Lost),
            (Some(failure), None) => self.failed(processing, failure),
        }
    }

    fn failed(&self, processing: Processing, failure: Failure) -> (Declared, Fate) {
        let attempt = processing.delivery().attempt().unwrap_or(1);
        let (fate, disposition) = match self.options.retry.decide(&processing, attempt, &failure) {
            Verdict::Again { delay } => (Fate::Again(delay), Disposition::Retry),
            Verdict::GiveUp => {
                let original = processing.delivery().as_original(CopyKind::DeadLetter);
                let original = Original { error_type: failure.kind().to_owned(), ..Original::from(original) };
                original.note(&processing, &[names::DEAD_LETTER_PREFIX, &self.reader.group].concat());
                (Fate::GiveUp, Disposition::Reject)
            }
        };
        (processing.declare(Outcome::Failed(failure), Some(disposition)), fate)
    }

    fn batch<H>(&self, queue: &MessageQueue, messages: &[&MessageExt], handler: &H) -> Vec<(Declared, Fate)>
    where
        H: AsyncFn(&[Traced<&MessageExt>]) -> BatchOutcome,
    {
        let delivered = |message: &&MessageExt| self.reader.delivered(queue.topic(), message);
        let deliveries: Vec<_> = messages.iter().map(delivered).collect();
        self.reader.telemetry.receive_batch("receive", &deliveries);
        let traced: Vec<_> = messages
            .iter()
            .copied()
            .zip(deliveries.iter().cloned())
            .map(|(m, d)| Traced::new(m, d))
            .collect();
        let Some(mut processing) = ProcessingBatch::start(deliveries) else { return Vec::new() };
        let result = self.wait(processing.run(handler(&traced)));
        let outcome = result.unwrap_or_else(|panic| BatchOutcome::Failed(Failure::panic(&*panic)));
        let lost = self.queues.lost(queue);
        let mut fates = Vec::with_capacity(messages.len());
        for (index, (failure, message)) in outcome.each(messages.len()).into_iter().zip(&traced).enumerate() {
            if let Some(failure) = failure {
                processing.fail_one(index, failure.clone());
            }
            fates.push(match (failure, lost) {
                (_, Some(_)) => Fate::Lost,
                (None, None) => Fate::Done,
                (Some(failure), None) => {
                    match self.options.retry.after(message.delivery().attempt().unwrap_or(1), failure) {
                        Verdict::Again { delay } => Fate::Again(delay),
                        Verdict::GiveUp => Fate::GiveUp,
                    }
                }
            });
        }
        let rest = lost.map_or(Outcome::Ok, Outcome::Unknown);
        processing.declare(rest).into_iter().zip(fates).collect()
    }

    /// Each failed message goes back by itself; only where that fails all of them come again, as the client does it.
    fn settle_each(
        &self,
        messages: &[&MessageExt],
        handled: Vec<(Declared, Fate)>,
    ) -> ConsumeConcurrentlyStatus {
        let mut all_sent = true;
        let mut done = Vec::with_capacity(handled.len());
        for (message, (declared, fate)) in messages.iter().zip(handled) {
            match fate {
                Fate::Lost => {}
                Fate::Done => done.push(declared),
                Fate::Again(_) | Fate::GiveUp if self.is_broadcast => {
                    // There is no way back for it: the client drops what a broadcast consumer refuses.
                    declared.settle_as("drop", Disposition::Reject).sent();
                }
                Fate::Again(delay) => {
                    let level = level(&self.options.delay_levels, delay);
                    all_sent &= self.back(message, declared, Disposition::Retry, level);
                }
                Fate::GiveUp => {
                    all_sent &= self.back(message, declared, Disposition::Reject, DEAD_LETTER);
                }
            }
        }
        for declared in done {
            if all_sent {
                declared.settle_as("success", Disposition::Accept).sent();
            } else {
                declared.settle_as("reconsume_later", Disposition::Retry).sent();
            }
        }
        if all_sent {
            ConsumeConcurrentlyStatus::ConsumeSuccess
        } else {
            ConsumeConcurrentlyStatus::ReconsumeLater
        }
    }

    /// What is given up leaves the queue; the queue waits for what is tried again.
    fn settle_in_order(
        &self,
        messages: &[&MessageExt],
        handled: Vec<(Declared, Fate)>,
    ) -> (ConsumeOrderlyStatus, Option<Duration>) {
        let delay = |(_, fate): &(Declared, Fate)| match fate {
            Fate::Again(delay) => Some(*delay),
            _ => None,
        };
        let mut suspend = handled.iter().filter_map(delay).max();
        for (message, (declared, fate)) in messages.iter().zip(handled) {
            match fate {
                Fate::Lost => {}
                Fate::GiveUp if suspend.is_none() => {
                    if !self.back(message, declared, Disposition::Reject, DEAD_LETTER) {
                        suspend = Some(Duration::from_secs(1));
                    }
                }
                _ if suspend.is_some() => declared.settle_as("suspend", Disposition::Retry).sent(),
                _ => declared.settle_as("success", Disposition::Accept).sent(),
            }
        }
        match suspend {
            Some(_) => (ConsumeOrderlyStatus::SuspendCurrentQueueAMoment, suspend),
            None => (ConsumeOrderlyStatus::Success, None),
        }
    }

    /// True once the broker has confirmed it.
    fn back(
        &self,
        message: &MessageExt,
        declared: Declared,
        disposition: Disposition,
        delay_level: i32,
    ) -> bool {
        let settling = declared.settle_as("send_message_back", disposition);
        settling.set_attribute(KeyValue::new(
            "messaging.rocketmq.message.delay_time_level",
            i64::from(delay_level),
        ));
        let sent = self.wait(self.send_back.send(message, delay_level));
        match sent.unwrap_or_else(|_panic| Err(ClientError::not_initialized("a thread for blocking work"))) {
            Ok(()) => {
                settling.confirm();
                true
            }
            Err(error) => {
                settling.fail(failure(&error));
                false
            }
        }
    }
}
