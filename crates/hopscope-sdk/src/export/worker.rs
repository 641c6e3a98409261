//! The task that empties a queue into a target.

use super::backoff::Backoff;
use super::envelope::Envelope;
use super::health::Health;
use super::queue::{Batch, Queue};
use super::target::{Signal, Target, Verdict};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Sends what the queue holds until it is closed. A batch that cannot be sent now goes back into the queue and is
/// tried again, for as long as there is room for it.
pub(crate) async fn run(queue: Queue, target: Target, envelope: Arc<Envelope>, mut backoff: Backoff) {
    let mut request = Vec::new();
    let (mut health, mut dropped) = (Health::of("spans"), 0);
    loop {
        queue.wait(queue.delay()).await;
        // Before the last round: what comes after it finds the queue closed.
        let is_closed = queue.is_closed();
        while let Some(batch) = queue.take() {
            let verdict = send(&target, &envelope, &batch, &mut request).await;
            health.see(&verdict, batch.spans());
            let now_dropped = queue.counts().dropped;
            if now_dropped > dropped {
                health.see_loss(now_dropped - dropped, "the queue is full");
                dropped = now_dropped;
            }
            match verdict {
                Verdict::Taken { rejected, .. } => {
                    backoff.reset();
                    queue.finish(batch, rejected);
                }
                Verdict::Never { .. } | Verdict::TooLarge { .. } => {
                    backoff.reset();
                    let all = batch.spans();
                    queue.finish(batch, all);
                }
                Verdict::Later { pause, .. } => {
                    queue.put_back(batch);
                    wait_to_retry(&queue, pause, backoff.next()).await;
                }
            }
            // One huge request must not be remembered for ever.
            request.shrink_to(REQUEST_BYTES_KEPT);
        }
        if is_closed {
            return;
        }
    }
}

/// Sends a batch: as one request, and where that is too large for the target in halves, as small as they must be. Where
/// one of those cannot be sent now the whole batch is to come again: a span may arrive twice, none is lost.
async fn send(target: &Target, envelope: &Envelope, batch: &Batch, request: &mut Vec<u8>) -> Verdict {
    let spans = batch.frames().count();
    let (mut parts, mut rejected, mut told) = (vec![(0, spans)], 0, String::new());
    while let Some((skipped, taken)) = parts.pop() {
        request.clear();
        envelope.write_traces(request, batch.frames().skip(skipped).take(taken));
        match target.send(Signal::Traces, request).await {
            Verdict::Taken { rejected: more, why } => {
                rejected += more;
                if more > 0 {
                    told = why;
                }
            }
            Verdict::TooLarge { .. } if taken > 1 => {
                let half = taken / 2;
                parts.push((skipped + half, taken - half));
                parts.push((skipped, half));
            }
            // A part that is never taken must not take the others with it.
            Verdict::Never { why } | Verdict::TooLarge { why } if taken < spans => {
                rejected += taken as u64;
                told = why;
            }
            verdict => return verdict,
        }
    }
    Verdict::Taken { rejected, why: told }
}

/// Bytes of the buffer for requests that are kept between two of them.
const REQUEST_BYTES_KEPT: usize = 64 * 1024;

/// Whoever flushes does not want to wait for a back-off of ours; what the target asked for stands.
async fn wait_to_retry(queue: &Queue, pause: Option<Duration>, backoff: Duration) {
    let Some(pause) = pause.filter(|pause| !pause.is_zero()) else { return queue.wait(backoff).await };
    let until = Instant::now() + pause.min(PAUSE_MAX);
    while Instant::now() < until && !queue.is_over() {
        queue.wait(until - Instant::now()).await;
    }
}

/// The longest pause that a target can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
