//! Queue and worker together, with a sink that does as it is told.

use super::*;
use crate::export::compress::Compression;
use crate::export::queue::{Counts, Limits};
use crate::export::topic::{SinkFuture, Topic, TopicError, TopicSink};
use crate::export::{Outlet, Worth};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Takes as many messages as it has permits, after it has refused the first few.
#[derive(Debug)]
struct Gate {
    permits: Semaphore,
    refusals: AtomicUsize,
    is_for_good: bool,
    taken: Mutex<Vec<Vec<u8>>>,
}

impl TopicSink for Gate {
    fn send<'a>(&'a self, body: Vec<u8>, headers: &'a [(&'a str, &'a str)]) -> SinkFuture<'a> {
        Box::pin(async move {
            assert!(body.len() <= BYTES_MAX);
            assert_eq!(headers, [("content-type", "application/x-protobuf"), ("hopscope-signal", "traces")]);
            let takes_one = |refusals: usize| refusals.checked_sub(1);
            if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, takes_one).is_ok() {
                let why = "the broker is away".into();
                return Err(if self.is_for_good { TopicError::Never(why) } else { TopicError::Later(why) });
            }
            self.permits.acquire().await?.forget();
            self.taken.lock().expect("no panic").push(body);
            Ok(())
        })
    }

    fn message_bytes_max(&self) -> usize {
        BYTES_MAX
    }
}

/// Of one message.
const BYTES_MAX: usize = 1000;

const LONG: Duration = Duration::from_secs(30);

fn gate(permits: usize, refusals: usize, is_for_good: bool) -> Arc<Gate> {
    let (permits, refusals) = (Semaphore::new(permits), AtomicUsize::new(refusals));
    Arc::new(Gate { permits, refusals, is_for_good, taken: Mutex::default() })
}

fn start(sink: &Arc<Gate>, batch_spans_max: usize, queue_spans_max: usize, backoff: Backoff) -> Queue {
    let queue = Queue::new(Limits {
        delay: LONG,
        batch_spans_max,
        batch_bytes_max: usize::MAX,
        queue_spans_max,
        queue_bytes_max: 1024 * 1024,
    });
    let sink: Arc<dyn TopicSink> = Arc::<Gate>::clone(sink);
    let topic = Topic { sink, compression: Compression::None, timeout: LONG };
    tokio::spawn(run(queue.clone(), Target::Topic(topic), Arc::new(Envelope::new(&[])), backoff));
    queue
}

fn quick() -> Backoff {
    Backoff::new(Duration::from_millis(1), Duration::from_millis(5))
}

fn push(queue: &Queue, spans: usize) {
    (0..spans).for_each(|_| queue.push(&[0x0a, 1, 7], Worth::Ordinary));
}

async fn flush(queue: &Queue, deadline: Duration) -> bool {
    let queue = queue.clone();
    tokio::task::spawn_blocking(move || queue.flush(deadline)).await.expect("no panic")
}

#[tokio::test]
async fn a_flush_sends_everything_at_once() {
    let sink = gate(100, 0, false);
    let queue = start(&sink, 10, 100, quick());
    push(&queue, 25);
    assert!(flush(&queue, LONG).await);
    assert_eq!(queue.counts(), Counts { ended: 25, exported: 25, ..Counts::default() });
    assert!(sink.taken.lock().expect("no panic").len() >= 3);
}

#[tokio::test]
async fn a_batch_that_cannot_be_sent_is_kept_and_sent_again() {
    let sink = gate(100, 20, false);
    let queue = start(&sink, 10, 100, quick());
    push(&queue, 25);
    assert!(flush(&queue, LONG).await);
    assert_eq!(queue.counts(), Counts { ended: 25, exported: 25, ..Counts::default() });
}

#[tokio::test]
async fn a_flush_does_not_wait_for_a_back_off() {
    let sink = gate(100, 1, false);
    let queue = start(&sink, 10, 100, Backoff::new(LONG, LONG));
    push(&queue, 10);
    // Awoken by the full batch, refused, and waiting from then on.
    while sink.refusals.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    let began = std::time::Instant::now();
    while !flush(&queue, Duration::from_millis(100)).await {}
    assert!(began.elapsed() < LONG / 2);
}

#[tokio::test]
async fn what_is_refused_for_good_is_counted_and_the_next_batch_is_sent() {
    let sink = gate(100, 2, true);
    let queue = start(&sink, 10, 100, quick());
    push(&queue, 25);
    assert!(flush(&queue, LONG).await);
    let counts = queue.counts();
    assert_eq!((counts.ended, counts.exported + counts.failed, counts.dropped), (25, 25, 0));
    assert!(counts.failed > 0 && counts.exported > 0, "{counts:?}");
}

#[tokio::test]
async fn while_nothing_is_taken_the_oldest_make_room_and_are_counted() {
    let sink = gate(0, 0, false);
    let queue = start(&sink, 10, 40, quick());
    push(&queue, 1000);
    let counts = queue.counts();
    assert_eq!((counts.ended, counts.exported, counts.failed), (1000, 0, 0));
    assert!(counts.queued <= 40 && counts.dropped >= 960, "{counts:?}");
    sink.permits.add_permits(100);
    assert!(flush(&queue, LONG).await);
    let after = queue.counts();
    assert_eq!((after.ended, after.exported + after.dropped, after.queued), (1000, 1000, 0));
}

#[tokio::test]
async fn a_close_keeps_its_deadline() {
    let sink = gate(1, 0, false);
    let queue = start(&sink, 2, 100, quick());
    push(&queue, 9);
    let closing = queue.clone();
    let close = move || closing.close(Duration::from_millis(200));
    tokio::task::spawn_blocking(close).await.expect("no panic");
    push(&queue, 1);
    assert_eq!(queue.counts(), Counts { ended: 10, exported: 2, failed: 2, dropped: 6, ..Counts::default() });
}

#[tokio::test]
async fn what_is_too_large_for_the_target_is_sent_in_parts() {
    let sink = gate(1000, 0, false);
    let queue = start(&sink, 300, 300, quick());
    push(&queue, 150);
    // This one fits into no message.
    queue.push(&[0x0a; 2 * BYTES_MAX], Worth::Ordinary);
    push(&queue, 149);
    assert!(flush(&queue, LONG).await);
    assert_eq!(queue.counts(), Counts { ended: 300, exported: 299, failed: 1, ..Counts::default() });
    assert!(sink.taken.lock().expect("no panic").len() > 1);
}
