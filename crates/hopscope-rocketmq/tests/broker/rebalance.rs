//! A second consumer of the group takes queues away in the middle of handlers.

use crate::kit::{Bench, all, named, next, options, told};
use hopscope_rocketmq::{Options, Traced};
use rocketmq_client_rust::MessageQueueListener;
use rocketmq_model::common::message::message_queue::MessageQueue;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::watch;

/// The application's own listener, which goes on being told.
struct Assigned(watch::Sender<usize>);

impl MessageQueueListener for Assigned {
    fn message_queue_changed(
        &self,
        topic: &str,
        _: &HashSet<MessageQueue>,
        assigned: &HashSet<MessageQueue>,
    ) {
        if !topic.starts_with("%RETRY%") {
            self.0.send_replace(assigned.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_on_a_queue_that_was_taken_away_is_unknown_and_not_settled() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    for id in 0..4 {
        let queue = MessageQueue::from_parts(bench.topic.as_str(), "broker-a", id);
        producer.send_to_queue(bench.message(), queue).await.expect("sent");
    }
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (count, mut counted) = watch::channel(0);
    consumer.inner_mut().set_message_queue_listener(Some(Arc::new(Assigned(count))));
    // A client of its own, as another process has.
    let second = Bench::new();
    let mut rival = second.consumer(&bench.topic, &bench.group).await;
    rival.listen_concurrently(|_, _| Ok(rocketmq_client_rust::ConsumeConcurrentlyStatus::ConsumeSuccess));

    let (calls, mut called) = told();
    let mut gate = counted.clone();
    let first = counted.clone();
    let handler = async move |_: &Traced<&_>| {
        let _ = calls.send(1);
        let mut assigned = first.clone();
        let _ = assigned.wait_for(|queues| *queues == 2).await;
        Ok::<(), std::fmt::Error>(())
    };
    let stop = async {
        for _ in 0..4 {
            next(&mut called).await;
        }
        counted.wait_for(|queues| *queues == 4).await.expect("all queues at first");
        rival.inner_mut().start().await.expect("start");
        tokio::time::timeout(crate::kit::WAIT, gate.wait_for(|queues| *queues == 2))
            .await
            .expect("in time")
            .expect("half of them");
    };
    consumer.run(Options { workers_max: Some(8), ..options() }, handler, stop).await.expect("started");
    rival.inner_mut().shutdown().await;

    let spans = bench.recorder.finished();
    let processed = named(&spans, "process");
    let reasons = all(&processed, "hopscope.outcome.reason");
    let revoked = reasons.iter().filter(|reason| *reason == "queue revoked").count();
    assert!(revoked >= 2, "{reasons:?}");
    assert_eq!(named(&spans, "success").len(), processed.len() - revoked, "nothing revoked is settled");
    second.close();
    bench.close();
}
