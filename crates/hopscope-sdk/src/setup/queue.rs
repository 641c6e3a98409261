//! The bounded queue between finished spans and the exporter.
//!
//! The end of a span takes a lock, pushes and goes: it never waits for the network. What the queue cannot hold and
//! what the exporter could not send is counted, so that `ended = exported + failed + dropped + queued` at any time.

use opentelemetry::Context;
use opentelemetry::trace::FutureExt;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// What has become of the spans of a process: `ended = exported + failed + dropped + queued`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ended and sampled.
    pub ended: u64,
    /// Acknowledged by the endpoint.
    pub exported: u64,
    /// Not acknowledged, after the exporter's retries.
    pub failed: u64,
    /// Not held: the queue was full, or the export had ended.
    pub dropped: u64,
    /// Waiting or on their way.
    pub queued: u64,
}

/// See [`super::Batching`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub delay: Duration,
    pub batch_spans_max: usize,
    pub queue_spans_max: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    state: Mutex<State>,
    /// Tells the worker that there is something to do now.
    wake: Notify,
    /// Tells who flushes that a batch is done.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<SpanData>,
    in_flight: usize,
    is_closed: bool,
    exported: u64,
    failed: u64,
    dropped: u64,
}

impl Queue {
    /// Starts the worker on that runtime.
    pub fn start<E: SpanExporter + 'static>(
        mut exporter: E,
        resource: &Resource,
        limits: Limits,
        on: &Handle,
    ) -> Self {
        exporter.set_resource(resource);
        let shared = Shared { limits, state: Mutex::default(), wake: Notify::new(), done: Condvar::new() };
        let queue = Self(Arc::new(shared));
        // An export is not itself to be traced.
        let untraced = Context::new().with_telemetry_suppressed();
        on.spawn(work(Arc::clone(&queue.0), exporter).with_context(untraced));
        queue
    }

    /// Waits until everything that has ended is sent or given up, at most that long.
    pub fn flush(&self, deadline: Duration) -> bool {
        self.0.wake.notify_one();
        let state = self.0.lock();
        let is_busy = |state: &mut State| !state.is_empty();
        let waited = self.0.done.wait_timeout_while(state, deadline, is_busy);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_empty()
    }

    /// Takes no more, sends what is left within the deadline, and gives up on the rest.
    pub fn close(&self, deadline: Duration) {
        self.0.lock().is_closed = true;
        self.flush(deadline);
        let mut state = self.0.lock();
        state.dropped += mem::take(&mut state.waiting).len() as u64;
        state.failed += mem::take(&mut state.in_flight) as u64;
        drop(state);
        self.0.wake.notify_one();
    }

    pub fn counts(&self) -> Counts {
        let state = self.0.lock();
        let queued = (state.waiting.len() + state.in_flight) as u64;
        let State { exported, failed, dropped, .. } = *state;
        Counts { ended: exported + failed + dropped + queued, exported, failed, dropped, queued }
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_batch(&self) -> Vec<SpanData> {
        let mut state = self.lock();
        let spans = state.waiting.len().min(self.limits.batch_spans_max);
        let batch: Vec<_> = state.waiting.drain(..spans).collect();
        state.in_flight = batch.len();
        batch
    }

    fn finish_batch(&self, result: &OTelSdkResult) {
        let mut state = self.lock();
        let spans = mem::take(&mut state.in_flight) as u64;
        match result {
            Ok(()) => state.exported += spans,
            Err(_) => state.failed += spans,
        }
        drop(state);
        self.done.notify_all();
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let mut state = self.0.lock();
        if state.is_closed || state.waiting.len() >= self.0.limits.queue_spans_max {
            state.dropped += 1;
            return;
        }
        state.waiting.push_back(span);
        let is_batch = state.waiting.len() >= self.0.limits.batch_spans_max;
        drop(state);
        if is_batch {
            self.0.wake.notify_one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        if self.flush(FLUSH_DEADLINE) { Ok(()) } else { Err(OTelSdkError::Timeout(FLUSH_DEADLINE)) }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.close(timeout);
        Ok(())
    }
}

/// For whoever flushes through OpenTelemetry's own interface, which has no deadline.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

async fn work<E: SpanExporter>(shared: Arc<Shared>, exporter: E) {
    loop {
        let is_closed = {
            // Awoken by a full batch, a flush or the close; else when the delay is over.
            let _ = tokio::time::timeout(shared.limits.delay, shared.wake.notified()).await;
            shared.lock().is_closed
        };
        loop {
            let batch = shared.take_batch();
            if batch.is_empty() {
                break;
            }
            let spans = batch.len();
            let result = exporter.export(batch).await;
            if let Err(error) = &result {
                tracing::error!(spans, %error, "spans could not be exported and are lost");
            }
            shared.finish_batch(&result);
        }
        if is_closed {
            let _ = exporter.shutdown();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tokio::sync::Semaphore;

    /// Lets as many batches through as it has permits; fails the rest when it is closed.
    #[derive(Clone, Debug)]
    struct Gate(Arc<Semaphore>);

    impl SpanExporter for Gate {
        async fn export(&self, _batch: Vec<SpanData>) -> OTelSdkResult {
            let Ok(permit) = self.0.acquire().await else {
                return Err(OTelSdkError::InternalFailure("refused".into()));
            };
            permit.forget();
            Ok(())
        }
    }

    const LONG: Duration = Duration::from_secs(30);

    fn limits(batch_spans_max: usize, queue_spans_max: usize) -> Limits {
        Limits { delay: LONG, batch_spans_max, queue_spans_max }
    }

    fn start(permits: usize, limits: Limits) -> (Queue, SdkTracerProvider, Gate) {
        let gate = Gate(Arc::new(Semaphore::new(permits)));
        let queue =
            Queue::start(gate.clone(), &Resource::builder_empty().build(), limits, &Handle::current());
        let provider = SdkTracerProvider::builder().with_span_processor(queue.clone()).build();
        (queue, provider, gate)
    }

    fn end_spans(provider: &SdkTracerProvider, spans: usize) {
        let tracer = provider.tracer("test");
        (0..spans).for_each(|_| drop(tracer.start("span")));
    }

    async fn flush(queue: &Queue, deadline: Duration) -> bool {
        let queue = queue.clone();
        tokio::task::spawn_blocking(move || queue.flush(deadline)).await.expect("no panic")
    }

    #[tokio::test]
    async fn a_flush_sends_everything_at_once() {
        let (queue, provider, _gate) = start(100, limits(10, 100));
        end_spans(&provider, 25);
        assert!(flush(&queue, LONG).await);
        assert_eq!(queue.counts(), Counts { ended: 25, exported: 25, ..Counts::default() });
    }

    #[tokio::test]
    async fn a_full_queue_drops_the_newest_and_counts_them() {
        let (queue, provider, gate) = start(0, limits(10, 10));
        end_spans(&provider, 15);
        let counts = queue.counts();
        assert_eq!((counts.ended, counts.dropped, counts.queued), (15, 5, 10));
        gate.0.add_permits(100);
        assert!(flush(&queue, LONG).await);
        assert_eq!(queue.counts(), Counts { ended: 15, exported: 10, dropped: 5, ..Counts::default() });
    }

    #[tokio::test]
    async fn what_the_exporter_refuses_is_counted() {
        let (queue, provider, gate) = start(0, limits(10, 100));
        gate.0.close();
        end_spans(&provider, 7);
        assert!(flush(&queue, LONG).await);
        assert_eq!(queue.counts(), Counts { ended: 7, failed: 7, ..Counts::default() });
    }

    #[tokio::test]
    async fn a_close_keeps_its_deadline_and_accounts_for_every_span() {
        let (queue, provider, _gate) = start(1, limits(2, 100));
        end_spans(&provider, 9);
        let closing = queue.clone();
        let close = move || closing.close(Duration::from_millis(200));
        tokio::task::spawn_blocking(close).await.expect("no panic");
        end_spans(&provider, 1);
        assert_eq!(queue.counts(), Counts { ended: 10, exported: 2, failed: 2, dropped: 6, queued: 0 });
    }
}
