//! Batches, sent and handled.

use crate::kit::{Bench, all, attribute, body, called_once, named, next, options, told};
use expect_test::expect;
use hopscope_sdk::work::BatchOutcome;
use hopscope_sdk::{Failure, Retry};
use opentelemetry_sdk::trace::SpanData;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_queue::MessageQueue;
use rocketmq_model::common::message::message_single::Message;
use std::collections::HashSet;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_one_span_and_each_message_has_its_own_context() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    // The first send makes the topic.
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let sent = producer.send_batch(vec![bench.message(), bench.message()]).await.expect("sent");
    assert!(sent.msg_id.is_some_and(|ids| ids.contains(',')), "one id for each");
    let huge = Message::builder().topic(bench.topic.as_str()).body(vec![0; 5 << 20]).build_unchecked();
    producer.send_batch(vec![bench.message(), huge]).await.expect_err("more than the broker takes");
    bench.check(&bench.recorder.finished()[1..], &expect![[r#"
        create notify (producer) parent: - links: []
          messaging.destination.name = notify
          messaging.message.body.size = 2
          messaging.operation.name = create
          messaging.operation.type = create
          messaging.rocketmq.message.keys = ["order-1"]
          messaging.rocketmq.message.tag = mail
          messaging.rocketmq.message.type = normal
          messaging.system = rocketmq
        create notify (producer) parent: - links: []
          messaging.destination.name = notify
          messaging.message.body.size = 2
          messaging.operation.name = create
          messaging.operation.type = create
          messaging.rocketmq.message.keys = ["order-1"]
          messaging.rocketmq.message.tag = mail
          messaging.rocketmq.message.type = normal
          messaging.system = rocketmq
        send notify (client) parent: - links: [create notify, create notify]
          hopscope.batch.body_size = 4
          messaging.batch.message_count = 2
          messaging.destination.name = notify
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.rocketmq.message.type = normal
          messaging.system = rocketmq
          link messaging.message.body.size=2 messaging.message.id=* messaging.rocketmq.broker.name=broker-a messaging.rocketmq.message.keys=["order-1"] messaging.rocketmq.message.tag=mail messaging.rocketmq.offset_message_id=* messaging.rocketmq.queue.id=* messaging.rocketmq.queue.offset=*
          link messaging.message.body.size=2 messaging.message.id=* messaging.rocketmq.broker.name=broker-a messaging.rocketmq.message.keys=["order-1"] messaging.rocketmq.message.tag=mail messaging.rocketmq.offset_message_id=* messaging.rocketmq.queue.id=* messaging.rocketmq.queue.offset=*
        create notify (producer) parent: - links: []
          messaging.destination.name = notify
          messaging.message.body.size = 2
          messaging.operation.name = create
          messaging.operation.type = create
          messaging.rocketmq.message.keys = ["order-1"]
          messaging.rocketmq.message.tag = mail
          messaging.rocketmq.message.type = normal
          messaging.system = rocketmq
        create notify (producer) parent: - links: []
          messaging.destination.name = notify
          messaging.message.body.size = 5242880
          messaging.operation.name = create
          messaging.operation.type = create
          messaging.rocketmq.message.type = normal
          messaging.system = rocketmq
        send notify (client) parent: - links: [create notify, create notify]
          error.type = core.argument.invalid
          hopscope.batch.body_size = 5242882
          messaging.batch.message_count = 2
          messaging.destination.name = notify
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.rocketmq.message.type = normal
          messaging.system = rocketmq
          link error.type=core.argument.invalid messaging.message.body.size=2 messaging.rocketmq.message.keys=["order-1"] messaging.rocketmq.message.tag=mail
          link error.type=core.argument.invalid messaging.message.body.size=5242880
          Error { description: "core.argument.invalid: Argument is invalid" }
    "#]]);
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_failed_of_a_batch_comes_again() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    let message = |text: &str| {
        Message::builder().topic(bench.topic.as_str()).body_slice(text.as_bytes()).build_unchecked()
    };
    producer.send_with_timeout(message("first"), 10_000).await.expect("sent");
    let queue = MessageQueue::from_parts(bench.topic.as_str(), "broker-a", 0);
    let batch = ["a", "b", "c"].map(message).to_vec();
    let sent = producer.send_batch_to_queue(batch, queue).await.expect("sent");

    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    consumer.inner_mut().set_pull_batch_size(32);
    let (calls, mut called) = told();
    let handling = hopscope_rocketmq::Options {
        batch_max: Some(8),
        retry: Retry::times(3).fixed(Duration::from_secs(1)),
        ..options()
    };
    let handler = async move |messages: &[hopscope_rocketmq::Traced<&_>]| {
        let bodies: Vec<_> = messages.iter().map(|message| body(message.message())).collect();
        let is_again = messages.iter().any(|message| message.message().reconsume_times() > 0);
        let _ = calls.send(u32::try_from(bodies.len()).expect("few"));
        match bodies.iter().position(|body| body == "b").filter(|_| !is_again) {
            Some(at) => BatchOutcome::Partly(vec![(at, Failure::new("Declined", "no cover"))]),
            None => BatchOutcome::Ok,
        }
    };
    let stop = async {
        let mut handled = 0;
        while handled < 5 {
            handled += next(&mut called).await;
        }
    };
    consumer.run_batches(handling, handler, stop).await.expect("started");

    let spans = bench.recorder.finished();
    let processed: Vec<_> = named(&spans, &format!("process {}", bench.topic))
        .into_iter()
        .flat_map(|span| span.links.iter())
        .map(|link| link.span_context.span_id())
        .collect();
    assert_eq!(processed.len(), 4, "every message is linked, once");
    let offsets: Vec<_> =
        (sent.queue_offset..sent.queue_offset + 3).map(|offset| offset.to_string()).collect();
    let settled = all(&named(&spans, &format!("success {}", bench.topic)), "messaging.rocketmq.queue.offset");
    assert!(
        [&offsets[0], &offsets[2]].iter().all(|offset| settled.contains(offset)),
        "{settled:?} of {offsets:?}"
    );
    let sending = named(&spans, "send ")[1];
    let of_links = |span: &SpanData, name: &str| -> Vec<String> {
        let links = span.links.iter().flat_map(|link| link.attributes.iter());
        links.filter(|set| set.key.as_str() == name).map(|set| set.value.to_string()).collect()
    };
    assert_eq!(of_links(sending, "messaging.rocketmq.queue.offset"), offsets, "sender and receiver agree");
    let works = named(&spans, &format!("process {}", bench.topic));
    let failed: Vec<_> = works.iter().flat_map(|work| of_links(work, "error.type")).collect();
    let alone = works.iter().filter(|work| work.links.len() == 1).map(|work| attribute(work, "error.type"));
    let failed: Vec<_> = failed.into_iter().chain(alone.filter(|kind| !kind.is_empty())).collect();
    assert_eq!(failed, ["Declined"], "the failed one says so, and no other");
    let back = named(&spans, "send_message_back");
    assert_eq!(all(&back, "messaging.rocketmq.queue.offset"), [offsets[1].as_str()], "the failed one alone");
    assert_eq!(attribute(back[0], "hopscope.disposition"), "retry");
    assert_eq!(attribute(back[0], "hopscope.confirmed"), "", "the broker has confirmed it");
    let again = named(&spans, "process %RETRY%");
    assert_eq!(again.len(), 1);
    assert_eq!(attribute(again[0], "hopscope.attempt"), "2");
    bench.close();
}

/// A span holds 128 links: a larger batch becomes several, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_of_a_large_batch_is_linked() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let queue = MessageQueue::from_parts(bench.topic.as_str(), "broker-a", 0);
    let batch = (0..300).map(|_| bench.message()).collect();
    producer.send_batch_to_queue(batch, queue).await.expect("sent");
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    consumer.inner_mut().set_pull_batch_size(300);
    let (calls, mut called) = told();
    let handling = hopscope_rocketmq::Options { batch_max: Some(300), ..options() };
    let handler = async move |messages: &[hopscope_rocketmq::Traced<&_>]| {
        let _ = calls.send(u32::try_from(messages.len()).expect("few"));
        BatchOutcome::Ok
    };
    let stop = async {
        let mut handled = 0;
        while handled < 301 {
            handled += next(&mut called).await;
        }
    };
    consumer.run_batches(handling, handler, stop).await.expect("started");
    let spans = bench.recorder.finished();
    let works = named(&spans, "process");
    assert!(works.len() < 100, "batches; spans={}", works.len());
    assert!(works.iter().all(|span| span.links.len() <= 128 && span.links.dropped_count == 0));
    let linked: HashSet<_> =
        works.iter().flat_map(|span| span.links.iter()).map(|link| link.span_context.span_id()).collect();
    let created: HashSet<_> =
        named(&spans, "create").iter().map(|span| span.span_context.span_id()).collect();
    assert_eq!(created.len(), 300);
    assert!(linked.is_superset(&created));
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_fails_or_panics_comes_again() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (calls, mut called) = told();
    let handling = hopscope_rocketmq::Options {
        batch_max: Some(8),
        retry: Retry::times(5).fixed(Duration::from_secs(1)),
        ..options()
    };
    let handler = async move |messages: &[hopscope_rocketmq::Traced<&MessageExt>]| {
        let times = messages[0].message().reconsume_times();
        let _ = calls.send(u32::try_from(times).expect("not negative"));
        match times {
            0 => BatchOutcome::Failed(Failure::new("Busy", "no template")),
            1 => panic!("no template"),
            _ => BatchOutcome::Ok,
        }
    };
    let stop = async { while next(&mut called).await < 2 {} };
    consumer.run_batches(handling, handler, stop).await.expect("started");
    let spans = bench.recorder.finished();
    assert_eq!(all(&named(&spans, "process"), "error.type"), ["Busy", "panic", ""]);
    assert_eq!(all(&named(&spans, "process"), "hopscope.attempt"), ["1", "2", "3"]);
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_outlives_the_stop_is_unknown_and_not_settled() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (calls, mut called) = told();
    let (go, gate) = tokio::sync::watch::channel(false);
    let handling =
        hopscope_rocketmq::Options { batch_max: Some(8), drain: Duration::from_millis(50), ..options() };
    let handler = async move |_: &[hopscope_rocketmq::Traced<&_>]| {
        let _ = calls.send(1);
        let _ = gate.clone().wait_for(|is_open| *is_open).await;
        BatchOutcome::Ok
    };
    let stop = called_once(&mut called);
    consumer.run_batches(handling, handler, stop).await.expect("started");
    go.send_replace(true);
    let end = async {
        while named(&bench.recorder.finished(), "process").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::kit::WAIT, end).await.expect("it ends");
    let spans = bench.recorder.finished();
    let told: Vec<_> = named(&spans, "process").into_iter().map(reason).collect();
    assert_eq!(told, ["shut down"]);
    assert_eq!(named(&spans, "success").len(), 0);
    bench.close();
}

/// Of the span, or of its one message.
fn reason(span: &SpanData) -> String {
    let of_link = span.links.iter().flat_map(|link| &link.attributes);
    let found =
        span.attributes.iter().chain(of_link).find(|set| set.key.as_str() == "hopscope.outcome.reason");
    found.map(|set| set.value.to_string()).unwrap_or_default()
}
