//! [`MetricsExport`]: metrics, read and sent at every interval.
//!
//! Requests that cannot be sent are kept as they are and sent again, because with deltas nobody says the same a second
//! time; new ones are read only when some target has none left. What a target would have to keep beyond
//! [`KEPT_BYTES_MAX`] is dropped, the oldest first.

use super::backoff::Backoff;
use super::health::Health;
use super::target::{Signal, Target, Verdict};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Reads all metrics as `ExportMetricsServiceRequest`s.
pub(crate) type Source = Box<dyn FnMut() -> Vec<Vec<u8>> + Send>;

/// Bytes that are kept for a target that takes nothing.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The handle of the task. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct MetricsExport(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Flushes that were asked for, and up to which of them everything has been sent.
    asked: u64,
    sent: u64,
    is_closed: bool,
}

impl MetricsExport {
    /// The handle, and the task that is to be spawned.
    pub fn new(
        source: Source,
        targets: Vec<Target>,
        interval: Duration,
        backoff: Backoff,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let export = Self(Arc::default());
        (export.clone(), run(export, source, targets, interval, backoff))
    }

    /// Has everything as of now read and sent, without waiting for it. The number of the request, for
    /// [`wait`](Self::wait).
    pub fn hurry(&self) -> u64 {
        let mut state = self.0.lock();
        state.asked += 1;
        let asked = state.asked;
        drop(state);
        self.0.wake.notify_one();
        asked
    }

    /// Waits until what was asked for is sent or refused for good, at most that long.
    pub fn wait(&self, asked: u64, deadline: Duration) -> bool {
        let waited = self.0.done.wait_timeout_while(self.0.lock(), deadline, |state| state.sent < asked);
        waited.unwrap_or_else(PoisonError::into_inner).0.sent >= asked
    }

    /// Ends the task; what is not sent by now is lost.
    pub fn close(&self) {
        self.0.lock().is_closed = true;
        self.0.wake.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one target has still to get.
struct Kept {
    target: Target,
    requests: VecDeque<Arc<Vec<u8>>>,
    backoff: Backoff,
    /// Not to be asked before.
    not_before: Option<Instant>,
    health: Health,
}

async fn run(
    export: MetricsExport,
    mut source: Source,
    targets: Vec<Target>,
    interval: Duration,
    backoff: Backoff,
) {
    let kept = |target| {
        let (requests, health) = (VecDeque::new(), Health::of("metrics"));
        Kept { target, requests, backoff, not_before: None, health }
    };
    let mut targets: Vec<Kept> = targets.into_iter().map(kept).collect();
    let (mut next_read, mut read_for) = (Instant::now() + interval, 0);
    loop {
        let retry = targets.iter().filter_map(|target| target.not_before).min();
        let until = retry.map_or(next_read, |retry| retry.min(next_read));
        // Either way there is something to do.
        let is_hurried = tokio::time::timeout_at(until, export.0.wake.notified()).await.is_ok();
        if export.0.lock().is_closed {
            return;
        }
        let asked = export.0.lock().asked;
        for target in &mut targets {
            target.send(is_hurried).await;
        }
        if asked > read_for || Instant::now() >= next_read {
            next_read = Instant::now() + interval;
            if targets.iter().any(|target| target.requests.is_empty()) {
                read_for = asked;
                let requests: Vec<_> = source().into_iter().map(Arc::new).collect();
                for target in &mut targets {
                    target.keep(&requests);
                    target.send(is_hurried).await;
                }
            }
        }
        if targets.iter().all(|target| target.requests.is_empty()) {
            export.0.lock().sent = read_for;
            export.0.done.notify_all();
        }
    }
}

impl Kept {
    fn keep(&mut self, requests: &[Arc<Vec<u8>>]) {
        self.requests.extend(requests.iter().cloned());
        let mut bytes: usize = self.requests.iter().map(|request| request.len()).sum();
        while bytes > KEPT_BYTES_MAX
            && let Some(oldest) = self.requests.pop_front()
        {
            bytes -= oldest.len();
            self.health.see_loss(1, "too much to keep");
        }
    }

    /// Sends what there is until the target says "later". Who is in a hurry does not wait for our own back-off.
    async fn send(&mut self, is_hurried: bool) {
        if !is_hurried && self.not_before.is_some_and(|not_before| Instant::now() < not_before) {
            return;
        }
        self.not_before = None;
        while let Some(request) = self.requests.front() {
            let verdict = self.target.send(Signal::Metrics, request).await;
            self.health.see(&verdict, 1);
            if let Verdict::Later { pause, .. } = verdict {
                let wait = pause.unwrap_or_default().max(self.backoff.next());
                self.not_before = Some(Instant::now() + wait);
                return;
            }
            self.backoff.reset();
            self.requests.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::compress::Compression;
    use crate::export::topic::{SinkFuture, Topic, TopicSink};
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LONG: Duration = Duration::from_secs(30);

    /// Takes messages after it has refused that many.
    #[derive(Debug, Default)]
    struct Sink {
        refusals: AtomicUsize,
        taken: Mutex<Vec<Vec<u8>>>,
    }

    impl TopicSink for Sink {
        fn send<'a>(&'a self, body: Vec<u8>, headers: &'a [(&'a str, &'a str)]) -> SinkFuture<'a> {
            assert_eq!(headers[1], ("hopscope-signal", "metrics"));
            Box::pin(async move {
                let takes_one = |refusals: usize| refusals.checked_sub(1);
                match self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, takes_one) {
                    Ok(_) => Err(std::io::Error::other("away").into()),
                    Err(_) => {
                        self.taken.lock().expect("no panic").push(body);
                        Ok(())
                    }
                }
            })
        }

        fn message_bytes_max(&self) -> usize {
            10
        }
    }

    fn start(sinks: &[&Arc<Sink>], interval: Duration) -> MetricsExport {
        let target = |sink: &&Arc<Sink>| {
            let sink: Arc<dyn TopicSink> = Arc::<Sink>::clone(sink);
            Target::Topic(Topic { sink, compression: Compression::None, timeout: LONG })
        };
        let mut number = 0;
        let source = move || {
            number += 1;
            vec![vec![number, 1], vec![number, 2]]
        };
        let targets = sinks.iter().map(target).collect();
        let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
        let (export, task) = MetricsExport::new(Box::new(source), targets, interval, backoff);
        tokio::spawn(task);
        export
    }

    async fn flush(export: &MetricsExport) -> bool {
        let export = export.clone();
        let flush = move || export.wait(export.hurry(), LONG);
        tokio::task::spawn_blocking(flush).await.expect("no panic")
    }

    fn taken(sink: &Sink) -> Vec<Vec<u8>> {
        sink.taken.lock().expect("no panic").clone()
    }

    #[tokio::test]
    async fn a_flush_reads_and_sends_everything() {
        let sink = Arc::new(Sink::default());
        let export = start(&[&sink], LONG);
        assert!(flush(&export).await);
        assert!(flush(&export).await);
        assert_eq!(taken(&sink), [[1, 1], [1, 2], [2, 1], [2, 2]]);
    }

    #[tokio::test(start_paused = true)]
    async fn they_leave_at_every_interval_and_none_is_lost_to_an_outage() {
        let sink = Arc::new(Sink { refusals: AtomicUsize::new(50), ..Sink::default() });
        let _export = start(&[&sink], Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(sink.refusals.load(Ordering::SeqCst), 50);
        tokio::time::sleep(Duration::from_secs(62)).await;
        assert_eq!(taken(&sink), [[1, 1], [1, 2], [2, 1], [2, 2]], "each once, in order");
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_is_away_does_not_hold_up_the_other() {
        let away = Arc::new(Sink { refusals: AtomicUsize::new(usize::MAX), ..Sink::default() });
        let well = Arc::new(Sink::default());
        let _export = start(&[&away, &well], Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert_eq!(taken(&well).len(), 6);
        away.refusals.store(0, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(taken(&away), taken(&well));
    }
}
