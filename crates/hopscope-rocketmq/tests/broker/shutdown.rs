//! What becomes of handlers that are at work when the consumer stops.

use crate::kit::{Bench, attribute, named, next, options, told};
use hopscope_rocketmq::{Options, Traced};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Runs one slow handler over the stop; `go` is given when the stop has begun, or never.
async fn over_the_stop(drain: Duration, is_released: bool) -> (Bench, Arc<Notify>) {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (calls, mut called) = told();
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let handler = async move |_: &Traced<&_>| {
        let _ = calls.send(1);
        gate.notified().await;
        Ok::<(), std::fmt::Error>(())
    };
    let stop = async {
        next(&mut called).await;
        if is_released {
            go.notify_one();
        }
    };
    consumer.run(Options { drain, ..options() }, handler, stop).await.expect("started");
    (bench, go)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_at_work_is_finished_and_settled() {
    let (bench, _) = over_the_stop(Duration::from_secs(20), true).await;
    let spans = bench.recorder.finished();
    assert_eq!(attribute(named(&spans, "process")[0], "hopscope.disposition"), "accept");
    assert_eq!(named(&spans, "success").len(), 1);
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_outlives_the_deadline_is_unknown_and_not_settled() {
    let (bench, go) = over_the_stop(Duration::from_millis(50), false).await;
    assert_eq!(named(&bench.recorder.finished(), "process").len(), 0, "it is at work still");
    go.notify_one();
    let end = async {
        while named(&bench.recorder.finished(), "process").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::kit::WAIT, end).await.expect("it ends");
    let spans = bench.recorder.finished();
    assert_eq!(attribute(named(&spans, "process")[0], "hopscope.outcome"), "unknown");
    assert_eq!(attribute(named(&spans, "process")[0], "hopscope.outcome.reason"), "shut down");
    assert_eq!(named(&spans, "success").len(), 0);
    bench.close();
}
